"""A Gaussian blur: what is coarse is seen from further away."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stnlib.checks.tensors import check_images
from stnlib.checks.values import number, require

__all__ = ["blurred"]


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images after a Gaussian, cut off at three deviations; outside of them all is 0.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), floating point.
    sigma : float
        Standard deviation in pixels, 0 or more.

    Returns
    -------
    Tensor
        Of the images' shape and dtype; with `sigma` 0 the images themselves.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    check_images("images", images)
    require("sigma", sigma, number(least=0))
    radius = int(3 * sigma + 0.5)
    if radius == 0:
        return images
    place = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    weights = (-0.5 * (place / sigma).square()).exp()
    kernel = (weights / weights.sum()).view(1, 1, 1, -1)
    planes = images.flatten(0, 1).unsqueeze(1)
    planes = F.conv2d(planes, kernel, padding=(0, radius))
    planes = F.conv2d(planes, kernel.mT, padding=(radius, 0))
    return planes.view_as(images)
