"""What is done to training images, a batch at a time, where they are."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["apply", "clutter", "flip", "warp"]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Exchange left and right with probability 1/2, each image on its own: (N, C, H, W)."""
    coin = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(coin[:, None, None, None], images.flip(3), images)


def warp(
    images: Tensor,
    generator: torch.Generator,
    degrees: float = 15.0,
    scale: float = 0.15,
    shift: float = 0.1,
) -> Tensor:
    """Turn, zoom and shift each image by amounts of its own, drawn uniformly.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), float32; what comes in from outside is 0.
    generator : torch.Generator
        On the images' device.
    degrees : float
        Largest rotation either way.
    scale : float
        Largest change of the magnification, relative, each axis on its own.
    shift : float
        Largest shift along each axis, as a share of half the image.
    """
    n = len(images)
    u = torch.rand(n, 5, generator=generator, device=images.device) * 2 - 1
    angle = u[:, 0] * math.radians(degrees)
    sx, sy = 1 + scale * u[:, 1], 1 + scale * u[:, 2]
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [cos * sx, -sin * sy, shift * u[:, 3], sin * sx, cos * sy, shift * u[:, 4]]
    theta = torch.stack(rows, dim=1).view(n, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, align_corners=True)


def clutter(
    images: Tensor, generator: torch.Generator, patches: int = 3, patch_size: int = 5
) -> Tensor:
    """Paste scraps of other images of the batch, the brighter pixel winning.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), float32; N > 1 for scraps of *other* images.
    generator : torch.Generator
        On the images' device.
    patches : int
        Scraps an image.
    patch_size : int
        Their height and width in pixels.
    """
    n, channels, height, width = images.shape
    device, out = images.device, images.clone()
    span = torch.arange(patch_size, device=device)
    every, color = torch.arange(n, device=device)[:, None, None, None], torch.arange(channels)
    color = color.to(device)[None, :, None, None]
    for _ in range(patches):
        other = torch.roll(torch.arange(n, device=device), 1 + int(_draw(n - 1, 1, generator)))
        y, x, v, u = (
            _draw(side - patch_size + 1, n, generator)[:, None] + span
            for side in (height, width, height, width)
        )
        scraps = images[other[:, None, None, None], color, y[:, None, :, None], x[:, None, None, :]]
        place = (every, color, v[:, None, :, None], u[:, None, None, :])
        out[place] = torch.maximum(out[place], scraps)
    return out


def _draw(below: int, n: int, generator: torch.Generator) -> Tensor:
    return torch.randint(max(below, 1), (n,), generator=generator, device=generator.device)


def apply(name: str, images: Tensor, generator: torch.Generator) -> Tensor:
    """Do to a batch what a configuration's `augment` names.

    Parameters
    ----------
    name : str
        `none`, `flip`, `warp`, `clutter` or `warp+clutter`.
    images : Tensor
        (N, C, H, W), float32.
    generator : torch.Generator
        On the images' device; the only source of randomness.
    """
    for step in _STEPS[name]:
        images = step(images, generator)
    return images


_STEPS = {
    "none": (),
    "flip": (flip,),
    "warp": (warp,),
    "clutter": (clutter,),
    "warp+clutter": (warp, clutter),
}
