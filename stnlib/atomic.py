"""Files that are written whole or not at all, and made by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stnlib.errors import StnlibError

__all__ = ["ClaimedError", "check_writable", "claim", "regular", "write_whole"]


class ClaimedError(StnlibError, RuntimeError):
    """Another process is making this file; one line that names it."""


@contextlib.contextmanager
def claim(path: Path) -> Iterator[None]:
    """Keep others from making the file `path` for as long as the context lasts.

    A claim is a lock of the operating system's, on a hidden file beside `path`. It ends with
    its process, however that ends, so that none is ever stale. Between machines that share a
    folder it holds where their file system passes locks on, as NFS does.

    Parameters
    ----------
    path : Path
        Of the file, in a folder that is there.

    Raises
    ------
    ClaimedError
        When another process, or thread, holds the claim; at once.
    """
    from filelock import FileLock, Timeout  # late: who only reads need not wait for it

    mark = path.with_name(f".{path.name}.claim")
    lock = FileLock(mark, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ClaimedError(f"{path} is being made by another process") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows does not delete what is open
            mark.unlink()  # while it is held: who opened it meanwhile sees that it is gone
        lock.release()


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `path`, then rename it.

    A reader sees the old file or the new one, never a part; a fault leaves nothing.

    Parameters
    ----------
    path : Path
        Of the file; its folder is made where it is missing.
    content : bytes
        All of it.

    Raises
    ------
    OSError
        One line that names the file and the reason, such as a full disk.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:  # unlike tempfile's, open to whom the umask allows
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OSError(f"could not write {path}: {error.strerror or error}") from None
        raise


def check_writable(folder: Path) -> None:
    """Raise `OSError` unless a file can be made in `folder`, which is created.

    For the start of long work, whose end will want to write there.

    Parameters
    ----------
    folder : Path
        Any.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write in {folder}: {error.strerror or error}") from None


def regular(path: Path) -> Path:
    """Return `path` if a regular file is there: one that ends, and does not keep us waiting.

    Parameters
    ----------
    path : Path
        Any.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    OSError
        One line, where there is nothing, or a folder, a pipe, a device or a socket.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return path
