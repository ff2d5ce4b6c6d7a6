"""θ of affine transforms, taken apart and summarised."""

from __future__ import annotations

import torch
from torch import Tensor

from stnlib.checks.tensors import check_tensor

__all__ = ["as_affine", "decompose", "theta_summary"]


def as_affine(theta: Tensor) -> Tensor:
    """θ as (N, 2, 3), or TypeError or ValueError where it is not that of affine transforms.

    Whole numbers become float32.
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

    Parameters
    ----------
    theta : (N, 6), (N, 2, 3) or (N, 3, 3) float, normalised coordinates.

    Returns
    -------
    dict of (N,) tensors: `scale_x`, `scale_y` (negative when mirrored), `scale` (root of
    the absolute determinant), `rotation` in degrees in (-180, 180], `shear`, `tx`, `ty`.
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

    Returns
    -------
    dict with ``<quantity>_mean`` and ``<quantity>_std`` for `scale`, `rotation`, `shear`,
    `tx` and `ty` of `decompose`; the rotation's mean is not circular and means something
    only away from ±180 degrees.
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
