"""Their training loop, with the monitor in two lines, and what came of it."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from stnlib.book.deaths import WINDOW, death, fall, for_good, onset, running_mean
from stnlib.book.third_party.images import Images
from stnlib.book.third_party.networks import NETWORKS
from stnlib.checks.values import choice, require
from stnlib.diagnostics import CollapseMonitor, CollapseWarning
from stnlib.records.outcome import BLACK, SEEN

__all__ = ["train"]

BATCH, THIN = 64, 5
COLUMNS = ("accuracy", "loss", "coverage", "black", "extent", "centre", "step", "phi")
COLUMNS += ("corner_spread",)

Row = dict[str, Any]


def train(
    name: str, images: Images, lr: float, seed: int, epochs: int, frozen: bool = False
) -> list[Row]:
    """Train a network of `NETWORKS`, watched, and say what the monitor said and what happened.

    Parameters
    ----------
    name : str
        One of them.
    images : Images
        Distorted where the network's are.
    lr : float
        Of the network's own optimiser.
    seed : int
        Of weights and batches.
    epochs : int
        How often every image is seen.
    frozen : bool
        Whether the transformer is left as it begins, the identity or near it, and the classifier
        trained alone: what dies then does not die of its transformer.

    Returns
    -------
    list[Row]
        First a row with `kind` "run", None for what did not happen: `warned` and `warning`, the
        monitor's first step and kind; `died`, its `onset` and `fell`, see `stnlib.book.deaths`;
        `blackened`, the first step at which more than 99 % of the outputs are black; `shrank`, the
        step from which coverage is below 1/2, in the mean of 10; `best` and `at_warning`, running
        accuracy (20 batches) at its best before the warning, or at all, and of the 10 batches up to
        it; `accuracy` on the validation images; `coverage`, `black` and `corner_spread`, means of
        the last 10 steps; `steps`. Then a row with `kind` "step" for every fifth step, with the
        monitor's numbers.

    Raises
    ------
    ValueError
        One line, where there is no such network.
    """
    require("network", name, choice(*NETWORKS))
    torch.manual_seed(seed)
    model = NETWORKS[name]()
    for part, parameter in model.named_parameters():
        parameter.requires_grad_(part.startswith("classifier") or not frozen)
    optimizer = model.optimizer(model.parameters(), lr)
    monitor = CollapseMonitor(model, optimizer, every=1)  # the first line
    for _ in range(epochs):
        for chosen in torch.randperm(len(images.train)).split(BATCH):
            batch = images.train.take(chosen)
            logits = model(batch.images)
            loss = F.cross_entropy(logits, batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with warnings.catch_warnings(action="ignore", category=CollapseWarning):
                monitor.step(loss)  # the second
            hits = logits.argmax(1) == batch.labels
            monitor.trace.note("accuracy", hits.float().mean().item())
    monitor.detach()
    frame = monitor.to_frame()
    run = _run(frame, monitor.trace.events) | {"accuracy": _accuracy(model, images)}
    steps = frame.loc[frame.index % THIN == 0, list(COLUMNS)].to_dict("index")
    return [run, *({"kind": "step", "n": int(n)} | _short(row) for n, row in steps.items())]


def _run(frame: pd.DataFrame, events: list[tuple[int, str]]) -> Row:
    warned, warning = events[0] if events else (None, None)
    accuracy = frame["accuracy"].loc[:warned]
    last = frame[["coverage", "black", "corner_spread"]].tail(WINDOW).mean()
    return {
        "kind": "run",
        **{"warned": warned, "warning": warning},
        **{"died": death(frame), "onset": onset(frame), "fell": fall(frame["accuracy"])},
        "blackened": next(map(int, frame.index[frame["black"] > BLACK]), None),
        "shrank": for_good(running_mean(frame["coverage"], WINDOW) < SEEN, frame.index),
        "best": float(accuracy.rolling(20, min_periods=1).mean().max()),
        "at_warning": float(accuracy.tail(10).mean()) if warned else None,
        **_short(last),
        "steps": len(frame),
    }


def _short(row: Any) -> Row:
    return {name: float(f"{value:.4g}") for name, value in row.items()}


@torch.no_grad()
def _accuracy(model: nn.Module, images: Images) -> float:
    model.eval()
    hits = model(images.val.images).argmax(1) == images.val.labels
    return hits.float().mean().item()
