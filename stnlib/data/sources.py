"""What the data sets need, where it lies and whether it is here: known without loading any.

Nothing here imports torch: a command that only looks must not wait for it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from stnlib.paths import data_dir

__all__ = [
    "ARCHIVE",
    "BATCHES",
    "BINARY",
    "CM_FILE",
    "IDX_FILES",
    "OFFICIAL",
    "PARTS",
    "Source",
    "available",
    "cifar_folder",
    "cifar_official",
    "cifar_where",
    "idx_dir",
    "idx_paths",
    "idx_there",
    "n_train",
]

CM_FILE = "mnist_sequence1_sample_5distortions5x5.npz"
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
#: CIFAR-10's official versions, and what they are decoded into
ARCHIVE, BATCHES = "cifar-10-python.tar.gz", "cifar-10-batches-py"
BINARY, OFFICIAL = "cifar-10-batches-bin", "cifar10-official.safetensors"
PARTS = ("train", "test")  # of an image folder

_N_TRAIN = {
    "cm": 10000,
    "digits": 4000,
    "mnist": 59000,
    "fashion": 59000,
    "shapes10": 5000,
    "shapes10d": 5000,
}
_MNIST = ("mnist-r", "mnist-rts", "mnist-p", "mnist-e", "mnist-tc")  # distorted anew in each epoch
_N_TRAIN |= dict.fromkeys(_MNIST, _N_TRAIN["mnist"])


class Source(NamedTuple):
    """One row of `available`."""

    name: str
    here: bool
    where: str


def available() -> list[Source]:
    """What is on this machine: a name, whether it is here, and where it is or would be.

    Nothing is downloaded, and nothing checked but that the files exist.
    """
    cm, cifar = data_dir() / CM_FILE, cifar_where()
    return [
        Source("cm", os.path.isfile(cm), str(cm)),
        Source("digits", True, "comes with stnlib"),
        Source("mnist", idx_there("MNIST"), str(idx_dir("MNIST"))),
        Source("fashion", idx_there("FashionMNIST"), str(idx_dir("FashionMNIST"))),
        *(Source(name, os.path.exists(cifar), str(cifar)) for name in ("c10", "c10d")),
        *(Source(name, True, "drawn by stnlib") for name in ("shapes10", "shapes10d")),
        *(Source(name, idx_there("MNIST"), str(idx_dir("MNIST"))) for name in _MNIST),
    ]


def n_train(name: str) -> int | None:
    """Number of training images of a data set; None where only the data can tell.

    An image folder may hold any number.
    """
    if name in ("c10", "c10d"):
        return 45000 if cifar_official() or not cifar_folder() else None
    return _N_TRAIN[name]


def idx_dir(name: str) -> Path:
    """Where the files of MNIST or FashionMNIST lie: the folders are torchvision's."""
    return data_dir() / name / "raw"


def idx_paths(name: str, file: str) -> tuple[Path, Path]:
    """Where one of `IDX_FILES` may lie, unpacked or not."""
    return idx_dir(name) / file, idx_dir(name) / f"{file}.gz"


def idx_there(name: str) -> bool:
    """Whether all files of MNIST or FashionMNIST are in the data folder."""
    return all(any(map(os.path.isfile, idx_paths(name, file))) for file in IDX_FILES)


def cifar_where() -> Path:
    """The archive, folder or decoded file that is CIFAR-10, or where the archive would be.

    What lies behind a closed folder counts as not there (a `Path` would raise).
    """
    places = _cifar_places()
    return next(filter(os.path.exists, places), cifar_folder() or places[0])


def cifar_official() -> bool:
    """Whether an official version of CIFAR-10 is in the data folder."""
    return any(map(os.path.exists, _cifar_places()))


def cifar_folder() -> Path | None:
    """The image folder of CIFAR-10, where there is one or a part of one."""
    places = (data_dir(), data_dir() / "cifar10")
    return next((p for p in places if any(os.path.isdir(p / part) for part in PARTS)), None)


def _cifar_places() -> list[Path]:
    return [data_dir() / name for name in (ARCHIVE, BATCHES, BINARY, OFFICIAL)]
