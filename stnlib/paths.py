"""Where things lie: the reader's three folders, each named by a variable, and the book's.

One rule for the variables and for paths on the command line: ``~`` is a home, and a relative path
begins in the working folder. A variable that is not set, or blank, leaves the platform's place.
"""

from __future__ import annotations

import os
from pathlib import Path

from stnlib.errors import ConfigError

__all__ = ["BOOK", "checkpoint_folder", "data_dir", "expanded", "own_records"]

BOOK = Path(__file__).resolve().parent.parent / "book"  # in a checkout; else there is none


def expanded(name: str | Path) -> Path:
    """The absolute path that a person means by `name`.

    Parameters
    ----------
    name : str | Path
        As it was typed.

    Returns
    -------
    Path
        Whether or not anything is there.

    Raises
    ------
    ConfigError
        When it is blank, has a NUL in it, or names the home of a user who is not there.
    """
    text = str(name)
    if not text.strip() or "\0" in text:
        raise ConfigError(f"a path must be a name, not {text!r}")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ConfigError(f"there is no such home: {text}") from None


def data_dir() -> Path:
    """The data folder: `STNLIB_DATA`, else the platform's cache folder."""
    return _named("STNLIB_DATA") or _usual("cache")


def own_records() -> Path:
    """The reader's own records: `STNLIB_RECORDS`, else in the platform's folder for user data."""
    return _named("STNLIB_RECORDS") or _usual("data") / "records"


def checkpoint_folder() -> Path:
    """Where unfinished runs lie: `STNLIB_CHECKPOINTS`, else in the platform's cache folder."""
    return _named("STNLIB_CHECKPOINTS") or _usual("cache") / "checkpoints"


def _usual(kind: str) -> Path:
    import platformdirs  # late: a machine that only trains need not have it

    place = {"cache": platformdirs.user_cache_path, "data": platformdirs.user_data_path}[kind]
    return place("stnlib").absolute()


def _named(variable: str) -> Path | None:
    name = os.environ.get(variable, "").strip()
    return expanded(name) if name else None
