"""The data sets by name: load one, fetch what it needs, see what is there."""

from __future__ import annotations

import zipfile

import numpy as np
import torch

from .download import CM_SHA256, cm_file
from .sets import DataError, DataSet, Split

__all__ = ["NAMES", "load"]

DIGITS = tuple("0123456789")


def load(name: str, *, n_train: int | None = None) -> DataSet:
    """Load the data set called `name`.

    Parameters
    ----------
    name : str
        One of `NAMES`: ``"cm"``, the published Cluttered MNIST file (10000, 1000 and 1000
        images of 40×40, downloaded once).
    n_train : int, optional
        Train on that many images only: see `stnlib.data.subset_indices`.

    Returns
    -------
    DataSet

    Raises
    ------
    ValueError
        If the name is unknown or `n_train` impossible.
    DataError
        If the data is missing or damaged.
    """
    if name not in _LOADERS:
        raise ValueError(f"data must be one of {', '.join(NAMES)}, not {name!r}")
    return _LOADERS[name]().with_n_train(n_train)


def _load_cm() -> DataSet:
    path = cm_file()
    try:
        with np.load(path, allow_pickle=False) as arrays:
            splits = [_cm_split(arrays, part) for part in ("train", "valid", "test")]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error}): delete it") from error
    return DataSet(
        "cm",
        *splits,
        classes=DIGITS,
        source="Cluttered MNIST as published: a digit and five 5×5 scraps of others on 40×40",
        fingerprint=CM_SHA256[:16],
    )


def _cm_split(arrays, part: str) -> Split:
    images = torch.from_numpy(arrays[f"X_{part}"]).reshape(-1, 1, 40, 40)
    labels = torch.from_numpy(arrays[f"y_{part}"].reshape(-1).astype(np.int64))
    return Split(images, labels)


_LOADERS = {"cm": _load_cm}
NAMES = tuple(_LOADERS)
