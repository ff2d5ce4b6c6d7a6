"""Fates: what became of a traced training, when, and what would have foretold it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stnlib import records
from stnlib.diagnostics import Trace

__all__ = [
    "LEAD",
    "LEAST_LEARNT",
    "LEAST_SEEN",
    "MOST_BLACK",
    "WINDOW",
    "Threshold",
    "balanced_accuracy",
    "blind",
    "death",
    "fall",
    "fates",
    "fit_threshold",
    "forecast",
    "mixed",
    "outcome",
    "running_mean",
    "traces",
]

WINDOW = 10  # steps over which a transformer's state is judged
MOST_BLACK, LEAST_SEEN = 0.5, 0.05  # beyond, in the mean of a window, a transformer is dead
LEAST_LEARNT = 0.2  # accuracy, twice a guess among ten classes; below, nothing is learnt
SAME = 1e-5  # standard deviation of θ over images below which they are all seen alike
LEAD = 10  # steps before a death at which a forecast must have been made


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Mean of the last `window` values at each place; nan until there are as many."""
    return pd.Series(values, dtype=float).rolling(window).mean().to_numpy()


def death(frame: pd.DataFrame) -> int | None:
    """The step from which a transformer is dead until the end of its trace; None: it lives.

    Dead: in the mean of `WINDOW` steps more than half of the outputs are black, or less than
    0.05 of the image is seen.
    """
    black = running_mean(frame["black"], WINDOW) > MOST_BLACK
    dead = black | (running_mean(frame["coverage"], WINDOW) < LEAST_SEEN)
    if not len(dead) or not dead[-1]:
        return None
    alive = np.flatnonzero(~dead)
    return int(frame.index[alive[-1] + 1 if len(alive) else 0])


def fall(accuracy: pd.Series, window: int = 20, least: float = LEAST_LEARNT) -> int | None:
    """The step at which a training's accuracy falls for good; None where it does not.

    It falls where the mean of `window` batches is below half of the best one before, and stays
    there until the end. What never reached `least` (twice chance for ten classes) cannot fall.
    """
    mean = running_mean(accuracy, window)
    best = np.fmax.accumulate(mean)
    low = (mean < best / 2) & (best >= least)
    if not len(low) or not low[-1]:
        return None
    return int(accuracy.index[np.flatnonzero(~low)[-1] + 1])


def outcome(record: records.Record) -> str:
    """What became of a training: `stnlib.records.state`, `at chance` or `blind`.

    A network is at chance, with a transformer that is alive or without one, where its last
    validation accuracy is below `LEAST_LEARNT`. One that has learnt is `blind` where its
    transformer is, and otherwise `alive`.
    """
    state = records.state(record) or "alive"
    if state == "alive" and record["history"][-1]["val_accuracy"] < LEAST_LEARNT:
        return "at chance"
    return "blind" if state == "alive" and blind(record) else state


def blind(record: records.Record) -> bool:
    """Whether a transformer has the same θ for all of the images whose θ its record keeps.

    Such a transformer does not look at its images any more, whatever its accuracy.
    """
    thetas = np.array(record["history"][-1].get("thetas") or np.empty((0, 6)))
    return len(thetas) > 1 and bool(thetas.std(axis=0).max() < SAME)


def traces(study: str, where: Iterable[Path] | None = None) -> list[tuple[records.Record, Trace]]:
    """The records of a study that have a trace, each with it."""
    found = []
    for record in records.read_all(study, where):
        path = records.locate(record["config"], where)
        if path and records.trace_path(path).exists():
            found.append((record, Trace.load(records.trace_path(path))))
    return found


def fates(pairs: Iterable[tuple[records.Record, Trace]]) -> pd.DataFrame:
    """What became of traced runs: one row a run.

    Returns
    -------
    Columns: `key`, every field of the configuration, `state` (by the last validation, see
    `stnlib.records.state`), `outcome` (the function), `death`, `fall` and `warning` (steps, nan
    for none), `kind` of the warning, `steps` in all, `blind` (θ is the same for all images at
    the end), `reach` (lr · loc_lr_factor · (1 + ‖φ‖₁) at the first step: how far a step of
    Adam's can move θ), and `foremost`, the largest measured step of θ up to `LEAD` steps before
    the death, or in the whole run where it lives.
    """
    return pd.DataFrame([_fate(record, trace) for record, trace in pairs])


def _fate(record: records.Record, trace: Trace) -> dict:
    config, frame = record["config"], trace.to_frame()
    end = death(frame)
    before = frame["step"] if end is None else frame["step"][frame.index <= end - LEAD]
    spread = [frame[name].iloc[-1] for name in frame if name.startswith("theta_std")]
    warning, kind = trace.events[0] if trace.events else (np.nan, None)
    none = np.nan
    return {
        "key": record["key"],
        **config.to_dict(),
        "state": records.state(record),
        "outcome": outcome(record),
        "death": none if end is None else end,
        "fall": none if (step := fall(frame["accuracy"])) is None else step,
        "warning": warning,
        "kind": kind,
        "steps": int(frame.index[-1]),
        "blind": bool(max(spread, default=1.0) < 1e-6),
        "reach": config.lr * config.loc_lr_factor * (1 + frame["phi"].iloc[0]),
        "foremost": before.max() if len(before) else none,
    }


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


def forecast(runs: pd.DataFrame, predictors: Sequence[str]) -> pd.DataFrame:
    """How well a threshold on a predictor tells who dies: fitted on even seeds, judged on odd.

    Parameters
    ----------
    runs : a row a run: `seed`, `death` and the predictors, above 0; rows without one are left out.

    Returns
    -------
    A row a predictor: `threshold`, the balanced accuracies `fitted` and `judged`, the numbers
    of runs `n_fitted` and `n_judged`; nan where one half of the seeds has one outcome only.
    """
    rows = {}
    for name in predictors:
        known = runs[runs[name].notna()]
        even = known["seed"] % 2 == 0
        fitted, judged = known[even], known[~even]
        row = {"n_fitted": len(fitted), "n_judged": len(judged)}
        if all(0 < part["death"].notna().mean() < 1 for part in (fitted, judged)):
            value, accuracy = fit_threshold(fitted[name], fitted["death"].notna())
            later = balanced_accuracy(judged[name] > value, judged["death"].notna())
            row |= {"threshold": value, "fitted": accuracy, "judged": later}
        rows[name] = row
    columns = ["threshold", "fitted", "judged", "n_fitted", "n_judged"]
    return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns)
