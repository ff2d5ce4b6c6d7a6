"""The finder of rates, judged: five predictions and a claim."""

from __future__ import annotations

import pandas as pd

from stnlib.book import finder as judging
from stnlib.book.claims.facts import observed
from stnlib.book.claims.findings import Finding, Verdict, found, judged
from stnlib.book.stats import tally

__all__ = ["cheap", "looks", "none_out", "suggestions", "surpasses_the_rule", "within_a_point"]

SEEDS = 3
BY_SGD = ("tutorial", "tanh")  # the third-party networks that plain gradient descent trains


def _table() -> pd.DataFrame:
    return judging.runs(observed(judging.STUDY))


def _dates() -> list[str]:
    return [one["provenance"]["date"] for one in observed(judging.STUDY)]


def _of(by: str) -> pd.DataFrame:
    table = _table()
    return table[table["by"] == by]


def _open(by: str) -> str | None:
    """How far the trainings by a rule are recorded, where some are missing."""
    made, total = len(_of(by)), SEEDS * len(judging.CELLS_HELD)
    return None if made >= total else f"open: {made} of {total} recorded"


def looks() -> Verdict:
    """At the suggestion at least nine of ten trainings look."""
    so = tally(_of("finder")["end"] == "looks")
    most = so.k + SEEDS * len(judging.CELLS_HELD) - so.n  # if all that are missing look
    failed = most < 0.9 * SEEDS * len(judging.CELLS_HELD)
    word = "failed" if failed else _open("finder") or "held"
    return judged(word, f"{so.k} of {so.n} look", _dates())


def none_out() -> Verdict:
    """At the suggestion none is black or out of view at the end."""
    out = (_of("finder")["end"] == "lost").sum()
    said = f"{out} of {len(_of('finder'))} are"
    return judged("failed" if out else _open("finder") or "held", said, _dates())


def within_a_point() -> Verdict:
    """In five of eight cells or more, not in all, within a point of the best of a search of ten."""
    share = judging.verdicts(_table())["within a point"]
    n = share.n if share else 0
    total = len(judging.CELLS_HELD)
    said = f"{n} of {total} cells have a search"
    word: bool | str = f"open: {n} of {total} cells recorded"
    if share and n == total:
        word, said = 5 <= share.k < n, f"{share.k} of {n} cells"
    return judged(word, said, _dates())


def cheap() -> Verdict:
    """The finder takes less than a twentieth of the search's steps in every cell."""
    so = judging.verdicts(_table())["below a twentieth"]
    return judged(bool(so), "in every cell" if so else "not in every cell", _dates())


def surpasses_the_rule() -> Verdict:
    """The plain rule looks less often than the suggestion."""
    ours, plain = (tally(_of(by)["end"] == "looks") for by in ("finder", "plain"))
    said = f"{ours.k} of {ours.n} by the finder, {plain.k} of {plain.n} by the rule"
    word = _open("finder") or _open("plain") or plain.k / plain.n < ours.k / ours.n
    return judged(word, said, _dates())


def suggestions() -> Finding:
    """Whether the suggestion looks with Adam and fails with SGD, and a rule is as accurate."""
    ours = _of("finder")
    sgd = ours["network"].isin(BY_SGD)
    by_adam, by_sgd = (tally(ours[so]["end"] == "looks") for so in (~sgd, sgd))
    cell = ["data", "network"]
    both = ours[~sgd].merge(_of("plain"), on=[*cell, "seed"], suffixes=("", "_plain"))
    behind = (both["accuracy_plain"] - both["accuracy"]).groupby([both[c] for c in cell]).mean()
    numbers = {"look, Adam": by_adam, "look, SGD": by_sgd}
    numbers |= {"a plain rule is as accurate or better": tally(behind >= 0)}
    return found(by_adam.low > by_sgd.high and (behind >= 0).sum() >= len(behind) / 2, numbers)
