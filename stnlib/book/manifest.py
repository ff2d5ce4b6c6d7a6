"""The manifest: SHA-256 of every record, trace, weight and observation of the book.

`book/manifest.sha256` has the form that ``sha256sum --check`` reads: in the folder `book`,
``sha256sum --check manifest.sha256`` needs no Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from stnlib.atomic import write_whole
from stnlib.errors import ConfigError
from stnlib.paths import BOOK

__all__ = ["listed", "present", "problems", "write"]

NAME = "manifest.sha256"
FOLDERS = ("records", "observations")
KINDS = (".json", ".npz", ".safetensors")


def present(book: Path = BOOK) -> set[str]:
    """The files that a manifest lists.

    Parameters
    ----------
    book : Path
        The book's folder.

    Returns
    -------
    set[str]
        Their paths in it, with ``/`` on every system.
    """
    every = (path for folder in FOLDERS for path in (book / folder).glob("*/*"))
    return {p.relative_to(book).as_posix() for p in every if p.suffix in KINDS}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listed(book: Path = BOOK) -> dict[str, str]:
    """What the manifest says.

    Parameters
    ----------
    book : Path
        The book's folder.

    Returns
    -------
    dict[str, str]
        Hexadecimal hash by path.

    Raises
    ------
    ConfigError
        One line, where there is none, or a line is not of its form.
    """
    path = book / NAME
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def write(book: Path = BOOK) -> int:
    """Write the manifest of what is there.

    Parameters
    ----------
    book : Path
        The book's folder.

    Returns
    -------
    int
        How many files it lists.
    """
    names = sorted(present(book))
    text = "".join(f"{_hash(book / name)}  {name}\n" for name in names)
    write_whole(book / NAME, text.encode())
    return len(names)


def problems(book: Path = BOOK) -> Iterator[str | None]:
    """Compare every file with the manifest.

    Parameters
    ----------
    book : Path
        The book's folder.

    Returns
    -------
    Iterator[str | None]
        For each file, listed or there: a line that says what is wrong, or None.
    """
    said, there = listed(book), present(book)
    for name in sorted(there | set(said)):
        if name not in said:
            yield f"{name}: not in the manifest"
        elif name not in there:
            yield f"{name}: missing"
        else:
            yield None if _hash(book / name) == said[name] else f"{name}: changed"
