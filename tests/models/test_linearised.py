"""Linearised multi-sampling, against slopes that are known and least squares of NumPy."""

import math

import numpy as np
import pytest
import torch

from stnlib.models import LocNet, SpatialTransformer
from stnlib.models.linearised import sample_linearised
from stnlib.sampler import PADDINGS, sample_native

SIZE = (20, 30)


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(method, image, grid, **options):
    """Derivative of every output by its own point, for an image of one channel: (N, h, w, 2)."""
    grid = grid.clone().requires_grad_()
    return torch.autograd.grad(method(image, grid, **options).sum(), grid)[0]


@pytest.mark.parametrize("align_corners", [True, False])
def test_in_a_linear_image_the_slope_is_the_true_one(align_corners):
    row, column = torch.meshgrid(*(torch.arange(n).double() for n in SIZE), indexing="ij")
    image = (3 + 0.2 * column - 0.7 * row).expand(2, 1, *SIZE)
    grid = 0.6 * draw(2, 5, 6, 2) - 0.3  # so far inside that no point near it is outside
    per_unit = [(n - align_corners) / 2 for n in SIZE]
    slope = torch.tensor([0.2 * per_unit[1], -0.7 * per_unit[0]], dtype=torch.float64)
    found = gradient(sample_linearised, image, grid, align_corners=align_corners)
    torch.testing.assert_close(found, slope.expand_as(found), rtol=1e-9, atol=1e-9)


def test_in_any_image_it_is_the_plane_that_least_squares_fits_to_the_points_drawn():
    image, grid = draw(1, 1, *SIZE), 1.6 * draw(1, 3, 4, 2, seed=1) - 0.8
    torch.manual_seed(5)
    found = gradient(sample_linearised, image, grid)
    torch.manual_seed(5)
    spread = [math.hypot(2 / 30, 0.5 / 4), math.hypot(2 / 20, 0.5 / 3)]
    steps = torch.randn(7, 1, 3, 4, 2) * torch.tensor(spread)
    values = torch.stack([sample_native(image, grid + step.double())[0, 0] for step in steps])
    for i, j in np.ndindex(3, 4):
        system = np.column_stack([steps[:, 0, i, j].double().numpy(), np.ones(7)])
        plane = np.linalg.lstsq(system, values[:, i, j].numpy(), rcond=None)[0]
        np.testing.assert_allclose(found[0, i, j], plane[:2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("needs", [True, False])
def test_values_and_the_images_gradient_are_the_samplers_own(padding, needs):
    grid = (2.4 * draw(2, 5, 6, 2) - 1.2).requires_grad_(needs)
    found = []
    for method in (sample_linearised, sample_native):
        image = draw(2, 3, *SIZE).requires_grad_()
        output = method(image, grid, padding=padding)
        found.append((output.detach(), *torch.autograd.grad(output.square().sum(), image)))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_where_the_four_pixels_around_are_equal_it_still_feels_what_is_near():
    image = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    image[..., 16:] = 1  # rises from column 15 to 16; the points are at 14.5
    grid = torch.zeros(1, 20, 20, 2, dtype=torch.float64)
    torch.manual_seed(0)
    assert gradient(sample_native, image, grid).abs().max() == 0
    slope = gradient(sample_linearised, image, grid)[..., 0]
    assert slope.mean() > 1


def test_a_transformer_takes_it_by_name_and_draws_only_where_a_slope_is_asked_for():
    images = draw(2, 1, 28, 28).float()
    torch.manual_seed(0)
    layer = SpatialTransformer(LocNet(1, 28), sampler="linearised")
    plain = SpatialTransformer(layer.localisation)
    before = torch.get_rng_state()
    with torch.no_grad():
        assert torch.equal(layer(images), plain(images))
    assert torch.equal(torch.get_rng_state(), before)
    layer(images).square().sum().backward()
    assert layer.localisation.theta.weight.grad.abs().max() > 0
    assert not torch.equal(torch.get_rng_state(), before)
