"""Grid and sampling, forward and backward, against PyTorch's own functions and kornia."""

import kornia
import pytest
import torch
import torch.nn.functional as F

from stnlib import transforms
from stnlib.sampler import PADDINGS, sample_native
from stnlib.transforms import FAMILIES

SIZE = (40, 40)
AFFINE = [name for name in FAMILIES if name not in ("projective", "tps")]


def stnlib(family, theta, image, padding):
    return sample_native(image, family.grid(theta, SIZE), padding=padding)


def pytorch(family, theta, image, padding):
    grid = F.affine_grid(family.matrix(theta)[:, :2], image.shape, align_corners=True)
    return F.grid_sample(image, grid, padding_mode=padding, align_corners=True)


def of_kornia(family, theta, image, padding):
    return kornia.geometry.transform.homography_warp(
        image, family.matrix(theta), SIZE, padding_mode=padding, align_corners=True
    )


def splines_of_kornia(family, theta, image, padding):
    """Its splines as its manual has them: nearly ours, and not the same.

    Its kernels sit where the control points go, ours where they are in the output, so that it
    solves a system and evaluates its kernels for each image anew; ours are one matrix product.
    """
    fixed = transforms.base_grid(family.points).reshape(1, -1, 2).expand(len(theta), -1, -1)
    moved = family.control_points(theta)
    weights = kornia.geometry.get_tps_transform(fixed, moved)
    return kornia.geometry.warp_image_tps(image, moved, *weights, True, padding)


def loss(warp, family, image, theta, padding):
    theta.grad = image.grad = None
    warp(family, theta, image, padding).square().sum().backward()


WARPS = {"stnlib": stnlib, "pytorch": pytorch, "kornia": of_kornia}
NAMES = {"stnlib": "stnlib", "pytorch": "PyTorch", "kornia": "kornia"}
CASES = [
    (name, padding, of)
    for name in FAMILIES
    for padding in PADDINGS
    for of in WARPS
    if of != "pytorch" or name in AFFINE
]


@pytest.mark.parametrize(("name", "padding", "of"), CASES)
def test_sampling(measure, tiny, name, padding, of):
    family, n = FAMILIES[name], 4 if tiny else 128
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(n, 1, *SIZE, generator=generator).requires_grad_()
    noise = torch.randn(n, family.n_parameters, generator=generator)
    theta = (family.identity() + 0.05 * noise).requires_grad_()
    warp = splines_of_kornia if (name, of) == ("tps", "kornia") else WARPS[of]
    error = (warp(family, theta, image, padding) - stnlib(family, theta, image, padding)).abs()
    assert error.mean() < 0.05 if name == "tps" else error.max() < 1e-3
    title = f"{'TPS' if name == 'tps' else name} sampler, {padding}"
    measure(title, NAMES[of], lambda: loss(warp, family, image, theta, padding))
