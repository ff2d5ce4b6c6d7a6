"""Families that hold more fixed than a similarity does: the angle alone, or the position alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stnlib.checks.values import number, require, shown
from stnlib.transforms.families import PlanarFamily

__all__ = ["RotationFamily", "rotation", "window"]


@dataclass(frozen=True)
class RotationFamily(PlanarFamily):
    """θ is an angle, which stands nowhere in the matrix: see `rotation`."""

    aspect: float = 1.0

    def _read(self, matrix: Tensor) -> Tensor:
        return torch.atan2(matrix[:, 1, :1] / self.aspect, matrix[:, 0, :1])


def rotation(aspect: float = 1.0) -> RotationFamily:
    """The family of rotations about the centre: θ (N, 1) is the angle in radians.

    The view turns from x towards y, clockwise on screen, and so what it shows turns the other way.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    aspect : float
        Width over height of the image, and of the output, in pixels; less one pixel each with
        ``align_corners=True``. Normalised coordinates stretch an image that is not square, so that
        with another aspect a rotation shears it.

    Returns
    -------
    RotationFamily
        Named `rotation`.

    Raises
    ------
    ValueError
        One line, where `aspect` is no positive number.
    """
    require("aspect", aspect, number(above=0))
    aspect = float(aspect)
    return RotationFamily("rotation", (0.0,), partial(_turned, aspect=aspect), (), aspect=aspect)


def _turned(angle: Tensor, *, aspect: float, one: Tensor, zero: Tensor) -> tuple[Tensor, ...]:
    cos, sin = torch.cos(angle), torch.sin(angle)
    return cos, -sin / aspect, zero, sin * aspect, cos, zero, zero, zero, one


def window(scale: float | Sequence[float]) -> PlanarFamily:
    """The family of views of one fixed size: θ (N, 2) is their centre, (tx, ty).

    Its `identity`, θ = 0, is the view of that size in the middle of the image.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    scale : float | Sequence[float]
        Share of the image's sides that the view spans, a positive number or two, for x and y. With
        (w / W, h / H) and ``align_corners=False`` an output of (h, w) shows the image's pixels as
        they are; with True that scale is ((w - 1) / (W - 1), (h - 1) / (H - 1)).

    Returns
    -------
    PlanarFamily
        Named `window`.

    Raises
    ------
    ValueError
        One line, where `scale` is not one or two positive numbers.
    """
    scales = tuple(scale) if isinstance(scale, list | tuple) else (scale, scale)
    if len(scales) != 2 or any(map(number(above=0), scales)):
        raise ValueError(f"scale must be a positive number or two of them, not {shown(scale)}")
    entries = partial(_windowed, sx=float(scales[0]), sy=float(scales[1]))
    return PlanarFamily("window", (0.0, 0.0), entries, (2, 5))


def _windowed(
    tx: Tensor, ty: Tensor, *, sx: float, sy: float, one: Tensor, zero: Tensor
) -> tuple[Tensor, ...]:
    return sx * one, zero, tx, zero, sy * one, ty, zero, zero, one
