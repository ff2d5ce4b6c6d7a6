"""How the published Cluttered MNIST file was made, replayed draw by draw.

The file's name says what it is: `mnist_sequence1_sample_5distortions5x5` comes from a
version of the script create_mnist_sequence.py that belongs to Sønderby et al., "Recurrent
Spatial Transformer Networks" (arXiv:1509.05329), with one digit an image on 40×40 and five
scraps of 5×5. Its random numbers, seeded with 1234, do not depend on the pixels. So they can
be drawn again without any data, and tell where the digit is in every image; with MNIST, they
give the file's arrays back, bit for bit (`rebuild`; a test holds that).

What the replay shows, and the paper could not know:

- Most digits lie at the bottom edge. The script draws the row from 0 to 39, where only 0 to
  12 fit, and moves what does not fit back to 12: 28 of 40 images.
- Columns are uniform on 0 to 11; the rightmost place, 12, never occurs.
- Digits are never scaled nor turned, and drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stnlib.data.sets import Split

__all__ = ["Recipe", "rebuild", "recipes"]

SEED = 1234
CANVAS, SIDE, PATCH = 40, 28, 5
SCRAPS = 100_000  # cut beforehand, from MNIST's training images
N_EXAMPLES = 400  # drawn first, for a picture
#: (images, digits to draw from): MNIST's first 50000 training images, its other 10000, its test
SIZES = {"train": (10_000, 50_000), "val": (1_000, 10_000), "test": (1_000, 10_000)}


class Recipe(NamedTuple):
    """What went into the N images of one split of the file.

    Attributes
    ----------
    digit : np.ndarray
        (N,): which digit, counted within the part of MNIST that the split draws from.
    corner : np.ndarray
        (N, 2): (x, y) of the top left corner of the digit's frame, in pixels.
    scraps : np.ndarray
        (N, 5, 5): for each scrap, in order, training image of MNIST, (x, y) where it was cut,
        (x, y) where it was put.
    """

    digit: np.ndarray
    corner: np.ndarray
    scraps: np.ndarray

    @property
    def positions(self) -> Tensor:
        """(N, 2), float32: (x, y) of the centres of the digits' frames, normalised."""
        centre = self.corner + (SIDE - 1) / 2
        return torch.from_numpy((2 * centre / (CANVAS - 1) - 1).astype(np.float32))


@lru_cache(maxsize=1)
def recipes() -> dict[str, Recipe]:
    """The recipes of the file's splits: train, val and test. Takes about 0.3 s, once."""
    draw = _draws()
    cuts = np.array([(draw(60_000), draw(SIDE - PATCH), draw(SIDE - PATCH)) for _ in range(SCRAPS)])
    for _ in range(N_EXAMPLES):
        _image(draw, SIZES["train"][1])
    result = {}
    for name, (n, pool) in SIZES.items():
        rows = np.array([_image(draw, pool) for _ in range(n)])
        scraps = rows[:, 3:].reshape(n, -1, 3)
        whole = np.concatenate([cuts[scraps[..., 0]], scraps[..., 1:]], axis=-1)
        result[name] = Recipe(rows[:, 0], rows[:, 1:3], whole)
    return result


def rebuild(name: str, train: np.ndarray, digits: np.ndarray, labels: np.ndarray) -> Split:
    """Make a split of the published file from MNIST.

    Parameters
    ----------
    name : str
        train, val or test.
    train : np.ndarray
        (60000, 28, 28), uint8: MNIST's training images in their official order, from which scraps
        are cut.
    digits, labels : np.ndarray
        (M, 28, 28), uint8, and (M,): what the split shows, ``train[:50000]``, ``train[50000:]`` or
        MNIST's test images.

    Returns
    -------
    Split
        Images equal to the file's, float32. (They are pixels over 256, not 255, up to the
        clip at 1: so they came in the copy of MNIST that the script read.)
    """
    recipe = recipes()[name]
    images = np.zeros((len(recipe.digit), CANVAS, CANVAS), dtype=np.int64)
    for image, digit, (x, y), scraps in zip(images, *recipe, strict=True):
        for source, cut_x, cut_y, put_x, put_y in scraps:
            scrap = train[source, cut_y : cut_y + PATCH, cut_x : cut_x + PATCH]
            image[put_y : put_y + PATCH, put_x : put_x + PATCH] = scrap
        image[y : y + SIDE, x : x + SIDE] += digits[digit]
    pixels = np.minimum(images / 256, 1).astype(np.float32)
    chosen = labels[recipe.digit].astype(np.int64)
    return Split(torch.from_numpy(pixels[:, None]), torch.from_numpy(chosen), recipe.positions)


def _image(draw: Callable[[int], int], pool: int) -> list[int]:
    """Draw one image as the script does: digit, x, y, then the scraps."""
    span = CANVAS - SIDE
    row = [draw(pool), draw(span), min(draw(CANVAS), span)]
    draw(SIDE)  # the slope of a sequence of digits; one digit has none
    for _ in range(5):
        row += [draw(SCRAPS), draw(CANVAS - PATCH), draw(CANVAS - PATCH)]
    return row


def _draws(words: int = 800_000) -> Callable[[int], int]:
    """``RandomState(SEED).randint`` for one number at a time, without its overhead.

    That function takes 32 random bits, keeps as many as the bound has, and rejects what is
    too large; its stream is frozen for good (NumPy's NEP 19).
    """
    stream = iter(np.random.RandomState(SEED).randint(0, 2**32, words, dtype=np.uint32).tolist())

    def draw(bound: int) -> int:
        mask = (1 << (bound - 1).bit_length()) - 1
        while (value := next(stream) & mask) >= bound:
            pass
        return value

    return draw
