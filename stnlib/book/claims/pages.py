"""The ledgers as the pages of the book show them: small tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stnlib.book.claims.ledger import compute, early
from stnlib.paths import BOOK

__all__ = ["claims", "folded", "papers", "scoreboard"]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _study(name: str) -> str:
    """A link to a study's file, from a page of the book's folder."""
    for folder in ("studies", "autopsies"):
        if (BOOK / folder / f"{name}.toml").is_file():
            return f"[{name}]({folder}/{name}.toml)"
    return name


def _studies(entry: dict[str, Any]) -> str:
    names = entry["studies"]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(map(_study, names[:2])) + more


def _numbers(entry: dict[str, Any]) -> str:
    shown = entry.get("shown") or list(entry["numbers"])[:1]
    return "; ".join(f"{name}: {entry['numbers'][name]}" for name in shown)


def claims(entries: Iterable[dict[str, Any]]) -> str:
    """A table of claims.

    Parameters
    ----------
    entries : Iterable[dict[str, Any]]
        Of `stnlib.book.claims.ledger.claims`.

    Returns
    -------
    str
        Markdown, a row a claim.
    """
    rows = []
    for entry in entries:
        origin = ", ".join(filter(None, [*entry["data"], _studies(entry)]))
        told = f"{entry['claim']}<br>{_numbers(entry)}"
        rows.append((told, f"{entry['status']}<br>{origin}"))
    return _table(("claim, and numbers with n and 95 % interval", "status, data, study"), rows)


def papers(entries: Iterable[dict[str, Any]]) -> str:
    """A table of the paper's own claims.

    Parameters
    ----------
    entries : Iterable[dict[str, Any]]
        Of `stnlib.book.claims.ledger.claims`; those that are about none are left out.

    Returns
    -------
    str
        Markdown, a row a claim.
    """
    rows = [
        (entry["paper"], f"**{entry['verdict']}**<br>{_numbers(entry)}")
        for entry in entries
        if "paper" in entry
    ]
    return _table(("the paper", "verdict, and what we found"), rows)


def _written(entry: dict[str, Any]) -> str:
    """When a prediction was written down, and before how many of its runs."""
    before, total = early(entry)
    day = entry["date"][:16].replace("T", " ")
    if not before:
        late = "before any run"
    elif before == total:
        late = "*after all of its runs*"
    else:
        late = f"*after {before} of {total} runs*"
    return f"`{entry['commit']}`, {day}, {late}"


def scoreboard(entries: Iterable[dict[str, Any]]) -> str:
    """A table of predictions.

    Parameters
    ----------
    entries : Iterable[dict[str, Any]]
        Of `stnlib.book.claims.ledger.predictions`.

    Returns
    -------
    str
        Markdown, a row a prediction.
    """
    rows = []
    for entry in entries:
        found = compute(entry["function"]).found
        verdict = f"**{entry['verdict']}**<br>{found}"
        rows.append((f"{entry['statement']}<br>{_written(entry)}, {_studies(entry)}", verdict))
    return _table(("prediction, and when it was written down", "verdict, and what was found"), rows)


def folded(title: str, text: str, unfolded: bool = False) -> str:
    """A part of a page that opens at a click.

    Parameters
    ----------
    title : str
        What is clicked.
    text : str
        Markdown.
    unfolded : bool
        Whether it is open at first.

    Returns
    -------
    str
        Markdown.
    """
    opened = " open" if unfolded else ""
    return f"<details{opened}>\n<summary>{title}</summary>\n\n{text}\n\n</details>"
