"""A whole training: epoch after epoch, validated, resumable, and traced where it is asked for."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stnlib.data.distort import upright_points
from stnlib.data.sets import DataSet, Split
from stnlib.diagnostics import CollapseMonitor, CollapseWarning, through
from stnlib.models import STN
from stnlib.progress import bar as progress_bar
from stnlib.training.capture import CapturedStep, capturable
from stnlib.training.config import RunConfig
from stnlib.training.evaluation import evaluate, thetas
from stnlib.training.loop import Training
from stnlib.training.recovery import recover

__all__ = ["N_THETAS", "Tracer", "fit", "stopped"]

N_THETAS = 8  # images whose θ each epoch of a history keeps


def fit(
    model: nn.Module,
    data: DataSet,
    config: RunConfig,
    checkpoint: Path | None = None,
    progress: bool = True,
    trace: Path | None = None,
) -> list[dict[str, Any]]:
    """Train `model` as `config` says, from its last checkpoint if there is one.

    On a CPU, a process that does nothing else trains faster after
    `stnlib.training.malloc.keep_freed_memory`, which changes the whole process and so is not
    called here.

    Parameters
    ----------
    model : nn.Module
        On the device to train on, as `data`; trained in place.
    data : DataSet
        As the network sees them.
    config : RunConfig
        Of the training.
    checkpoint : Path | None
        File that is read at the beginning and written after each epoch.
    progress : bool
        Show a bar with the time left.
    trace : Path | None
        Where to write what a `Tracer` saw of an STN, as .npz.

    Returns
    -------
    list[dict[str, Any]]
        One row an epoch, an STN's with `thetas` of the first `N_THETAS` validation images; it ends
        early when every output has been black, without any gradient for θ, for a whole epoch
        (nothing can change any more), or when θ or the loss is not finite. A row with `recovered`
        says how things stand after the recovery.
    """
    training = Training(config, data, model)
    tracer = Tracer(model, training.optimizer) if trace else None
    watch = tracer.monitor if tracer else None
    if capturable(model, config) and not tracer:
        training.take_step = CapturedStep()
    if checkpoint:
        training.load(checkpoint, watch)
    history = training.history
    with progress_bar(
        total=config.epochs * training.steps_per_epoch,
        initial=training.taken,
        desc=f"{config.data} {config.model} seed {config.seed}",
        unit="step",
        disable=not progress,
    ) as bar:

        def on_step(*step: Any) -> None:
            bar.update()
            if tracer:
                tracer.step(*step)

        while len(history) < config.epochs and not stopped(history):
            before = training.state() if config.recovery == "rollback" else {}
            row = training.epoch(on_step) | _validated(model, data, config)
            if recover(training, before, row):
                row |= {"recovered": True} | _validated(model, data, config)
            history.append({"epoch": len(history) + 1} | row)
            bar.set_postfix(epoch=len(history), val=f"{row['val_accuracy']:.3f}", refresh=False)
            if checkpoint:
                training.save(checkpoint, watch)
    if watch and trace:
        watch.save(trace)
    return history


class Tracer:
    """Records each step of an STN's training: a silent `CollapseMonitor`, and the accuracy.

    Attributes
    ----------
    monitor : CollapseMonitor
        Its trace has the batches' `accuracy` before each step, and `object_coverage` where the true
        θ of the images is known.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._seen: dict[str, Tensor] = {}
        self.monitor = CollapseMonitor(
            model, optimizer, seen_object=lambda: self._seen, every=1, check_every=1
        )

    def step(self, batch: Split, loss: Tensor, correct: Tensor) -> dict[str, float]:
        """Look at the step that `stnlib.training.loop.train_step` took; return the trace's row."""
        if batch.theta is not None:
            points = upright_points(batch.images.shape[-1]).to(batch.theta.device)
            self._seen = {"points": through(batch.theta, points)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollapseWarning)
            self.monitor.step(loss)
        self.monitor.trace.note("accuracy", correct.item() / len(batch))
        return self.monitor.trace.row(-1)


_NAMES = {"loss": "val_loss", "accuracy": "val_accuracy"}


def _validated(model: nn.Module, data: DataSet, config: RunConfig) -> dict[str, Any]:
    row = evaluate(model, data.val, config.precision)
    row = {_NAMES.get(name, name): value for name, value in row.items()}
    if isinstance(model, STN):
        row["thetas"] = thetas(model, data.val, N_THETAS, config.precision)
    return row


def stopped(history: list[dict[str, Any]]) -> str | None:
    """Why a training cannot go on: `black`, `diverged` or None."""
    last = history[-1] if history else {}
    if last.get("black") == 1 and last.get("loc_grad_norm_max") == 0:
        return "black"
    if last and not math.isfinite(last["train_loss"] + last["val_loss"]):
        return "diverged"
    return None
