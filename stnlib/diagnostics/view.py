"""The view: the part of the image that a transformer's grid spans, in input pixels.

Convention
----------
A grid holds, for each pixel of the *output*, the point of the *input* that it is read from. A point
is (x, y), x to the right and y down, normalised so that the input is [-1, 1] both ways; -1 and 1
are the centres of the outermost pixels (``align_corners=True``).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from stnlib.checks.tensors import check_grid, check_tensor
from stnlib.checks.values import shown, whole

__all__ = ["corner_spread", "view_corners", "view_pixels"]


def view_corners(grid: Tensor) -> Tensor:
    """The grid's corner points.

    Convention: see the module.

    Parameters
    ----------
    grid : Tensor
        (N, h, w, 2), floating point.

    Returns
    -------
    Tensor
        (N, 4, 2), row by row, of the grid's dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where `grid` is of another type or shape.
    """
    check_grid("grid", grid)
    return grid[:, [0, 0, -1, -1], [0, -1, 0, -1]]


def corner_spread(corners: Tensor, size: tuple[int, int]) -> float:
    """How much views differ between images, in input pixels; 0 where all have one θ.

    The largest standard deviation over images of a corner's x or y. Below 0.01 a transformer is
    blind, below 0.5 idle: see `stnlib.records.outcome`.

    Convention: see the module.

    Parameters
    ----------
    corners : Tensor
        (N, 4, 2), floating point, of `view_corners`; N at least 1.
    size : tuple[int, int]
        Height and width of the input in pixels.

    Returns
    -------
    float
        0 or more, in input pixels.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    check_tensor("corners", corners)
    if corners.ndim != 3 or corners.shape[1:] != (4, 2) or len(corners) == 0:
        raise ValueError(f"corners must have shape (N, 4, 2), not {tuple(corners.shape)}")
    return (corners.double().std(dim=0, correction=0) * _half(corners, size)).max().item()


def view_pixels(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """The larger side of the upright box around each view, in input pixels.

    Convention: see the module.

    Parameters
    ----------
    grid : Tensor
        (N, h, w, 2), floating point.
    size : tuple[int, int]
        Height and width of the input in pixels.

    Returns
    -------
    Tensor
        (N,), 0 or more, of the grid's dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    check_grid("grid", grid)
    points = grid.flatten(1, 2)
    return ((points.amax(dim=1) - points.amin(dim=1)) * _half(grid, size)).amax(dim=1)


def _half(like: Tensor, size: tuple[int, int]) -> Tensor:
    if not isinstance(size, Sequence) or len(size) != 2 or any(map(whole(1), size)):
        raise ValueError(f"size must be the height and width in pixels, not {shown(size)}")
    height, width = size
    return like.new_tensor([(width - 1) / 2, (height - 1) / 2])
