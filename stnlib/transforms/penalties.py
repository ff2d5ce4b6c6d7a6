"""Terms for the loss that keep a transformer's view where it can learn.

They take a grid, and so serve every family. ``SpatialTransformer.locate`` gives the grid::

    loss = task_loss + 0.1 * outside(grid) + 0.01 * displacement(grid)

Convention
----------
A grid holds, for each pixel of the *output*, the point of the *input* that it is read from. A point
is (x, y), x to the right and y down, normalised so that the input is [-1, 1] both ways. With
``align_corners=True``, -1 and 1 are the centres of the outermost pixels; with False they are the
outer edges of the image.
"""

from __future__ import annotations

from torch import Tensor

from stnlib.checks.tensors import check_grid
from stnlib.transforms.matrices import base_grid

__all__ = ["displacement", "outside", "resizing"]


def outside(grid: Tensor) -> Tensor:
    """Mean squared distance of sampling points from the image; 0 within.

    Where every point is outside, zero padding leaves θ no gradient; this has one.

    Convention: see the module.

    Parameters
    ----------
    grid : Tensor
        (N, h, w, 2), floating point.

    Returns
    -------
    Tensor
        (), 0 or more, in squared half image sides; differentiable.

    Raises
    ------
    TypeError, ValueError
        One line, where `grid` is of another type or shape.
    """
    check_grid("grid", grid)
    return (grid.abs() - 1).clamp_min(0).square().sum(dim=-1).mean()


def displacement(grid: Tensor, align_corners: bool = True) -> Tensor:
    """Mean squared distance of sampling points from where the identity reads: its penalty.

    It holds θ of any family near the identity, weighted by what an entry does to the grid.

    Convention: see the module.

    Parameters
    ----------
    grid : Tensor
        (N, h, w, 2), floating point.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels.

    Returns
    -------
    Tensor
        (), 0 or more, in squared half image sides; differentiable.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is of another type or shape.
    """
    return (grid - _identity(grid, align_corners)).square().sum(dim=-1).mean()


def resizing(grid: Tensor, align_corners: bool = True) -> Tensor:
    """Mean squared relative change of the view's area: 0 where it spans what the identity does.

    A view that is mirrored has a negative area; one of a single point costs 1.

    Convention: see the module.

    Parameters
    ----------
    grid : Tensor
        (N, h, w, 2), floating point; h and w at least 2.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels.

    Returns
    -------
    Tensor
        (), 0 or more; differentiable.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is of another type or shape.
    """
    base = _identity(grid, align_corners)
    return (_area(grid) / _area(base[None]) - 1).square().mean()


def _identity(grid: Tensor, align_corners: bool) -> Tensor:
    """The identity's grid of that size, (h, w, 2), after a look at the argument."""
    check_grid("grid", grid)
    height, width = grid.shape[1:3]
    return base_grid((height, width), align_corners, dtype=grid.dtype, device=grid.device)


def _area(grid: Tensor) -> Tensor:
    """Twice the area between the four corners, (N,): the cross product of the diagonals."""
    falling, rising = grid[:, -1, -1] - grid[:, 0, 0], grid[:, -1, 0] - grid[:, 0, -1]
    return falling[:, 0] * rising[:, 1] - falling[:, 1] * rising[:, 0]
