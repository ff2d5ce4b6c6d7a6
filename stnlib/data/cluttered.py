"""Cluttered digits: a digit somewhere on a canvas, among scraps of other digits.

The defaults follow the recipe behind the published Cluttered MNIST file (see
`stnlib.data.published`), whose statistics they match.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from stnlib.data.sets import DataSet, Split, fingerprint, interleaved

__all__ = ["PLACEMENTS", "dataset", "generate", "stream"]

PLACEMENTS = ("published", "uniform", "centre")


def generate(
    digits: ArrayLike,
    labels: ArrayLike,
    n: int,
    *,
    seed: int | tuple[int, ...],
    start: int = 0,
    canvas: int = 40,
    placement: str = "published",
    patches: int = 5,
    patch_size: int = 5,
    scale: tuple[float, float] = (1.0, 1.0),
    rotation: float = 0.0,
) -> Split:
    """Make the cluttered images number `start` to `start` + `n` - 1.

    Image i depends on the digits, the parameters, the seed and i alone, not on how many are
    made at a time. The placement of a digit depends on neither `patches` nor `patch_size`.

    Parameters
    ----------
    digits : ArrayLike
        (M, S, S), uint8, also a tensor. Image i shows one of them: they are shuffled, then taken in
        turn, so that the first M images show each once.
    labels : ArrayLike
        (M,), whole numbers.
    n : int
        How many images, 1 or more.
    seed : int | tuple[int, ...]
        0 or more each.
    start : int
        Number of the first image, 0 or more.
    canvas : int
        Height and width of an image, in pixels.
    placement : str
        Where the digit goes. With ``span`` the most that it can move, ``canvas - S``:
        ``"published"``: x is uniform on 0 to span - 1; y is uniform on 0 to canvas - 1 but
        never more than span, so that most digits (of 28 on 40: 70 %) lie at the bottom edge.
        ``"uniform"``: x and y are uniform on 0 to span. ``"centre"``: in the middle.
    patches : int
        Number of scraps. Each is cut at random from another of the digits and put down at
        random, later ones over earlier ones; then the digit is added and the sum clipped.
    patch_size : int
        Height and width of a scrap, 1 to S.
    scale : tuple[float, float]
        The digit is magnified by a factor uniform in that range; S * high must fit.
    rotation : float
        The digit is turned by an angle uniform in ±`rotation` degrees.

    Returns
    -------
    Split
        Images (n, 1, canvas, canvas), uint8; labels; positions: the centre of the digit's
        S × S frame.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """
    digits, labels = np.asarray(digits), np.asarray(labels, dtype=np.int64)
    _check(digits, labels, n, start, canvas, placement, patches, patch_size, scale, rotation)
    side = digits.shape[1]
    shown = stream(seed, 0).permutation(len(digits))[(start + np.arange(n)) % len(digits)]
    x, y, size, angle = stream(seed, 1, start, 4).random((n, 4)).T
    size = scale[0] + (scale[1] - scale[0]) * size
    angle = np.deg2rad(rotation) * (2 * angle - 1)
    corner = _place(placement, x, y, canvas, canvas - side * size)  # of the digit's frame
    centre = corner + (side * size[:, None] - 1) / 2
    plain = rotation == 0 and tuple(scale) == (1, 1)
    images = _scraps(digits, shown, seed, start, canvas, patches, patch_size)
    for image, index, at, middle, s, a in zip(
        images, shown, corner, centre, size, angle, strict=True
    ):
        if plain:
            left, top = at.astype(int)
            image[top : top + side, left : left + side] += digits[index]
        else:
            image += _warp(digits[index], middle, s, a, canvas)
    images = np.minimum(images, 255).astype(np.uint8)
    return Split(
        torch.from_numpy(images[:, None]),
        torch.from_numpy(labels[shown]),
        torch.from_numpy((2 * centre / (canvas - 1) - 1).astype(np.float32)),
    )


def dataset(
    digits: ArrayLike,
    labels: ArrayLike,
    *,
    name: str,
    source: str,
    sizes: tuple[int, int, int],
    repeats: int = 1,
    seed: int = 0,
    **options: Any,
) -> DataSet:
    """Split digits in three, then clutter each part with scraps of its own.

    Parameters
    ----------
    digits, labels : ArrayLike
        As for `generate`.
    name, source : str
        As for `DataSet`.
    sizes : tuple[int, int, int]
        How many digits the splits get; every class in its proportion; no digit is in two.
    repeats : int
        Images made of each digit, 1 or more.
    seed : int
        0 or more.
    **options : Any
        Passed to `generate`.

    Returns
    -------
    DataSet
        With ``repeats * size`` images a split.

    Raises
    ------
    ValueError
        If there are too few digits, or an option is out of its range.
    """
    digits, labels = np.asarray(digits), np.asarray(labels)
    if min(sizes) < 1 or sum(sizes) > len(digits):
        raise ValueError(f"sizes must be 1 or more and at most {len(digits)} in all, not {sizes}")
    if repeats < 1:
        raise ValueError(f"repeats must be 1 or more, not {repeats}")
    parts = np.split(interleaved(labels), np.cumsum(sizes))[:3]
    train, val, test = (
        generate(digits[part], labels[part], repeats * len(part), seed=(seed, k), **options)
        for k, part in enumerate(parts)
    )
    classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    return DataSet(name, train, val, test, classes, source, fingerprint(train, val, test))


def stream(
    seed: int | tuple[int, ...], purpose: int, image: int = 0, draws: int = 0
) -> np.random.Generator:
    """Random numbers for one purpose, from those of `image` on, at `draws` an image."""
    seeds = seed if isinstance(seed, tuple) else (seed,)
    if not all(isinstance(s, int | np.integer) and s >= 0 for s in seeds):
        raise ValueError(f"seed must be a whole number from 0 on, or a tuple of them, not {seed!r}")
    bits = np.random.PCG64(np.random.SeedSequence((*seeds, purpose)))
    return np.random.Generator(bits.advance(image * draws))


def _whole(u, n):
    """Turn uniform numbers in [0, 1) into whole ones from 0 to n - 1."""
    return np.floor(u * n).astype(np.int64)


def _place(placement: str, x, y, canvas: int, span) -> np.ndarray:
    """Top left corners (N, 2) of the digits' frames, as (x, y) in pixels."""
    if placement == "centre":
        return np.stack([span // 2, span // 2], axis=1)
    if placement == "uniform":
        return np.stack([_whole(x, span // 1 + 1), _whole(y, span // 1 + 1)], axis=1)
    return np.stack([_whole(x, np.maximum(span, 1)), np.minimum(_whole(y, canvas), span)], axis=1)


def _scraps(digits, shown, seed, start, canvas, patches, patch_size) -> np.ndarray:
    """Canvases (N, canvas, canvas), int16, with nothing on them but scraps."""
    n, side = len(shown), digits.shape[1]
    images = np.zeros((n, canvas, canvas), dtype=np.int16)
    draws = stream(seed, 2, start, 5 * patches).random((n, patches, 5)).transpose(2, 0, 1)
    other = (shown[:, None] + 1 + _whole(draws[0], len(digits) - 1)) % len(digits)
    cut = _whole(draws[1:3], side - patch_size + 1)
    put = _whole(draws[3:5], canvas - patch_size + 1)
    along = np.arange(patch_size)
    rows, columns = along[:, None], along[None, :]
    every = np.arange(n)[:, None, None]
    for k in range(patches):  # one after the other, for the later ones lie on top
        at = [offset[:, k, None, None] for offset in (*cut, *put)]
        scrap = digits[other[:, k, None, None], at[1] + rows, at[0] + columns]
        images[every, at[3] + rows, at[2] + columns] = scrap
    return images


def _warp(digit: np.ndarray, centre, scale: float, angle: float, canvas: int) -> np.ndarray:
    """Draw a digit magnified and turned about `centre`, bilinear, black outside; int16."""
    side = len(digit)
    x, y = np.meshgrid(np.arange(canvas) - centre[0], np.arange(canvas) - centre[1])
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    middle = 1 + (side - 1) / 2  # of the padded digit
    u = np.clip(cos * x + sin * y + middle, 0, side + 1 - 1e-9)
    v = np.clip(cos * y - sin * x + middle, 0, side + 1 - 1e-9)
    padded = np.pad(digit, 1).astype(np.float64)
    j, i = np.floor(u).astype(int), np.floor(v).astype(int)
    du, dv = u - j, v - i
    upper = padded[i, j] * (1 - du) + padded[i, j + 1] * du
    lower = padded[i + 1, j] * (1 - du) + padded[i + 1, j + 1] * du
    return np.rint(upper * (1 - dv) + lower * dv).astype(np.int16)


def _check(digits, labels, n, start, canvas, placement, patches, patch_size, scale, rotation):
    if digits.ndim != 3 or digits.shape[1] != digits.shape[2] or digits.dtype != np.uint8:
        raise ValueError(f"digits must be (M, S, S), uint8, not {digits.shape}, {digits.dtype}")
    side = digits.shape[1]
    low, high = scale
    for good, message in (
        (labels.shape == (len(digits),), f"labels must be ({len(digits)},), not {labels.shape}"),
        (n >= 1, f"n must be 1 or more, not {n}"),
        (start >= 0, f"start must be 0 or more, not {start}"),
        (
            placement in PLACEMENTS,
            f"placement must be one of {', '.join(PLACEMENTS)}, not {placement!r}",
        ),
        (patches >= 0, f"patches must be 0 or more, not {patches}"),
        (1 <= patch_size <= side, f"patch_size must be 1 to {side}, not {patch_size}"),
        (0 < low <= high, f"scale must be (low, high) with 0 < low <= high, not {scale}"),
        (
            side * high <= canvas,
            f"canvas must hold digits of {side * high:g} pixels, not {canvas}",
        ),
        (0 <= rotation <= 180, f"rotation must be 0 to 180 degrees, not {rotation}"),
        (len(digits) > (patches > 0), "digits must be 2 or more, for scraps are cut from others"),
    ):
        if not good:
            raise ValueError(message)
