"""Data sets whose images are scattered over a canvas, as strongly as one likes.

CIFAR-10-DISTORTED is one distortion of one strength. To ask how much there must be to undo before
a spatial transformer pays, the strength must be a number, and the images must differ in all that
an affine transformer can undo but shear: size, angle and place.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from stnlib.data.distort import hashed
from stnlib.data.distorted import in_parts
from stnlib.data.sets import DataSet, Split, combined
from stnlib.transforms import family, invert

__all__ = ["DEGREES", "SMALLEST", "poses", "read", "scattered", "warp"]

DEGREES, SMALLEST = 90, 0.5  # at strength 1: the most either way, and the smallest size


def scattered(data: DataSet, strength: float) -> DataSet:
    """A data set of S×S images, each shrunk, turned and moved on a black canvas of 2S×2S.

    At strength s an image has a size of 1 - s/2 to 1, an angle within ±90 s degrees, and its
    centre within ± s S/2 pixels of the canvas's, so that at s = 1 a whole image reaches the
    canvas's edge; each uniformly. Nothing is flipped. Training images are drawn anew in every
    epoch, by the run's seed, the epoch and the image's number; those to validate and to test
    once, the same for all runs.

    Returns
    -------
    DataSet
        `train` keeps the plain images, and `batch` scatters them. All splits come with the
        true θ and the image's centre.

    Raises
    ------
    ValueError
        If the strength is not within 0 to 1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be within 0 to 1, not {strength!r}")

    def seen(part: Split, index: Tensor, *purpose: int | str) -> Split:
        theta = poses(index, strength, part.images.shape[-1], *purpose)
        positions = theta[:, [2, 5]]
        return Split(warp(part.images, theta), part.labels, positions=positions, theta=theta)

    def anew(part: Split, index: Tensor, seed: int, epoch: int) -> Split:
        return seen(part, index, "train", seed, epoch)

    val = in_parts(data.val, lambda part, index: seen(part, index, "val"))
    test = in_parts(data.test, lambda part, index: seen(part, index, "test"))
    return replace(
        data,
        train=replace(data.train, positions=None, renew=anew),
        val=val,
        test=test,
        source=f"{data.source}; scattered over a canvas twice as large, strength {strength:g}",
        fingerprint=combined(data.fingerprint, val, test),
        probes={},
    )


def poses(numbers: Tensor, strength: float, side: int, *purpose: int | str) -> Tensor:
    """Draw how images number `numbers`, (N,) int64, of `side` pixels are scattered.

    Returns
    -------
    Tensor
        (N, 6), float32: the affine θ that undoes it, row-major; output to input on the canvas of
        2 `side` pixels, ``align_corners=True``.
    """

    def uniform(what: str) -> Tensor:
        return hashed(numbers, *purpose, "scattered", what).double() / 2**63  # in [0, 1]

    scale = 1 - strength * (1 - SMALLEST) * uniform("scale")
    angle = math.radians(strength * DEGREES) * (2 * uniform("angle") - 1)
    reach = strength * side / (2 * side - 1)  # half a side, normalised
    x, y = (reach * (2 * uniform(axis) - 1) for axis in "xy")
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    return torch.stack([cos, sin, x, -sin, cos, y], dim=1).float()


def warp(images: Tensor, theta: Tensor, canvas: int | None = None) -> Tensor:
    """Put each image on its canvas so that θ undoes it; bilinear, black outside.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    images : Tensor
        (N, C, S, S), uint8 or float32.
    theta : Tensor
        (N, 6), float32, as of `poses`.
    canvas : int | None
        Its height and width in pixels; None for twice the image's.

    Returns
    -------
    Tensor
        (N, C, canvas, canvas), of the images' type, uint8 rounded.
    """
    side = images.shape[-1]
    out = canvas or 2 * side
    affine = family("affine")
    forth = invert(affine.matrix(theta))[:, :2].flatten(1)  # from the canvas to an upright one
    to_image = (out - 1) / (side - 1)  # in whose middle the image is
    return read(images, affine.grid(forth * to_image, (out, out)))


def read(images: Tensor, grid: Tensor) -> Tensor:
    """Read images at a grid: bilinear, black outside, uint8 rounded.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), uint8 or float32.
    grid : Tensor
        (N, h, w, 2), float32, ``align_corners=True``.

    Returns
    -------
    Tensor
        (N, C, h, w), of the images' type.
    """
    seen = F.grid_sample(images.float(), grid, align_corners=True)
    return seen.round_().to(torch.uint8) if images.dtype == torch.uint8 else seen
