"""Files that are written whole or not at all, with nothing but Python.

`stnlib.atomic` does more, for records; the core stands without it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from stnlib.checks.values import shown

__all__ = ["check_path", "whole_file"]


def check_path(path: object) -> None:
    """Raise a TypeError of one line unless `path` may be that of a file."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise TypeError(f"path must be that of a file, not {shown(path)}")


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to, under another name until the block ends; an error leaves nothing."""
    check_path(path)
    part = f"{os.fspath(path)}.part"
    try:
        with open(part, "wb") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
