"""Diagnostics against grids and transforms whose answers are known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stnlib.data import distort
from stnlib.diagnostics import (
    black_share,
    coverage,
    decompose,
    footprint,
    grid_coverage,
    object_coverage,
    pose_summary,
    theta_summary,
)
from stnlib.transforms import FAMILIES, apply, invert

IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def affine_grid(*theta, size=(5, 5)):
    return FAMILIES["affine"].grid(torch.tensor([theta]), size)


def rotation(degrees, scale=1.0):
    c, s = (scale * f(math.radians(degrees)) for f in (math.cos, math.sin))
    return torch.tensor([[c, -s, 0.0, s, c, 0.0]])


# Coverage, counted


@pytest.mark.parametrize(
    ("theta", "share"),
    [
        (IDENTITY, 1.0),
        ([0.5, 0.0, 0.0, 0.0, 0.5, 0.0], 1.0),
        ([1.0, 0.0, 0.4, 0.0, 1.0, 0.0], 0.8),  # columns at -0.6, -0.1, 0.4, 0.9 and 1.4
        ([1.0, 0.0, 0.4, 0.0, 1.0, -0.6], 0.48),  # and only three of five rows
        ([2.0, 0.0, 0.0, 0.0, 2.0, 0.0], 0.36),  # -2, -1, 0, 1, 2 on either axis
        ([1.0, 0.0, 3.0, 0.0, 1.0, 0.0], 0.0),
    ],
)
def test_grid_coverage_is_the_share_of_points_inside(theta, share):
    assert grid_coverage(affine_grid(*theta)).tolist() == pytest.approx([share])


def test_a_point_on_the_outermost_pixels_centre_is_inside_and_beyond_it_is_not():
    beyond = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)).item()
    grid = torch.tensor([[[[1.0, -1.0], [beyond, 0.0], [0.0, -beyond], [-1.0, 1.0]]]])
    assert grid_coverage(grid).item() == 0.5


def test_grid_coverage_counts_nan_as_outside_and_images_one_by_one():
    grid = torch.zeros(2, 2, 2, 2)
    grid[1, 0, 0, 1] = math.nan
    assert grid_coverage(grid).tolist() == [1.0, 0.75]


@pytest.mark.parametrize("shape", [(5, 5, 2), (1, 5, 5, 3), (1, 2, 5, 5)])
def test_grid_coverage_says_which_shape_a_grid_has(shape):
    with pytest.raises(ValueError) as caught:
        grid_coverage(torch.zeros(shape))
    assert str(caught.value) == f"grid must have shape (N, H, W, 2), not {shape}"


# Coverage, exact

CASES = {  # worked out by hand
    "the identity": (IDENTITY, 1),
    "a magnification": ([0.5, 0, 0.5, 0, 0.5, -0.5], 1),
    "seen from twice as far": ([2, 0, 0, 0, 2, 0], 1 / 4),
    "a shift": ([1, 0, 0.5, 0, 1, -0.5], 9 / 16),
    "an eighth of a turn": ([0.5**0.5, -(0.5**0.5), 0, 0.5**0.5, 0.5**0.5, 0], 2 * 2**0.5 - 2),
    "a corner that is a triangle": ([1, 1, 2, 1, -1, 0], 1 / 8),
    "a mirror": ([-1, 0, 1, 0, 1, 0], 1 / 2),
    "outside": ([1, 0, 3, 0, 1, 0], 0),
    "touching": ([1, 0, 2, 0, 1, 0], 0),
    "one point of the image": ([0, 0, 0.3, 0, 0, 0.9], 1),
    "one point outside": ([0, 0, 0.3, 0, 0, 1.1], 0),
    "a line along the image": ([2, 0, 0, 0, 0, 1], 1 / 2),
    "a slanted line, both coordinates equal": ([1, 1, 0, 1, 1, 0], 3 / 4),
    "huge": ([1e30, 0, 0, 0, 1e-30, 0], 1e-30),
    "huge and far": ([1e30, -2e30, 3e38, 5, 1e30, 1], 0),
    "not a number": ([math.nan, 0, 0, 0, 1, 0], 0),
    "infinite": ([1, 0, 0, 0, math.inf, 0], 0),
}


@pytest.mark.parametrize("case", CASES)
def test_coverage_is_the_area_worked_out_by_hand(case):
    theta, area = CASES[case]
    assert coverage(torch.tensor([theta])).item() == pytest.approx(area, rel=1e-6, abs=1e-12)


THETA = st.lists(st.floats(-3, 3, width=32, allow_subnormal=False), min_size=6, max_size=6)


def clipped_area(theta):
    """Share of the square's area left by four cuts (Sutherland and Hodgman, 1974)."""
    polygon = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
    for p, q, r in (theta[:3], theta[3:]):
        for sign in (1, -1):
            height = [1 - sign * (p * x + q * y + r) for x, y in polygon]
            left = []
            for i in range(len(polygon)):
                (x, y), (x1, y1), h, h1 = *(polygon[i - 1], polygon[i]), height[i - 1], height[i]
                if (h >= 0) != (h1 >= 0):
                    t = h / (h - h1)
                    left.append((x + t * (x1 - x), y + t * (y1 - y)))
                if h1 >= 0:
                    left.append((x1, y1))
            polygon = left
    pairs = [(polygon[i - 1], polygon[i]) for i in range(len(polygon))]
    return abs(sum(x * y1 - x1 * y for (x, y), (x1, y1) in pairs)) / 8


@given(THETA)
@settings(max_examples=100, deadline=None)
def test_coverage_is_the_area_of_the_square_clipped_as_a_polygon(theta):
    assert coverage(torch.tensor([theta])).item() == pytest.approx(clipped_area(theta), abs=1e-9)


@given(st.lists(THETA, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_coverage_agrees_with_dense_counting(thetas):
    theta = torch.tensor(thetas, dtype=torch.float64)
    n = 200  # midpoints of cells: what the count can miss are the cells that an edge crosses
    grid = FAMILIES["affine"].grid(theta, (n, n), align_corners=False)
    edge = (grid.abs() == 1).any(-1).double().mean((1, 2))  # a flat transform can lie on it whole
    error = (coverage(theta) - grid_coverage(grid).double()).abs()
    assert (error <= 8 / n + edge).all()


@given(THETA, st.booleans())
@settings(max_examples=60, deadline=None)
def test_coverage_does_not_change_when_axes_are_exchanged_or_the_output_mirrored(theta, mirror):
    a, b, tx, c, d, ty = theta
    swapped = [-a, b, tx, -c, d, ty] if mirror else [c, d, ty, a, b, tx]
    both = coverage(torch.tensor([theta, swapped]))
    assert both[0].item() == pytest.approx(both[1].item(), abs=1e-9)


@given(THETA)
@settings(max_examples=60, deadline=None)
def test_an_image_of_unit_area_cannot_be_seen_more_than_once(theta):
    a, b, _, c, d, _ = theta
    seen = coverage(torch.tensor([theta])).item()
    assert 0 <= seen <= 1 and seen * abs(a * d - b * c) <= 1 + 1e-6


def test_the_gradient_of_coverage_is_that_of_the_area():
    theta = torch.tensor([[2.0, 0, 0, 0, 4, 0]], requires_grad=True)  # area 1 / (a d)
    coverage(theta).sum().backward()
    assert theta.grad[0, [0, 4]].tolist() == pytest.approx([-1 / 16, -1 / 32])


def test_a_batch_is_covered_image_by_image():
    theta = torch.tensor([case for case, _ in CASES.values()])
    alone = [coverage(one[None]).item() for one in theta]
    assert coverage(theta).tolist() == pytest.approx(alone, abs=1e-15)
    assert coverage(torch.zeros(0, 6)).shape == (0,)


def test_coverage_refuses_a_projective_transform():
    theta = torch.eye(3).repeat(2, 1, 1)
    assert coverage(theta).tolist() == [1, 1]
    theta[1, 2, 0] = 0.1
    with pytest.raises(ValueError, match="must have last rows 0 0 1"):
        coverage(theta)


# Black images


def test_an_output_is_black_when_no_pixel_reaches_one_part_in_100():
    output = torch.zeros(6, 1, 3, 3)
    output[1, 0, 2, 2] = 0.5
    output[2, 0, 0, 0] = -0.5
    output[3] = 0.0099
    output[4] = 0.0101
    output[5] = -0.0099
    assert black_share(output).item() == 0.5
    images = torch.zeros(6, 1, 5, 5)
    images[:, 0, 0, 0] = 1
    assert black_share(output, images).item() == 0.5


@pytest.mark.parametrize("unit, start", [(1, 0), (1e-3, 0), (255, 0), (4.0, -0.4), (1e-6, 5e-6)])
def test_black_goes_by_the_range_of_the_image_and_its_darkest_value(unit, start):
    images = start + unit * torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images[:, :, 0, 0], images[:, :, 0, 1] = start, start + unit
    same = images[:, :, 2:5, 2:5]
    assert black_share(same, images) == 0
    darkest = torch.full_like(same, start)
    assert black_share(darkest + 0.009 * unit, images) == 1
    assert black_share(darkest + 0.011 * unit, images) == 0
    assert black_share(torch.zeros_like(same), images) == 1  # what lies outside


def test_an_image_without_contrast_has_nothing_to_lose():
    for value in (0.0, 0.3, -2.0):
        images = torch.full((2, 3, 4, 4), value)
        assert black_share(images, images) == 0
        assert black_share(torch.zeros_like(images), images) == 0


def test_a_photograph_as_dark_as_its_corner_is_no_black_output():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 16, 16, generator=generator)  # normalised, as many people do
    night = images[:, :, :4, :4] = -1 - 0.2 * torch.rand(4, 3, 4, 4, generator=generator)
    assert black_share(night, images) == 0


def test_an_output_of_nan_is_not_black():
    nothing = torch.full((1, 1, 2, 2), math.nan)
    assert black_share(nothing).item() == 0
    assert black_share(nothing, torch.rand(1, 1, 4, 4)).item() == 0


def test_one_bright_channel_is_enough():
    output = torch.zeros(1, 3, 2, 2)
    output[0, 2, 1, 1] = 1
    assert black_share(output).item() == 0
    assert black_share(output, output).item() == 0


# Decomposition

ENTRY = st.floats(-10, 10, width=32).map(lambda x: round(x, 3))


def recompose(parts):
    c, s = (f(torch.deg2rad(parts["rotation"])) for f in (torch.cos, torch.sin))
    across = parts["shear"] * parts["scale_y"]
    x = c * parts["scale_x"], c * across - s * parts["scale_y"], parts["tx"]
    y = s * parts["scale_x"], s * across + c * parts["scale_y"], parts["ty"]
    return torch.stack(x + y, dim=1)


@given(st.lists(st.tuples(*[ENTRY] * 6), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_a_decomposed_transform_can_be_put_together_again(thetas):
    theta = torch.tensor(thetas, dtype=torch.float64)
    determinant = theta[:, 0] * theta[:, 4] - theta[:, 1] * theta[:, 3]
    theta = theta[determinant.abs() > 1e-2]
    torch.testing.assert_close(recompose(decompose(theta)), theta, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("degrees", [-170.0, -90.0, -20.0, 0.0, 1.0, 45.0, 90.0, 179.0])
@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_a_rotation_and_a_zoom_are_told_apart(degrees, scale):
    parts = decompose(rotation(degrees, scale))
    assert parts["rotation"].item() == pytest.approx(degrees, abs=1e-4)
    for name in ("scale", "scale_x", "scale_y"):
        assert parts[name].item() == pytest.approx(scale, rel=1e-5)
    assert parts["shear"].item() == pytest.approx(0, abs=1e-5)


def test_mirrors_shear_and_translation_have_the_documented_signs():
    mirror = decompose(torch.tensor([[1.0, 0.0, 0.0, 0.0, -1.0, 0.0]]))
    assert mirror["scale_y"].item() == -1 and mirror["scale"].item() == 1
    sheared = decompose(torch.tensor([[1.0, 0.5, 0.25, 0.0, 1.0, -0.75]]))
    assert [sheared[name].item() for name in ("shear", "tx", "ty")] == [0.5, 0.25, -0.75]


def test_a_transform_that_flattens_the_image_has_scale_zero_and_nothing_infinite():
    parts = decompose(torch.tensor([[0.0] * 6, [1.0, 2.0, 0.0, 2.0, 4.0, 0.0]]))
    assert parts["scale"].tolist() == [0, 0]
    assert all(torch.isfinite(value).all() for value in parts.values())


def test_nan_in_theta_is_nan_in_every_part_that_it_touches():
    parts = decompose(torch.full((1, 6), math.nan))
    assert all(torch.isnan(value).all() for value in parts.values())


def test_flat_2x3_3x3_and_strided_theta_decompose_alike():
    theta = torch.tensor([[0.5, 0.1, 0.2, -0.1, 0.6, 0.3], IDENTITY])
    square = FAMILIES["affine"].matrix(theta)
    strided = theta.T.contiguous().T
    for form in (theta.view(-1, 2, 3), square, strided):
        for name, value in decompose(form).items():
            assert torch.equal(value, decompose(theta)[name])


@pytest.mark.parametrize("shape", [(6,), (2, 4), (2, 3), (1, 3, 2)])
def test_decompose_says_which_shapes_it_takes(shape):
    with pytest.raises(ValueError) as caught:
        decompose(torch.zeros(shape))
    assert str(caught.value).endswith(f"(N, 6), (N, 2, 3) or (N, 3, 3), not {shape}")


def test_the_summary_is_mean_and_population_spread_over_images():
    theta = torch.tensor([[0.5, 0.0, 0.1, 0.0, 0.5, 0.0], [1.5, 0.0, 0.3, 0.0, 1.5, 0.0]])
    summary = theta_summary(theta)
    assert summary["scale_mean"] == pytest.approx(1.0)
    assert summary["scale_std"] == pytest.approx(0.5)
    assert summary["tx_mean"] == pytest.approx(0.2)
    assert summary["tx_std"] == pytest.approx(0.1)
    parts = ("scale", "rotation", "shear", "tx", "ty")
    assert set(summary) == {f"{name}_{what}" for name in parts for what in ("mean", "std")}


def test_the_summary_of_one_image_in_bfloat16_has_no_spread():
    summary = theta_summary(torch.tensor([IDENTITY], dtype=torch.bfloat16))
    assert summary["scale_mean"] == 1 and summary["scale_std"] == 0


# Footprints


def test_a_footprint_walks_clockwise_around_the_grid_and_back():
    grid = affine_grid(*IDENTITY, size=(3, 2))
    x = [-1, 1, 1, 1, -1, -1, -1]
    y = [-1, -1, 0, 1, 1, 0, -1]
    assert footprint(grid)[0].tolist() == [
        list(map(float, point)) for point in zip(x, y, strict=True)
    ]


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1), (6, 5)])
def test_a_footprint_has_the_documented_length_and_is_closed(size):
    outline = footprint(affine_grid(*IDENTITY, size=size).expand(3, -1, -1, -1))
    assert outline.shape == (3, 2 * sum(size) - 3, 2)
    assert torch.equal(outline[:, 0], outline[:, -1])


# Objects whose place is known

SQUARE = torch.cartesian_prod(*[torch.linspace(-0.5, 0.5, 5)] * 2)


@pytest.mark.parametrize(
    ("theta", "share"),
    [
        (IDENTITY, 1.0),
        ([9.0, 0.0, 0.0, 0.0, 9.0, 0.0], 1.0),  # from afar all of it is there, though tiny
        ([0.3, 0.0, 0.0, 0.0, 0.3, 0.0], 9 / 25),  # -0.25, 0 and 0.25 on either axis
        ([1.0, 0.0, 1.1, 0.0, 1.0, 0.0], 2 / 5),  # columns at 0.25 and 0.5
        ([1.0, 0.0, 3.0, 0.0, 1.0, 0.0], 0.0),
        ([0.0] * 6, 0.0),
        ([math.nan] * 6, 0.0),
    ],
)
def test_object_coverage_is_the_share_of_the_object_that_the_output_holds(theta, share):
    seen = object_coverage(torch.tensor([theta]), SQUARE[None])
    assert seen.tolist() == pytest.approx([share])


@given(st.lists(st.floats(-2, 2, width=32), min_size=6, max_size=6))
def test_object_coverage_counts_points_that_the_inverse_sends_inside(theta):
    matrix = FAMILIES["affine"].matrix(torch.tensor([theta], dtype=torch.float64))
    if matrix[0, :2, :2].det().abs() < 1e-3:
        return
    inside = apply(invert(matrix), SQUARE.double()).abs()
    if ((inside - 1).abs() < 1e-4).any():  # on the edge, rounding decides
        return
    expected = (inside <= 1).all(-1).float().mean(1)
    assert object_coverage(torch.tensor([theta]), SQUARE[None]).tolist() == expected.tolist()


def test_a_mask_and_the_points_of_its_pixels_are_one_object():
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[1:3, 2:5] = True
    axis = torch.linspace(-1, 1, 5)
    points = torch.tensor([[axis[j], axis[i]] for i, j in mask.nonzero().tolist()])
    theta = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    seen = object_coverage(theta, mask=mask)
    assert 0 < seen.mean() < 1
    torch.testing.assert_close(seen, object_coverage(theta, points))


def test_a_mask_has_one_image_each_weighs_its_pixels_and_says_when_it_is_empty():
    mask = torch.zeros(3, 1, 2, 2)
    mask[0, 0, 0, 0] = mask[1, 0, 0, 1] = 1  # to the left, to the right
    mask[1, 0, 0, 0] = 0.25
    theta = torch.tensor([[0.5, 0.0, -0.5, 0.0, 1.0, 0.0]]).repeat(3, 1)  # the left half
    assert object_coverage(theta, mask=mask)[:2].tolist() == pytest.approx([1, 0.2])
    assert object_coverage(theta, mask=mask[:, 0])[:2].tolist() == pytest.approx([1, 0.2])
    assert object_coverage(theta, mask=mask)[2].isnan()


def test_a_masks_pixels_stand_where_align_corners_says():
    mask = torch.tensor([[1.0, 0.0]])
    theta = torch.tensor([[0.6, 0.0, 0.0, 0.0, 1.0, 0.0]])  # sees |x| <= 0.6
    assert object_coverage(theta, mask=mask).item() == 0  # centre at -1
    assert object_coverage(theta, mask=mask, align_corners=False).item() == 1  # and at -0.5


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 2, 4, 4), (4,)])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="with N = 2, not"):
        object_coverage(torch.zeros(2, 6), mask=torch.ones(shape))


@pytest.mark.parametrize("object_", [{}, {"points": SQUARE, "mask": torch.ones(2, 2)}])
def test_an_object_is_points_or_a_mask(object_):
    with pytest.raises(ValueError, match="one of the two"):
        object_coverage(torch.zeros(2, 6), **object_)


def test_the_true_theta_undoes_everything_and_the_identity_nothing():
    truth = distort.true_theta(distort.draw(torch.arange(300), "test", flip=False))
    points = distort.upright_points()
    right = pose_summary(truth, truth, points, 64)
    assert right["theta_error"] == 0 and right["object_coverage"] == 1
    still = pose_summary(torch.tensor([IDENTITY]).expand(300, 6), truth, points, 64)
    for name in ("rotation", "tx", "ty"):
        assert right[f"undone_{name}"] == pytest.approx(1) and still[f"undone_{name}"] == 0


def test_the_error_of_a_shift_is_its_length_in_pixels_and_half_a_shift_is_undone_by_half():
    tx = 2 / 63 * torch.tensor([-3.0, 1.0, 8.0])
    truth = torch.tensor([IDENTITY]).repeat(3, 1)
    truth[:, 2] = tx
    half, off = truth.clone(), truth.clone()
    half[:, 2] /= 2
    off[:, [2, 5]] += 2 / 63 * torch.tensor([3.0, 4.0])
    points = distort.upright_points()
    assert pose_summary(half, truth, points, 64)["undone_tx"] == pytest.approx(0.5)
    assert pose_summary(off, truth, points, 64)["theta_error"] == pytest.approx(5)


def test_the_upright_points_are_the_pixels_that_the_true_theta_finds_in_the_distorted_image():
    draws = distort.draw(torch.arange(20), "test", flip=False)
    image = torch.arange(1, 1025, dtype=torch.float64).reshape(1, 1, 32, 32) % 251 + 1
    canvas = distort.distort(image.to(torch.uint8).expand(20, -1, -1, -1), draws)
    grid = apply(
        FAMILIES["affine"].matrix(distort.true_theta(draws)).double(),
        distort.upright_points().double(),
    )
    found = torch.nn.functional.grid_sample(
        canvas.double(), grid[:, None], mode="nearest", align_corners=True
    )
    assert (found[:, 0, 0] == image.flatten()).double().mean() > 0.75  # nearest pixel, twice
    assert (found > 0).double().mean() > 0.98
