"""A folder of images, ``train/<class>/`` and ``test/<class>/``, checked and decoded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from stnlib.atomic import regular
from stnlib.data.sets import DataError
from stnlib.data.sources import PARTS
from stnlib.progress import bar as progress_bar

__all__ = ["Decoded", "decode", "stamp"]


class Decoded(NamedTuple):
    """The N images of one part: (N, 3, S, S) uint8, and their labels, (N,) int64."""

    images: np.ndarray
    labels: np.ndarray


def decode(folder: Path, classes: Sequence[str], side: int) -> dict[str, Decoded]:
    """Decode both parts, each in a random but fixed order.

    A folder has no order of its own but that of its names, class by class, which would be
    the worst to train in.

    Parameters
    ----------
    folder : Path
        It has `train` and `test`, in them a folder a class, in those the images and nothing
        else; hidden files do not count.
    classes : Sequence[str]
        Their names; an image's label is the place of its class's name.
    side : int
        Height and width that each image must have.

    Raises
    ------
    DataError
        One line that names what is missing, or the file that is at fault.
    """
    paths = {part: _listed(folder / part, classes) for part in PARTS}
    total = sum(len(files) for part in paths.values() for files in part)
    with progress_bar(total=total, desc=f"decoding {folder}", unit="image", leave=False) as bar:
        return {part: _decoded(files, side, bar) for part, files in paths.items()}


def stamp(folder: Path) -> str:
    """Changes when a file comes or goes: the times at which the classes' folders changed."""
    places = (place for part in PARTS for place in sorted((folder / part).glob("*/")))
    return " ".join(f"{p.parent.name}/{p.name}:{p.stat().st_mtime_ns}" for p in places)


def _listed(folder: Path, classes: Sequence[str]) -> list[list[Path]]:
    """The files of each class, by name."""
    try:
        found = {e.name: e.path for e in os.scandir(folder) if e.is_dir() and e.name[0] != "."}
        missing, unknown = sorted(set(classes) - set(found)), sorted(set(found) - set(classes))
        if missing or unknown:
            raise DataError(
                f"{folder} must have one folder a class: missing are {', '.join(missing) or 'none'}"
                f", unknown are {', '.join(unknown) or 'none'}"
            )
        files = [sorted(os.scandir(found[name]), key=lambda e: e.name) for name in classes]
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror or error}") from None
    paths = [[Path(e.path) for e in entries if e.name[0] != "."] for entries in files]
    for name, members in zip(classes, paths, strict=True):
        if not members:
            raise DataError(f"{folder / name} has no images: each class needs at least one")
    return paths


def _decoded(files: list[list[Path]], side: int, bar: tqdm) -> Decoded:
    pairs = [(path, label) for label, members in enumerate(files) for path in members]
    order = np.random.default_rng(0).permutation(len(pairs))
    images = np.empty((len(pairs), 3, side, side), dtype=np.uint8)
    labels = np.empty(len(pairs), dtype=np.int64)
    for image, place in zip(images, order, strict=True):
        image[...] = _image(pairs[place][0], side)
        bar.update()
    labels[...] = [pairs[place][1] for place in order]
    return Decoded(images, labels)


def _image(path: Path, side: int) -> np.ndarray:
    """One image as (3, side, side) uint8, RGB whatever the file holds."""
    from PIL import Image  # late: a machine that has the official data need not have it

    try:
        with Image.open(regular(path)) as file:
            size = file.size
            pixels = np.asarray(file.convert("RGB")) if size == (side, side) else None
    except (OSError, RuntimeError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "it is no image" if "cannot identify" in str(error) else error
        raise DataError(f"{path} cannot be read: {reason}") from None
    if pixels is None:
        raise DataError(f"{path} must be {side}×{side} pixels, not {size[0]}×{size[1]}")
    return pixels.transpose(2, 0, 1)
