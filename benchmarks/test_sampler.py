"""Grid and sampling, forward and backward, against PyTorch's own functions and kornia."""

import kornia
import pytest
import torch
import torch.nn.functional as F

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


def loss(warp, family, image, theta, padding):
    theta.grad = image.grad = None
    warp(family, theta, image, padding).square().sum().backward()


CASES = [
    (name, padding, of)
    for name in FAMILIES
    if name != "tps"  # kornia fits its splines by weights, not by their control points
    for padding in PADDINGS
    for of in ("stnlib", "pytorch", "kornia")
    if of != "pytorch" or name in AFFINE
]


@pytest.mark.parametrize(("name", "padding", "of"), CASES)
def test_sampling(measure, tiny, name, padding, of):
    family, n = FAMILIES[name], 4 if tiny else 128
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(n, 1, *SIZE, generator=generator).requires_grad_()
    noise = torch.randn(n, family.n_parameters, generator=generator)
    theta = (family.identity() + 0.05 * noise).requires_grad_()
    warp = {"stnlib": stnlib, "pytorch": pytorch, "kornia": of_kornia}[of]
    expected = stnlib(family, theta, image, padding)
    torch.testing.assert_close(warp(family, theta, image, padding), expected, atol=1e-3, rtol=0)
    measure(f"{name}, {padding}", of, lambda: loss(warp, family, image, theta, padding))
