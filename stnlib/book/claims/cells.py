"""Predictions about cells: what is found in several groups of runs, once each has enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stnlib.book.claims.facts import dates
from stnlib.book.claims.findings import Verdict, judged
from stnlib.records.outcome import in_a_word
from stnlib.records.store import Record

__all__ = ["GONE", "LEAST", "Cells", "Found", "counted", "on_cells", "undone"]

GONE = ("black", "shrunken", "point", "blind", "diverged")
LEAST = 3  # seeds of a cell, from which on it is judged
Cells = Mapping[Any, list[Record]]
Found = Mapping[str, float]


def on_cells(
    cells: Cells,
    find: Callable[[], Found],
    holds: Callable[[Found], bool],
    least: int = LEAST,
) -> Verdict:
    """The verdict of a condition on what is found, `open` until each cell has so many runs.

    Parameters
    ----------
    cells : Cells
        Runs by what they have in common.
    find : Callable[[], Found]
        What is found, by name, as it is published.
    holds : Callable[[Found], bool]
        The condition.
    least : int
        Runs of a cell, from which on it is judged.

    Returns
    -------
    Verdict
        Of all cells together.
    """
    there = sum(len(cell) >= least for cell in cells.values())
    made = dates(record for cell in cells.values() for record in cell)
    if there < len(cells):
        return judged(f"open: {there} of {len(cells)} cells recorded", "", made)
    found = find()
    said = "; ".join(f"{name} {value:.2f}" for name, value in found.items())
    return judged(holds(found), said, made)


def counted(cells: Cells, *words: str) -> int:
    """How many runs end so.

    Parameters
    ----------
    cells : Cells
        Runs by what they have in common.
    *words : str
        Of `stnlib.records.outcome.in_a_word`.

    Returns
    -------
    int
        Over all cells.
    """
    return sum(in_a_word(record) in words for cell in cells.values() for record in cell)


def undone(cell: Iterable[Record], *names: str) -> float:
    """Share of a distortion that is undone in validation.

    Parameters
    ----------
    cell : Iterable[Record]
        Runs.
    *names : str
        Its parts: rotation, scale, tx, ty.

    Returns
    -------
    float
        The mean over runs and parts.
    """
    shares = [record.last.get(f"undone_{name}", 0.0) for record in cell for name in names]
    return sum(shares) / len(shares)
