"""The loop: one training under way, step by step and epoch by epoch.

Everything random in an epoch is drawn from (seed, epoch) and nothing else, so a run
that resumes from the last epoch's checkpoint equals one that was never interrupted.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stnlib.checks.tensors import at_least_float32
from stnlib.data import augment
from stnlib.data.sets import DataSet, Split
from stnlib.diagnostics import CollapseMonitor
from stnlib.models import STN, LocNet, build
from stnlib.training.checkpoint import load_checkpoint, run_key, save_checkpoint
from stnlib.training.config import RunConfig
from stnlib.training.device import autocast, device_of
from stnlib.training.evaluation import to_float
from stnlib.training.rates import make_optimizer, set_rates
from stnlib.training.seeds import derive_seed
from stnlib.transforms import NonFiniteError, displacement, outside, resizing

__all__ = ["Training", "batches", "make_model", "order", "train_step"]

Row = dict[str, Any]
Step = Callable[..., tuple[Tensor, Tensor, Tensor]]  # with the arguments of `train_step`


def make_model(config: RunConfig, data: DataSet) -> nn.Module:
    """The network that `config` names, for `data`, with the weights that its seed draws."""
    torch.manual_seed(derive_seed(config.seed, "weights"))
    shape = data.channels, data.size[0], len(data.classes)
    return build(config.model, *shape, **config.network)


class Training:
    """One training under way.

    Parameters
    ----------
    config : RunConfig
        Its seed decides all that is random.
    data : DataSet
        On the device to train on.
    model : nn.Module | None
        The network, on that device; None for what `make_model` makes.

    Attributes
    ----------
    optimizer : torch.optim.Optimizer
        Changed in place by each step, as `model` is.
    taken : int
        Steps so far.
    history : list[Row]
        Rows of the epochs so far: whoever validates them appends them.
    take_step : Step
        What takes a step.
    """

    def __init__(self, config: RunConfig, data: DataSet, model: nn.Module | None = None) -> None:
        self.config, self.data = config, data
        self.model = make_model(config, data) if model is None else model
        self.optimizer = make_optimizer(self.model, config)
        self.taken = 0
        self.history: list[Row] = []
        self.take_step: Step = train_step
        self._generator = torch.Generator(device_of(self.model))

    @property
    def steps_per_epoch(self) -> int:
        """Also the last, smaller batch makes a step."""
        return -(-len(self.data.train) // self.config.batch_size)

    def step(self, batch: Split) -> tuple[Tensor, Tensor, Tensor]:
        """Take one step, at the learning rates that the schedule has for it: see `train_step`.

        Raises
        ------
        stnlib.transforms.NonFiniteError
            When θ is not finite; nothing has been changed then.
        """
        epoch, done = divmod(self.taken, self.steps_per_epoch)
        progress = (epoch + done / self.steps_per_epoch) / self.config.epochs
        set_rates(self.optimizer, self.config, progress, self.history)
        if self.config.blur:
            cast(STN, self.model).transformer.blur = self.config.blur * _left(progress)
        images = augment.apply(self.config.augment, to_float(batch.images), self._generator)
        result = self.take_step(self.model, self.optimizer, images, batch.labels, self.config)
        self.taken += 1
        return result

    def epoch(self, on_step: Callable[[Split, Tensor, Tensor], Any] = lambda *_: None) -> Row:
        """Train for one epoch and say how it went.

        Parameters
        ----------
        on_step : Callable[[Split, Tensor, Tensor], Any]
            Called after each step, with the batch, its mean loss and its number of right answers
            before the step.

        Returns
        -------
        Row
            `train_loss` and `train_accuracy`, averaged over the epoch while the weights moved (as
            Keras reports them), `seconds`, and the gradient norms' means and maxima over steps.
            When θ ceases to be finite the epoch ends there, with nan for loss and accuracy.
        """
        start = time.perf_counter()
        device, n = device_of(self.model), len(self.data.train)
        number = self.taken // self.steps_per_epoch + 1
        torch.manual_seed(derive_seed(self.config.seed, "dropout", number))
        self._generator.manual_seed(derive_seed(self.config.seed, "augment", number))
        self.model.train()
        total = torch.zeros(2, dtype=torch.float64, device=device)
        norms = []
        for batch in batches(self.data.train, self.config, number):
            try:
                loss, correct, norm = self.step(batch)
            except NonFiniteError:
                total.fill_(math.nan)
                break
            norms.append(norm)
            total += torch.stack([loss * len(batch), correct.to(loss.dtype)])
            on_step(batch, loss, correct)
        self.taken = number * self.steps_per_epoch
        train_loss, train_accuracy = (total / n).tolist()
        return {
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "seconds": time.perf_counter() - start,
            **_summarise_norms(norms),
        }

    def state(self) -> dict[str, Any]:
        """A copy of all that steps change, for `restore`."""
        parts = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {"taken": self.taken, **copy.deepcopy(parts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back, or on, to a `state`, which is left as it is."""
        self.taken = state["taken"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))

    def save(self, path: Path, monitor: CollapseMonitor | None = None) -> None:
        """Write the state after the last epoch of the history: see `save_checkpoint`."""
        key = run_key(self.config, self.data)
        save_checkpoint(path, self.model, self.optimizer, key, self.history, monitor)

    def load(self, path: Path, monitor: CollapseMonitor | None = None) -> None:
        """Go on from what `save` wrote, if it is there and fits: see `load_checkpoint`."""
        own = self.model, self.optimizer, run_key(self.config, self.data)
        self.history = load_checkpoint(path, *own, monitor, self.config.epochs)
        self.taken = len(self.history) * self.steps_per_epoch


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    config: RunConfig,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take one step of the optimiser, with the learning rates that its groups have.

    Parameters
    ----------
    model : nn.Module
        In training mode; changed in place.
    optimizer : torch.optim.Optimizer
        Changed in place.
    images : Tensor
        (N, C, H, W) float32, as the network sees them.
    labels : Tensor
        (N,) int64.
    config : RunConfig
        Asks for penalties, scaling, clipping and precision.

    Returns
    -------
    tuple[Tensor, Tensor, Tensor]
        The mean cross-entropy before the step, without the penalty, the number of right answers,
        and the `gradient_norms` before any scaling or clipping: on the model's device, detached,
        so that nothing waits for an accelerator.

    Raises
    ------
    stnlib.transforms.NonFiniteError
        When θ is not finite; nothing has been changed then.
    """
    stn = cast(STN, model)  # where the configuration asks for what only a transformer has
    with autocast(images.device, config.precision):
        logits = at_least_float32(model(images))
        # The grid is computed again: so the model is called, and watched, as ever.
        penalties = _penalties(config)
        grid = stn.transformer.locate(images)[1] if penalties else None
        extra = [weight * penalty(grid) for weight, penalty in penalties]
        if config.phi_penalty:
            locnet = cast(LocNet, stn.transformer.localisation)
            before = locnet.preactivation(images)
            extra.append(config.phi_penalty * at_least_float32(before).square().mean())
    loss = F.cross_entropy(logits, labels)
    optimizer.zero_grad()
    (loss + sum(extra)).backward()
    norms = gradient_norms(model)
    if config.loc_grad_factor != 1:
        for parameter in stn.transformer.localisation.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(config.loc_grad_factor)
    if config.loc_clip is not None:
        nn.utils.clip_grad_norm_(stn.transformer.localisation.parameters(), config.loc_clip)
    optimizer.step()
    return loss.detach(), (logits.detach().argmax(1) == labels).sum(), norms


def _penalties(config: RunConfig) -> list[tuple[float, Callable[[Any], Tensor]]]:
    """Weights and penalties that are asked for."""
    known = (
        (config.outside_penalty, outside),
        (config.identity_penalty, displacement),
        (config.area_penalty, resizing),
    )
    return [(weight, penalty) for weight, penalty in known if weight]


def _left(progress: float) -> float:
    """Share of the first blur that is left: all for a tenth of the steps, none after half of them.

    The code of BARF (Lin et al., 2021) lets fine structure in over these steps, octave by octave;
    here the deviation falls in proportion.
    """
    return min(1.0, max(0.0, (0.5 - progress) / 0.4))


def batches(
    split: Split, config: RunConfig, epoch: int, at_once: int | None = None
) -> Iterator[Split]:
    """The batches of an epoch of training, in their order.

    How many are made `at_once` changes nothing in them. By default it is one on the CPU, fifty on a
    GPU: what makes a batch of C10D is many small operations, and a GPU waits for the host, to which
    each costs the same whatever its size.
    """
    device, size = split.labels.device, config.batch_size
    at_once = at_once or (1 if device.type == "cpu" else 50)
    for index in order(len(split), config, epoch).to(device).split(size * at_once):
        made = split.batch(index, config.seed, epoch)
        for start in range(0, len(made), size):
            yield made.take(slice(start, start + size))


def order(n: int, config: RunConfig, epoch: int) -> Tensor:
    """Order of the training images in an epoch, (n,) int64."""
    if not config.shuffle:
        return torch.arange(n)
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "order", epoch))
    return torch.randperm(n, generator=generator)


def gradient_norms(model: nn.Module) -> Tensor:
    """Euclidean norms of the classifier's and the localisation network's gradient, (1 or 2,)."""
    parts = [model]
    if isinstance(model, STN):
        parts = [model.classifier, model.transformer.localisation]
    grads = [[p.grad for p in part.parameters() if p.grad is not None] for part in parts]
    none = torch.zeros((), device=device_of(model))
    return torch.stack([nn.utils.get_total_norm(g) if g else none for g in grads])


def _summarise_norms(norms: list[Tensor]) -> Row:
    names = ("grad_norm", "loc_grad_norm")
    columns = torch.stack(norms).T if norms else ()
    row = {f"{n}_mean": c.mean().item() for n, c in zip(names, columns, strict=False)}
    return row | {f"{n}_max": c.max().item() for n, c in zip(names, columns, strict=False)}
