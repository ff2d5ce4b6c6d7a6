"""Thin-plate splines: the smoothest map that takes given points to given points.

The K control points of the output are a regular grid over [-1, 1]²; θ displaces the points
at which they are read. Between them f(p) = A (p, 1) + Σ_k w_k r_k² log r_k² bends least, where r_k
is the distance of p to control point k. The weights solve a linear system that depends on the
control points alone, so that the grid is *linear* in θ: one matrix product.

Source: Bookstein, "Principal warps" (1989); Jaderberg et al. (2015), section 3.2.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stnlib.checks.tensors import is_symbolic
from stnlib.checks.values import require, whole
from stnlib.transforms import matrices
from stnlib.transforms.families import Family

__all__ = ["SplineFamily", "spline_family"]


@dataclass(frozen=True)
class SplineFamily(Family):
    """θ (N, 2K): displacements (dx, dy) of the control points, point by point, row by row.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    name : str
        What errors call it.
    neutral : tuple[float, ...]
        θ of the identity: 2 K zeros.
    points : tuple[int, int]
        Rows and columns of control points; K is their product.
    """

    points: tuple[int, int] = (4, 4)
    _weights: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        # Here, and not where it is used: a program that is recorded needs no solver then.
        object.__setattr__(self, "_weights", _solve(self.points))

    def control_points(self, theta: Tensor) -> Tensor:
        theta = self.constrain(theta)
        fixed = matrices.base_grid(self.points, dtype=theta.dtype, device=theta.device)
        return fixed.reshape(-1, 2) + theta.reshape(-1, len(self.neutral) // 2, 2)

    def grid(self, theta: Tensor, size: tuple[int, int], align_corners: bool = True) -> Tensor:
        theta = self.constrain(theta)
        base = matrices.base_grid(size, align_corners, dtype=theta.dtype, device=theta.device)
        # In a recorded program a size may be unknown, and a tensor is none that is to be kept. A
        # CUDA graph takes what earlier steps have left on the GPU: it may copy nothing there.
        captured = theta.is_cuda and torch.cuda.is_current_stream_capturing()
        kept = captured or not is_symbolic(theta)
        place = (theta.dtype, theta.device) if kept else (torch.float64, torch.device("cpu"))
        make = _influence if kept else _influence.__wrapped__
        influence = make(self, tuple(size), align_corners, *place).to(theta, copy=True)
        with torch.autocast(theta.device.type, enabled=False):  # bfloat16 would move the points
            shift = influence @ theta.unflatten(1, (-1, 2))
        return base + shift.reshape(-1, *size, 2)

    def from_matrix(self, matrix: Tensor) -> Tensor:
        """θ of an affine matrix, which a spline repeats exactly.

        Parameters
        ----------
        matrix : Tensor
            (N, 3, 3), floating point, with last rows 0 0 1.

        Returns
        -------
        Tensor
            (N, 2K), of the matrix's dtype.

        Raises
        ------
        TypeError, ValueError
            One line, where `matrix` is of another type or shape, or is not affine.
        """
        matrices.check_matrix(matrix, "matrix")
        fixed = matrices.base_grid(self.points, dtype=matrix.dtype, device=matrix.device)
        if (matrix[:, 2, :2] != 0).any():
            raise ValueError(f"matrix must be affine for family {self.name}")
        return (matrices.apply(matrix, fixed) - fixed).flatten(1)


def spline_family(rows: int = 4, columns: int = 4, name: str = "tps") -> SplineFamily:
    """A thin-plate-spline family with rows × columns control points.

    Parameters
    ----------
    rows, columns : int
        At least 2.
    name : str
        What errors call it.

    Returns
    -------
    SplineFamily
        Its θ has 2 · rows · columns entries.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    require("rows", rows, whole(2))
    require("columns", columns, whole(2))
    return SplineFamily(name, (0.0,) * (2 * rows * columns), (rows, columns))


def kernel(squared: Tensor) -> Tensor:
    """r² log r² of squared distances; 0 at 0."""
    return torch.xlogy(squared, squared)


def _basis(p: Tensor, control: Tensor) -> Tensor:
    squared = ((p[:, None] - control) ** 2).sum(-1)
    return torch.cat((kernel(squared), torch.ones_like(p[:, :1]), p), dim=1)


def _solve(points: tuple[int, int]) -> Tensor:
    """Weights of the basis for a control point that moves by one: (K + 3, K), float64."""
    control = matrices.base_grid(points, dtype=torch.float64, device="cpu").reshape(-1, 2)
    count = len(control)
    system = control.new_zeros(count + 3, count + 3)
    system[:count] = _basis(control, control)
    system[count:, :count] = system[:count, count:].T  # weights must not repeat the affine part
    return torch.linalg.inv(system)[:, :count]


@functools.lru_cache(maxsize=32)
def _influence(
    family: SplineFamily,
    size: tuple[int, int],
    align_corners: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """How far each pixel moves when a control point moves by one: (H·W, K)."""
    kind: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
    control = matrices.base_grid(family.points, **kind).reshape(-1, 2)
    pixels = matrices.base_grid(size, align_corners, **kind).reshape(-1, 2)
    return (_basis(pixels, control) @ family._weights).to(device, dtype)
