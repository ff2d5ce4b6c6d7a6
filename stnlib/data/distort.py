"""The distortion that makes CIFAR-10-DISTORTED of CIFAR-10, a batch at a time.

As in the paper's code: the image is pasted into the centre of a black canvas, the canvas is
turned by a whole number of degrees (nearest neighbour), then shifted by whole pixels. So each
pixel of the result is one pixel of the image or black, and distorting is a gather from the
image, whose result is put down where the shift says.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "CANVAS",
    "DEGREES",
    "SHIFT",
    "SIDE",
    "Draws",
    "distort",
    "draw",
    "hashed",
    "true_theta",
    "upright_points",
]

CANVAS, SIDE = 64, 32  # height and width of the canvas and of an image, in pixels
DEGREES, SHIFT = 20, 10  # the most, either way
BOX = 40  # in the centre of the canvas: what a turned image can reach
WORD, WIDE = 4, 44  # pixels that are put down at a time, and the box in whole words of them


class Draws(NamedTuple):
    """How each of N images is distorted.

    Attributes
    ----------
    degrees : Tensor
        (N,), int64 in [-20, 20]; counterclockwise as one sees the image.
    shift : Tensor
        (N, 2), int64 in [-10, 10]; to the right and down, in pixels.
    flip : Tensor
        (N,), bool: whether left and right are exchanged before all else.
    """

    degrees: Tensor
    shift: Tensor
    flip: Tensor


def draw(numbers: Tensor, *purpose: int | str, flip: bool, most: int = DEGREES) -> Draws:
    """Draw distortions, each uniformly from its range, flips with probability 1/2.

    Image number i gets what `purpose` and i say, whatever else is in the batch and wherever
    the batch lies: nothing is drawn in sequence, the numbers are `hashed`.

    Parameters
    ----------
    numbers : Tensor
        (N,), int64: the images' numbers in their split.
    *purpose : int | str
        What the draws are for, such as ``"train", seed, epoch``.
    flip : bool
        Whether to flip at all; angles and shifts are the same either way.
    most : int
        Degrees, either way; `distort` knows no more than the default.
    """
    bits = hashed(numbers, *purpose)
    parts = []
    for n in (2 * most + 1, 2 * SHIFT + 1, 2 * SHIFT + 1, 2):  # in all 1.8e4 of 2⁶³ cases
        parts.append(bits % n)
        bits = bits // n
    degrees, x, y, coin = parts
    return Draws(degrees - most, torch.stack([x, y], 1) - SHIFT, coin.bool() & flip)


def hashed(numbers: Tensor, *purpose: int | str) -> Tensor:
    """Random bits that depend on a number and on what they are for, and on nothing else.

    Both are (N,), int64; the bits are uniform from 0 to 2⁶³ - 1. The mixing function is that of
    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    digest = hashlib.sha256("/".join(map(str, purpose)).encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    return _mix(numbers * _signed(0x9E3779B97F4A7C15) + key)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def _mix(z: Tensor) -> Tensor:
    """Make of 64 bits 63 in which each depends on all: (N,) int64, 0 or more."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ _shifted(z, shift)) * _signed(factor)  # modulo 2⁶⁴
    return (z ^ _shifted(z, 31)) & ((1 << 63) - 1)


def _shifted(z: Tensor, n: int) -> Tensor:
    """Shift right, bringing in zeros; ``>>`` would bring in the sign."""
    return (z >> n) & ((1 << (64 - n)) - 1)


def distort(images: Tensor, draws: Draws) -> Tensor:
    """Flip, paste, turn and shift each image.

    Parameters
    ----------
    images : Tensor
        (N, C, 32, 32), uint8.
    draws : Draws
        Of N images, on the same device.

    Returns
    -------
    Tensor
        (N, C, 64, 64), uint8. The same whether there are many images or one: pixel by pixel what
        Pillow's ``paste``, ``rotate`` and an exact shift give.

    Raises
    ------
    ValueError
        If the images are of another size or type.
    """
    if images.shape[2:] != (SIDE, SIDE) or images.dtype != torch.uint8:
        found = f"{tuple(images.shape)}, {images.dtype}"
        raise ValueError(f"images must be (N, C, {SIDE}, {SIDE}), uint8, not {found}")
    n, channels = images.shape[:2]
    sources, words = _tables(images.device)
    x, y = (draws.shift + (CANVAS - BOX) // 2).T  # the box's corner
    kind = (draws.flip * (2 * DEGREES + 1) + draws.degrees + DEGREES) * WORD + x % WORD
    source = sources.index_select(0, kind)[:, None].expand(-1, channels, -1)
    seen = F.pad(images.flatten(2), (0, 1)).gather(2, source)  # padded: the last one is black
    place = (y * (CANVAS // WORD) + x // WORD)[:, None] + words.index_select(0, kind)
    canvas = images.new_zeros(n, channels, CANVAS * CANVAS)
    place = place[:, None].expand(-1, channels, -1)
    canvas.view(torch.int32).scatter_(2, place, seen.view(torch.int32))
    return canvas.unflatten(2, (CANVAS, CANVAS))


@lru_cache(maxsize=4)
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """Which pixels of an image are seen, and where: the words of the box that show any.

    At least a third of the box's words are black whatever the angle, and so is the canvas before
    anything is put down on it: they are left out, as gathering takes most of the time.

    Returns
    -------
    tuple[Tensor, Tensor]
        Sources (2 * 41 * 4, K * 4), int64: without and with a flip, for each angle, with 0 to 3
        black pixels to the left of the box; pixels are counted row by row, and ``SIDE**2`` is
        black. And words (2 * 41 * 4, K), int64: places on the canvas, from the box's corner.
    """
    turned = zip(*map(_turned, range(-DEGREES, DEGREES + 1)), strict=True)
    x, y, inside = (torch.stack(part) for part in turned)
    rows = torch.stack([y * SIDE + x, y * SIDE + SIDE - 1 - x])
    rows = torch.where(inside, rows, SIDE**2)
    pads = [(left, WIDE - BOX - left) for left in range(WORD)]
    wide = torch.stack([F.pad(rows, pad, value=SIDE**2) for pad in pads], dim=2)
    words = torch.arange(BOX)[:, None] * (CANVAS // WORD) + torch.arange(WIDE // WORD)
    wide = wide.reshape(-1, words.numel(), WORD)
    shown = (wide != SIDE**2).any(2)
    first = shown.int().argsort(dim=1, descending=True, stable=True)  # those that show any
    first = first[:, : shown.sum(1).max()]  # where there are fewer, black ones fill up
    sources = torch.take_along_dim(wide, first[..., None], dim=1).flatten(1)
    return sources.to(device), words.flatten()[first].to(device)


def _turned(degrees: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which pixel of the image the turned canvas shows where in the box.

    Pillow turns in fixed point, 16 bits after the point: it rounds the matrix and the offset
    to 1/65536, then adds up. So do we, in whole numbers, and no pixel differs.

    Returns
    -------
    tuple[Tensor, Tensor, Tensor]
        Column and row of the image, (40, 40) int64, and whether it has them, bool.
    """
    # The way back, from the turned canvas to the image; and Pillow keeps 15 digits.
    cos, sin = (round(f(-math.radians(degrees % 360)), 15) for f in (math.cos, math.sin))
    centre = CANVAS / 2
    steps = torch.arange((CANVAS - BOX) // 2, (CANVAS + BOX) // 2)

    def fixed(value: float) -> int:
        return math.floor(value * 65536 + 0.5)

    def read(a: float, b: float) -> Tensor:
        offset = a * -centre + b * -centre + centre
        start = fixed(offset + a * 0.5 + b * 0.5)  # at the centre of the first pixel
        place = (start + steps * fixed(a) + steps[:, None] * fixed(b)) >> 16
        return place - (CANVAS - SIDE) // 2

    x, y = read(cos, sin), read(-sin, cos)
    return x, y, (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)


def true_theta(draws: Draws, size: int = CANVAS) -> Tensor:
    """The affine θ with which a spatial transformer undoes the distortion, flips left alone.

    Parameters
    ----------
    draws : Draws
        Of N images.
    size : int
        Height and width of the transformer's output in pixels: 64 gives the upright image in
        the centre of its canvas, 32 the image alone, pixel by pixel.

    Returns
    -------
    Tensor
        (N, 6), float32, row-major; output to input, ``align_corners=True``.
    """
    angle = torch.deg2rad(draws.degrees.double())
    scale = (size - 1) / (CANVAS - 1)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    x, y = (2 * draws.shift.double() / (CANVAS - 1)).T
    return torch.stack([cos, sin, x, -sin, cos, y], dim=1).float()


def upright_points(canvas: int = CANVAS) -> Tensor:
    """Centres of the image's pixels on its canvas before it is turned and shifted.

    Parameters
    ----------
    canvas : int
        Height and width of the canvas in pixels, twice those of the image.

    Returns
    -------
    Tensor
        ((canvas / 2)², 2), float32, normalised (x, y), ``align_corners=True``: within ±31/63 for
        64.
    """
    side = canvas // 2
    line = (2 * torch.arange(side) - (side - 1)) / (canvas - 1)
    return torch.cartesian_prod(line, line).flip(1)
