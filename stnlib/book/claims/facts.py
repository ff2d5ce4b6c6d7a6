"""The book's records, each read once: what the functions of the claims share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import pandas as pd

from stnlib.book import deaths, remedies
from stnlib.book.stats import Share, tally
from stnlib.diagnostics import Trace
from stnlib.paths import BOOK
from stnlib.records import observations, store, studyfile, tables
from stnlib.records.outcome import in_a_word
from stnlib.records.store import Record

__all__ = [
    "dates",
    "ends",
    "frame",
    "missing",
    "observed",
    "planned",
    "remedied",
    "runs",
    "share",
    "table",
    "test",
    "traced",
    "validation",
    "waiting",
    "watched",
]


LEAST = 5  # runs of a cell, from which on it is judged


@cache
def _study(name: str) -> tuple[Record, ...]:
    return tuple(store.of_study(name, [BOOK / "records"]))


@cache
def _planned(name: str) -> tuple[Any, ...]:
    return tuple(studyfile.configurations(BOOK / "studies" / f"{name}.toml"))


def _such(config: Any, fields: dict[str, Any]) -> bool:
    return all(getattr(config, name) == value for name, value in fields.items())


def runs(*studies: str, **fields: Any) -> list[Record]:
    """Records of studies, each once, of those configurations that have these fields.

    Parameters
    ----------
    *studies : str
        Names.
    **fields : Any
        Of a configuration.

    Returns
    -------
    list[Record]
        Study by study, in the order of their files.
    """
    every = {record.key: record for name in studies for record in _study(name)}
    return [record for record in every.values() if _such(record.config, fields)]


def planned(study: str, **fields: Any) -> int:
    """How many runs a study's file asks for, recorded or not.

    Parameters
    ----------
    study : str
        Its name.
    **fields : Any
        Of the configurations that count.

    Returns
    -------
    int
        At least as many as `runs` has.
    """
    return sum(_such(config, fields) for config in _planned(study))


def missing(study: str) -> str | None:
    """How far a study is recorded, where some of its runs are missing.

    Parameters
    ----------
    study : str
        Its name.

    Returns
    -------
    str | None
        Such as "open: 3 of 9 recorded", a verdict; None where nothing is missing.
    """
    made, total = len(runs(study)), planned(study)
    return None if made == total else f"open: {made} of {total} recorded"


def table(*studies: str, **fields: Any) -> pd.DataFrame:
    """`runs` as a frame; see `stnlib.records.tables.table`.

    Parameters
    ----------
    *studies : str
        Names.
    **fields : Any
        Of a configuration.

    Returns
    -------
    pd.DataFrame
        With one column more, `end`: what became of each in a word.
    """
    some = runs(*studies, **fields)
    return tables.table(some).assign(end=[in_a_word(record) for record in some])


def remedied(*studies: str, **fields: Any) -> pd.DataFrame:
    """`runs` by remedy; see `stnlib.book.remedies.table`.

    Parameters
    ----------
    *studies : str
        Names.
    **fields : Any
        Of a configuration.

    Returns
    -------
    pd.DataFrame
        A row a run.
    """
    return remedies.table(runs(*studies, **fields))


@cache
def _traces(*studies: str) -> tuple[tuple[Record, Trace], ...]:
    return tuple(deaths.traces(*studies, where=[BOOK / "records"]))


def watched(*studies: str) -> list[tuple[Record, Trace]]:
    """The records that have a trace, each with it.

    Parameters
    ----------
    *studies : str
        Names.

    Returns
    -------
    list[tuple[Record, Trace]]
        A training of several studies comes once.
    """
    found = {record.key: (record, trace) for name in studies for record, trace in _traces(name)}
    return list(found.values())


@cache
def frame(key: str, study: str) -> pd.DataFrame:
    """A traced run, a row a step.

    Parameters
    ----------
    key, study : str
        Of its record, and of one that asks for it.

    Returns
    -------
    pd.DataFrame
        Of `stnlib.diagnostics.Trace.to_frame`.
    """
    return next(trace for record, trace in _traces(study) if record.key == key).to_frame()


@cache
def _outcomes(study: str) -> pd.DataFrame:
    pairs = _traces(study)
    last = [record.last for record, _ in pairs]
    return deaths.outcomes(pairs).assign(
        coverage=[row.get("coverage", 0.0) for row in last],
        val_accuracy=[row["val_accuracy"] for row in last],
        date=[record.provenance["date"] for record, _ in pairs],
    )


def traced(*studies: str) -> pd.DataFrame:
    """What became of traced runs; see `stnlib.book.deaths.outcomes`.

    Parameters
    ----------
    *studies : str
        Names.

    Returns
    -------
    pd.DataFrame
        With `coverage` and `val_accuracy` after the last epoch, and the record's `date`.
    """
    every = pd.concat([_outcomes(name) for name in studies], ignore_index=True)
    return every.drop_duplicates("key", ignore_index=True)


@cache
def observed(study: str) -> tuple[dict[str, Any], ...]:
    """Observations of a study.

    Parameters
    ----------
    study : str
        Its name.

    Returns
    -------
    tuple[dict[str, Any], ...]
        In the order of their keys.
    """
    return tuple(observations.read_all(study, [BOOK / "observations"]))


def dates(some: Iterable[Record]) -> list[str]:
    """When runs were recorded.

    Parameters
    ----------
    some : Iterable[Record]
        The runs.

    Returns
    -------
    list[str]
        ISO 8601, UTC.
    """
    return [record.provenance["date"] for record in some]


def ends(some: Iterable[Record], *words: str) -> Share:
    """How many end so.

    Parameters
    ----------
    some : Iterable[Record]
        Runs.
    *words : str
        Of `stnlib.records.outcome.in_a_word`.

    Returns
    -------
    Share
        Of them.
    """
    return tally([in_a_word(record) in words for record in some])


def share(some: Sequence[Record], *words: str) -> Share | None:
    """How many of a cell end so, where it has enough runs to be judged.

    Parameters
    ----------
    some : Sequence[Record]
        Runs.
    *words : str
        As for `ends`.

    Returns
    -------
    Share | None
        Of at least five; None of fewer.
    """
    return ends(some, *words) if len(some) >= LEAST else None


def waiting(cells: Sequence[Sequence[Record]]) -> str | None:
    """How many cells have enough runs to be judged, where some have fewer.

    Parameters
    ----------
    cells : Sequence[Sequence[Record]]
        Runs by what they have in common.

    Returns
    -------
    str | None
        Such as "open: 3 of 9 cells recorded", a verdict; None where all have enough.
    """
    there = sum(len(cell) >= LEAST for cell in cells)
    return None if there == len(cells) else f"open: {there} of {len(cells)} cells recorded"


def test(some: Iterable[Record]) -> pd.Series:
    """Test accuracies.

    Parameters
    ----------
    some : Iterable[Record]
        Runs that differ in their seeds.

    Returns
    -------
    pd.Series
        By seed.
    """
    return pd.Series({r.seed: r.result["test_accuracy"] for r in some}).sort_index()


def validation(some: Iterable[Record]) -> pd.Series:
    """Validation accuracies after the last epoch.

    Parameters
    ----------
    some : Iterable[Record]
        Runs that differ in their seeds.

    Returns
    -------
    pd.Series
        By seed.
    """
    return pd.Series({r.seed: r.last["val_accuracy"] for r in some}).sort_index()
