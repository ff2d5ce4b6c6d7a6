"""The families against their identities, inverses, kornia and SciPy."""

import pickle

import kornia
import numpy as np
import pytest
import scipy.interpolate
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from stnlib import transforms
from stnlib.sampler import sample, sample_native
from stnlib.transforms import (
    FAMILIES,
    apply,
    base_grid,
    bounded,
    compose,
    family,
    invert,
    rotation,
    window,
)

few = settings(deadline=None, max_examples=25, derandomize=True)

FIXED = ("rotation", rotation(1.6), window(0.6), window((1.2, 0.4)))
PLANAR = ("translation", "attention", "similarity", "affine", "projective", *FIXED)
EVERY = (*FAMILIES, *FIXED)
WITH_IDENTITY = (*FAMILIES, *FIXED[:2])  # a window's size is its own
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
SEEDS = st.integers(0, 2**32 - 1)


def random_theta(name, seed, batch=2, spread=0.2):
    """θ (batch, P) in float64, around the identity."""
    member = family(name)
    noise = np.random.default_rng(seed).uniform(-spread, spread, (batch, member.n_parameters))
    return member.identity().double() + torch.from_numpy(noise)


@few
@given(SIZES, st.booleans(), st.sampled_from(WITH_IDENTITY), SEEDS)
def test_every_family_at_its_identity_returns_the_image(size, align_corners, name, seed):
    image = torch.from_numpy(np.random.default_rng(seed).uniform(size=(2, 3, *size)))
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        theta = family(name).identity().to(dtype).expand(2, -1)
        grid = family(name).grid(theta, size, align_corners)
        for method in (sample, sample_native):
            assert (grid - base_grid(size, align_corners, dtype=dtype)).abs().max() <= tolerance
            out = method(image.to(dtype), grid, padding="border", align_corners=align_corners)
            torch.testing.assert_close(out, image.to(dtype), rtol=0, atol=tolerance)


def test_the_identity_is_exact_to_the_rounding_of_float32_at_the_sizes_of_the_book():
    for size in ((40, 40), (32, 32), (64, 64)):
        image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
        for member in FAMILIES.values():
            out = sample_native(image, member.grid(member.identity().unsqueeze(0), size))
            # Coordinates near 1 come in steps of 1.2e-7, each worth size/2 pixels.
            assert (out - image).abs().max() < 1.2e-7 * size[0]


@pytest.mark.parametrize("align_corners", (True, False))
@pytest.mark.parametrize("size", ((4, 5), (1, 3), (7, 1)))
@pytest.mark.filterwarnings("ignore:Since version 1.3.0")
def test_the_affine_grid_is_pytorchs(size, align_corners):
    theta = random_theta("affine", 0)
    mine = family("affine").grid(theta, size, align_corners)
    theirs = F.affine_grid(theta.view(-1, 2, 3), [2, 1, *size], align_corners=align_corners)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


@few
@given(st.sampled_from(PLANAR), SEEDS)
def test_planar_families_map_points_as_kornia_does(name, seed):
    theta = random_theta(name, seed)
    points = base_grid((5, 6), dtype=torch.float64).reshape(-1, 2)
    theirs = kornia.geometry.linalg.transform_points(
        family(name).matrix(theta), points.expand(2, -1, -1)
    )
    mine = family(name).grid(theta, (5, 6)).reshape(2, -1, 2)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ("affine", "projective"))
def test_warped_images_are_those_of_kornia(name):
    image = torch.rand(2, 1, 8, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    matrix = family(name).matrix(random_theta(name, 1))
    theirs = kornia.geometry.transform.homography_warp(
        image, matrix, (8, 9), align_corners=True, normalized_coordinates=True
    )
    mine = sample_native(image, transforms.matrix_grid(matrix, (8, 9)))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


@few
@given(SIZES, st.booleans(), st.tuples(st.integers(2, 5), st.integers(2, 5)), SEEDS)
def test_splines_are_those_of_scipy(size, align_corners, points, seed):
    member = transforms.spline_family(*points)
    noise = np.random.default_rng(seed).uniform(-0.3, 0.3, (1, member.n_parameters))
    theta = torch.from_numpy(noise)
    fixed = base_grid(points, dtype=torch.float64).reshape(-1, 2).numpy()
    spline = scipy.interpolate.RBFInterpolator(
        fixed, member.control_points(theta)[0].numpy(), kernel="thin_plate_spline", degree=1
    )
    pixels = base_grid(size, align_corners, dtype=torch.float64).reshape(-1, 2).numpy()
    mine = member.grid(theta, size, align_corners)[0].reshape(-1, 2).numpy()
    np.testing.assert_allclose(mine, spline(pixels), rtol=0, atol=1e-6)


def test_a_spline_passes_through_its_control_points():
    theta = random_theta("tps", 2)
    grid = family("tps").grid(theta, (4, 4))  # the pixels are the control points
    torch.testing.assert_close(grid.reshape(2, 16, 2), family("tps").control_points(theta))


def test_a_spline_repeats_an_affine_map_exactly():
    theta = random_theta("affine", 3)
    matrix = family("affine").matrix(theta)
    spline = family("tps").grid(family("tps").from_matrix(matrix), (6, 7))
    torch.testing.assert_close(spline, family("affine").grid(theta, (6, 7)), rtol=0, atol=1e-12)


@few
@given(st.sampled_from(PLANAR), SEEDS)
def test_undoing_a_transform_gives_back_the_points(name, seed):
    matrix = family(name).matrix(random_theta(name, seed))
    points = base_grid((5, 4), dtype=torch.float64)
    there = apply(matrix, points)
    back = torch.cat([apply(invert(m[None]), p) for m, p in zip(matrix, there, strict=True)])
    torch.testing.assert_close(back, points.expand(2, -1, -1, -1), rtol=0, atol=1e-12)


@few
@given(st.sampled_from(PLANAR), SEEDS)
def test_inverse_composed_with_transform_is_the_identity(name, seed):
    matrix = family(name).matrix(random_theta(name, seed))
    eye = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    torch.testing.assert_close(compose(matrix, invert(matrix)), eye, rtol=0, atol=1e-12)


def test_composed_matrices_warp_as_two_warps_in_their_order():
    x, y = base_grid((9, 8), dtype=torch.float64).unbind(-1)
    plane = (0.3 * x - 0.7 * y)[None, None]  # bilinear sampling is exact on a plane
    first, second = (family("affine").matrix(0.5 * random_theta("affine", s, 1)) for s in (4, 5))
    once = sample(plane, transforms.matrix_grid(compose(first, second), (6, 5)))
    inner = sample(plane, transforms.matrix_grid(first, (9, 8)))
    twice = sample(inner, transforms.matrix_grid(second, (6, 5)))
    torch.testing.assert_close(once, twice, rtol=0, atol=1e-12)


@few
@given(st.sampled_from(PLANAR), SEEDS, st.floats(0.5, 4))
def test_theta_is_recovered_from_any_multiple_of_its_matrix(name, seed, factor):
    theta = random_theta(name, seed)
    recovered = family(name).from_matrix(factor * family(name).matrix(theta))
    torch.testing.assert_close(recovered, theta, rtol=0, atol=1e-10)


@few
@given(st.sampled_from(EVERY), SEEDS)
def test_bounded_families_stay_within_their_limit_of_the_identity(name, seed):
    member = bounded(family(name), 0.3)
    theta = random_theta(name, seed, spread=100.0)
    neutral = member.identity().double()
    assert (member.constrain(theta) - neutral).abs().max() <= 0.3 + 1e-12
    torch.testing.assert_close(member.constrain(neutral[None]), neutral[None])


@pytest.mark.parametrize("name", EVERY)
def test_bounded_families_move_like_the_free_ones_near_the_identity(name):
    theta = random_theta(name, 6, spread=1e-4)
    free, held = family(name), bounded(family(name), [0.5] * family(name).n_parameters)
    torch.testing.assert_close(
        held.grid(theta, (5, 5)), free.grid(theta, (5, 5)), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("name", PLANAR)
def test_bounded_theta_is_recovered_from_its_matrix(name):
    member = bounded(family(name), 0.5)
    theta = random_theta(name, 7)
    recovered = member.from_matrix(member.matrix(theta))
    torch.testing.assert_close(recovered, theta, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_grids_have_the_gradients_of_finite_differences(name):
    theta = random_theta(name, 8, batch=1).requires_grad_()
    assert gradcheck(lambda t: family(name).grid(t, (2, 3)), theta)


def test_a_similarity_has_the_scale_and_angle_that_its_parameters_say():
    s, angle = 0.7, 0.4
    theta = torch.tensor([[s * np.cos(angle), s * np.sin(angle), 0.1, 0.2]])
    matrix = family("similarity").matrix(theta)[0, :2, :2]
    rotation = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    torch.testing.assert_close(matrix, s * rotation)


def test_a_rotation_is_the_similarity_of_its_angle():
    angle = torch.tensor([[0.4], [-2.0]])
    similar = torch.cat([angle.cos(), angle.sin(), torch.zeros(2, 2)], dim=1)
    torch.testing.assert_close(
        family("rotation").matrix(angle), family("similarity").matrix(similar)
    )


@pytest.mark.parametrize("align_corners", (True, False))
def test_with_its_aspect_a_rotation_keeps_the_lengths_of_an_image_that_is_not_square(align_corners):
    size, angle = (20, 50), torch.tensor([[0.7]], dtype=torch.float64)
    half = torch.tensor([50 - align_corners, 20 - align_corners]) / 2  # of a side, in pixels
    aspect = (half[0] / half[1]).item()
    grid, still = (
        member.grid(theta, size, align_corners)[0] * half
        for member, theta in ((rotation(aspect), angle), (rotation(), 0 * angle))
    )
    torch.testing.assert_close(grid.norm(dim=-1), still.norm(dim=-1))
    across, before = grid[5, 30] - grid[12, 7], still[5, 30] - still[12, 7]
    cosine = (across * before).sum() / before.square().sum()
    assert cosine.item() == pytest.approx(np.cos(0.7), abs=1e-6)


@pytest.mark.parametrize("align_corners", (True, False))
def test_a_window_of_the_outputs_size_shows_the_images_pixels_as_they_are(align_corners):
    """An output of 6 × 8 from row 4, column 10 of an image of 20 × 40."""
    image = torch.rand(1, 2, 20, 40, generator=torch.Generator().manual_seed(2))
    less = int(align_corners)
    member = window(((8 - less) / (40 - less), (6 - less) / (20 - less)))
    middle = torch.tensor(
        [[(10 + 3.5 - 19.5) / (40 - less) * 2, (4 + 2.5 - 9.5) / (20 - less) * 2]]
    )
    grid = member.grid(middle, (6, 8), align_corners)
    shown = sample(image, grid, align_corners=align_corners)
    torch.testing.assert_close(shown, image[:, :, 4:10, 10:18], rtol=0, atol=1e-5)


def test_a_window_begins_in_the_middle_and_never_changes_its_size():
    member = window((0.5, 0.25))
    eye = torch.diag(torch.tensor([0.5, 0.25, 1.0]))
    assert torch.equal(member.matrix(member.identity()[None])[0], eye)
    with pytest.raises(ValueError, match=r"matrix must be of family window, is off by 0\.25"):
        member.from_matrix(torch.eye(3)[None] * torch.tensor([0.5, 0.5, 1.0]))


def test_a_family_is_its_own_name_and_can_be_saved_with_a_model():
    for member in (*FAMILIES.values(), rotation(1.6), window(0.6)):
        assert family(member) is member
        theta = random_theta(member, 1)
        again = pickle.loads(pickle.dumps(member))
        assert torch.equal(again.grid(theta, (3, 4)), member.grid(theta, (3, 4)))


@pytest.mark.parametrize("name", EVERY)
def test_grids_keep_float32_under_autocast(name):
    theta = random_theta(name, 9).float()
    plain = family(name).grid(theta, (40, 40))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = family(name).grid(theta, (40, 40))
        half = family(name).grid(theta.bfloat16(), (40, 40))
    assert mixed.dtype == half.dtype == torch.float32
    torch.testing.assert_close(mixed, plain, rtol=0, atol=0)


def test_a_projective_grid_is_finite_on_its_horizon():
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0, -1, 0]])  # w = 1 - x: 0 at the right edge
    assert torch.isfinite(family("projective").grid(theta, (4, 5))).all()


@pytest.mark.parametrize("name", EVERY)
def test_a_wrong_shape_of_theta_is_named_with_the_right_one(name):
    count, own = family(name).n_parameters, family(name).name
    message = rf"theta must have shape \(N, {count}\) for family {own}, not \(2, {count + 1}\)"
    with pytest.raises(ValueError, match=message):
        family(name).grid(torch.zeros(2, count + 1), (4, 4))


@pytest.mark.parametrize("value", (float("nan"), float("inf")))
@pytest.mark.parametrize("name", EVERY)
def test_theta_that_is_not_finite_is_refused(name, value):
    theta = family(name).identity().repeat(2, 1)
    theta[1, 0] = value
    with pytest.raises(ValueError, match="theta must be finite"):
        family(name).grid(theta, (4, 4))


@pytest.mark.parametrize("size", ((0, 4), (4, 0), (4, -1), (4,), (4, 2.5)))
@pytest.mark.parametrize("name", EVERY)
def test_an_impossible_output_size_is_refused(name, size):
    with pytest.raises(ValueError, match=r"size must be two positive whole numbers \(H, W\), not"):
        family(name).grid(family(name).identity().unsqueeze(0), size)


def test_an_unknown_family_is_named_with_the_allowed():
    message = "family must be one of translation, attention, .*, tps, rotation, not 'rigid'"
    with pytest.raises(ValueError, match=message):
        family("rigid")


def test_a_singular_matrix_cannot_be_inverted():
    matrices = torch.stack((torch.eye(3), torch.tensor([[1.0, 2, 0], [2, 4, 0], [0, 0, 1]])))
    with pytest.raises(ValueError, match=r"matrix must be invertible, but matrix\[1\] is singular"):
        invert(matrices)


@pytest.mark.parametrize("function", (invert, lambda m: compose(m, m), lambda m: apply(m, m)))
def test_a_matrix_of_the_wrong_shape_is_refused(function):
    with pytest.raises(ValueError, match=r"must have shape \(N, 3, 3\), not \(3, 3\)"):
        function(torch.eye(3))


def test_matrices_of_different_batches_cannot_be_composed():
    with pytest.raises(ValueError, match="first and second must have one batch size, not 2 and 3"):
        compose(torch.eye(3).repeat(2, 1, 1), torch.eye(3).repeat(3, 1, 1))


def test_a_spline_has_no_matrix_and_planar_families_no_control_points():
    with pytest.raises(ValueError, match="family tps has no matrix"):
        family("tps").matrix(torch.zeros(1, 32))
    with pytest.raises(ValueError, match="family affine has no control points"):
        family("affine").control_points(torch.zeros(1, 6))


def test_a_matrix_outside_of_the_family_is_refused():
    shear = torch.tensor([[[1.0, 0.5, 0], [0, 1, 0], [0, 0, 1]]])
    with pytest.raises(ValueError, match="matrix must be of family similarity"):
        family("similarity").from_matrix(shear)


def test_a_matrix_beyond_the_bounds_is_refused():
    with pytest.raises(ValueError, match="within the bounds of family bounded attention"):
        bounded(family("attention"), 0.5).from_matrix(2 * torch.eye(3)[None] - torch.eye(3)[2])


@pytest.mark.parametrize("scale", (0, -1, float("nan"), (0.5,), (0.5, 0.5, 0.5), (0.5, 0), "all"))
def test_an_impossible_window_is_refused(scale):
    with pytest.raises(ValueError, match="scale must be a positive number or two of them, not"):
        window(scale)


def test_an_impossible_aspect_is_refused():
    with pytest.raises(ValueError, match="aspect must be a number > 0, not 0"):
        rotation(0)


@pytest.mark.parametrize("limit", (0, -1, float("inf"), [1.0, 2.0]))
def test_an_impossible_bound_is_refused(limit):
    with pytest.raises(ValueError, match="limit must be a positive number or 3 of them"):
        bounded(family("attention"), limit)


def test_a_spline_needs_two_rows_and_columns():
    with pytest.raises(ValueError, match="rows must be a whole number >= 2, not 1"):
        transforms.spline_family(1, 4)
