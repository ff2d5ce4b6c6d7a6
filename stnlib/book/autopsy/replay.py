"""A training at the pace of single steps, which can stop anywhere and go on otherwise."""

from __future__ import annotations

import copy
import statistics
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stnlib.data.sets import DataSet, Split
from stnlib.errors import ConfigError
from stnlib.training.checkpoint import load_checkpoint, run_key
from stnlib.training.config import RunConfig
from stnlib.training.device import autocast
from stnlib.training.epoch import order, train_step
from stnlib.training.evaluation import to_float
from stnlib.training.fit import Tracer, make_model
from stnlib.training.rates import make_optimizer, set_rates
from stnlib.training.seeds import derive_seed
from stnlib.transforms import NonFiniteError

__all__ = ["State", "Walk"]

State = tuple[int, dict[str, Any], dict[str, Any], list[float]]


class Walk:
    """A training at the pace of single steps.

    Parameters
    ----------
    config, data : of an STN, without augmentation.
    checkpoint : of `stnlib.training.fit`, to begin after its epochs; None for the beginning.
    order : of batches; 0 for the training's own.

    Attributes
    ----------
    begun, taken : steps from the training's beginning: at the start of the walk, and now.

    Raises
    ------
    ConfigError
        For a baseline, and for augmentation, whose random numbers are drawn epoch by epoch.
    """

    def __init__(
        self, config: RunConfig, data: DataSet, checkpoint: Path | None = None, order: int = 0
    ) -> None:
        if not config.has_transformer or config.augment != "none":
            raise ConfigError(
                f"a walk is for an stn with augment none, not {config.model!r}, {config.augment!r}"
            )
        self.config, self.order, self._data = config, order, data
        self.model = make_model(config, data).to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.model, config)
        history = []
        if checkpoint:
            own = self.model, self.optimizer, run_key(config, data)
            history = load_checkpoint(checkpoint, *own)
        self._per_epoch = -(-len(data.train) // config.batch_size)
        self.begun = self.taken = len(history) * self._per_epoch
        self.recent_norms: deque[float] = deque(maxlen=50)
        self.relabel = lambda labels: labels
        self._start = self.taken

    @property
    def localisation(self) -> torch.nn.Module:
        return self.model.transformer.localisation

    @property
    def noise(self) -> int:
        """A seed for what an intervention draws."""
        return derive_seed(self.config.seed, "noise", self.order)

    def state(self) -> State:
        """Everything that a later `restore` needs, copied."""
        parts = copy.deepcopy((self.model.state_dict(), self.optimizer.state_dict()))
        return self.taken, *parts, list(self.recent_norms)

    def restore(self, state: State) -> None:
        """Go back to `state`, and count the steps of an order of batches from there."""
        self.taken, model, optimizer, norms = state
        self.model.load_state_dict(model)
        self.optimizer.load_state_dict(copy.deepcopy(optimizer))
        self.recent_norms.extend(norms)
        self._start = self.taken

    def batch(self) -> tuple[Tensor, Split]:
        """The next batch: images as the network sees them, and the `Split`."""
        epoch, step = divmod(self.taken, self._per_epoch)
        places = order(len(self._data.train), self.config, epoch + 1)
        if self.order:
            seed = derive_seed(self.config.seed, "fork", self.order)
            generator = torch.Generator().manual_seed(seed)
            places = torch.randperm(len(places), generator=generator)
            step = self.taken - self._start
        size = self.config.batch_size
        index = places.split(size)[step % self._per_epoch]
        split = self._data.train.batch(index, self.config.seed, epoch + 1)
        return to_float(split.images), split

    def steps(self, n: int) -> Iterator[dict[str, float]]:
        """Take up to `n` steps and yield each one's numbers; a θ that is not finite ends it."""
        tracer = Tracer(self.model, self.optimizer)
        try:
            for _ in range(n):
                set_rates(self.optimizer, self.config, self.taken / self._all)
                images, split = self.batch()
                labels = self.relabel(split.labels)
                done = train_step(self.model, self.optimizer, images, labels, self.config)
                self.taken += 1
                self.recent_norms.append(done[2][-1].item())
                yield tracer.step(split, done[0], done[1])
        except NonFiniteError:
            return
        finally:
            tracer.monitor.detach()

    @property
    def _all(self) -> int:
        return self.config.epochs * self._per_epoch

    @torch.no_grad()
    def phi(self) -> Tensor:
        """φ of the next batch, (N, 50)."""
        images, _ = self.batch()
        with autocast(images.device, self.config.precision):
            return self.localisation.phi(images).float()

    def trial_steps(self, optimizer: Any, n: int = 10) -> float:
        """Median over `n` steps of how far θ moves with an optimiser, without taking them."""
        taken, weights, mine = self.taken, copy.deepcopy(self.model.state_dict()), self.optimizer
        memory = copy.deepcopy(optimizer.state_dict())
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group.setdefault("localisation", True)
        moved = [row["step"] for row in self.steps(n)]
        optimizer.load_state_dict(memory)
        self.taken, self.optimizer = taken, mine
        self.model.load_state_dict(weights)
        return statistics.median(moved) if moved else 0.0
