"""`CollapseMonitor` for Hugging Face's Trainer. Importing it needs Transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stnlib.diagnostics.criteria import CollapseError
from stnlib.diagnostics.looks import Logger
from stnlib.diagnostics.monitor import CollapseMonitor

__all__ = ["CollapseTrainerCallback"]

FILE = "collapse_monitor.pt"  # in the folder of a checkpoint


class CollapseTrainerCallback(TrainerCallback):
    """Watches the transformers of a Trainer's model.

    ::

        watch = CollapseTrainerCallback(on_collapse="rollback")
        Trainer(model, arguments, train_dataset=data, callbacks=[watch]).train()
        print(watch.monitor.summary())

    A look belongs to a step of the optimiser: the last batch where gradients are accumulated, and
    none where a `GradScaler` skips the step. Evaluations are not seen. Each checkpoint has the
    monitor's state in ``collapse_monitor.pt``, and a training that resumes from one in its own
    `output_dir` goes on from it. The Trainer does not tell callbacks the loss of a step. Where
    several processes train, each judges its own batches, so that none may act: `on_collapse` is
    then `warn`.

    Parameters
    ----------
    log_to : Logger | None
        As for `CollapseMonitor.log_to`.
    **options : Any
        Of `CollapseMonitor`. With ``on_collapse="stop"`` the Trainer ends the training, without an
        error.

    Attributes
    ----------
    monitor : CollapseMonitor | None
        Of the present or the last training; None before any.
    """

    def __init__(self, log_to: Logger | None = None, **options: Any) -> None:
        self.monitor: CollapseMonitor | None = None
        self._log_to, self._options = log_to, options

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module,
        optimizer: Any,
        **_: Any,
    ) -> None:
        """Attach a monitor, with what a checkpoint says of it."""
        if args.world_size > 1 and self._options.get("on_collapse", "warn") != "warn":
            raise ValueError(
                "on_collapse must be warn where several processes train, not "
                f"{self._options['on_collapse']}"
            )
        self._detach()
        self.monitor = CollapseMonitor(model, optimizer, **self._options)
        if self._log_to:
            self.monitor.log_to(self._log_to)
        saved = _folder(args, state) / FILE
        if state.global_step and saved.is_file():
            self.monitor.load_state_dict(torch.load(saved, weights_only=True))

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Record the step, unless it was skipped."""
        if self.monitor and self.monitor.stepped:
            try:
                self.monitor.step()
            except CollapseError:
                control.should_training_stop = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Put the monitor's state into the checkpoint."""
        if self.monitor and state.is_world_process_zero:
            torch.save(self.monitor.state_dict(), _folder(args, state) / FILE)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Take the hooks off."""
        self._detach()

    def _detach(self) -> None:
        if self.monitor:
            self.monitor.detach()


def _folder(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
