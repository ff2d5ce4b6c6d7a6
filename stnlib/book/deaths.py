"""Deaths: what became of a traced training, and when.

A transformer is dead where, in the mean of `WINDOW` steps, more than half of its outputs are black
or it sees less than `LEAST_SEEN` of the image.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stnlib.book.alarms import first_alarm
from stnlib.diagnostics import Trace
from stnlib.records import store
from stnlib.records.outcome import AT_CHANCE, HALF_BLACK, LIVING, in_a_word, lost

__all__ = [
    "LEAST_SEEN",
    "WINDOW",
    "ahead",
    "courses",
    "dead",
    "death",
    "fall",
    "for_good",
    "onset",
    "outcomes",
    "running_mean",
    "spread",
    "traces",
    "wander",
]

WINDOW = 10  # steps over which a transformer's state is judged
LEAST_SEEN = 0.05  # coverage; below, in the mean of a window, a transformer is dead


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Mean of the last values at each place.

    Parameters
    ----------
    values : Sequence[float]
        One a step.
    window : int
        How many.

    Returns
    -------
    np.ndarray
        As many; nan until there are `window` values.
    """
    return pd.Series(values, dtype=float).rolling(window).mean().to_numpy()


def _gone(black: Any, coverage: Any) -> Any:
    return (black > HALF_BLACK) | (coverage < LEAST_SEEN)


def dead(rows: Sequence[Mapping[str, float]]) -> bool:
    """Whether a transformer is dead.

    Parameters
    ----------
    rows : Sequence[Mapping[str, float]]
        A step each, `black` and `coverage`.

    Returns
    -------
    bool
        After the last of them; False where they are fewer than `WINDOW`.
    """
    last = rows[-WINDOW:]
    if len(last) < WINDOW:
        return False
    return _gone(*(statistics.fmean(row[name] for row in last) for name in ("black", "coverage")))


def death(frame: pd.DataFrame) -> int | None:
    """The step from which a transformer is dead until the end of its trace.

    Parameters
    ----------
    frame : pd.DataFrame
        `black` and `coverage`, a row a step, as of `stnlib.diagnostics.Trace.to_frame`.

    Returns
    -------
    int | None
        None: it lives.
    """
    means = (running_mean(frame[name], WINDOW) for name in ("black", "coverage"))
    return for_good(_gone(*means), frame.index)


def onset(frame: pd.DataFrame) -> int | None:
    """The step at which a `death` begins, which a mean over steps sees late.

    From there until the death more than half of the outputs are black, or less than 0.05 of
    the image is seen, at each single step; at the latest it is the step of the death.

    Parameters
    ----------
    frame : pd.DataFrame
        As for `death`.

    Returns
    -------
    int | None
        None: it lives.
    """
    end = death(frame)
    if end is None:
        return None
    until = frame[frame.index <= end]
    return for_good(_gone(until["black"], until["coverage"]), until.index) or end


def for_good(so: Sequence[bool], steps: pd.Index) -> int | None:
    """The first step from which on something is so until the last.

    Parameters
    ----------
    so : Sequence[bool]
        Whether it is, one a step.
    steps : pd.Index
        Their numbers.

    Returns
    -------
    int | None
        None where it is not so at the last.
    """
    otherwise = np.flatnonzero(~np.asarray(so, dtype=bool))
    first = otherwise[-1] + 1 if len(otherwise) else 0
    return int(steps[first]) if first < len(steps) else None


def fall(accuracy: pd.Series) -> int | None:
    """The step at which a training's accuracy falls for good.

    It falls where the mean of 20 batches is below half of the best one before, and stays there
    until the end. What never reached twice chance for ten classes cannot fall.

    Parameters
    ----------
    accuracy : pd.Series
        Of each batch, by step.

    Returns
    -------
    int | None
        None where it does not fall.
    """
    mean = running_mean(accuracy, 20)
    best = np.fmax.accumulate(mean)
    return for_good((mean < best / 2) & (best >= AT_CHANCE), accuracy.index)


def spread(row: Mapping[str, Any]) -> float:
    """How much θ differs between images.

    Parameters
    ----------
    row : Mapping[str, Any]
        Of a history; its `thetas` are a few images' θ.

    Returns
    -------
    float
        The standard deviation over images of each of θ's entries; the mean of these.
    """
    return float(np.std(row["thetas"], axis=0, ddof=1).mean())


def wander(row: dict, side: int) -> float:
    """How far the view moves from image to image, in pixels of an image so wide.

    The standard deviation, over the images that a row of a history measures, of the shift in θ:
    the larger of that along x and that along y.

    Parameters
    ----------
    row : dict
        With `tx_std` and `ty_std`.
    side : int
        Of the image, in pixels.
    """
    return max(row["tx_std"], row["ty_std"]) * (side - 1) / 2


def traces(*studies: str, where: Sequence[Path] | None = None) -> list[tuple[store.Record, Trace]]:
    """The records that have a trace, each with it.

    Parameters
    ----------
    *studies : str
        Names; a training of several studies comes once.
    where : Sequence[Path] | None
        Folders of records; None for the book's and your own.

    Returns
    -------
    list[tuple[store.Record, Trace]]
        Study by study.
    """
    found: dict[str, tuple[store.Record, Trace]] = {}
    for study in studies:
        for path in store.paths_of_study(study, where):
            if path.stem not in found and store.trace_path(path).exists():
                found[path.stem] = store.read(path), Trace.load(store.trace_path(path))
    return list(found.values())


def outcomes(pairs: Iterable[tuple[store.Record, Trace]]) -> pd.DataFrame:
    """What became of traced runs.

    Parameters
    ----------
    pairs : Iterable[tuple[store.Record, Trace]]
        Of `traces`.

    Returns
    -------
    pd.DataFrame
        A row a run: `key`, every field of the configuration, `outcome` (see
        `stnlib.records.outcome.in_a_word`), `lost`, `kept` (it looks or idles, and the classifier
        has learned), `death`, `onset`, `fall` and `warning` (steps, nan for none), `kind` of the
        warning (by the monitor's criteria as they are today: see `stnlib.book.alarms`), `steps` in
        all, and `reach` (lr · loc_lr_factor · (1 + ‖φ‖₁) at the first step: how far a step of
        Adam's can move θ).
    """
    return pd.DataFrame([_row(record, trace) for record, trace in pairs])


def _row(record: store.Record, trace: Trace) -> dict[str, Any]:
    config, frame = record.config, trace.to_frame()
    warning, kind = first_alarm(trace, config.side)
    at = {"death": death(frame), "onset": onset(frame), "fall": fall(frame["accuracy"])}
    return {
        "key": record.key,
        **config.to_dict(),
        "outcome": in_a_word(record),
        "lost": lost(record),
        "kept": in_a_word(record) in LIVING,
        **{name: np.nan if step is None else step for name, step in at.items()},
        "warning": warning,
        "kind": kind,
        "steps": int(frame.index[-1]),
        "reach": config.lr * config.loc_lr_factor * (1 + frame["phi"].iloc[0]),
    }


def courses(
    pairs: Iterable[tuple[store.Record, Trace]],
) -> dict[str, tuple[pd.Series, int | None]]:
    """How far θ moves at each step, and the onset of the death.

    Parameters
    ----------
    pairs : Iterable[tuple[store.Record, Trace]]
        Of `traces`.

    Returns
    -------
    dict[str, tuple[pd.Series, int | None]]
        By the run's key; no onset where it lives.
    """
    frames = {record.key: trace.to_frame() for record, trace in pairs}
    return {key: (frame["step"], onset(frame)) for key, frame in frames.items()}


def ahead(runs: Mapping[str, tuple[pd.Series, int | None]], lead: int) -> pd.Series:
    """The largest step of θ before the onset of the death.

    Parameters
    ----------
    runs : Mapping[str, tuple[pd.Series, int | None]]
        Of `courses`.
    lead : int
        Steps before the onset up to which is looked.

    Returns
    -------
    pd.Series
        By the run's key; of the whole run where it lives, nan where it died sooner.
    """
    found = {}
    for key, (step, begun) in runs.items():
        found[key] = (step if begun is None else step[step.index <= begun - lead]).max()
    return pd.Series(found, name="step", dtype=float)
