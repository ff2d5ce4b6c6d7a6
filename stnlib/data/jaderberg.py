"""MNIST distorted as by Jaderberg et al. (2015), Section 4.1 and Appendix A.4.

========= ====== =======================================================================
mnist-r   28×28  turned by up to ±90°
mnist-rts 42×42  turned by up to ±45°, at 0.7 to 1.2 of its size, anywhere on the canvas
mnist-p   28×28  at 0.75 to 1 of its size, then a projection that moves each corner of
                 the image by a normal 5 pixels in x and in y
mnist-e   28×28  at 0.75 to 1 of its size, then a thin-plate spline that moves each of 4×4
                 points by a normal 1.5 pixels in x and in y
mnist-tc  60×60  anywhere on the canvas, among six scraps of 6×6 pixels of other digits
========= ====== =======================================================================

All but the normal ones are uniform. The paper leaves open what follows, which is ours. Images
keep MNIST's size where it gives none. "Anywhere" is where the digit's frame lies on the canvas.
Where a quadrilateral would not be convex (0.5 % of them), its corners move half as far: a
projection would fold the image. The spline says where a pixel is read. Pixels are bilinear. In
`mnist-tc` all moves by whole pixels, later scraps lie over earlier ones, and the digit is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from stnlib.data.distort import hashed
from stnlib.data.distorted import in_parts
from stnlib.data.scattered import read, warp
from stnlib.data.sets import DataSet, Split, combined
from stnlib.transforms import family, matrix_grid

__all__ = ["NAMES", "projections", "rotations", "similarities", "splines", "variant"]

SIDE, CANVAS = 28, 42  # height and width in pixels: MNIST's digits, and the canvas of mnist-rts
WIDE, SCRAPS, SCRAP = 60, 6, 6  # the canvas of mnist-tc, how many scraps, and their side
SMALLER = (0.75, 1.0)  # sizes before a projection or a spline
CORNER, POINT = 5.0, 1.5  # standard deviations in pixels
Purpose = tuple[int | str, ...]


def variant(plain: DataSet, name: str) -> DataSet:
    """One of the distorted data sets, made of MNIST.

    Training images are drawn anew in every epoch, by the run's seed, the epoch and the image's
    number; those to validate and to test once, the same for all runs.

    Parameters
    ----------
    plain : DataSet
        Images (N, 1, 28, 28), uint8.
    name : str
        One of `NAMES`.

    Returns
    -------
    DataSet
        `train` keeps the plain images, and `batch` distorts them. With the true θ and the digit's
        centre where the distortion is affine: not of `mnist-p` and `mnist-e`.
    """

    def seen(part: Split, index: Tensor, *purpose: int | str) -> Split:
        whole = {"val": plain.val, "test": plain.test}.get(str(purpose[0]), plain.train)
        images, theta = _KINDS[name](part.images, index, (name, *purpose), whole.images)
        positions = None if theta is None else theta[:, [2, 5]]
        return Split(images, part.labels, positions=positions, theta=theta)

    def anew(part: Split, index: Tensor, seed: int, epoch: int) -> Split:
        return seen(part, index, "train", seed, epoch)

    val = in_parts(plain.val, lambda part, index: seen(part, index, "val"))
    test = in_parts(plain.test, lambda part, index: seen(part, index, "test"))
    return replace(
        plain,
        name=name,
        train=replace(plain.train, renew=anew),
        val=val,
        test=test,
        source=f"{plain.source}; distorted as by Jaderberg et al. (2015)",
        fingerprint=combined(plain.fingerprint, val, test),
    )


def rotations(numbers: Tensor, purpose: Purpose) -> Tensor:
    """θ that undoes the rotations of `mnist-r`.

    Parameters
    ----------
    numbers : Tensor
        (N,), int64: the images' numbers in their split.
    purpose : Purpose
        What the draws are for, such as ``("train", seed, epoch)``: they depend on it and on an
        image's number alone.

    Returns
    -------
    Tensor
        (N, 6), float32: the affine θ, row-major; output to input, ``align_corners=True``.
    """
    angle = math.pi / 2 * (2 * _uniform(numbers, purpose, 1)[:, 0] - 1)
    still = torch.zeros_like(angle)
    return _similarity(torch.ones_like(angle), angle, still, still)


def similarities(numbers: Tensor, purpose: Purpose) -> Tensor:
    """θ that undoes `mnist-rts`: the digit upright, at its own size, in the canvas's middle.

    Parameters
    ----------
    numbers : Tensor
        (N,), int64.
    purpose : Purpose
        As of `rotations`.

    Returns
    -------
    Tensor
        (N, 6), float32, as of `rotations`.
    """
    size, angle, x, y = _uniform(numbers, purpose, 4).unbind(1)
    scale = 0.7 + 0.5 * size
    reach = (CANVAS - SIDE * scale) / (CANVAS - 1)  # of the centre, normalised
    return _similarity(
        scale, math.pi / 4 * (2 * angle - 1), reach * (2 * x - 1), reach * (2 * y - 1)
    )


def _similarity(scale: Tensor, angle: Tensor, x: Tensor, y: Tensor) -> Tensor:
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    return torch.stack([cos, sin, x, -sin, cos, y], dim=1).float()


def projections(numbers: Tensor, purpose: Purpose) -> Tensor:
    """Matrices that take an upright digit to where it is in `mnist-p`.

    A projective transformer undoes the distortion if it has them, divided by their last entries.

    Parameters
    ----------
    numbers : Tensor
        (N,), int64.
    purpose : Purpose
        As of `rotations`.

    Returns
    -------
    Tensor
        (N, 3, 3), float64; normalised coordinates, ``align_corners=True``.
    """
    u = _uniform(numbers, purpose, 9)
    shift = _normal(u[:, 1:], CORNER).unflatten(1, (4, 2))
    corners = shift.new_tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]])  # around the image
    convex = _convex(corners + shift)[:, None, None]
    matrix = _square_to(corners + torch.where(convex, shift, shift / 2))
    scale = SMALLER[0] + (SMALLER[1] - SMALLER[0]) * u[:, 0]
    return matrix * torch.stack([scale, scale, torch.ones_like(scale)], dim=1)[:, None]


def _convex(corners: Tensor) -> Tensor:
    """Whether quadrilaterals (N, 4, 2), clockwise as one sees them, are convex: (N,), bool."""
    side = corners.roll(-1, dims=1) - corners
    turn = side.roll(-1, dims=1)
    return (side[..., 0] * turn[..., 1] > side[..., 1] * turn[..., 0]).all(1)


def _square_to(corners: Tensor) -> Tensor:
    """Projections of [-1, 1]² to quadrilaterals (N, 4, 2): (N, 3, 3).

    The closed form of Heckbert (1989), "Fundamentals of texture mapping and image warping", Section
    2.2.3: of the unit square.
    """
    a, b, c, d = corners.unbind(1)
    bend, e, f = a - b + c - d, b - c, d - c
    cross = e[:, 0] * f[:, 1] - f[:, 0] * e[:, 1]
    g = ((bend[:, 0] * f[:, 1] - f[:, 0] * bend[:, 1]) / cross)[:, None]
    h = ((e[:, 0] * bend[:, 1] - bend[:, 0] * e[:, 1]) / cross)[:, None]
    columns = [
        torch.cat([b - a + g * b, g], 1),
        torch.cat([d - a + h * d, h], 1),
        torch.cat([a, torch.ones_like(g)], 1),
    ]
    unit = a.new_tensor([[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 1]])
    return torch.stack(columns, dim=2) @ unit


def splines(numbers: Tensor, purpose: Purpose) -> tuple[Tensor, Tensor]:
    """How the images of `mnist-e` are bent.

    Parameters
    ----------
    numbers : Tensor
        (N,), int64.
    purpose : Purpose
        As of `rotations`.

    Returns
    -------
    tuple[Tensor, Tensor]
        θ (N, 32), float32, of the family `tps`: from the distorted image to the smaller digit; and
        the digit's size (N,), float32.
    """
    u = _uniform(numbers, purpose, 33)
    scale = SMALLER[0] + (SMALLER[1] - SMALLER[0]) * u[:, 0]
    return _normal(u[:, 1:], POINT).float(), scale.float()


def _uniform(numbers: Tensor, purpose: Purpose, n: int) -> Tensor:
    """(N, n), float64, each in (0, 1)."""
    every = numbers[:, None] * n + torch.arange(n, device=numbers.device)
    bits = hashed(every, *purpose, "jaderberg") >> 10  # what a float64 can hold, and a half
    return (bits.double() + 0.5) / 2**53


def _normal(u: Tensor, pixels: float) -> Tensor:
    """Normal numbers of uniform ones, with a standard deviation of `pixels`, normalised."""
    return torch.special.ndtri(u) * (2 * pixels / (SIDE - 1))


Made = tuple[Tensor, Tensor | None]


def _rotated(images: Tensor, index: Tensor, purpose: Purpose, _: Tensor) -> Made:
    theta = rotations(index, purpose)
    return warp(images, theta, SIDE), theta


def _placed(images: Tensor, index: Tensor, purpose: Purpose, _: Tensor) -> Made:
    theta = similarities(index, purpose)
    return warp(images, theta, CANVAS), theta


def _projected(images: Tensor, index: Tensor, purpose: Purpose, _: Tensor) -> Made:
    back = torch.linalg.inv_ex(projections(index, purpose)).inverse.float()
    return read(images, matrix_grid(back, (SIDE, SIDE))), None


def _bent(images: Tensor, index: Tensor, purpose: Purpose, _: Tensor) -> Made:
    theta, scale = splines(index, purpose)
    grid = family("tps").grid(theta, (SIDE, SIDE)) / scale[:, None, None, None]
    return read(images, grid), None


def _cluttered(images: Tensor, index: Tensor, purpose: Purpose, whole: Tensor) -> Made:
    corner, which, cut, put = _clutter(index, purpose)
    pixels = whole.to(images.device).flatten(1)
    canvas = torch.zeros(len(images), WIDE**2, dtype=torch.int32, device=images.device)
    for k in range(SCRAPS):
        other = (index + 1 + (which[:, k] * (len(whole) - 1)).long()) % len(whole)
        scrap = pixels[other].gather(1, _square(cut[:, k], SCRAP, SIDE))
        canvas.scatter_(1, _square(put[:, k], SCRAP, WIDE), scrap.int())
    canvas.scatter_add_(1, _square(corner, SIDE, WIDE), images.flatten(1).int())
    seen = canvas.clamp_(max=255).to(torch.uint8).view(-1, 1, WIDE, WIDE)
    x, y = ((2 * corner - (WIDE - SIDE)) / (WIDE - 1)).unbind(1)
    still = torch.zeros_like(x)
    return seen, _similarity(torch.ones_like(x), still, x, y)


def _clutter(numbers: Tensor, purpose: Purpose) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `mnist-tc` draws of each image.

    Returns
    -------
    tuple[Tensor, Tensor, Tensor, Tensor]
        The digit's corner (N, 2), int64, (x, y) in pixels; then of each scrap which other digit it
        is of (N, SCRAPS), as a share of them, and its corners on that digit and on the canvas
        (N, SCRAPS, 2), int64.
    """
    u = _uniform(numbers, purpose, 2 + 5 * SCRAPS)
    corner = (u[:, :2] * (WIDE - SIDE + 1)).long()
    which, cut, put = u[:, 2:].unflatten(1, (SCRAPS, 5)).split((1, 2, 2), dim=2)
    return (
        corner,
        which[..., 0],
        (cut * (SIDE - SCRAP + 1)).long(),
        (put * (WIDE - SCRAP + 1)).long(),
    )


def _square(corner: Tensor, side: int, width: int) -> Tensor:
    """Numbers of the pixels of squares on images of that width: (N, side²), int64."""
    line = torch.arange(side, device=corner.device)
    rows, columns = corner[:, 1, None] + line, corner[:, 0, None] + line
    return (rows[:, :, None] * width + columns[:, None]).flatten(1)


_KINDS: dict[str, Callable[[Tensor, Tensor, Purpose, Tensor], Made]] = {
    "mnist-r": _rotated,
    "mnist-rts": _placed,
    "mnist-p": _projected,
    "mnist-e": _bent,
    "mnist-tc": _cluttered,
}
NAMES = tuple(_KINDS)
