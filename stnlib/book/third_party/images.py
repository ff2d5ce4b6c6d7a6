"""MNIST, Fashion-MNIST and optical digits, plain or turned and moved about a larger canvas."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stnlib.book.third_party.networks import CANVAS
from stnlib.checks.values import choice, require
from stnlib.data import digits, idx
from stnlib.data.sets import Split, fingerprint

__all__ = ["DATA", "SIZES", "Images", "load"]

#: images to train on and to validate with, and epochs: about 310 steps of each
SIZES = {"mnist": (10_000, 1_000, 2), "fashion": (10_000, 1_000, 2), "optical": (1_500, 297, 13)}
DATA = tuple(SIZES)
TURN, SHIFT = 30, 6  # the most, either way: degrees, pixels of the canvas


class Images(NamedTuple):
    """A data set.

    Parameters
    ----------
    train, val : Split
        Images (N, 1, H, W), float32 in [0, 1], and their classes.
    fingerprint : str
        Of both.
    """

    train: Split
    val: Split
    fingerprint: str


def load(data: str, distorted: bool) -> Images:
    """Images of 28×28 pixels, as many as `SIZES` says.

    Parameters
    ----------
    data : str
        One of `DATA`. `optical` are `stnlib.data.digits.optical`: 8×8 pixels, here enlarged to the
        20×20 in the middle that MNIST's digits have.
    distorted : bool
        Whether each lies on a black 40×40 canvas, turned by up to 30 degrees and moved by up to 6
        pixels, always in the same way.

    Returns
    -------
    Images
        In the order of the data set.

    Raises
    ------
    ValueError
        One line, where there is no such data set.
    DataError
        One line, where it is missing and out of reach.
    """
    require("data", data, choice(*DATA))
    n_train, n_val, _ = SIZES[data]
    n = n_train + n_val
    pixels, labels = _SOURCES[data]()
    images = torch.from_numpy(pixels[:n].copy()).unsqueeze(1).float() / 255
    images = _distort(images) if distorted else images
    parts = torch.split(images, n_train), torch.split(torch.from_numpy(labels[:n].copy()), n_train)
    train, val = (Split(*part) for part in zip(*parts, strict=True))
    return Images(train, val, fingerprint(train, val))


def _optical() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = digits.optical()
    small = torch.tensor(pixels).unsqueeze(1).double() * (255 / 16)
    large = F.interpolate(small, size=(20, 20), mode="bilinear", align_corners=False)
    return F.pad(large, [4] * 4).squeeze(1).numpy(), labels


_SOURCES = {"mnist": idx.mnist, "fashion": idx.fashion, "optical": _optical}


def _distort(images: Tensor) -> Tensor:
    draws = torch.rand(len(images), 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    angle = torch.deg2rad(TURN * draws[:, 0])
    cos, sin = torch.cos(angle), torch.sin(angle)
    x, y = (draws[:, 1:] * SHIFT * 2 / CANVAS).T
    theta = torch.stack([cos, -sin, x, sin, cos, y], 1).view(-1, 2, 3)
    canvas = F.pad(images, [(CANVAS - images.shape[-1]) // 2] * 4)
    grid = F.affine_grid(theta, list(canvas.shape), align_corners=False)
    return F.grid_sample(canvas, grid, align_corners=False)
