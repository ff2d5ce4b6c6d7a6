"""Observations: what an experiment gave that is no whole training, row by row, with its origin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stnlib.atomic import write_whole
from stnlib.records import store
from stnlib.records.schema import check_observed, check_origin
from stnlib.records.sealed import RecordError, check_parts, seal, unseal
from stnlib.records.studyfile import check_name
from stnlib.training.config import key_of

__all__ = ["SCHEMA", "check", "folders", "place", "read", "read_all", "write"]

SCHEMA = 2
_PARTS = ("schema", "study", "key", "what", "rows", "provenance")

Row = dict[str, Any]


def folders() -> list[Path]:
    """Where observations lie: the book's (in a checkout), then the reader's own."""
    return [folder.with_name("observations") for folder in store.folders()]


def place(folder: Path, study: str, what: dict[str, Any]) -> Path:
    """Where the observation of `what` belongs: ``folder/study/<key>.json``."""
    return folder / study / f"{key_of(what)}.json"


def write(
    folder: Path, study: str, what: dict[str, Any], rows: list[Row], origin: dict[str, Any]
) -> Path:
    """Write an observation, whole or not at all, and return its path.

    It may be written again with more rows, so that an experiment can go on after a fault.

    Parameters
    ----------
    folder : Path
        Of observations; the file goes where `place` says.
    study : str
        A folder's name.
    what : dict[str, Any]
        Everything that a person decided, as plain numbers, texts, lists and dicts.
    rows : list[Row]
        What was seen; nan and inf become null.
    origin : dict[str, Any]
        See `stnlib.records.provenance`.
    """
    path = place(folder, study, what)
    parts = dict(zip(_PARTS, (SCHEMA, study, path.stem, what, rows, origin), strict=True))
    write_whole(path, seal(parts, exact="what", rows="rows"))
    return path


def read(path: Path) -> dict[str, Any]:
    """Read one observation.

    Raises
    ------
    RecordError
        When it is no JSON, of another schema, was edited so that its digest no longer fits,
        or does not stand `check`.
    """
    return check(unseal(path, SCHEMA), path)


def check(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """Check the content of the file `path`, and return it.

    Raises
    ------
    RecordError
        One line: a part is missing, `what` was edited, or a value has a type or range that no
        experiment gives.
    """
    check_parts(found, _PARTS, path)
    if not isinstance(found["what"], dict):
        raise RecordError(f"{path} cannot be true: what must have names and values")
    key = key_of(found["what"])
    if not key == found["key"] == path.stem:
        raise RecordError(f"{path} was edited: what was done has the key {key}")
    try:
        check_name(found["study"])
        check_observed(found["rows"])
        check_origin(found["provenance"])
    except ValueError as error:
        raise RecordError(f"{path} cannot be true: {error}") from None
    return found


def read_all(study: str, where: Iterable[Path] | None = None) -> list[dict[str, Any]]:
    """All observations of a study, in the order of their keys; the first folder's win."""
    return [read(path) for path in store.paths(study, folders() if where is None else where)]
