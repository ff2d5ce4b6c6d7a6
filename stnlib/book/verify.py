"""`stn verify`: the book's files, numbers and verdicts computed anew, and a certificate."""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Iterator

from stnlib.book import manifest, retrain
from stnlib.book.claims import ledger
from stnlib.paths import BOOK
from stnlib.progress import bar
from stnlib.records import store
from stnlib.records.provenance import revision

__all__ = ["certificate"]


def _mixed() -> Iterator[str | None]:
    """For each study and its images: a line where its runs saw different ones, or None."""
    seen: dict[tuple, set[str]] = {}
    for record in store.read_all([BOOK / "records"]):
        cell = record.study, record.config.data, record.config.distortion
        seen.setdefault(cell, set()).add(record.provenance["data"])
    for (study, data, _), prints in seen.items():
        mixed = f"{study}: runs on {data} saw {len(prints)} data sets: {', '.join(sorted(prints))}"
        yield mixed if len(prints) > 1 else None


def _ledger(entries: list[dict]) -> Iterator[str | None]:
    for entry in entries:
        yield "; ".join(ledger.problems(entry)) or None


def certificate(anew: bool = False) -> tuple[str, list[str]]:
    """Verify the book, with a bar for each part.

    Parameters
    ----------
    anew : bool
        Whether to make one cheap training of each study of digits again, too.

    Returns
    -------
    tuple[str, list[str]]
        The certificate, and a line for each thing that is not as published.

    Raises
    ------
    ConfigError
        One line, where the manifest or a ledger cannot be read.
    """
    claims, predictions = ledger.claims(), ledger.predictions()
    files = len(manifest.present() | manifest.listed().keys())
    parts = {
        "files have the manifest's hash": (files, manifest.problems()),
        "sets of runs saw one data set each": (None, _mixed()),
        "claims have the published numbers and verdicts": (len(claims), _ledger(claims)),
        "predictions have the published verdicts": (len(predictions), _ledger(predictions)),
    }
    if anew:
        chosen = retrain.cheapest()
        parts["studies of digits give the same again"] = (
            len(chosen),
            (retrain.problem(*one) for one in chosen.items()),
        )
    versions = {name: importlib.metadata.version(name) for name in ("stnlib", "torch", "numpy")}
    versions = {"source": revision(), "python": platform.python_version()} | versions
    lines, failed = [", ".join(f"{name} {version}" for name, version in versions.items())], []
    for what, (total, checks) in parts.items():
        found = list(bar(iterable=checks, desc=what, total=total))
        failed += filter(None, found)
        lines.append(f"{found.count(None)} of {len(found)} {what}")
    words = Counter(entry["verdict"].partition(":")[0] for entry in predictions)
    lines.append("predictions: " + ", ".join(f"{n} {word}" for word, n in words.items()))
    lines.append("not verified" if failed else "verified")
    return "\n".join(lines), failed
