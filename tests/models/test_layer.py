"""The layer on every device, in every number format and compiled, against plain float64."""

import os
import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stnlib.models import SpatialTransformer
from stnlib.sampler import sample, sample_clipped, sample_loop, sample_native
from stnlib.transforms import FAMILIES, family, rotation, window

REFERENCE = {sample: sample_loop, sample_native: sample_loop, sample_clipped: sample_clipped}
COMPILERS = ("g++", "clang++", "cl", os.environ.get("CXX", "c++"))


def draw(*shape, device="cpu", dtype=torch.float64, seed=0):
    """Numbers in [0, 1), the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64).to(device, dtype)


def crooked(transform, **kind):
    """θ near the identity, two of them."""
    neutral = FAMILIES[transform].identity().to(**kind)
    return neutral + 0.2 * (draw(2, len(neutral), seed=1, **kind) - 0.5)


def assert_near(found, expected, dtype, units=8.0):
    """Equal to some units in the last place that `dtype`, or at best float32, has for 1."""
    eps = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    torch.testing.assert_close(found.double().cpu(), expected, rtol=0, atol=units * eps)


@pytest.mark.parametrize("method", REFERENCE, ids=lambda f: f.__name__)
def test_a_sampler_works_on_every_device_and_in_every_format(method, device, dtype):
    image = draw(2, 3, 5, 6, device=device, dtype=dtype)
    grid = 1.4 * draw(2, 4, 3, 2, device=device, dtype=dtype) - 0.7
    output = method(image, grid)
    assert (output.device.type, output.dtype) == (device.type, dtype)
    expected = REFERENCE[method](image.double().cpu(), grid.double().cpu())
    assert_near(output, expected, dtype)


@pytest.mark.parametrize("transform", FAMILIES)
def test_a_grid_is_made_on_every_device_and_of_every_format(transform, device, dtype):
    theta = crooked(transform, device=device, dtype=dtype)
    grid = FAMILIES[transform].grid(theta, (4, 5))
    wide = dtype if dtype is torch.float64 else torch.float32
    assert (grid.device.type, grid.dtype) == (device.type, wide)
    assert_near(grid, FAMILIES[transform].grid(theta.double().cpu(), (4, 5)), wide)


class Constant(nn.Module):
    """A localisation that always says the same."""

    def __init__(self, theta):
        super().__init__()
        self.theta = nn.Parameter(theta)

    def forward(self, images):
        return self.theta


def test_the_layer_has_the_equations_value_and_gradient_in_every_format(device, dtype):
    images = draw(2, 3, 6, 6, device=device, dtype=dtype).requires_grad_()
    layer = SpatialTransformer(Constant(crooked("affine", device=device, dtype=dtype)))
    output = layer(images)
    assert (output.device.type, output.dtype) == (device.type, dtype)
    gradients = torch.autograd.grad(output.double().sum(), (images, layer.localisation.theta))

    plain = [t.detach().double().cpu() for t in (images, layer.localisation.theta)]
    plain = [t.requires_grad_() for t in plain]
    expected = sample_loop(plain[0], FAMILIES["affine"].grid(plain[1], (6, 6)))
    # Halves are rounded once, at the end: a grid of halves would be off by several units.
    assert_near(output, expected.detach(), dtype, units=8 if dtype.itemsize > 2 else 0.51)
    for found, true in zip(gradients, torch.autograd.grad(expected.sum(), plain), strict=True):
        assert found.dtype == dtype
        assert_near(found, true, dtype, units=8 * true.abs().max().item())


SHEAR = [[0.7, -0.4, 0.2], [0.1, 1.2, -0.3]]
# A family, and an affine matrix that it has: `F.affine_grid` takes no others.
PLANAR = {
    family("translation"): [[1, 0, 0.2], [0, 1, -0.3]],
    family("attention"): [[0.7, 0, 0.2], [0, 0.7, -0.3]],
    family("similarity"): [[0.7, -0.4, 0.2], [0.4, 0.7, -0.3]],
    **{family(name): SHEAR for name in ("affine", "projective", "tps")},
    rotation(1.5): [[0.8, -0.4, 0], [0.9, 0.8, 0]],
    window((0.5, 0.7)): [[0.5, 0, 0.2], [0, 0.7, -0.3]],
}


@pytest.mark.parametrize("output_size", (None, (5, 4), (4, 11)), ids=str)
@pytest.mark.parametrize("align_corners", (True, False))
@pytest.mark.parametrize(
    ("transform", "rows"), PLANAR.items(), ids=lambda f: getattr(f, "name", "")
)
def test_images_and_outputs_of_any_shape_are_those_of_pytorchs_two_functions(
    transform, rows, align_corners, output_size
):
    images, rows = draw(2, 3, 6, 9, dtype=torch.float32), torch.tensor(rows).expand(2, -1, -1)
    theta = transform.from_matrix(torch.cat((rows, torch.eye(3)[2:].expand(2, 1, 3)), dim=1))
    options = {"output_size": output_size, "align_corners": align_corners}
    output = SpatialTransformer(Constant(theta), transform, **options)(images).detach()
    shape = (2, 3, *(output_size or (6, 9)))
    grid = F.affine_grid(rows, shape, align_corners=align_corners)
    expected = F.grid_sample(images, grid, align_corners=align_corners)
    assert output.shape == shape
    torch.testing.assert_close(output, expected, rtol=0, atol=5e-6)


def test_every_family_was_tried_on_what_is_not_square():
    assert set(FAMILIES.values()) < PLANAR.keys()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # PyTorch warns itself
@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="needs a C++ compiler")
def test_compiled_the_layer_has_the_same_value_and_gradient(device):
    torch.manual_seed(0)
    layer = SpatialTransformer(nn.Sequential(nn.Flatten(), nn.Linear(64, 6))).to(device)
    with torch.no_grad():
        layer.localisation[1].bias += FAMILIES["affine"].identity().to(device)
    images = draw(2, 1, 8, 8, device=device, dtype=torch.float32).requires_grad_()
    torch._dynamo.reset()
    one = {"compile_threads": 1}  # in no process of its own
    inside = torch.compile(layer, fullgraph=True, options=one)
    results = []
    for model in (layer, inside):
        output = model(images)
        gradients = torch.autograd.grad(output.square().sum(), (images, *layer.parameters()))
        results.append((output.detach(), *gradients))
    torch._dynamo.reset()
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)
