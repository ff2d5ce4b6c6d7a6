"""Shapes-10: ten plane figures on textured grounds, drawn on the spot; needs no network.

A stand-in for CIFAR-10 where that is out of reach: the same format, 32×32 RGB and ten
classes, but another task, and an easier one. No accuracy on it says anything about CIFAR-10.
Colours say nothing about the class, single pixels little: figures lie anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from stnlib.data.cluttered import stream
from stnlib.data.sets import DataSet, Split, fingerprint

__all__ = ["CLASSES", "dataset", "generate"]

SIDE = 32
Array = np.ndarray
Outline = Callable[[Array, Array], Array]


def _polar(u: Array, v: Array) -> Array:
    return np.hypot(u, v)


def _chebyshev(u: Array, v: Array) -> Array:
    return np.maximum(np.abs(u), np.abs(v))


def _box(u: Array, v: Array, width: float, height: float) -> Array:
    return np.maximum(np.abs(u) - width, np.abs(v) - height)


def _half_planes(u: Array, v: Array, n: int) -> Array:
    """Heights above the n sides of a regular polygon, one below: (n, …), ascending."""
    angles = np.pi / 2 + 2 * np.pi * np.arange(n) / n
    sides = [np.cos(a) * u + np.sin(a) * v for a in angles]
    return np.sort(sides, axis=0)


# About the signed distance to the outline, negative inside; the figure fills |u|, |v| < 1.
_FIGURES: dict[str, Outline] = {
    "bars": lambda u, v: _box(u, np.abs(v) - 0.55, 0.85, 0.25),
    "crescent": lambda u, v: np.maximum(_polar(u, v) - 0.95, 0.75 - _polar(u - 0.5, v)),
    "cross": lambda u, v: np.minimum(_box(u, v, 0.95, 0.28), _box(u, v, 0.28, 0.95)),
    "disc": lambda u, v: _polar(u, v) - 0.85,
    "ell": lambda u, v: np.minimum(_box(u + 0.5, v, 0.3, 0.9), _box(u, v - 0.6, 0.8, 0.3)),
    "frame": lambda u, v: np.abs(_chebyshev(u, v) - 0.65) - 0.2,
    "ring": lambda u, v: np.abs(_polar(u, v) - 0.7) - 0.22,
    "square": lambda u, v: _chebyshev(u, v) - 0.75,
    "star": lambda u, v: _half_planes(u, v, 5)[-2] - 0.36,
    "triangle": lambda u, v: _half_planes(u, v, 3)[-1] - 0.5,
}
CLASSES = tuple(_FIGURES)
_DRAWS = 20  # random numbers that an image's figure and texture take
_AT_A_TIME = 100  # what fits into the processor's cache


def generate(n: int, *, seed: int | tuple[int, ...] = 0, start: int = 0) -> Split:
    """Draw the images number `start` to `start` + `n` - 1.

    Image i depends on the seed and i alone. A figure of a random class, 8 to 13 pixels from
    its centre to its tip, is put up to 5 pixels off the centre and turned by up to 15 degrees.
    Ground and figure have random colours, 0.25 to 0.55 apart in each channel, the figure the
    brighter one in three images of four; waves cross both, and noise lies over all.

    Parameters
    ----------
    n : int
        How many images, 1 or more.
    seed : int | tuple[int, ...]
        0 or more each.
    start : int
        Number of the first image, 0 or more.

    Returns
    -------
    Split
        Images (n, 3, 32, 32), uint8; labels; positions: the figure's centre.
    """
    ends = range(start, start + n, _AT_A_TIME)
    parts = [_draw(seed, first, min(_AT_A_TIME, start + n - first)) for first in ends]
    images, labels, positions = (np.concatenate(kind) for kind in zip(*parts, strict=True))
    return Split(torch.from_numpy(images), torch.from_numpy(labels), torch.from_numpy(positions))


def _draw(seed: int | tuple[int, ...], start: int, n: int) -> tuple[Array, Array, Array]:
    """Images, labels and positions, as `generate` returns them."""
    figure = stream(seed, 0, start, _DRAWS).random((n, _DRAWS))
    labels = (figure[:, 0] * len(CLASSES)).astype(np.int64)
    centre = (SIDE - 1) / 2 + 10 * (figure[:, 1:3] - 0.5)
    inside = np.empty((n, 1, SIDE, SIDE))
    for label, outline in enumerate(_FIGURES.values()):
        chosen = labels == label
        inside[chosen, 0] = _coverage(outline, centre[chosen], *figure[chosen, 3:5].T)
    ground, other = _colours(figure[:, 5:12])
    pixels = stream(seed, 1, start, 3 * SIDE**2).random((n, 3, SIDE, SIDE))  # noise
    pixels -= 0.5
    pixels *= 0.3
    pixels += ground
    pixels += (other - ground) * inside
    pixels += _waves(figure[:, 12:])
    pixels *= 255
    images = np.clip(np.rint(pixels, out=pixels), 0, 255, out=pixels).astype(np.uint8)
    return images, labels, (2 * centre / (SIDE - 1) - 1).astype(np.float32)


def dataset(sizes: tuple[int, int, int] = (5000, 500, 1000), seed: int = 0) -> DataSet:
    """Shapes-10 with so many images to train, to validate and to test."""
    train, val, test = (generate(n, seed=(seed, part)) for part, n in enumerate(sizes))
    source = "Shapes-10: plane figures on textured grounds, drawn by stnlib; not CIFAR-10"
    printed = fingerprint(train, val, test)
    return DataSet("shapes10", train, val, test, CLASSES, source, printed)


def _coverage(outline: Outline, centre: Array, size: Array, turn: Array) -> Array:
    """How much of each pixel the figure with an `outline` covers: (n, 32, 32) in [0, 1].

    Centres (n, 2) are (x, y) in pixels; `size` and `turn`, (n,) in [0, 1), go from the smallest to
    the largest and from left to right.
    """
    radius = (8 + 5 * size)[:, None, None]
    angle = np.deg2rad(30 * (turn - 0.5))[:, None, None]
    x = np.arange(SIDE) - centre[:, 0, None, None]
    y = np.arange(SIDE)[:, None] - centre[:, 1, None, None]
    u, v = (
        (np.cos(angle) * x + np.sin(angle) * y) / radius,
        (np.cos(angle) * y - np.sin(angle) * x) / radius,
    )
    return np.clip(0.5 - radius * outline(u, v), 0, 1)


def _colours(u: Array) -> tuple[Array, Array]:
    """Of the ground and of the figure: (n, 3, 1, 1) in [0, 1.05) each."""
    dark = 0.5 * u[:, :3, None, None]
    bright = dark + 0.25 + 0.3 * u[:, 3:6, None, None]
    usual = u[:, 6, None, None, None] < 0.75
    return np.where(usual, dark, bright), np.where(usual, bright, dark)


def _waves(u: Array) -> Array:
    """A wave of any direction, 4 to 16 pixels long, in a random colour: (n, 3, 32, 32)."""
    turn, length, phase = (part[:, None, None, None] for part in u[:, :3].T)
    x, y = np.arange(SIDE), np.arange(SIDE)[:, None]
    along = np.cos(np.pi * turn) * x + np.sin(np.pi * turn) * y
    wave = np.sin(2 * np.pi * (along / (4 + 12 * length) + phase))
    return 0.4 * (u[:, 3:6, None, None] - 0.5) * wave
