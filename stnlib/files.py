"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

__all__ = ["check_writable", "write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `path`, then rename it.

    A reader sees the old file or the new one, never a part; a fault leaves nothing.

    Raises
    ------
    OSError
        One line that names the file and the reason, such as a full disk.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; a record is for everyone
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(f"could not write {path}: {error.strerror or error}") from None
        raise


def check_writable(folder: Path) -> None:
    """Raise `OSError` unless a file can be made in `folder`, which is created.

    For the start of long work, whose end will want to write there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write in {folder}: {error.strerror or error}") from None
