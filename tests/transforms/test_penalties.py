"""Penalties on a grid, against hand calculation and finite differences."""

import pytest
import torch

from stnlib.transforms import FAMILIES, displacement, family, outside, resizing, rotation


def grid_of(theta, size=(9, 9), align_corners=True):
    return FAMILIES["affine"].grid(torch.tensor([theta]), size, align_corners)


def test_points_within_the_image_cost_nothing_and_points_outside_their_squared_distance():
    assert outside(grid_of([1.0, 0, 0, 0, 1, 0])) == 0
    points = torch.tensor([[1.5, 0.0], [0.0, -3.0], [2.0, 2.0], [0.3, -1.0]]).view(1, 2, 2, 2)
    assert outside(points).item() == pytest.approx((0.25 + 4 + 2 + 0) / 4)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("name", [*FAMILIES, "rotation"])
def test_the_identity_is_nowhere_displaced(name, align_corners):
    theta = family(name).identity().repeat(2, 1)
    grid = family(name).grid(theta, (5, 8), align_corners)
    assert displacement(grid, align_corners) < 1e-12


def test_a_shift_is_displaced_by_its_squared_length():
    assert displacement(grid_of([1.0, 0, 0.3, 0, 1, -0.4])).item() == pytest.approx(0.25)


def test_a_half_turn_displaces_each_point_by_twice_its_distance_from_the_centre():
    grid = rotation().grid(torch.tensor([[torch.pi]]), (2, 2))  # corners: the root of 2 away
    assert displacement(grid).item() == pytest.approx(8)


def test_a_zoom_costs_what_it_moves_the_pixels_centres():
    grid = grid_of([2.0, 0, 0, 0, 2, 0], (2, 2), align_corners=False)  # from ±0.5 to ±1
    assert displacement(grid, align_corners=False).item() == pytest.approx(0.5)
    assert displacement(grid).item() == pytest.approx(0)  # in the other convention the identity


@pytest.mark.parametrize("align_corners", [True, False])
def test_a_view_of_another_area_costs_the_squared_relative_change_whatever_its_place(align_corners):
    theta = [1.5, 0.4, 0.7, -0.2, 0.8, -0.3]
    determinant = 1.5 * 0.8 + 0.4 * 0.2
    penalty = resizing(grid_of(theta, (5, 8), align_corners), align_corners)
    assert penalty.item() == pytest.approx((determinant - 1) ** 2)


def test_a_turn_keeps_the_area_a_mirrored_view_and_a_point_do_not():
    assert resizing(rotation().grid(torch.tensor([[0.7]]), (6, 6))).item() == pytest.approx(0)
    assert resizing(grid_of([-1.0, 0, 0, 0, 1, 0])).item() == pytest.approx(4)
    assert resizing(grid_of([0.0, 0, 0.2, 0, 0, 0])).item() == pytest.approx(1)


@pytest.mark.parametrize("penalty", [outside, displacement, resizing])
def test_a_penaltys_gradient_is_that_of_finite_differences(penalty):
    theta = torch.tensor([[1.3, 0.2, 0.4, -0.1, 1.6, -0.8]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda t: penalty(FAMILIES["affine"].grid(t, (7, 5))), theta.requires_grad_()
    )


def test_steps_against_the_displacement_lead_back_to_the_identity():
    theta = torch.tensor([[0.3, 0.5, 0.4, -0.6, 1.6, -0.8]], requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        displacement(FAMILIES["affine"].grid(theta, (6, 6))).backward()
        optimizer.step()
    torch.testing.assert_close(theta.detach(), FAMILIES["affine"].identity()[None])
