"""θ of affine transforms, taken apart and summarised.

Convention
----------
θ maps points of the *output* to the points of the *input* that they are read from. A point is
(x, y), x to the right and y down, normalised so that either image is [-1, 1] both ways. Where -1
and 1 are, at centres or edges of the outermost pixels, is as θ was made; nothing here depends on
it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stnlib.checks.tensors import check_tensor

__all__ = ["as_affine", "decompose", "theta_summary"]


def as_affine(theta: Tensor) -> Tensor:
    """θ as two rows of a matrix.

    Convention: see the module.

    Parameters
    ----------
    theta : Tensor
        (N, 6), (N, 2, 3) or, with last rows 0 0 1, (N, 3, 3); floating point or whole numbers.

    Returns
    -------
    Tensor
        (N, 2, 3), of the same dtype; float32 for whole numbers.

    Raises
    ------
    TypeError, ValueError
        One line, where θ is of another type or shape, or not affine.
    """
    if isinstance(theta, Tensor) and theta.dtype in (torch.int32, torch.int64):
        theta = theta.float()
    check_tensor("theta", theta)
    if theta.ndim == 2 and theta.shape[-1] == 6:
        return theta.reshape(-1, 2, 3)
    if theta.ndim == 3 and theta.shape[-2:] == (2, 3):
        return theta
    if theta.ndim == 3 and theta.shape[-2:] == (3, 3):
        last = theta[:, 2]
        if not ((last == last.new_tensor([0, 0, 1])) | last.isnan()).all():
            raise ValueError("theta of shape (N, 3, 3) must have last rows 0 0 1, to be affine")
        return theta[:, :2]
    raise ValueError(
        f"theta must have shape (N, 6), (N, 2, 3) or (N, 3, 3), not {tuple(theta.shape)}"
    )


def decompose(theta: Tensor) -> dict[str, Tensor]:
    """Split affine transforms into scale, rotation, shear and translation.

    The linear part is factored as rotation times upper triangle,
    ``A = R(rotation) [[scale_x, shear · scale_y], [0, scale_y]]``. θ maps output to
    input coordinates, so a scale below 1 magnifies, and a positive rotation samples
    along axes turned from x towards y (clockwise on screen, y pointing down).

    Convention: see the module.

    Parameters
    ----------
    theta : Tensor
        (N, 6), (N, 2, 3) or (N, 3, 3), floating point, affine.

    Returns
    -------
    dict[str, Tensor]
        Each (N,): `scale_x`, `scale_y` (negative when mirrored), `scale` (root of the absolute
        determinant), `rotation` in degrees in (-180, 180], `shear`, and `tx` and `ty` in half image
        sides.

    Raises
    ------
    TypeError, ValueError
        One line, where θ is of another type or shape, or not affine.
    """
    matrix = as_affine(theta)
    (a, b, tx), (c, d, ty) = (row.unbind(-1) for row in matrix.unbind(-2))
    scale_x = torch.hypot(a, c)
    determinant = a * d - b * c
    safe = scale_x.clamp_min(torch.finfo(matrix.dtype).tiny)
    scale_y = determinant / safe
    tiny = torch.finfo(matrix.dtype).eps
    shear = torch.where(scale_y.abs() <= tiny, 0.0, (a * b + c * d) / safe / scale_y)
    return {
        "scale_x": scale_x,
        "scale_y": scale_y,
        "scale": determinant.abs().sqrt(),
        "rotation": torch.rad2deg(torch.atan2(c, a)),
        "shear": shear,
        "tx": tx,
        "ty": ty,
    }


def theta_summary(theta: Tensor) -> dict[str, float]:
    """Mean and standard deviation over images of scale, rotation, shear and translation.

    Convention: see the module.

    Parameters
    ----------
    theta : Tensor
        (N, 6), (N, 2, 3) or (N, 3, 3), floating point, affine; N at least 1.

    Returns
    -------
    dict[str, float]
        ``<quantity>_mean`` and ``<quantity>_std`` for `scale`, `rotation`, `shear`, `tx` and `ty`
        of `decompose`; the rotation's mean is not circular and means something only away from
        ±180 degrees.

    Raises
    ------
    TypeError, ValueError
        One line, where θ is of another type or shape, or not affine.
    """
    matrix = as_affine(theta)
    if not len(matrix):
        raise ValueError("theta must have at least one image")
    parts = decompose(matrix.float())
    summary = {}
    for name in ("scale", "rotation", "shear", "tx", "ty"):
        summary[f"{name}_mean"] = parts[name].mean().item()
        summary[f"{name}_std"] = parts[name].std(correction=0).item()
    return summary
