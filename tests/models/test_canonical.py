"""The canonicaliser: what it chooses, how the choice learns, and what it keeps when images turn."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stnlib.models import N_ROTATIONS, Canonicaliser, SpatialTransformer, build, count_parameters
from stnlib.records import weights
from stnlib.study import runs
from stnlib.training.config import RunConfig

IDENTITY = torch.tensor([1.0, 0, 0, 0, 1, 0])


def images(n=3, size=32):
    """Smooth images, black at the border."""
    noise = torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))
    return F.pad(F.avg_pool2d(noise, 5, 1, 2)[..., 6:-6, 6:-6], (6, 6, 6, 6))


def decided(channels=3, size=32):
    """A canonicaliser whose scores outweigh its prior."""
    torch.manual_seed(0)
    network = Canonicaliser(channels, size)
    nn.init.normal_(network.score.weight, std=5000.0)
    return network


def copy(image, k):
    """The k-th turned copy by PyTorch's own functions: output point p shows the input at R p."""
    angle = 2 * math.pi * k / N_ROTATIONS
    matrix = [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]]
    grid = F.affine_grid(torch.tensor([matrix]), image[None].shape, align_corners=True)
    return F.grid_sample(image[None], grid, align_corners=True)


def prior():
    angles = torch.arange(N_ROTATIONS) * 2 * math.pi / N_ROTATIONS
    return torch.distributions.VonMises(0.0, 8.0).log_prob(angles)


def test_it_has_the_parameters_of_its_four_layers():
    layers = (6 * 6 * 3 * 16 + 16) + 2 * (5 * 5 * 16 * 16 + 16) + (16 + 1)
    assert count_parameters(Canonicaliser(3, 64)) == layers


def test_a_copy_is_scored_as_the_network_scores_it_alone():
    network, x = decided(), images()
    scores = network.scores(x)
    assert scores.shape == (3, N_ROTATIONS, 8, 8)
    for k in (0, 1, 17):
        alone = network.score(network.scorer(copy(F.avg_pool2d(x[1], 2), k)))
        torch.testing.assert_close(scores[1, k], alone[0, 0], atol=1e-2, rtol=1e-3)


def test_theta_is_the_rotation_of_the_best_copy_and_the_mean_place_in_it():
    network, x = decided(), images()
    scores, theta = network.scores(x), network(x)
    centres = torch.tensor([(4 * i + 1.5) / 31 * 2 - 1 for i in range(8)])
    best = (scores.flatten(2).logsumexp(2) + prior()).argmax(1)
    assert best.unique().numel() > 1 or best[0] > 0
    for i, k in enumerate(best.tolist()):
        share = scores[i, k].flatten().softmax(0).view(8, 8)
        mean = torch.stack([(share.sum(0) * centres).sum(), (share.sum(1) * centres).sum()])
        angle = 2 * math.pi * k / N_ROTATIONS
        turn = torch.tensor(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        expected = torch.cat([turn, (turn @ mean)[:, None]], 1).flatten()
        torch.testing.assert_close(theta[i], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_the_view_stays_what_it_was_when_the_image_is_turned_by_quarters(quarters):
    """Without the prior, which does not turn with the image."""
    transformer, x = SpatialTransformer(decided()), images()
    transformer.localisation.prior.zero_()
    turned = torch.rot90(x, quarters, (2, 3))
    assert (transformer.localisation(turned) - transformer.localisation(x)).abs().max() > 0.5
    torch.testing.assert_close(transformer(turned), transformer(x), atol=1e-3, rtol=0)


def test_the_choice_learns_by_the_softmax_over_copies():
    network, x = decided(), images(1)
    nn.init.normal_(network.score.weight, std=0.1)
    scores = network.scores(x).detach().requires_grad_()
    network.scores = lambda _: scores
    weight = torch.tensor([1.0, 0.3, 0, 0, -0.5, 0])  # of the rotation alone
    (network(x) * weight).sum().backward()
    other = scores.detach().clone().requires_grad_()
    angles = torch.arange(N_ROTATIONS) * 2 * math.pi / N_ROTATIONS
    value = 0.5 * angles.cos() - 0.3 * angles.sin()
    ((other.flatten(2).logsumexp(2) + prior()).softmax(1) @ value).sum().backward()
    torch.testing.assert_close(scores.grad, other.grad, atol=1e-6, rtol=1e-3)
    assert scores.grad.abs().max() > 1e-4


def test_without_an_opinion_it_keeps_to_small_angles():
    network, x = decided(), images()
    with torch.no_grad():
        network.score.weight.mul_(1e-7)
    torch.testing.assert_close(network(x), IDENTITY.expand(3, -1), atol=1e-2, rtol=0)


def test_it_takes_sizes_that_are_multiples_of_four():
    with pytest.raises(
        ValueError, match=r"^size must be a multiple of 4 for a canonicaliser, not 30$"
    ):
        Canonicaliser(3, 30)


def test_nothing_else_can_be_asked_of_it():
    with pytest.raises(ValueError, match="canonical is for transform affine, without bound, "):
        build("stn", 3, 32, 10, locnet="canonical", warps=2)


def test_under_autocast_theta_is_float32():
    with torch.autocast("cpu", torch.bfloat16):
        assert decided()(images()).dtype == torch.float32


def test_it_is_trained_recorded_and_given_back(shapes, places):
    small = {"data": "shapes10d", "n_train": 12, "batch_size": 6, "epochs": 1, "lr": 0.01}
    config = RunConfig(locnet="canonical", **small)
    parts = {name: getattr(shapes, name).first(12) for name in ("train", "val", "test")}
    few, kept, real = replace(shapes, **parts), [], weights.localisation_weights
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "localisation_weights", lambda m: kept.append(m) or real(m))
        where = {"folder": places["records"], "checkpoints": places["checkpoints"]}
        runs.run(config, "own", data=few, keep_weights=True, trace=True, progress=False, **where)
    x = shapes.val.images[:5] / 255
    theta = weights.transformer(config, 3, 64).localisation(x)
    torch.testing.assert_close(theta, kept[0].transformer.localisation(x), atol=1e-5, rtol=1e-5)
    assert (theta - IDENTITY).abs().max() > 1e-3
