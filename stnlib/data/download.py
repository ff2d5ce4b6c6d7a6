"""Where data lies on this machine, and how it gets there whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stnlib.atomic import check_writable, regular
from stnlib.data.sets import DataError
from stnlib.data.sources import CM_FILE
from stnlib.paths import data_dir

__all__ = ["CM_SHA256", "CM_URL", "check", "cm_file", "writable"]

CM_URL = f"https://github.com/daviddao/spatial-transformer-tensorflow/raw/master/data/{CM_FILE}"
CM_SHA256 = "951f81b297226e1ed81a96a544ee14cbf50a5523b4f3cd45f0e99d9565425e3b"


def writable(folder: Path) -> Path:
    """Create `folder` where it is missing, and make sure that files can be written there.

    Raises
    ------
    DataError
        If not: before anything is downloaded.
    """
    try:
        check_writable(folder)
    except OSError as error:
        raise DataError(f"{error}; set STNLIB_DATA to a folder that you can write to") from None
    return folder


def check(path: Path, digest: str, remedy: str = "delete it, and it is downloaded again") -> Path:
    """Return `path` if the file there has this SHA-256, or MD5.

    Raises
    ------
    DataError
        If it cannot be read, or is damaged or cut short; with the remedy.
    """
    kind = "md5" if len(digest) == 32 else "sha256"
    try:
        with regular(path).open("rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if found != digest:
        told = f"{kind} {found[:12]}…, expected {digest[:12]}…"
        raise DataError(f"{path} is damaged or incomplete ({told}): {remedy}")
    return path


def cm_file() -> Path:
    """The published Cluttered MNIST file, checked; downloaded where it is missing.

    A file that is there already is used without a network. A download goes to a temporary
    name, is checked, then renamed, so that an interrupted one never counts.

    Raises
    ------
    DataError
        If the file is damaged, or missing and out of reach, or the folder cannot be
        written to.
    """
    path = data_dir() / CM_FILE
    if os.path.exists(path):  # False, too, where the folder is closed to us
        return check(path, CM_SHA256)
    writable(path.parent)
    import pooch

    download = pooch.HTTPDownloader(progressbar=True, timeout=30)
    try:
        with _quiet():
            pooch.retrieve(CM_URL, f"sha256:{CM_SHA256}", path.name, path.parent, None, download)
    except (OSError, ValueError) as error:  # network, disk; the wrong hash
        raise DataError(
            f"Cluttered MNIST could not be downloaded from {CM_URL} ({_reason(error)}): put the "
            f"file at {path} or name its folder in STNLIB_DATA, or use data='digits', which "
            "needs no network"
        ) from None
    return path


def _reason(error: Exception) -> str:
    """What went wrong, short: network libraries nest a paragraph."""
    if isinstance(error, ValueError):
        return "what arrived is damaged or incomplete"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pooch from logging what the progress bar shows."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
