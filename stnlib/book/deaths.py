"""Deaths: what became of a traced training, and when."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stnlib.diagnostics import Trace
from stnlib.records import store
from stnlib.records.outcome import AT_CHANCE, HALF_BLACK, in_a_word, lost

__all__ = [
    "LEAST_SEEN",
    "WINDOW",
    "ahead",
    "dead",
    "death",
    "fall",
    "fates",
    "for_good",
    "onset",
    "running_mean",
    "spread",
    "traces",
    "wander",
]

WINDOW = 10  # steps over which a transformer's state is judged
LEAST_SEEN = 0.05  # coverage; below, in the mean of a window, a transformer is dead


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Mean of the last `window` values at each place; nan until there are as many."""
    return pd.Series(values, dtype=float).rolling(window).mean().to_numpy()


def _gone(black: Any, coverage: Any) -> Any:
    """Whether more than half of the outputs are black, or less than 0.05 of the image is seen."""
    return (black > HALF_BLACK) | (coverage < LEAST_SEEN)


def dead(rows: Sequence[Mapping[str, float]]) -> bool:
    """Whether a transformer is dead after the last of these steps, a row each.

    Dead: in the mean of `WINDOW` steps more than half of the outputs are black, or less than
    0.05 of the image is seen.
    """
    last = rows[-WINDOW:]
    if len(last) < WINDOW:
        return False
    return _gone(*(statistics.fmean(row[name] for row in last) for name in ("black", "coverage")))


def death(frame: pd.DataFrame) -> int | None:
    """The step from which a transformer is `dead` until the end of its trace; None: it lives."""
    means = (running_mean(frame[name], WINDOW) for name in ("black", "coverage"))
    return for_good(_gone(*means), frame.index)


def onset(frame: pd.DataFrame) -> int | None:
    """The step at which a `death` begins, which a mean over steps sees late; None: it lives.

    From there until the death more than half of the outputs are black, or less than 0.05 of
    the image is seen, at each single step; at the latest it is the step of the death.
    """
    end = death(frame)
    if end is None:
        return None
    until = frame[frame.index <= end]
    return for_good(_gone(until["black"], until["coverage"]), until.index) or end


def for_good(so: Sequence[bool], steps: pd.Index) -> int | None:
    """The first of the `steps` from which on it is `so` until the last; None for none."""
    otherwise = np.flatnonzero(~np.asarray(so, dtype=bool))
    first = otherwise[-1] + 1 if len(otherwise) else 0
    return int(steps[first]) if first < len(steps) else None


def fall(accuracy: pd.Series, window: int = 20, least: float = AT_CHANCE) -> int | None:
    """The step at which a training's accuracy falls for good; None where it does not.

    It falls where the mean of `window` batches is below half of the best one before, and stays
    there until the end. What never reached `least` (twice chance for ten classes) cannot fall.
    """
    mean = running_mean(accuracy, window)
    best = np.fmax.accumulate(mean)
    return for_good((mean < best / 2) & (best >= least), accuracy.index)


def spread(row: dict) -> float:
    """How much θ differs between the images whose θ a row of a history keeps.

    The standard deviation over images, of each of θ's entries; the mean of these.
    """
    return float(np.std(row["thetas"], axis=0, ddof=1).mean())


def wander(row: dict, side: int) -> float:
    """How far the view moves from image to image, in pixels of an image so wide.

    The standard deviation, over the images that a row of a history measures, of the shift in θ:
    the larger of that along x and that along y.
    """
    return max(row["tx_std"], row["ty_std"]) * (side - 1) / 2


def traces(*studies: str, where: Sequence[Path] | None = None) -> list[tuple[store.Record, Trace]]:
    """The records that have a trace, each with it; a training of several studies comes once."""
    found: dict[str, tuple[store.Record, Trace]] = {}
    for study in studies:
        for path in store.paths_of_study(study, where):
            if path.stem not in found and store.trace_path(path).exists():
                found[path.stem] = store.read(path), Trace.load(store.trace_path(path))
    return list(found.values())


def fates(pairs: Iterable[tuple[store.Record, Trace]]) -> pd.DataFrame:
    """What became of traced runs: one row a run.

    Returns
    -------
    Columns: `key`, every field of the configuration, `outcome` (see
    `stnlib.records.outcome.in_a_word`), `lost`, `death`, `onset`, `fall` and `warning` (steps, nan
    for none), `kind` of the warning, `steps` in all, and `reach` (lr · loc_lr_factor · (1 + ‖φ‖₁)
    at the first step: how far a step of Adam's can move θ).
    """
    return pd.DataFrame([_fate(record, trace) for record, trace in pairs])


def _fate(record: store.Record, trace: Trace) -> dict:
    config, frame = record.config, trace.to_frame()
    warning, kind = trace.events[0] if trace.events else (np.nan, None)
    at = {"death": death(frame), "onset": onset(frame), "fall": fall(frame["accuracy"])}
    return {
        "key": record.key,
        **config.to_dict(),
        "outcome": in_a_word(record),
        "lost": lost(record),
        **{name: np.nan if step is None else step for name, step in at.items()},
        "warning": warning,
        "kind": kind,
        "steps": int(frame.index[-1]),
        "reach": config.lr * config.loc_lr_factor * (1 + frame["phi"].iloc[0]),
    }


def ahead(pairs: Iterable[tuple[store.Record, Trace]], lead: int) -> pd.Series:
    """The largest step of θ up to `lead` steps before the onset of the death.

    Returns
    -------
    By the run's key; of the whole run where it lives, nan where it died sooner.
    """
    found = {}
    for record, trace in pairs:
        frame = trace.to_frame()
        begun, step = onset(frame), frame["step"]
        seen = step if begun is None else step[step.index <= begun - lead]
        found[record.key] = seen.max()
    return pd.Series(found, name="step", dtype=float)
