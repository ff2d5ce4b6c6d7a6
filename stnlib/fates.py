"""Fates: what became of a traced training, when, and what would have foretold it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stnlib import records
from stnlib.diagnostics import Trace
from stnlib.outcome import AT_CHANCE, HALF_BLACK, in_a_word, lost
from stnlib.statistics import Share, mean_share, wilson

__all__ = [
    "LEAST_SEEN",
    "WINDOW",
    "Threshold",
    "ahead",
    "balanced_accuracy",
    "death",
    "fall",
    "fates",
    "fit_threshold",
    "forecast",
    "mixed",
    "onset",
    "running_mean",
    "spread",
    "told",
    "traces",
]

WINDOW = 10  # steps over which a transformer's state is judged
LEAST_SEEN = 0.05  # coverage; below, in the mean of a window, a transformer is dead


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Mean of the last `window` values at each place; nan until there are as many."""
    return pd.Series(values, dtype=float).rolling(window).mean().to_numpy()


def death(frame: pd.DataFrame) -> int | None:
    """The step from which a transformer is dead until the end of its trace; None: it lives.

    Dead: in the mean of `WINDOW` steps more than half of the outputs are black, or less than
    0.05 of the image is seen.
    """
    black = running_mean(frame["black"], WINDOW) > HALF_BLACK
    dead = black | (running_mean(frame["coverage"], WINDOW) < LEAST_SEEN)
    return _for_good(dead, frame.index)


def onset(frame: pd.DataFrame) -> int | None:
    """The step at which a `death` begins, which a mean over steps sees late; None: it lives.

    From there until the death more than half of the outputs are black, or less than 0.05 of
    the image is seen, at each single step; at the latest it is the step of the death.
    """
    end = death(frame)
    if end is None:
        return None
    until = frame[frame.index <= end]
    gone = (until["black"] > HALF_BLACK) | (until["coverage"] < LEAST_SEEN)
    return _for_good(gone, until.index) or end


def _for_good(so: Sequence[bool], steps: pd.Index) -> int | None:
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
    return _for_good((mean < best / 2) & (best >= least), accuracy.index)


def spread(row: dict) -> float:
    """How much θ differs between the images whose θ a row of a history keeps.

    The standard deviation over images, of each of θ's entries; the mean of these.
    """
    return float(np.std(row["thetas"], axis=0, ddof=1).mean())


def traces(
    *studies: str, where: Sequence[Path] | None = None
) -> list[tuple[records.Record, Trace]]:
    """The records that have a trace, each with it; a training of several studies comes once."""
    found: dict[str, tuple[records.Record, Trace]] = {}
    for study in studies:
        for path in records.paths_of_study(study, where):
            if path.stem not in found and records.trace_path(path).exists():
                found[path.stem] = records.read(path), Trace.load(records.trace_path(path))
    return list(found.values())


def fates(pairs: Iterable[tuple[records.Record, Trace]]) -> pd.DataFrame:
    """What became of traced runs: one row a run.

    Returns
    -------
    Columns: `key`, every field of the configuration, `outcome` (see `stnlib.outcome.in_a_word`),
    `lost`, `death`, `onset`, `fall` and `warning` (steps, nan for none), `kind` of the warning,
    `steps` in all, and `reach` (lr · loc_lr_factor · (1 + ‖φ‖₁) at the first step: how far a step
    of Adam's can move θ).
    """
    return pd.DataFrame([_fate(record, trace) for record, trace in pairs])


def _fate(record: records.Record, trace: Trace) -> dict:
    config, frame = record["config"], trace.to_frame()
    warning, kind = trace.events[0] if trace.events else (np.nan, None)
    at = {"death": death(frame), "onset": onset(frame), "fall": fall(frame["accuracy"])}
    return {
        "key": record["key"],
        **config.to_dict(),
        "outcome": in_a_word(record),
        "lost": lost(record),
        **{name: np.nan if step is None else step for name, step in at.items()},
        "warning": warning,
        "kind": kind,
        "steps": int(frame.index[-1]),
        "reach": config.lr * config.loc_lr_factor * (1 + frame["phi"].iloc[0]),
    }


def ahead(pairs: Iterable[tuple[records.Record, Trace]], lead: int) -> pd.Series:
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
        found[record["key"]] = seen.max()
    return pd.Series(found, name="step", dtype=float)


class Threshold(NamedTuple):
    """Above `value` a run is said to die; `accuracy` is balanced, on the runs it was fitted to."""

    value: float
    accuracy: float


def balanced_accuracy(said: Sequence[bool], died: Sequence[bool]) -> float:
    """Mean of the shares of the dying and of the living that were told right."""
    said, died = np.asarray(said, dtype=bool), np.asarray(died, dtype=bool)
    if died.all() or not died.any():
        raise ValueError("balanced accuracy needs runs that died and runs that lived")
    return float((said[died].mean() + (~said[~died]).mean()) / 2)


def fit_threshold(values: Sequence[float], died: Sequence[bool]) -> Threshold:
    """The threshold of the best balanced accuracy, midway (in the logarithm) between two values.

    Parameters
    ----------
    values : above 0, one a run.
    """
    logs = np.log(np.asarray(values, dtype=float))
    places = np.unique(logs)
    middles = np.exp((places[1:] + places[:-1]) / 2)
    if not len(middles):  # all alike: nothing to tell them by
        return Threshold(float(np.exp(places[0])), 0.5)
    scored = [Threshold(float(m), balanced_accuracy(np.exp(logs) > m, died)) for m in middles]
    return max(scored, key=lambda threshold: threshold.accuracy)


def mixed(runs: pd.DataFrame, cell: Sequence[str] = ("lr", "loc_lr_factor")) -> pd.DataFrame:
    """The runs of those cells in which some died and some lived."""
    shares = runs["death"].notna().groupby([runs[name] for name in cell]).transform("mean")
    return runs[(shares > 0) & (shares < 1)]


def told(said: Sequence[bool], died: Sequence[bool]) -> dict[str, float | Share]:
    """How well it was told who dies.

    Returns
    -------
    `judged`, the balanced accuracy, with its 95 % interval from `low` to `high`; and how many
    were told right, of the `dying` and of the `living`.
    """
    said, died = np.asarray(said, dtype=bool), np.asarray(died, dtype=bool)
    dying, living = (wilson(int(right.sum()), len(right)) for right in (said[died], ~said[~died]))
    mean, low, high = mean_share(dying, living)
    return {"judged": mean, "low": low, "high": high, "dying": dying, "living": living}


def forecast(past: pd.DataFrame, fresh: pd.DataFrame, predictors: Sequence[str]) -> pd.DataFrame:
    """How well a threshold on a predictor tells who dies: fitted on `past` runs, judged on `fresh`.

    Parameters
    ----------
    past, fresh : a row a run: `death` and the predictors, above 0; rows without one are left out.

    Returns
    -------
    A row a predictor: `threshold`, its balanced accuracy `fitted`, and what `told` says of the
    fresh runs; nan where the runs of either kind have one outcome only.
    """
    rows = {}
    for name in predictors:
        (before, died), (after, dies) = (
            (part[name].dropna(), part["death"].notna()[part[name].notna()])
            for part in (past, fresh)
        )
        rows[name] = {}
        if all(0 < outcome.mean() < 1 for outcome in (died, dies)):
            value, accuracy = fit_threshold(before, died)
            rows[name] = {"threshold": value, "fitted": accuracy} | told(after > value, dies)
    columns = ["threshold", "fitted", "judged", "low", "high", "dying", "living"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)
