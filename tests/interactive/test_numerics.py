"""The arithmetic of the interactive figures is stnlib's: values and derivatives, to 1e-5."""

import math

import pytest
import torch
from torch import nn

from stnlib.diagnostics import coverage, decompose, grid_coverage
from stnlib.models import CMNet, LocNet
from stnlib.optim import param_groups, schedule
from stnlib.sampler import SAMPLERS, sample_native
from stnlib.transforms import FAMILIES, spline_family

TOLERANCE = dict(rtol=1e-5, atol=1e-5)
D = torch.float64


@pytest.fixture
def draw():
    """Random numbers, the same in each run."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=D)


def close(found, wanted):
    torch.testing.assert_close(
        torch.tensor(found, dtype=D).flatten(), wanted.detach().to(D).flatten(), **TOLERANCE
    )


@pytest.mark.parametrize("name", ["translation", "attention", "similarity", "affine", "projective"])
def test_the_grid_of_a_family_is_that_of_stnlib(numerics, draw, name):
    family = FAMILIES[name]
    theta = family.identity().to(D) + 0.4 * draw(3, family.n_parameters)
    for one in theta:
        found = numerics.evaluate(
            "([name, theta]) => [...STN.matrixGrid(STN.MATRICES[name](theta), 4, 7)]",
            [name, one.tolist()],
        )
        close(found, family.grid(one[None], (4, 7)))


def test_the_affine_grid_is_that_of_stnlib(numerics, draw):
    theta = draw(6)
    found = numerics.evaluate("(theta) => [...STN.affineGrid(theta, 5, 1)]", theta.tolist())
    close(found, FAMILIES["affine"].grid(theta[None], (5, 1)))


@pytest.mark.parametrize("points", [(4, 4), (2, 3)])
def test_the_grid_of_a_spline_is_that_of_stnlib(numerics, draw, points):
    family = spline_family(*points)
    theta = 0.3 * draw(family.n_parameters)
    found = numerics.evaluate(
        "([r, c, theta]) => [...STN.spline(r, c, 6, 5).grid(theta)]", [*points, theta.tolist()]
    )
    close(found, family.grid(theta[None], (6, 5)))


@pytest.mark.parametrize(
    ("name", "padding"), [("bilinear", "zeros"), ("bilinear", "border"), ("clipped", "zeros")]
)
def test_a_sampler_and_its_derivatives_are_those_of_stnlib(numerics, draw, name, padding):
    image, grid = draw(5, 7), (1.2 * draw(200, 2)).requires_grad_()
    values = SAMPLERS[name](image[None, None], grid[None, None], padding=padding)
    (slopes,) = torch.autograd.grad(values.sum(), grid)
    found = numerics.evaluate(
        """([name, image, grid, padding]) => {
            const [out, dx, dy] = [1, 2, 3].map(() => new Float64Array(grid.length / 2));
            STN.SAMPLERS[name](image, 5, 7, grid, out, dx, dy, padding);
            return [[...out], [...dx], [...dy]];
        }""",
        [name, image.flatten().tolist(), grid.flatten().tolist(), padding],
    )
    assert (grid.abs() > 1).any() and (grid.abs() < 1).all(dim=1).any()
    close(found[0], values)
    close(found[1:], slopes.T)


def test_coverage_is_that_of_stnlib(numerics, draw):
    theta = torch.cat([1.2 * draw(50, 6), torch.tensor([[1.0, 0, 0, 0, 1, 0]], dtype=D)])
    found = numerics.evaluate("(thetas) => thetas.map(STN.coverage)", theta.tolist())
    close(found, coverage(theta))
    grid = FAMILIES["affine"].grid(theta, (9, 9))
    counted = numerics.evaluate("(grids) => grids.map(STN.gridCoverage)", grid.flatten(1).tolist())
    close(counted, grid_coverage(grid))


def test_theta_is_taken_apart_as_by_stnlib(numerics, draw):
    theta = draw(20, 6)
    found = numerics.evaluate("(thetas) => thetas.map(STN.decompose)", theta.tolist())
    wanted = decompose(theta)
    for name in ("scale", "rotation", "tx", "ty"):
        close([one[name] for one in found], wanted[name])


def layers_of(modules):
    """A network's layers as `STN.forward` takes them."""
    names = {nn.MaxPool2d: "pool", nn.Conv2d: "convolve", nn.Linear: "dense", nn.ReLU: "relu"}
    layers = []
    for module in modules:
        if type(module) in names:
            layer = {"kind": names[type(module)]}
            if hasattr(module, "weight"):
                weight, bias = module.weight.detach(), module.bias.detach()
                layer |= {"weight": weight.flatten().tolist(), "bias": bias.tolist()}
                layer["size"] = weight.shape[-1]
            layers.append(layer)
    return layers


FORWARD = "([layers, image, n]) => [...STN.forward(layers, Float64Array.from(image), 1, n, n)]"


def test_a_localisation_network_gives_the_theta_of_stnlib(numerics, draw):
    torch.manual_seed(0)
    network = LocNet(1, 40, theta_init="glorot")
    image = draw(1, 1, 40, 40).float()
    layers = layers_of([*network.features, network.theta])
    close(numerics.evaluate(FORWARD, [layers, image.flatten().tolist(), 40]), network(image))


def test_a_classifier_gives_the_scores_of_stnlib(numerics, draw):
    torch.manual_seed(0)
    network = CMNet(size=20).double()
    image = draw(1, 1, 20, 20)
    layers = layers_of([*network.features, *network.head])
    close(numerics.evaluate(FORWARD, [layers, image.flatten().tolist(), 20]), network(image))


@pytest.mark.parametrize("name", ["constant", "cosine"])
@pytest.mark.parametrize("warmup", [0, 0.1])
def test_the_schedule_is_that_of_stnlib(numerics, name, warmup):
    shares = [0, 0.03, 0.1, 0.4, 1, 1.5]
    found = numerics.evaluate(
        "([name, shares, warmup]) => shares.map((s) => STN.schedule(name, s, warmup))",
        [name, shares, warmup],
    )
    assert found == pytest.approx([schedule(name, share, warmup) for share in shares])


class Small(nn.Module):
    """The page's small network, of stnlib's grid and sampler and PyTorch's layers; float64."""

    def __init__(self, values, relu):
        super().__init__()
        middle = [nn.ReLU()] if relu else []
        self.localisation = nn.Sequential(
            nn.Flatten(), nn.Linear(256, 32), *middle, nn.Linear(32, 6)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10)
        )
        self.double()
        self.fill(values)

    def forward(self, images):
        grid = FAMILIES["affine"].grid(self.localisation(images), (16, 16))
        return self.classifier(sample_native(images, grid))

    def flat(self, which):
        """All parameters or gradients in a row; the first layers lie [pixel][unit] in the page."""
        parts = [which(p) for p in self.parameters()]
        return torch.cat([(p.T if p.shape[-1:] == (256,) else p).flatten() for p in parts])

    @torch.no_grad()
    def fill(self, values):
        for p in self.parameters():
            part, values = values[: p.numel()], values[p.numel() :]
            p.copy_(part.reshape(p.T.shape).T if p.shape[-1:] == (256,) else part.reshape(p.shape))


@pytest.mark.parametrize("relu", [True, False])
def test_the_small_transformer_learns_as_one_of_stnlib_does(numerics, draw, relu):
    """Gradients and parameters of several steps of Adam, from θ that differ between images."""
    rates, labels = (3e-3, 1e-2), torch.arange(16) % 10
    images = torch.relu(draw(16, 1, 16, 16))
    found = numerics.evaluate(
        """([relu, images, labels, rates, start]) => {
            const network = STN.smallNetwork({ relu, seed: 3 });
            network.values.forEach((_, k) => (network.values[k] += start[k % start.length]));
            const rows = [[[...network.values]]];
            for (let step = 0; step < 4; step++) {
                const told = network.differentiate(Float64Array.from(images), labels);
                const gradient = [...network.gradient];
                network.adam(...rates);
                rows.push([[...network.values], gradient, told]);
            }
            return rows;
        }""",
        [relu, images.flatten().tolist(), labels.tolist(), rates, (0.02 * draw(999)).tolist()],
    )
    network = Small(torch.tensor(found[0][0], dtype=D), relu)
    optimizer = torch.optim.Adam(param_groups(network, rates[1], rates[0] / rates[1]))
    for values, gradient, told in found[1:]:
        optimizer.zero_grad()
        scores = network(images)
        loss = nn.functional.cross_entropy(scores, labels)
        loss.backward()
        optimizer.step()
        assert told["loss"] == pytest.approx(loss.item(), abs=1e-5)
        assert told["accuracy"] == (scores.argmax(1) == labels).double().mean().item()
        close(gradient, network.flat(lambda p: p.grad))
        close(values, network.flat(lambda p: p))
    assert not math.isclose(told["loss"], found[1][2]["loss"])


def test_the_small_transformer_begins_as_the_identity(numerics):
    theta = numerics.evaluate(
        """() => {
            const network = STN.smallNetwork({ seed: 5 });
            network.look(Float64Array.from({ length: 256 }, (_, k) => k % 7), 0);
            return [...network.theta];
        }"""
    )
    assert theta == [1, 0, 0, 0, 1, 0]


def test_seeds_give_uniform_numbers_that_differ(numerics):
    rows = numerics.evaluate(
        """() => [1, 2].map((seed) => {
            const draw = STN.random(seed);
            return Array.from({ length: 4000 }, draw);
        })"""
    )
    first, second = torch.tensor(rows)
    assert not (first == second).any()
    for row in (first, second):
        assert row.min() >= 0 and row.max() < 1
        torch.testing.assert_close(row.mean(), torch.tensor(0.5), rtol=0, atol=0.02)
        torch.testing.assert_close(row.var(), torch.tensor(1 / 12), rtol=0, atol=0.005)
