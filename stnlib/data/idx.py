"""MNIST and Fashion-MNIST: two data sets of one file format, downloaded where they are missing."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from stnlib.data.download import writable
from stnlib.data.sets import DataError
from stnlib.data.sources import idx_dir, idx_paths, idx_there

__all__ = ["PARTS", "fashion", "mnist"]

PARTS = {"train": "train", "test": "t10k"}
_IMAGES, _LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
#: of the unpacked files, by their names and by torchvision's class
MD5 = {
    "MNIST": {
        f"train-{_IMAGES}": "6bbc9ace898e44ae57da46a324031adb",
        f"train-{_LABELS}": "a25bea736e30d166cdddb491f175f624",
        f"t10k-{_IMAGES}": "2646ac647ad5339dbf082846283269ea",
        f"t10k-{_LABELS}": "27ae3e4e09519cfbb04c329615203637",
    },
    "FashionMNIST": {
        f"train-{_IMAGES}": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        f"train-{_LABELS}": "9018921c3c673c538a1fc5bad174d6f9",
        f"t10k-{_IMAGES}": "8181f5470baa50b63fa0f6fddb340f0a",
        f"t10k-{_LABELS}": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


def mnist(part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """MNIST in its official order, downloaded through torchvision where it is missing.

    Parameters
    ----------
    part : str
        train (60000 images) or test (10000).

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Images (N, 28, 28), uint8, and labels (N,), int64: read-only, for they are shared.

    Raises
    ------
    ValueError
        If there is no such part.
    DataError
        If the files are damaged, or missing and out of reach.
    """
    return _load("MNIST", part)


def fashion(part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Fashion-MNIST (Xiao et al., 2017), as `mnist` gives MNIST.

    Raises
    ------
    ValueError, DataError
        As `mnist`.
    """
    return _load("FashionMNIST", part)


@lru_cache(maxsize=4)
def _load(name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, not {part!r}")
    if not idx_there(name):
        _download(name)
    images = _read(name, f"{PARTS[part]}-{_IMAGES}", 16).reshape(-1, 28, 28)
    labels = _read(name, f"{PARTS[part]}-{_LABELS}", 8).astype(np.int64)
    for array in (images, labels):
        array.flags.writeable = False
    return images, labels


def _read(name: str, file: str, header: int) -> np.ndarray:
    """Read one file past its header, unpacked and checked."""
    plain, packed = idx_paths(name, file)
    path = plain if os.path.isfile(plain) else packed
    try:
        content = path.read_bytes() if path == plain else gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): delete it") from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5[name][file]:
        raise DataError(f"{path} is damaged or incomplete: delete it, and it is downloaded again")
    return np.frombuffer(content, np.uint8, offset=header)


def _download(name: str) -> None:
    """Fetch a data set through torchvision into a temporary folder, then move its files."""
    from torchvision import datasets  # late: slow to import, and seldom needed

    folder = writable(idx_dir(name))
    for path in (path for file in MD5[name] for path in idx_paths(name, file)):
        if os.path.exists(path) and not os.path.isfile(path):
            raise DataError(f"{path} is no regular file: delete it")
    try:
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            raw = Path(getattr(datasets, name)(unfinished, download=True).raw_folder)
            for file in MD5[name]:
                os.replace(raw / f"{file}.gz", folder / f"{file}.gz")
    except (OSError, RuntimeError) as error:
        reason = type(error).__name__ if isinstance(error, OSError) else "no mirror answered well"
        raise DataError(
            f"{name} could not be downloaded ({reason}): put its four .gz files in {folder} or "
            f"name a folder that has {name}/raw in STNLIB_DATA{_OTHERWISE.get(name, '')}"
        ) from None


_OTHERWISE = {"MNIST": ", or use digits.embedded(), which needs no network"}
