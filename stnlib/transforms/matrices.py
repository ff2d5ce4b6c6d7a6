"""3×3 matrices of the planar families, and grids made from them.

Convention
----------
A matrix M maps a point (X, Y) of the *output* to the point (x, y) of the *input* that it is read
from: (x w, y w, w) = M (X, Y, 1). x is to the right and y down, normalised so that either image is
[-1, 1] both ways. With ``align_corners=True``, -1 and 1 are the centres of the outermost pixels;
with False they are the outer edges of the image.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from stnlib.checks.tensors import (
    FLOATS,
    at_least_float32,
    check_flag,
    check_same,
    check_tensor,
    recording,
    tracing,
)
from stnlib.checks.values import shown

__all__ = ["apply", "base_grid", "compose", "invert", "matrix_grid"]

# A projective grid divides by w, which vanishes on the horizon; no nearer to it than this.
HORIZON = 1e-6


def base_grid(
    size: tuple[int, int],
    align_corners: bool = True,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Centres of the output's pixels, the identity's grid.

    Convention: see the module.

    Parameters
    ----------
    size : tuple[int, int]
        Height and width in pixels, at least 1.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels.
    dtype : torch.dtype | None
        Floating point; None for PyTorch's default.
    device : torch.device | str | None
        None for PyTorch's default.

    Returns
    -------
    Tensor
        (H, W, 2), normalised (x, y); 0 along a side of one pixel.

    Raises
    ------
    ValueError
        One line, where an argument is not one of the allowed.
    """
    check_size(size)
    check_flag("align_corners", align_corners)
    if dtype is not None and (not isinstance(dtype, torch.dtype) or dtype not in FLOATS):
        raise ValueError(f"dtype must be a floating-point torch.dtype, not {shown(dtype)}")
    _check_device(device)
    y, x = (_axis(n, align_corners, dtype=dtype, device=device) for n in size)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def _axis(n: int, align_corners: bool, **kind: Any) -> Tensor:
    if not isinstance(n, Tensor) and n == 1:
        return torch.zeros(1, **kind)
    if recording():  # n may be unknown, which linspace does not allow; the same up to rounding
        return (2 * torch.arange(n, **kind) + (1 - n)) / (n - 1 if align_corners else n)
    end = 1.0 if align_corners else 1.0 - 1.0 / n
    return torch.linspace(-end, end, n, **kind)


def apply(matrix: Tensor, points: Tensor) -> Tensor:
    """Map all points by each of the matrices.

    Convention: see the module.

    Parameters
    ----------
    matrix : Tensor
        (N, 3, 3), floating point.
    points : Tensor
        (..., 2), floating point, points of the output.

    Returns
    -------
    Tensor
        (N, ..., 2), points of the input; w is held at least 1e-6 from 0, the horizon.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is of another type or shape.
    """
    check_matrix(matrix, "matrix")
    check_tensor("points", points)
    if points.ndim < 1 or points.shape[-1] != 2:
        raise ValueError(f"points must have shape (..., 2), not {tuple(points.shape)}")
    m = matrix.reshape(-1, *[1] * (points.ndim - 1), 3, 3)
    x, y = points[..., 0], points[..., 1]
    return _divide(*(m[..., i, 0] * x + m[..., i, 1] * y + m[..., i, 2] for i in range(3)))


def matrix_grid(
    matrix: Tensor, size: tuple[int, int], align_corners: bool = True, *, affine: bool = False
) -> Tensor:
    """Where each pixel of the output is read.

    The same as `apply` to the base grid, but cheaper: each coordinate is a term of the column
    plus a term of the row. And no matrix product, which autocast would turn into bfloat16, 128
    steps in [0.5, 1).

    Convention: see the module.

    Parameters
    ----------
    matrix : Tensor
        (N, 3, 3), floating point.
    size : tuple[int, int]
        Height and width of the output in pixels, at least 1.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels.
    affine : bool
        Whether the caller knows that the last rows are 0 0 1, which saves the division.

    Returns
    -------
    Tensor
        (N, H, W, 2), of the matrix's dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    check_matrix(matrix, "matrix")
    check_size(size)
    check_flag("align_corners", align_corners)
    check_flag("affine", affine)
    y, x = (_axis(n, align_corners, dtype=matrix.dtype, device=matrix.device) for n in size)
    columns = matrix[:, :, 0, None] * x
    rows = matrix[:, :, 1, None] * y + matrix[:, :, 2, None]
    parts = [columns[:, i, None, :] + rows[:, i, :, None] for i in range(2 if affine else 3)]
    return torch.stack(parts, dim=-1) if affine else _divide(*parts)


def _divide(u: Tensor, v: Tensor, w: Tensor) -> Tensor:
    w = torch.where(w < 0, w.clamp(max=-HORIZON), w.clamp(min=HORIZON))
    return torch.stack((u / w, v / w), dim=-1)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """One matrix for transforming an image by `first` and the result by `second`.

    Matrices map output to input, so this is ``first @ second``: the second's output point is
    taken to the first's output, and that to the input.

    Convention: see the module.

    Parameters
    ----------
    first, second : Tensor
        (N, 3, 3), of one floating-point dtype; either may be (1, 3, 3).

    Returns
    -------
    Tensor
        (N, 3, 3), of the same dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is of another type or shape.
    """
    check_matrix(first, "first")
    check_matrix(second, "second")
    check_same(first=first, second=second)
    if first.shape[0] != second.shape[0] and 1 not in (first.shape[0], second.shape[0]):
        raise ValueError(
            f"first and second must have one batch size, not {first.shape[0]} and {second.shape[0]}"
        )
    return first @ second


def invert(matrix: Tensor) -> Tensor:
    """The matrices that undo these.

    Convention: see the module.

    Parameters
    ----------
    matrix : Tensor
        (N, 3, 3), floating point.

    Returns
    -------
    Tensor
        (N, 3, 3), of the same dtype, from input to output.

    Raises
    ------
    TypeError, ValueError
        One line, where `matrix` is of another type or shape, or one of them is singular.
    """
    check_matrix(matrix, "matrix")
    inverse, info = torch.linalg.inv_ex(at_least_float32(matrix))
    inverse = inverse.to(matrix.dtype)
    # A rounded singular matrix has a huge inverse instead of none.
    condition = torch.linalg.matrix_norm(matrix) * torch.linalg.matrix_norm(inverse)
    singular = (info != 0) | ~(condition * torch.finfo(matrix.dtype).eps < 1)
    if singular.any():
        which = int(singular.nonzero()[0])
        raise ValueError(f"matrix must be invertible, but matrix[{which}] is singular")
    return inverse


def check_size(size: tuple[int, int], name: str = "size") -> None:
    """Raise a ValueError unless `size` is two positive whole numbers."""
    if not isinstance(size, Sequence) or len(size) != 2 or not all(map(_is_side, size)):
        raise ValueError(f"{name} must be two positive whole numbers (H, W), not {shown(size)}")


def _is_side(n: Any) -> bool:
    if isinstance(n, torch.SymInt) or (isinstance(n, Tensor) and tracing()):
        return True  # a side of the images in a program that is recorded
    return isinstance(n, Integral) and not isinstance(n, bool) and 0 < int(n) <= sys.maxsize


def _check_device(device: torch.device | str | None) -> None:
    if device is None or isinstance(device, torch.device):
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError, ValueError):
        raise ValueError(f"device must be one that PyTorch has, not {shown(device)}") from None


def check_matrix(matrix: Tensor, name: str) -> None:
    """Raise a TypeError or ValueError unless `matrix` is (N, 3, 3), floating point."""
    check_tensor(name, matrix)
    if not tracing() and (matrix.ndim != 3 or matrix.shape[1:] != (3, 3)):
        raise ValueError(f"{name} must have shape (N, 3, 3), not {tuple(matrix.shape)}")
