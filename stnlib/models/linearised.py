"""Linearised multi-sampling: bilinear values, and the slope of a plane fitted around each point.

Source: Jiang et al., "Linearized Multi-Sampling for Differentiable Image Transformation" (2019),
equations 2 and 7; number and spread of the points are the defaults of their code.

Convention
----------
That of `stnlib.sampler`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stnlib.sampler import sample_native

__all__ = ["sample_linearised"]

_POINTS = 7  # around each, besides itself


def sample_linearised(
    image: Tensor, grid: Tensor, *, padding: str = "zeros", align_corners: bool = True
) -> Tensor:
    """PyTorch's values, with another derivative by the grid.

    Around each point the image is read at seven more, drawn anew in each call from PyTorch's
    generator: normal, with a deviation of one pixel of the image and a quarter of one of the
    output, added as variances. The derivative is the slope of the plane that fits them best; the
    bilinear one knows of four pixels alone. The image's own derivative is the bilinear one.

    Convention: see the module.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W), floating point, none of the sizes 0 but N.
    grid : Tensor
        (N, h, w, 2), of the image's dtype and on its device.
    padding : str
        What lies outside of the image: `zeros`, `border` (the nearest pixel) or `reflection`.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels.

    Returns
    -------
    Tensor
        (N, C, h, w), of the same dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    if not isinstance(grid, Tensor) or not grid.requires_grad:  # nothing asks for a slope
        return sample_native(image, grid, padding=padding, align_corners=align_corners)
    centre = grid.detach()
    value = sample_native(image, centre, padding=padding, align_corners=align_corners)
    sides = zip((image.shape[3], image.shape[2]), (grid.shape[2], grid.shape[1]), strict=True)
    spread = [math.hypot(2 / side, 0.5 / shown) for side, shown in sides]
    with torch.no_grad():
        steps = grid.new_tensor(spread) * torch.randn(_POINTS, *grid.shape).to(grid)
        around = [
            sample_native(image, centre + step, padding=padding, align_corners=align_corners)
            for step in steps
        ]
        x, y = _slopes(steps, torch.stack(around))
    offset = (grid - centre).unsqueeze(1)  # 0, with a derivative
    return value + x * offset[..., 0] + y * offset[..., 1]


def _slopes(steps: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares: slopes by x and y, (N, C, h, w), of values (K, N, C, h, w) at K steps."""
    x, y = (steps - steps.mean(dim=0)).unsqueeze(2).unbind(-1)  # so the plane's height is free
    xx, xy, yy = (x * x).sum(0), (x * y).sum(0), (y * y).sum(0)
    by_x, by_y = (x * values).sum(0), (y * values).sum(0)
    determinant = xx * yy - xy * xy
    return (yy * by_x - xy * by_y) / determinant, (xx * by_y - xy * by_x) / determinant
