"""CIFAR-10: an official version or an image folder, decoded once into a file that is mapped.

What is looked for in the data folder, in this order: the official archive,
``cifar-10-python.tar.gz``; the same unpacked, ``cifar-10-batches-py``; the official binary version
unpacked, ``cifar-10-batches-bin``; an image folder, ``train/<class>/…`` and ``test/<class>/…``,
there or in ``cifar10``. Where there is none of them, the archive is downloaded. The official
versions hold the same images in the same order, and so have one fingerprint.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from stnlib.atomic import regular, write_whole
from stnlib.data import imagefolder, sources
from stnlib.data.download import check, writable
from stnlib.data.imagefolder import Decoded
from stnlib.data.sets import DataError, DataSet, Split, fingerprint
from stnlib.data.sources import ARCHIVE, BATCHES, BINARY, OFFICIAL, cifar_folder, cifar_official
from stnlib.paths import data_dir

__all__ = ["CLASSES", "dataset"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MD5 = "c58f30108f718f92721af3b95e74349a"
BINARY_MD5 = {  # of the files of the binary version; the last one holds the test images
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
SIDE = 32
FOLDER = "cifar10-folder.safetensors"  # what a folder is decoded into, as OFFICIAL is


def dataset() -> DataSet:
    """CIFAR-10: 45000 images to train, 5000 to validate, drawn at random, and 10000 to test.

    Decoded once, into a file in the data folder that is mapped into memory afterwards: its
    pages are read when they are needed, and shared between processes.

    Returns
    -------
    DataSet
        Named c10: images (N, 3, 32, 32), uint8. `source` says whether it is the official data
        or a folder, and of what kind.

    Raises
    ------
    DataError
        If the data is damaged, or missing and out of reach.
    """
    folder = None if cifar_official() else cifar_folder()
    if folder is None:
        return _cached(data_dir() / OFFICIAL, MD5, _official)
    stamp = f"{folder} {imagefolder.stamp(folder)}"
    return _cached(data_dir() / FOLDER, stamp, lambda: _of_folder(folder))


Parts = tuple[dict[str, Decoded], str]  # train and test, and one line for readers


def _of_folder(folder: Path) -> Parts:
    parts = imagefolder.decode(folder, CLASSES, SIDE)
    kinds = {p.suffix.lower() for p in (folder / "test" / CLASSES[0]).iterdir()}
    jpeg = "JPEG " if kinds & {".jpg", ".jpeg"} else ""
    counts = " and ".join(str(len(part.labels)) for part in parts.values())
    return parts, f"CIFAR-10, a copy as {jpeg}image files ({counts}), not the official data"


def _official() -> Parts:
    archive, batches, binary = (data_dir() / name for name in (ARCHIVE, BATCHES, BINARY))
    if os.path.exists(binary) and not (os.path.exists(archive) or os.path.exists(batches)):
        return _binary(binary), "CIFAR-10, the official binary version"
    folder = writable(data_dir())
    with tempfile.TemporaryDirectory(dir=folder, prefix=".cifar10-") as unfinished:
        if archive.exists():
            _unpack(archive, Path(unfinished))
        elif not batches.exists():
            _download(Path(unfinished), archive)
        root = folder if batches.exists() and not archive.exists() else Path(unfinished)
        return _batches(root), "CIFAR-10, the official archive"


def _binary(folder: Path) -> dict[str, Decoded]:
    """The files of the binary version: rows of a label and 3072 pixels, channel by channel."""
    rows = {name: _binary_rows(folder / name, md5) for name, md5 in BINARY_MD5.items()}
    *train, test = rows.values()
    parts = {"train": np.concatenate(train), "test": test}
    return {
        part: Decoded(
            np.ascontiguousarray(found[:, 1:]).reshape(-1, 3, SIDE, SIDE),
            found[:, 0].astype(np.int64),
        )
        for part, found in parts.items()
    }


def _binary_rows(path: Path, md5: str) -> np.ndarray:
    if not path.is_file():
        raise DataError(f"{path} is missing: {path.parent} needs {', '.join(BINARY_MD5)}")
    check(path, md5, "unpack the binary version again")
    return np.fromfile(path, np.uint8).reshape(-1, 1 + 3 * SIDE * SIDE)


def _unpack(archive: Path, folder: Path) -> None:
    from torchvision.datasets.utils import extract_archive  # late: slow to import

    check(archive, MD5)
    try:
        extract_archive(str(archive), str(folder))
    except OSError as error:
        raise DataError(f"cannot unpack {archive}: {error.strerror or error}") from None


def _download(folder: Path, archive: Path) -> None:
    """Fetch the archive through torchvision, which checks and unpacks it, and keep it."""
    from torchvision.datasets import CIFAR10

    try:
        CIFAR10(folder, download=True)
        os.replace(folder / ARCHIVE, archive)
    except (OSError, RuntimeError) as error:
        network = isinstance(error, OSError)
        reason = type(error).__name__ if network else "what arrived is damaged or incomplete"
        raise DataError(
            f"CIFAR-10 could not be downloaded ({reason}): put {ARCHIVE}, or {BINARY}, or an image "
            f"folder cifar10/train/<class>/, cifar10/test/<class>/, into {archive.parent}, or name "
            "its folder in STNLIB_DATA, or use data='shapes10', which needs no network"
        ) from None


def _batches(root: Path) -> dict[str, Decoded]:
    """The official files below `root`, read and checked by torchvision."""
    from torchvision.datasets import CIFAR10

    parts = {}
    for part in sources.PARTS:
        try:
            for file in (root / BATCHES).glob("*"):
                regular(file)
            whole = CIFAR10(root, train=part == "train")
        except (OSError, RuntimeError):
            raise DataError(f"{root / BATCHES} is damaged or incomplete: delete it") from None
        images = np.ascontiguousarray(whole.data.transpose(0, 3, 1, 2))
        parts[part] = Decoded(images, np.asarray(whole.targets, dtype=np.int64))
    return parts


def _cached(path: Path, stamp: str, make: Callable[[], Parts]) -> DataSet:
    """What the file at `path` holds; made first where it is missing, damaged or outdated."""
    found = _mapped(path, stamp)
    if found is None:
        writable(path.parent)
        parts, source = make()
        splits = _split(parts)
        tensors = {f"{n}.{k}": getattr(s, k) for n, s in splits.items() for k in _KINDS}
        metadata = {"stamp": stamp, "source": source, "fingerprint": fingerprint(*splits.values())}
        try:
            write_whole(path, safetensors.torch.save(tensors, metadata))
        except OSError as error:
            raise DataError(str(error)) from None
        found = _mapped(path, stamp)
    if found is None:
        raise DataError(f"{path} changed while it was read: try again")
    return found


_KINDS = ("images", "labels")


def _mapped(path: Path, stamp: str) -> DataSet | None:
    """The data set in a file, unless that is missing, damaged, or made of something else."""
    try:
        with safe_open(regular(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    if metadata.get("stamp") != stamp:
        return None
    try:
        pairs = [[tensors[f"{n}.{k}"] for k in _KINDS] for n in ("train", "val", "test")]
        train, val, test = (Split(*pair) for pair in pairs)
        source, printed = metadata["source"], metadata["fingerprint"]
    except (KeyError, ValueError):  # a name is missing, or a shape or type is another
        return None
    if printed != fingerprint(train, val, test):
        return None
    return DataSet("c10", train, val, test, CLASSES, source, printed)


def _split(parts: dict[str, Decoded]) -> dict[str, Split]:
    """Take a tenth of the training images, chosen at random, to validate with."""
    (images, labels), test = parts["train"], parts["test"]
    order = np.random.default_rng(0).permutation(len(labels))
    n = len(labels) // 10
    train, val = np.sort(order[n:]), np.sort(order[:n])
    pairs = {"train": (images[train], labels[train]), "val": (images[val], labels[val])}
    pairs["test"] = test
    return {name: Split(torch.from_numpy(x), torch.from_numpy(y)) for name, (x, y) in pairs.items()}
