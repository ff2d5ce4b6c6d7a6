"""The families of transforms: what each parameter of θ means, and how θ becomes a grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stnlib.checks.tensors import at_least_float32, check_tensor, is_symbolic, tracing
from stnlib.checks.values import number, shown
from stnlib.transforms import matrices

__all__ = ["BoundedFamily", "Family", "NonFiniteError", "PlanarFamily", "bounded"]


class NonFiniteError(ValueError):
    """θ has infinities or NaN: in training, the mark of a run that diverged."""


@dataclass(frozen=True)
class Family:
    """A family of transforms: a name, the number P of its parameters, and its identity.

    θ has shape (N, P) everywhere, is floating point and is checked: another type is a TypeError, a
    wrong shape or a value that is not finite a ValueError. Half-precision θ is taken to float32
    first.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    name : str
        What errors call it.
    neutral : tuple[float, ...]
        θ of the identity: P finite numbers.
    """

    name: str
    neutral: tuple[float, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string, not {shown(self.name)}")
        if not isinstance(self.neutral, tuple) or not all(map(_is_finite, self.neutral)):
            raise ValueError(f"neutral must be a tuple of numbers, not {shown(self.neutral)}")

    @property
    def n_parameters(self) -> int:
        """P, the number of entries of θ."""
        return len(self.neutral)

    def identity(self) -> Tensor:
        """θ of the transform that changes nothing: (P,), float32."""
        return torch.tensor(self.neutral)

    def constrain(self, theta: Tensor) -> Tensor:
        """θ after its bounds, if the family has any.

        Parameters
        ----------
        theta : Tensor
            (N, P), floating point, finite.

        Returns
        -------
        Tensor
            (N, P), at least float32.
        """
        return self.check(theta)

    def grid(self, theta: Tensor, size: tuple[int, int], align_corners: bool = True) -> Tensor:
        """Where each pixel of the output is read in the input.

        Parameters
        ----------
        theta : Tensor
            (N, P), floating point, finite.
        size : tuple[int, int]
            Height and width of the output in pixels, at least 1.
        align_corners : bool
            Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels.

        Returns
        -------
        Tensor
            (N, H, W, 2), at least float32.
        """
        raise NotImplementedError

    def matrix(self, theta: Tensor) -> Tensor:
        """The transforms as matrices.

        Parameters
        ----------
        theta : Tensor
            (N, P), floating point, finite.

        Returns
        -------
        Tensor
            (N, 3, 3), from points of the output to points of the input.

        Raises
        ------
        ValueError
            Where the family has no matrix.
        """
        raise ValueError(f"family {self.name} has no matrix")

    def control_points(self, theta: Tensor) -> Tensor:
        """Where the control points are read in the input.

        Parameters
        ----------
        theta : Tensor
            (N, P), floating point, finite.

        Returns
        -------
        Tensor
            (N, K, 2), row by row.

        Raises
        ------
        ValueError
            Where the family has no control points.
        """
        raise ValueError(f"family {self.name} has no control points")

    def from_matrix(self, matrix: Tensor) -> Tensor:
        """θ that gives these matrices.

        Parameters
        ----------
        matrix : Tensor
            (N, 3, 3), floating point; a multiple of a matrix is the same transform.

        Returns
        -------
        Tensor
            (N, P), of the matrix's dtype.

        Raises
        ------
        TypeError, ValueError
            One line, where `matrix` is of another type or shape, or no θ gives it.
        """
        raise ValueError(f"family {self.name} cannot be made from a matrix")

    def check(self, theta: Tensor) -> Tensor:
        """Return θ in at least float32.

        Parameters
        ----------
        theta : Tensor
            What was handed over.

        Returns
        -------
        Tensor
            (N, P), float32 or float64.

        Raises
        ------
        TypeError
            Where θ is no dense floating-point tensor.
        NonFiniteError, ValueError
            Where θ has infinities or NaN, unless its numbers cannot be looked at: in a program that
            is recorded, a CUDA graph or `torch.func.vmap`; where it has another shape.
        """
        check_tensor("theta", theta)
        traced = tracing()
        if not traced and (theta.ndim != 2 or theta.shape[1] != self.n_parameters):
            raise ValueError(
                f"theta must have shape (N, {self.n_parameters}) for family {self.name}, "
                f"not {tuple(theta.shape)}"
            )
        if not is_symbolic(theta) and not torch.isfinite(theta).all():
            raise NonFiniteError("theta must be finite, but has infinities or NaN")
        return at_least_float32(theta)


@dataclass(frozen=True)
class PlanarFamily(Family):
    """A family whose transforms are matrices.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    name : str
        What errors call it.
    neutral : tuple[float, ...]
        θ of the identity: P finite numbers.
    entries : Callable[..., tuple[Tensor, ...]]
        Makes the nine entries, row by row, of P columns of θ and of `one` and `zero`; each (N,).
    positions : tuple[int, ...]
        Where in the flattened matrix each entry of θ stands.
    affine : bool
        Whether every last row is 0 0 1.
    """

    entries: Callable[..., tuple[Tensor, ...]]
    positions: tuple[int, ...]
    affine: bool = True

    def matrix(self, theta: Tensor) -> Tensor:
        theta = self.constrain(theta)
        one, zero = torch.ones_like(theta[:, 0]), torch.zeros_like(theta[:, 0])
        values = self.entries(*theta.unbind(1), one=one, zero=zero)
        return torch.stack(values, dim=1).reshape(-1, 3, 3)

    def grid(self, theta: Tensor, size: tuple[int, int], align_corners: bool = True) -> Tensor:
        matrix = self.matrix(theta)
        return matrices.matrix_grid(matrix, size, align_corners, affine=self.affine)

    def from_matrix(self, matrix: Tensor) -> Tensor:
        matrices.check_matrix(matrix, "matrix")
        if (matrix[:, 2, 2] == 0).any():
            raise ValueError("matrix must have a last entry other than 0")
        matrix = matrix / matrix[:, 2:, 2:]  # a multiple of a matrix is the same transform
        theta = self._read(matrix)
        if not len(matrix):
            return theta
        error = (self.matrix(theta) - matrix).abs().amax()
        if error > 100 * torch.finfo(matrix.dtype).eps * matrix.abs().amax():
            raise ValueError(f"matrix must be of family {self.name}, is off by {float(error):.2g}")
        return theta

    def _read(self, matrix: Tensor) -> Tensor:
        return matrix.flatten(1)[:, list(self.positions)]


@dataclass(frozen=True)
class BoundedFamily(Family):
    """Another family with every parameter held near its identity, by a tanh; see `bounded`.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    name : str
        What errors call it.
    neutral : tuple[float, ...]
        θ of the identity: P finite numbers.
    base : Family
        The other family.
    limit : tuple[float, ...]
        How far each entry of θ may be from the identity's: P positive numbers.
    """

    base: Family
    limit: tuple[float, ...]

    def constrain(self, theta: Tensor) -> Tensor:
        theta = self.check(theta)
        neutral, limit = theta.new_tensor(self.neutral), theta.new_tensor(self.limit)
        return neutral + limit * torch.tanh((theta - neutral) / limit)

    def grid(self, theta: Tensor, size: tuple[int, int], align_corners: bool = True) -> Tensor:
        return self.base.grid(self.constrain(theta), size, align_corners)

    def matrix(self, theta: Tensor) -> Tensor:
        return self.base.matrix(self.constrain(theta))

    def control_points(self, theta: Tensor) -> Tensor:
        return self.base.control_points(self.constrain(theta))

    def from_matrix(self, matrix: Tensor) -> Tensor:
        theta = self.base.from_matrix(matrix)
        neutral, limit = theta.new_tensor(self.neutral), theta.new_tensor(self.limit)
        share = (theta - neutral) / limit
        if not (share.abs() < 1).all():
            raise ValueError(f"matrix must lie within the bounds of family {self.name}")
        return neutral + limit * torch.atanh(share)


def bounded(family: Family, limit: float | Sequence[float]) -> BoundedFamily:
    """The family with θ kept within `limit` of the identity.

    θ ↦ identity + limit · tanh((θ - identity) / limit): the same identity and, near it, the same
    θ and the same step sizes; far from it, no gradient.

    Parameters
    ----------
    family : Family
        Any.
    limit : float | Sequence[float]
        A positive number, or one for each entry of θ.

    Returns
    -------
    BoundedFamily
        With the same identity.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    if not isinstance(family, Family):
        raise TypeError(f"family must be a Family, as of stnlib.transforms, not {shown(family)}")
    limits: tuple[Any, ...] = (
        tuple(limit) if isinstance(limit, list | tuple) else (limit,) * family.n_parameters
    )
    positive = all(_is_finite(n) and n > 0 for n in limits)
    if len(limits) != family.n_parameters or not positive:
        raise ValueError(
            f"limit must be a positive number or {family.n_parameters} of them, not {shown(limit)}"
        )
    limits = tuple(map(float, limits))
    return BoundedFamily(f"bounded {family.name}", family.neutral, family, limits)


def _is_finite(value: object) -> bool:
    return number()(value) is None
