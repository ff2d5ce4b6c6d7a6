"""Conversions against OpenCV and kornia: the warped images agree. Boxes against sampling."""

import cv2
import kornia
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stnlib.diagnostics import view_corners
from stnlib.sampler import sample, to_pixels
from stnlib.transforms import (
    boxes,
    family,
    from_kornia,
    from_opencv,
    matrix_grid,
    to_kornia,
    to_opencv,
)

# Of the input and of the output, (H, W).
SIZES = [
    ((12, 12), None),
    ((9, 16), None),
    ((9, 16), (21, 7)),
    ((16, 9), (1, 6)),
    ((8, 11), (5, 1)),
    ((2, 30), (30, 2)),
]
every_size = pytest.mark.parametrize(("size", "output_size"), SIZES)
every_align_corners = pytest.mark.parametrize("align_corners", [True, False])
every_direction = pytest.mark.parametrize("inverse_map", [True, False])


def crooked(name, batch=3, seed=0):
    """θ near the identity, float64: matrices (batch, 3, 3)."""
    neutral = family(name).identity().double()
    noise = np.random.default_rng(seed).uniform(-0.3, 0.3, (batch, len(neutral)))
    return family(name).matrix(neutral + torch.from_numpy(noise))


def noise(size, batch=3):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, 2, *size, generator=generator, dtype=torch.float64)


def ours(images, matrix, output_size, align_corners):
    grid = matrix_grid(matrix, output_size, align_corners)
    return sample(images, grid, align_corners=align_corners)


def opencvs(images, matrices, output_size, inverse_map):
    warp = cv2.warpAffine if matrices.shape[1] == 2 else cv2.warpPerspective
    flags = cv2.INTER_LINEAR | (cv2.WARP_INVERSE_MAP if inverse_map else 0)
    planes = [
        [warp(plane, matrix, output_size[::-1], flags=flags) for plane in image]
        for image, matrix in zip(images.numpy(), matrices.numpy(), strict=True)
    ]
    return torch.from_numpy(np.array(planes))


def assert_near_opencvs(mine, theirs):
    """OpenCV takes positions to 1/32 pixel, and white noise has slopes of up to 1 a pixel."""
    assert (mine - theirs).abs().max() < 2.1 / 32
    assert (mine - theirs).abs().mean() < 0.005


@every_size
@every_align_corners
@every_direction
@pytest.mark.parametrize("name", ["affine", "projective"])
def test_opencv_warps_as_we_do_with_its_matrix(name, inverse_map, align_corners, size, output_size):
    images, matrix = noise(size), crooked(name)
    theta = matrix[:, :2] if name == "affine" else matrix
    options = {"align_corners": align_corners, "inverse_map": inverse_map}
    matrices = to_opencv(theta, size, output_size, **options)
    theirs = opencvs(images, matrices, output_size or size, inverse_map)
    assert_near_opencvs(ours(images, matrix, output_size or size, align_corners), theirs)


@every_size
@every_align_corners
def test_we_warp_as_opencv_does_with_its_matrix(align_corners, size, output_size):
    """Its own makers of matrices give them: a rotation about a point, and three points' map."""
    images = noise(size, 2)
    turn = cv2.getRotationMatrix2D((size[1] / 3, size[0] / 2), 30, 0.8)
    corners = np.float32([[0, 0], [size[1] - 1, 1], [1, size[0] - 1]])
    moved = cv2.getAffineTransform(corners, corners[[1, 2, 0]] * 0.7 + 0.5)
    matrices = torch.from_numpy(np.stack([turn, moved]))
    theta = from_opencv(matrices, size, output_size, align_corners=align_corners)
    grid = family("affine").grid(theta.flatten(1), output_size or size, align_corners)
    mine = sample(images, grid, align_corners=align_corners)
    assert_near_opencvs(mine, opencvs(images, matrices, output_size or size, False))


@every_size
@every_align_corners
@pytest.mark.parametrize("warp_align_corners", [True, False])
@pytest.mark.parametrize("name", ["affine", "projective"])
def test_kornia_warps_as_we_do(name, warp_align_corners, align_corners, size, output_size):
    images, matrix = noise(size), crooked(name)
    mine = ours(images, matrix, output_size or size, align_corners)

    flag = {"align_corners": warp_align_corners}
    pixels = to_opencv(matrix, size, output_size, align_corners=align_corners)
    theirs = kornia.geometry.warp_perspective(images, pixels, output_size or size, **flag)
    torch.testing.assert_close(theirs, mine, rtol=0, atol=1e-9)
    if name == "affine":
        theirs = kornia.geometry.warp_affine(images, pixels[:, :2], output_size or size, **flag)
        torch.testing.assert_close(theirs, mine, rtol=0, atol=1e-9)

    flags = {"align_corners": align_corners, "warp_align_corners": warp_align_corners}
    normalised = to_kornia(matrix, size, output_size, **flags)
    theirs = kornia.geometry.homography_warp(images, normalised, output_size or size, **flag)
    torch.testing.assert_close(theirs, mine, rtol=0, atol=1e-9)


def test_without_a_flag_the_matrix_is_for_kornias_default():
    images, matrix = noise((9, 16)), crooked("affine")
    theirs = kornia.geometry.homography_warp(images, to_kornia(matrix, (9, 16)), (9, 16))
    torch.testing.assert_close(theirs, ours(images, matrix, (9, 16), True), rtol=0, atol=1e-9)


@every_size
@every_align_corners
@pytest.mark.parametrize("flag", [True, False])
def test_there_and_back_theta_is_itself(flag, align_corners, size, output_size):
    matrix = crooked("projective")
    options = {"align_corners": align_corners}
    there = to_kornia(matrix, size, output_size, warp_align_corners=flag, **options)
    back = from_kornia(there, size, output_size, warp_align_corners=flag, **options)
    torch.testing.assert_close(back, matrix)
    for theta in (matrix, crooked("affine")[:, :2]):
        there = to_opencv(theta, size, output_size, inverse_map=flag, **options)
        back = from_opencv(there, size, output_size, inverse_map=flag, **options)
        back = back / back[:, 2:, 2:] if theta is matrix else back
        torch.testing.assert_close(back, theta)


def test_in_one_convention_kornias_matrix_is_theta():
    theta = crooked("affine")[:, :2]
    for flag in (True, False):
        given = to_kornia(theta, (9, 16), (5, 7), align_corners=flag, warp_align_corners=flag)
        torch.testing.assert_close(given[:, :2], theta)
        assert given[:, 2].tolist() == [[0, 0, 1]] * 3


def test_the_matrices_of_a_crop_are_those_that_one_writes_by_hand():
    """6 rows and 8 columns from row 4, column 10 on, as PyTorch's own sampler shows them."""
    shift = torch.tensor([[[1.0, 0, -10], [0, 1, -4]]])
    image = noise((20, 40), 1).float()
    for flag in (True, False):
        theta = from_opencv(shift, (20, 40), (6, 8), align_corners=flag)
        grid = F.affine_grid(theta, [1, 2, 6, 8], align_corners=flag)
        shown = F.grid_sample(image, grid, align_corners=flag)
        torch.testing.assert_close(shown, image[:, :, 4:10, 10:18], rtol=0, atol=1e-5)


def test_theta_may_be_flat_and_of_half_precision():
    theta = crooked("affine")[:, :2].bfloat16()
    flat = to_opencv(theta.flatten(1), (9, 16))
    assert flat.dtype == torch.float32
    assert torch.equal(flat, to_opencv(theta, (9, 16)))


def test_a_narrow_view_of_a_large_image_is_converted_in_float32():
    theta = torch.tensor([[[0.01, 0, 0.7], [0, 0.01, -0.6]]])
    there = to_opencv(theta, (4000, 6000), (40, 60), align_corners=False)
    torch.testing.assert_close(
        from_opencv(there, (4000, 6000), (40, 60), align_corners=False), theta
    )


def test_autocast_moves_no_pixel():
    theta = crooked("affine").float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = to_opencv(theta, (90, 160)), to_kornia(theta, (90, 160)), boxes(theta, (90, 160))
    plain = to_opencv(theta, (90, 160)), to_kornia(theta, (90, 160)), boxes(theta, (90, 160))
    assert all(map(torch.equal, mixed, plain))


# Boxes


def test_the_whole_image_is_bounded_by_its_outermost_pixels_centres_or_edges():
    theta = family("affine").identity()[None]
    centres, edges = (boxes(theta, (20, 40), flag)[0].tolist() for flag in (True, False))
    assert centres == [[0, 0], [39, 0], [39, 19], [0, 19]]
    assert edges == [[-0.5, -0.5], [39.5, -0.5], [39.5, 19.5], [-0.5, 19.5]]


@pytest.mark.parametrize("name", ["affine", "projective"])
def test_a_box_holds_the_pixels_that_the_outputs_corners_were_read_from(name):
    """In an image that says of each pixel where it is, sampling tells where it was sampled."""
    matrix = crooked(name) @ torch.diag(torch.tensor([0.3, 0.3, 1])).double()  # well within
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(40.0), indexing="ij")
    where = torch.stack([columns, rows])[None].expand(3, -1, -1, -1).double()
    shown = sample(where, matrix_grid(matrix, (7, 5)))
    corners = shown[:, :, [0, 0, -1, -1], [0, -1, -1, 0]].mT
    torch.testing.assert_close(boxes(matrix, (20, 40)), corners)


def test_a_boxs_corners_are_the_views_in_clockwise_order():
    matrix = crooked("affine")
    view = view_corners(matrix_grid(matrix, (7, 5)))[:, [0, 1, 3, 2]]
    expected = torch.stack([to_pixels(view[..., 0], 40), to_pixels(view[..., 1], 20)], dim=-1)
    torch.testing.assert_close(boxes(matrix[:, :2], (20, 40)), expected)


@every_align_corners
def test_a_box_shows_the_same_pixels_as_opencvs_matrix(align_corners):
    """It maps the box onto the output's corners, which for edges lie half a pixel further out."""
    theta = crooked("affine")[:, :2]
    matrix = to_opencv(theta, (20, 40), (7, 5), align_corners=align_corners)
    box = boxes(theta, (20, 40), align_corners)
    out = 0 if align_corners else 0.5
    corners = [[-out, -out], [4 + out, -out], [4 + out, 6 + out], [-out, 6 + out]]
    found = box @ matrix[:, :, :2].mT + matrix[:, None, :, 2]
    torch.testing.assert_close(found, torch.tensor([corners] * 3).double())


# What is refused


def test_an_input_of_one_pixel_is_refused_where_every_coordinate_would_mean_it():
    theta = family("affine").identity()[None]
    message = "size must be 2 pixels or more both ways with align_corners True"
    for call in (to_opencv, from_opencv, to_kornia, from_kornia):
        with pytest.raises(ValueError, match=message):
            call(theta, (1, 9))
    assert to_opencv(theta, (1, 9), align_corners=False).tolist() == [[[1, 0, 0], [0, 1, 0]]]


def test_a_theta_that_shows_a_line_has_no_matrix_from_input_to_output():
    theta = torch.tensor([[1.0, 0, 0, 0, 0, 0]])
    with pytest.raises(ValueError, match=r"matrix must be invertible, but matrix\[0\] is singular"):
        to_opencv(theta, (9, 16))
    assert to_opencv(theta, (9, 16), inverse_map=True).tolist() == [[[1, 0, 0], [0, 0, 4]]]


@pytest.mark.parametrize("call", [to_opencv, from_opencv, to_kornia, from_kornia, boxes])
def test_a_wrong_shape_is_named_with_the_right_ones(call):
    message = r"must have shape \(N, 6\), \(N, 2, 3\) or \(N, 3, 3\), not \(2, 3\)"
    with pytest.raises(ValueError, match=message):
        call(torch.eye(2, 3), (9, 16))
