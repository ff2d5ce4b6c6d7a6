"""What a claim's function finds in the records, and what a prediction's does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from stnlib.book.stats import Share

__all__ = ["Finding", "Verdict", "found", "judged", "on_shares", "settled"]


class Finding(NamedTuple):
    """What the records say about a claim.

    Parameters
    ----------
    holds : bool
        Whether the claim is what they say.
    numbers : dict[str, str]
        By name, as they are published, with n and interval.
    verdict : str
        On the paper's own claim; empty where there is none.
    """

    holds: bool
    numbers: dict[str, str]
    verdict: str


class Verdict(NamedTuple):
    """What the records say about a prediction.

    Parameters
    ----------
    verdict : str
        `held`, `failed`, or `open` with how far it is recorded.
    found : str
        What was found, in a line.
    dates : tuple[str, ...]
        When the runs that it is judged by were recorded, the first first; ISO 8601, UTC.
    """

    verdict: str
    found: str
    dates: tuple[str, ...]


def found(holds: bool, numbers: Mapping[str, object], paper: bool | str | None = None) -> Finding:
    """A finding.

    Parameters
    ----------
    holds : bool
        Whether the claim is what the records say.
    numbers : Mapping[str, object]
        By name; a text is made of each.
    paper : bool | str | None
        Whether the paper's own claim is reproduced, or the verdict in other words, which counts
        only where the claim holds; None without one.

    Returns
    -------
    Finding
        Of these.
    """
    told = {name: str(value) for name, value in numbers.items()}
    if isinstance(paper, str):
        return Finding(bool(holds), told, paper if holds else "undecided")
    verdict = "" if paper is None else "reproduced" if paper else "not reproduced"
    return Finding(bool(holds), told, verdict)


def settled(so: Sequence[bool], planned: int) -> str:
    """The verdict on "every run", of which some may not be recorded yet.

    Parameters
    ----------
    so : Sequence[bool]
        Whether it is as foretold, one a recorded run.
    planned : int
        Runs, recorded or not.

    Returns
    -------
    str
        One run that is otherwise makes it `failed`; `held` needs all.
    """
    if not all(so):
        return "failed"
    return "held" if len(so) >= planned else f"open: {len(so)} of {planned} recorded"


def judged(verdict: bool | str, said: str, dates: Iterable[str]) -> Verdict:
    """A verdict.

    Parameters
    ----------
    verdict : bool | str
        Whether it held, or the word itself.
    said : str
        What was found.
    dates : Iterable[str]
        Of the runs that it is judged by.

    Returns
    -------
    Verdict
        Of these.
    """
    word = verdict if isinstance(verdict, str) else ("held" if verdict else "failed")
    return Verdict(word, said, tuple(sorted(dates)))


def on_shares(so: Callable[..., bool], dates: Iterable[str], **shares: Share | None) -> Verdict:
    """The verdict of a condition on shares, `open` while one of them is missing.

    Parameters
    ----------
    so : Callable[..., bool]
        Takes the shares, 0 to 1, by their names.
    dates : Iterable[str]
        Of the runs that it is judged by.
    **shares : Share | None
        None where too few runs are recorded to judge.

    Returns
    -------
    Verdict
        With the shares as what was found.
    """
    there = {name: share for name, share in shares.items() if share}
    if len(there) < len(shares):
        return judged(f"open: {len(there)} of {len(shares)} cells recorded", "", dates)
    said = "; ".join(f"{name.replace('_', ' ')}: {share}" for name, share in there.items())
    return judged(so(**{name: share.k / share.n for name, share in there.items()}), said, dates)
