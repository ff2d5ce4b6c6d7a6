"""A training at the pace of single steps, which can stop anywhere and go on otherwise."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stnlib.data.sets import DataSet, Split
from stnlib.errors import ConfigError
from stnlib.training.config import RunConfig
from stnlib.training.device import autocast
from stnlib.training.evaluation import to_float
from stnlib.training.fit import Tracer
from stnlib.training.loop import Training, make_model, order
from stnlib.training.seeds import derive_seed
from stnlib.transforms import NonFiniteError

__all__ = ["Replay"]


class Replay(Training):
    """A training at the pace of single steps.

    Parameters
    ----------
    config : RunConfig
        Of an STN, without augmentation and dropout.
    data : DataSet
        To train on.
    checkpoint : Path | None
        Of `stnlib.training.fit`, to begin after its epochs; None for the beginning.
    order : int
        Of batches; 0 for the training's own.

    Attributes
    ----------
    begun : int
        Steps from the training's beginning to the replay's.

    Raises
    ------
    ConfigError
        One line, for a baseline, and for augmentation and dropout, whose random numbers are drawn
        epoch by epoch.
    """

    def __init__(
        self, config: RunConfig, data: DataSet, checkpoint: Path | None = None, order: int = 0
    ) -> None:
        if not config.has_transformer or config.augment != "none" or config.dropout:
            asked = f"{config.model!r}, {config.augment!r}, {config.dropout}"
            raise ConfigError(f"a replay needs an stn, augment none and dropout 0, not {asked}")
        model = make_model(config, data).to(memory_format=torch.channels_last)
        super().__init__(config, data, model)
        if checkpoint:
            self.load(checkpoint)
        self.order = order
        self.begun = self._start = self.taken
        self.recent_norms: deque[float] = deque(maxlen=50)
        self.relabel = lambda labels: labels

    @property
    def localisation(self) -> torch.nn.Module:
        return self.model.transformer.localisation

    @property
    def noise(self) -> int:
        """A seed for what an intervention draws."""
        return derive_seed(self.config.seed, "noise", self.order)

    def state(self) -> dict[str, Any]:
        return super().state() | {"norms": list(self.recent_norms)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state, and count the steps of an order of batches from there.

        Parameters
        ----------
        state : dict[str, Any]
            What `state` returned; it is left as it is.
        """
        super().restore(state)
        self.recent_norms = deque(state["norms"], maxlen=50)
        self._start = self.taken

    def batch(self) -> Split:
        """The next batch.

        Returns
        -------
        Split
            In the replay's order.
        """
        epoch, step = divmod(self.taken, self.steps_per_epoch)
        places = order(len(self.data.train), self.config, epoch + 1)
        if self.order:
            seed = derive_seed(self.config.seed, "fork", self.order)
            generator = torch.Generator().manual_seed(seed)
            places = torch.randperm(len(places), generator=generator)
            step = self.taken - self._start
        index = places.split(self.config.batch_size)[step % self.steps_per_epoch]
        return self.data.train.batch(index, self.config.seed, epoch + 1)

    def steps(self, n: int) -> Iterator[dict[str, float]]:
        """Take steps.

        Parameters
        ----------
        n : int
            How many, at most: a θ that is not finite ends them.

        Returns
        -------
        Iterator[dict[str, float]]
            Each one's numbers.
        """
        tracer = Tracer(self.model, self.optimizer)
        try:
            for _ in range(n):
                batch = self.batch()
                batch = replace(batch, labels=self.relabel(batch.labels))
                loss, correct, norms = self.step(batch)
                self.recent_norms.append(norms[-1].item())
                yield tracer.step(batch, loss, correct)
        except NonFiniteError:
            return
        finally:
            tracer.monitor.detach()

    @torch.no_grad()
    def phi(self) -> Tensor:
        """φ of the next batch.

        Returns
        -------
        Tensor
            (N, 50) float32.
        """
        images = to_float(self.batch().images)
        with autocast(images.device, self.config.precision):
            return self.localisation.phi(images).float()

    def trial_steps(self, optimizer: Any, n: int = 10) -> float:
        """How far θ moves with an optimiser, without taking the steps.

        Parameters
        ----------
        optimizer : Any
            To be tried.
        n : int
            Steps.

        Returns
        -------
        float
            The median over them; 0 where θ is not finite at the first.
        """
        own, self.optimizer = self.optimizer, optimizer
        before, start = self.state(), self._start
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group.setdefault("localisation", True)
        moved = [row["step"] for row in self.steps(n)]
        self.restore(before)
        self._start, self.optimizer = start, own
        return statistics.median(moved) if moved else 0.0
