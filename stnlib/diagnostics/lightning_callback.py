"""`CollapseMonitor` for Lightning's Trainer. Importing it needs Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from stnlib.diagnostics.criteria import CollapseError
from stnlib.diagnostics.monitor import CollapseMonitor

__all__ = ["CollapseCallback"]


class CollapseCallback(Callback):
    """Watches the transformers of a LightningModule, and whatever its `training_step` samples.

    ::

        watch = CollapseCallback(on_collapse="rollback")
        Trainer(callbacks=[watch]).fit(module)
        print(watch.monitor.summary())

    A look belongs to a step of the optimiser: the last batch where gradients are accumulated, and
    none where a `GradScaler` skips the step. Validation is not seen. Checkpoints have the monitor's
    state, and a training that resumes goes on from it. The loggers get the numbers of each step
    that is a multiple of `log_every_n_steps`. Under DDP the verdict is that of all ranks together.

    Parameters
    ----------
    optimizer : int
        Which of the module's optimisers trains the transformers.
    **options : Any
        Of `CollapseMonitor`. With ``on_collapse="stop"`` the training ends as with Lightning's
        `EarlyStopping`, without an error.

    Attributes
    ----------
    monitor : CollapseMonitor | None
        Of the present or the last training; None before any.
    """

    def __init__(self, optimizer: int = 0, **options: Any) -> None:
        self.monitor: CollapseMonitor | None = None
        self._optimizer, self._options = optimizer, options
        self._state: dict[str, Any] = {}
        self._watching = ExitStack()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach a monitor, with what a checkpoint says of it."""
        self._detach()
        assert trainer.model is not None
        optimizer = trainer.optimizers[self._optimizer]
        self.monitor = CollapseMonitor(trainer.model, optimizer, **self._options)
        if self._state:
            self.monitor.load_state_dict(self._state)
        self._state = {}

        def log(scalars: dict[str, float]) -> None:
            step = int(scalars.pop("step"))
            for logger in trainer.loggers if step % trainer.log_every_n_steps == 0 else ():
                logger.log_metrics(scalars, step=step)

        self.monitor.log_to(log)

    def on_train_batch_start(self, *_: Any) -> None:
        """Look at all that runs until the backward pass."""
        if self.monitor:
            self._watching.enter_context(self.monitor.watching())

    def on_before_backward(self, *_: Any) -> None:
        """The forward pass has ended."""
        self._watching.close()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        *_: Any,
    ) -> None:
        """Record the step, if the optimiser took one."""
        self._watching.close()
        if self.monitor and self.monitor.stepped:
            loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
            parts = trainer.accumulate_grad_batches  # by which Lightning has divided it
            try:
                self.monitor.step(None if loss is None else loss * parts)
            except CollapseError:
                trainer.should_stop = True

    def on_train_end(self, *_: Any) -> None:
        """Take the hooks off."""
        self._detach()

    def on_exception(self, *_: Any) -> None:
        """Take the hooks off."""
        self._detach()

    def state_dict(self) -> dict[str, Any]:
        """The monitor's."""
        return self.monitor.state_dict() if self.monitor else self._state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """For the monitor that comes with the training."""
        self._state = state_dict

    def _detach(self) -> None:
        self._watching.close()
        if self.monitor:
            self.monitor.detach()
