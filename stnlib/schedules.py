"""Schedules: the factor that a learning rate has in the course of a training.

They keep no state: a run that resumes from a checkpoint computes what it would have had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

from stnlib.rules import choice, number, require, shown

__all__ = ["PATIENCE", "SCHEDULES", "plateau", "schedule"]

SCHEDULES = ("constant", "step", "cosine", "onecycle", "plateau")

_PROGRESS, _WARMUP = number(least=0), number(least=0, below=1)

PATIENCE = 1  # epochs without a better validation loss that `plateau` still bears with


def schedule(name: str, progress: float, warmup: float = 0.0) -> float:
    """Factor of the learning rate when a share `progress` of all steps is done.

    Parameters
    ----------
    name : `constant`; `step`: divided by 10 after each third, as in Jaderberg et al.
        (2015), Appendix A; `cosine`: to 0 along half a cosine (Loshchilov and Hutter, 2017);
        `onecycle`: from 1/25 up to 1 at 0.3 and down to 4e-6, each along half a cosine (Smith and
        Topin, 2018, in PyTorch's form and with its numbers; momentum stays as it is);
        `plateau`: 1, for `plateau` has the rest.
    progress : 0 or more; from 1 on the factor stays what it is at 1, so that a training which
        goes on a little longer than planned does not begin to learn again.
    warmup : share of the steps over which the factor first rises linearly from 0, in [0, 1).

    Raises
    ------
    ValueError
        One line, for another name, progress or warm-up; a number of steps, for instance.
    """
    require("schedule", name, choice(*SCHEDULES))
    for key, value, rule in (("progress", progress, _PROGRESS), ("warmup", warmup, _WARMUP)):
        if rule(value):
            told = "a share of all steps, 0 or more" + (", below 1" if key == "warmup" else "")
            raise ValueError(f"{key} must be {told}, not {shown(value)}")
    progress = min(progress, 1.0)
    if progress < warmup:
        return progress / warmup
    rest = (progress - warmup) / (1 - warmup)
    if name == "step":
        return 0.1 ** math.floor(min(rest, 0.999999) * 3 + 1e-9)
    if name == "cosine":
        return _half_cosine(1, 0, rest)
    if name == "onecycle" and rest < 0.3:
        return _half_cosine(1 / 25, 1, rest / 0.3)
    if name == "onecycle":
        return _half_cosine(1, 4e-6, (rest - 0.3) / 0.7)
    return 1.0


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def plateau(losses: Sequence[float]) -> float:
    """Factor of the learning rate after epochs with these validation losses.

    It begins as 1 and is divided by 10 whenever more than `PATIENCE` epochs in a row have not
    brought the loss at least 0.01 % below the best so far: PyTorch's `ReduceLROnPlateau`. NaN is no
    better than anything. ValueError where `losses` are not numbers.
    """
    if not isinstance(losses, Sequence) or not all(isinstance(loss, Real) for loss in losses):
        raise ValueError(f"losses must be a list of numbers, not {shown(losses)}")
    factor, best, waited = 1.0, math.inf, 0
    for loss in losses:
        better = loss < best * (1 - 1e-4)
        best, waited = (loss, 0) if better else (best, waited + 1)
        if waited > PATIENCE:
            factor, waited = factor * 0.1, 0
    return factor
