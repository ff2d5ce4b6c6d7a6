"""What a spatial transformer does with its input, as numbers.

Imports nothing but torch, so that it can be used on anyone's network.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "black_share",
    "coverage",
    "decompose",
    "footprint",
    "object_coverage",
    "pose_summary",
    "theta_summary",
]


def coverage(grid: Tensor) -> Tensor:
    """Share of sampling points that lie inside the image.

    Parameters
    ----------
    grid : (N, H, W, 2) float, normalised (x, y); with `align_corners=True` ±1 are the
        centres of the outermost pixels, otherwise the image's edges.

    Returns
    -------
    (N,) float32 in [0, 1]; NaN coordinates count as outside.
    """
    if grid.ndim != 4 or grid.shape[-1] != 2:
        raise ValueError(f"grid must have shape (N, H, W, 2), not {tuple(grid.shape)}")
    return (grid.abs() <= 1).all(dim=-1).float().mean(dim=(1, 2))


def black_share(images: Tensor, threshold: float = 1 / 255) -> Tensor:
    """Share of images in which no pixel reaches `threshold`, as a scalar.

    The threshold is above zero because the clipped sampler's weights cancel only up
    to rounding when θ is large.

    Parameters
    ----------
    images : (N, C, H, W) float, nominally in [0, 1].
    """
    return (images.abs().flatten(1).amax(dim=1) < threshold).float().mean()


def _affine(theta: Tensor) -> Tensor:
    if theta.shape[-1] == 6 and theta.ndim == 2:
        return theta.reshape(-1, 2, 3)
    if theta.ndim == 3 and theta.shape[-2:] in ((2, 3), (3, 3)):
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
    matrix = _affine(theta)
    (a, b, tx), (c, d, ty) = (row.unbind(-1) for row in matrix.unbind(-2))
    scale_x = torch.hypot(a, c)
    determinant = a * d - b * c
    safe = scale_x.clamp_min(torch.finfo(theta.dtype).tiny)
    scale_y = determinant / safe
    tiny = torch.finfo(theta.dtype).eps
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
    parts = decompose(theta.float())
    summary = {}
    for name in ("scale", "rotation", "shear", "tx", "ty"):
        summary[f"{name}_mean"] = parts[name].mean().item()
        summary[f"{name}_std"] = parts[name].std(correction=0).item()
    return summary


def footprint(grid: Tensor) -> Tensor:
    """Outline of the sampled region in the input's coordinates.

    Parameters
    ----------
    grid : (N, H, W, 2) float, normalised (x, y).

    Returns
    -------
    (N, 2 (H + W) - 3, 2) float: the grid's border points, clockwise from the top left
    corner and back to it, ready to be drawn as a line.
    """
    top, right = grid[:, 0], grid[:, 1:, -1]
    bottom, left = grid[:, -1, :-1].flip(1), grid[:, :-1, 0].flip(1)
    return torch.cat([top, right, bottom, left], dim=1)


def _through(theta: Tensor, points: Tensor) -> Tensor:
    """Points (P, 2) or (N, P, 2) sent through affine transforms: (N, P, 2)."""
    matrix = _affine(theta)
    return points @ matrix[:, :, :2].mT + matrix[:, None, :, 2]


def object_coverage(theta: Tensor, points: Tensor) -> Tensor:
    """Share of an object that an affine transformer still shows.

    Unlike `coverage`, it does not count empty canvas as seen, and zooming out loses nothing.

    Parameters
    ----------
    theta : (N, 6), (N, 2, 3) or (N, 3, 3) float, output to input.
    points : (N, P, 2) float, points of the object in the input, normalised (x, y) as the grid.

    Returns
    -------
    (N,) float32 in [0, 1]: of the points, those that lie within the output. Where θ cannot be
    inverted or is not finite, nothing is seen: 0.
    """
    matrix = _affine(theta).double()
    linear, shift = matrix[:, :, :2], matrix[:, None, :, 2]
    inverse, singular = torch.linalg.inv_ex(linear)
    inverse = torch.where(singular.bool()[:, None, None], torch.nan, inverse)
    inside = ((points.double() - shift) @ inverse.mT).abs() <= 1 + 1e-6  # the edge, rounded
    return inside.all(dim=-1).float().mean(dim=1)


def pose_summary(theta: Tensor, truth: Tensor, points: Tensor, size: int) -> dict[str, float]:
    """How far affine θ are from those that would undo each image's distortion.

    Parameters
    ----------
    theta, truth : (N, 6), (N, 2, 3) or (N, 3, 3) float, predicted and true, output to input.
    points : (P, 2) float, points of the object where it is upright, normalised (x, y).
    size : height and width of the input in pixels.

    Returns
    -------
    dict with `theta_error`, the root mean square distance in pixels between where θ and where
    the true θ looks for the object's points; `object_coverage`, its mean over images; and
    `undone_rotation`, `undone_tx`, `undone_ty`: slopes of the least-squares lines from the
    true values to the predicted ones, 1 where the distortion is undone, 0 where ignored.
    """
    theta, truth = theta.double(), truth.double()
    places = _through(truth, points.double())
    distance = (_through(theta, points.double()) - places).square().sum(-1)
    summary = {
        "theta_error": distance.mean().sqrt().item() * (size - 1) / 2,
        "object_coverage": object_coverage(theta, places).mean().item(),
    }
    found, wanted = decompose(theta), decompose(truth)
    for name in ("rotation", "tx", "ty"):
        x = wanted[name] - wanted[name].mean()
        slope = (x * found[name]).sum() / x.square().sum()
        summary[f"undone_{name}"] = slope.item()
    return summary
