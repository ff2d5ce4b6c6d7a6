"""What is said of a run that failed, and what is kept where the program is at fault."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

from stnlib.atomic import write_whole
from stnlib.errors import StnlibError

__all__ = ["in_a_line", "keeping_traceback"]


@contextlib.contextmanager
def keeping_traceback(path: Path) -> Iterator[None]:
    """Write the traceback of an error of the program to `path`, and remove it after a success.

    A sweep reports a line for each failed run, which is not enough to find such an error by. The
    error gets a note that names the file. What a user can cause (`StnlibError`, `OSError`) is
    said in its line, and Ctrl-C is no error.
    """
    try:
        yield
    except (StnlibError, OSError):
        raise
    except Exception as error:
        lines = traceback.format_exception(error)
        with contextlib.suppress(OSError):  # the error counts, not that it could not be kept
            write_whole(path, "".join(lines).encode(errors="backslashreplace"))
            error.add_note(f"traceback: {path}")
        raise
    path.unlink(missing_ok=True)


def in_a_line(error: BaseException) -> str:
    """What went wrong, and where the traceback is, if it was kept."""
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "; ".join([first, *getattr(error, "__notes__", ())])
