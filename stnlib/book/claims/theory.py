"""The claims about samplers and Adam that need no training."""

from __future__ import annotations

from collections.abc import Callable

import torch

from stnlib.book import walks
from stnlib.book.autopsy.interventions import bilinear_uncaught
from stnlib.book.claims.findings import Finding, found
from stnlib.sampler import SAMPLERS, sample_native
from stnlib.transforms import family

__all__ = ["black_border", "lost_row", "stride"]

SIDE = 16


def _images(border: float) -> torch.Tensor:
    """Bright images, but for the outermost two pixels."""
    generator = torch.Generator().manual_seed(0)
    images = 0.5 + 0.5 * torch.rand(8, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    images[:, :, [0, 1, -2, -1]] *= border
    images[:, :, :, [0, 1, -2, -1]] *= border
    return images


def lost_row() -> Finding:
    """What the clipped sampler makes of an image at the identity."""
    theta = torch.eye(2, 3, dtype=torch.float64).reshape(1, 6).expand(8, 6)
    images, grid = _images(1.0), family("affine").grid(theta, (SIDE, SIDE))
    black = {name: SAMPLERS[name](images, grid)[:, :, -1].abs().max() < 1e-9 for name in SAMPLERS}
    numbers = {"last row black": ", ".join(name for name, is_black in black.items() if is_black)}
    return found(bool(black["clipped"]) and not black["bilinear"], numbers)


def _gradient(sampler: Callable, border: float) -> torch.Tensor:
    """Of the mean output by θ, for a view a little larger than the image."""
    theta = torch.tensor([1.1, 0, 0.03, 0, 1.1, -0.02], dtype=torch.float64).expand(8, 6)
    theta = theta.clone().requires_grad_()
    sampler(_images(border), family("affine").grid(theta, (SIDE, SIDE))).mean().backward()
    return theta.grad


def black_border() -> Finding:
    """How much of the gradient is the boundary term, by the image's border."""
    share = {}
    for word, border in (("bright border", 1.0), ("black border", 0.0)):
        whole, without = (_gradient(s, border) for s in (sample_native, bilinear_uncaught))
        share[word] = float((whole - without).norm() / whole.norm())
    numbers = {word: f"{one:.0%} of the gradient" for word, one in share.items()}
    return found(share["black border"] < 1e-9 < 0.5 < share["bright border"], numbers)


def stride() -> Finding:
    """The most that one step of Adam's can be, in learning rates."""
    return found(walks.largest_step() > 5, {"most": f"{walks.largest_step():.2f} learning rates"})
