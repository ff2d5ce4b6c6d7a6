"""One cheap training of each study of digits, made again and compared with its record."""

from __future__ import annotations

import dataclasses
import math
import statistics
import tempfile
from pathlib import Path

import torch

from stnlib.errors import StnlibError
from stnlib.paths import BOOK
from stnlib.records import store, studyfile
from stnlib.records.outcome import in_a_word
from stnlib.records.store import Record
from stnlib.study import runs

__all__ = ["DIGITS", "cheapest", "compared", "problem"]

DIGITS = ("cm", "digits", "mnist")
LEAST = 0.02  # accuracy, where there are too few seeds to tell a spread


def cheapest() -> dict[str, Record]:
    """Of each study of digits the transformer that a processor trained fastest.

    Returns
    -------
    dict[str, Record]
        By study.
    """
    found = {}
    for path in sorted((BOOK / "studies").glob("*.toml")):
        made = [
            record
            for record in store.of_study(path.stem, [BOOK / "records"])
            if record.config.data in DIGITS
            and record.config.has_transformer
            and record.provenance["device"].startswith("cpu")
        ]
        if made:
            found[path.stem] = min(made, key=lambda record: record.result["seconds"])
    return found


def _allowed(study: str, record: Record) -> float:
    """How far two trainings of a cell may be apart: by more, two seeds are once in twenty."""
    same = [
        other.last["val_accuracy"]
        for other in store.of_study(study, [BOOK / "records"])
        if other.config.replace(seed=record.seed) == record.config
    ]
    spread = statistics.stdev(same) if len(same) > 2 else 0.0
    return max(LEAST, 1.96 * math.sqrt(2) * spread)


def compared(old: Record, new: Record, allowed: float) -> str | None:
    """What is not the same.

    Parameters
    ----------
    old, new : Record
        Of one configuration.
    allowed : float
        By how much their validation accuracies may differ.

    Returns
    -------
    str | None
        None where the outcome is the same and the accuracy near enough.
    """
    # Judged by what the old one has: some measures were added since.
    history = [{n: row[n] for n in row if n in old.last} for row in new.history]
    result = {n: value for n, value in new.result.items() if n in old.result}
    new = dataclasses.replace(new, history=history, result=result)
    if in_a_word(new) != in_a_word(old):
        return f"ends {in_a_word(new)}, recorded as {in_a_word(old)}"
    ours, theirs = new.last["val_accuracy"], old.last["val_accuracy"]
    if not abs(ours - theirs) <= allowed:
        return f"validation accuracy {ours:.3f}, recorded {theirs:.3f}, allowed ± {allowed:.3f}"
    return None


def problem(study: str, record: Record) -> str | None:
    """Make a record again, elsewhere, and compare.

    Parameters
    ----------
    study : str
        That asks for it.
    record : Record
        Of `cheapest`.

    Returns
    -------
    str | None
        A line where it is not the same, or cannot be made, as where its data are missing.
    """
    options = studyfile.options(BOOK / "studies" / f"{study}.toml")
    torch.set_num_threads(record.provenance["threads"])
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = runs.run(
                record.config,
                study,
                Path(folder),
                checkpoints=Path(folder),
                test=options.get("test", True),
                progress=False,
            )
        except (StnlibError, OSError) as error:
            return f"{study}, {record.key}: cannot be made: {error}"
        wrong = compared(record, store.read(path), _allowed(study, record))
    return f"{study}, {record.key}: {wrong}" if wrong else None
