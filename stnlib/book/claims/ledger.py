"""The two ledgers of the book, read and computed anew: `claims.toml` and `predictions.toml`.

A claim has an `id`, a `subject`, the `claim` in one sentence, `data`, `studies`, the `function`
that computes it (module and name in this package), a `status`, and its `numbers` as published;
where it is about one of the paper's own claims, that (`paper`) and a `verdict`; and the names of
the numbers that its page has (`shown`), if these are others than the first. A prediction has an
`id`, its `statement`, the `commit` and `date` in which it was written down, `studies`, a `function`
and a `verdict`.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from stnlib.book.claims.findings import Finding, Verdict
from stnlib.errors import ConfigError
from stnlib.paths import BOOK

__all__ = ["STATUS", "claims", "compute", "early", "predictions", "problems"]

STATUS = {
    "settled": "a recorded event, or a calculation; or an effect whose interval, or whose p-value "
    "after Holm's correction, excludes none, with at least five trainings on each side",
    "suggestive": "an effect of fewer trainings, or one that was looked for after the runs",
    "open": "runs that are missing can still reverse it",
}
_CLAIM = {"id", "subject", "claim", "data", "studies", "function", "status", "numbers"}
_PREDICTION = {"id", "statement", "commit", "date", "studies", "function", "verdict"}


def _read(path: Path, table: str, needed: set[str], more: Iterable[str] = ()) -> list[dict]:
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))[table]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    names = [entry.get("id") for entry in entries]
    for entry in entries:
        which = f"{path.name}, {entry.get('id')}"
        if missing := needed - set(entry):
            raise ConfigError(f"{which} lacks {', '.join(sorted(missing))}")
        if unknown := set(entry) - needed - set(more):
            raise ConfigError(f"{which} has what is not known: {', '.join(sorted(unknown))}")
        if names.count(entry["id"]) > 1:
            raise ConfigError(f"{which} stands there twice")
    return entries


def claims(folder: Path = BOOK) -> list[dict[str, Any]]:
    """The book's claims.

    Parameters
    ----------
    folder : Path
        Of `claims.toml`.

    Returns
    -------
    list[dict[str, Any]]
        In the order of the file.

    Raises
    ------
    ConfigError
        One line, where the file or an entry is not sound.
    """
    entries = _read(folder / "claims.toml", "claim", _CLAIM, ("paper", "verdict", "shown"))
    for entry in entries:
        if unknown := set(entry.get("shown", ())) - set(entry["numbers"]):
            raise ConfigError(
                f"claims.toml, {entry['id']}: shown must be of its numbers, "
                f"not {', '.join(sorted(unknown))}"
            )
        if entry["status"] not in STATUS:
            raise ConfigError(
                f"claims.toml, {entry['id']}: status must be one of {', '.join(STATUS)}, "
                f"not {entry['status']!r}"
            )
    return entries


def predictions(folder: Path = BOOK) -> list[dict[str, Any]]:
    """The book's predictions.

    Parameters
    ----------
    folder : Path
        Of `predictions.toml`.

    Returns
    -------
    list[dict[str, Any]]
        In the order of the file.

    Raises
    ------
    ConfigError
        One line, where the file or an entry is not sound.
    """
    return _read(folder / "predictions.toml", "prediction", _PREDICTION)


@cache
def compute(function: str) -> Finding | Verdict:
    """What a claim or a prediction is by the records.

    Parameters
    ----------
    function : str
        As in `digits.table_iv`.

    Returns
    -------
    Finding | Verdict
        Of a claim, or of a prediction.
    """
    module, _, name = function.partition(".")
    return getattr(importlib.import_module(f"stnlib.book.claims.{module}"), name)()


def early(entry: dict[str, Any]) -> tuple[int, int]:
    """How many of the runs that judge a prediction were recorded before it was committed.

    Parameters
    ----------
    entry : dict[str, Any]
        Of `predictions`.

    Returns
    -------
    tuple[int, int]
        So many, of so many.
    """
    dates = compute(entry["function"]).dates
    return sum(date < entry["date"] for date in dates), len(dates)


def problems(entry: dict[str, Any]) -> Iterator[str]:
    """What is published and no longer what the records say.

    Parameters
    ----------
    entry : dict[str, Any]
        Of `claims` or `predictions`.

    Returns
    -------
    Iterator[str]
        A line each.
    """
    try:
        computed = compute(entry["function"])
    except Exception as error:  # whatever it is, this one cannot be verified, and the rest can
        yield f"{entry['id']}: cannot be computed: {type(error).__name__}: {error}"
        return
    if isinstance(computed, Finding):
        if not computed.holds:
            yield f"{entry['id']}: does not hold"
        names = dict.fromkeys([*entry["numbers"], *computed.numbers])
        pairs = [(n, entry["numbers"].get(n), computed.numbers.get(n)) for n in names]
    else:
        pairs = []
    pairs.append(("verdict", entry.get("verdict", ""), computed.verdict))
    for name, published, found in pairs:
        if published != found:
            yield f"{entry['id']}: {name} is {found!r}, published as {published!r}"
