"""Observations: what an experiment gave that is no whole training, row by row, with its origin."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stnlib.atomic import write_whole
from stnlib.records import store
from stnlib.records.schema import check_observed, check_origin, check_study
from stnlib.records.sealed import RecordError, check_parts, dump, seal, unseal
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
    what : everything that a person decided, as plain numbers, texts, lists and dicts.
    rows : what was seen, a dict a row; nan and inf become null.
    origin : see `stnlib.records.provenance`.
    """
    path = place(folder, study, what)
    head = {"schema": SCHEMA, "study": study, "key": path.stem}
    lines = {name: json.dumps(value) for name, value in (head | {"what": what}).items()}
    lines["rows"] = "[\n  " + ",\n  ".join(map(dump, rows)) + "\n ]"
    write_whole(path, seal(lines | {"provenance": dump(origin)}))
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
        check_study(found["study"])
        check_observed(found["rows"])
        check_origin(found["provenance"])
    except ValueError as error:
        raise RecordError(f"{path} cannot be true: {error}") from None
    return found


def read_all(study: str, where: Iterable[Path] | None = None) -> list[dict[str, Any]]:
    """All observations of a study, in the order of their keys; the first folder's win."""
    paths: dict[str, Path] = {}
    for folder in folders() if where is None else where:
        for path in sorted(folder.glob(f"{study}/*.json")):
            paths.setdefault(path.stem, path)
    return [read(paths[key]) for key in sorted(paths)]
