"""Observations: what an experiment gave that is no whole training, row by row, with its origin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stnlib import records
from stnlib.files import write_whole
from stnlib.records import RecordError, dump

__all__ = ["BOOK", "SCHEMA", "folders", "place", "read", "read_all", "write"]

SCHEMA = 1
BOOK = Path(__file__).resolve().parent.parent / "book" / "observations"
_PARTS = ("schema", "study", "key", "what", "rows", "provenance")

Row = dict[str, Any]


def folders() -> list[Path]:
    """Where observations lie: the book's (in a checkout), then the reader's own."""
    own = records.folders()[-1].with_name("observations")
    return [BOOK, own] if BOOK.is_dir() else [own]


def place(folder: Path, study: str, what: dict[str, Any]) -> Path:
    """Where the observation of `what` belongs: ``folder/study/<key>.json``.

    The key is 12 hex digits of SHA-256 over `what` as canonical JSON.
    """
    return folder / study / f"{_key(what)}.json"


def _key(what: dict[str, Any]) -> str:
    canonical = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def write(
    folder: Path, study: str, what: dict[str, Any], rows: list[Row], origin: dict[str, Any]
) -> Path:
    """Write an observation, whole or not at all, and return its path.

    It may be written again with more rows, so that an experiment can go on after a fault.

    Parameters
    ----------
    what : everything that a person decided, as plain numbers, texts, lists and dicts.
    rows : what was seen, a dict a row; nan and inf become null.
    origin : see `stnlib.provenance`.
    """
    path = place(folder, study, what)
    head = {"schema": SCHEMA, "study": study, "key": path.stem}
    lines = [f'"{name}": {json.dumps(value)}' for name, value in (head | {"what": what}).items()]
    lines += ['"rows": [\n  ' + ",\n  ".join(map(dump, rows)) + "\n ]"]
    lines += [f'"provenance": {dump(origin)}']
    write_whole(path, ("{\n " + ",\n ".join(lines) + "\n}\n").encode())
    return path


def read(path: Path) -> dict[str, Any]:
    """Read one observation and check it against its schema and its key.

    Raises
    ------
    RecordError
        When it is no JSON, of another schema, lacks a part, or `what` was edited.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise RecordError(f"{path} is no observation of schema {SCHEMA}")
    missing = [part for part in _PARTS if part not in found]
    if missing:
        raise RecordError(f"{path} lacks {', '.join(missing)}")
    if not _key(found["what"]) == found["key"] == path.stem:
        raise RecordError(f"{path} was edited: what was done has the key {_key(found['what'])}")
    return found


def read_all(study: str, where: Iterable[Path] | None = None) -> list[dict[str, Any]]:
    """All observations of a study, in the order of their keys; the first folder's win."""
    paths: dict[str, Path] = {}
    for folder in folders() if where is None else where:
        for path in sorted(folder.glob(f"{study}/*.json")):
            paths.setdefault(path.stem, path)
    return [read(paths[key]) for key in sorted(paths)]
