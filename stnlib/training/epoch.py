"""Training: one epoch and one step.

Everything random in an epoch is drawn from (seed, epoch) and nothing else, so a run
that resumes from the last epoch's checkpoint equals one that was never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stnlib.data import augment
from stnlib.data.sets import Split
from stnlib.models import STN
from stnlib.training.config import RunConfig
from stnlib.training.device import autocast, device_of
from stnlib.training.evaluation import to_float
from stnlib.training.rates import set_rates
from stnlib.training.seeds import derive_seed
from stnlib.transforms import NonFiniteError

__all__ = [
    "batches",
    "outside",
    "train_epoch",
    "train_step",
]

Row = dict[str, Any]
Step = Callable[..., tuple[Tensor, Tensor, Tensor]]  # with the arguments of `train_step`


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    split: Split,
    config: RunConfig,
    epoch: int,
    on_step: Callable[[Split, Tensor, Tensor], Any] = lambda *_: None,
    history: Sequence[Row] = (),
    take_step: Step | None = None,
) -> Row:
    """Train for one epoch and say how it went.

    Parameters
    ----------
    model, optimizer : changed in place.
    split : training images and labels, on the model's device.
    epoch : from 1.
    on_step : called after each step, with the batch, its mean loss and its number of right
        answers before the step.
    history : rows of the epochs before, for rates that go by them: see `set_rates`.
    take_step : what takes a step; `train_step` by default.

    Returns
    -------
    `train_loss` and `train_accuracy`, averaged over the epoch while the weights moved (as
    Keras reports them), `seconds`, and the gradient norms' means and maxima over steps.
    When θ ceases to be finite the epoch ends there, with nan for loss and accuracy.
    """
    start = time.perf_counter()
    take_step = take_step or train_step
    device, n = device_of(model), len(split)
    torch.manual_seed(derive_seed(config.seed, "dropout", epoch))
    generator = torch.Generator(device).manual_seed(derive_seed(config.seed, "augment", epoch))
    steps = math.ceil(n / config.batch_size)
    model.train()
    total = torch.zeros(2, dtype=torch.float64, device=device)
    norms = []
    for step, batch in enumerate(batches(split, config, epoch)):
        progress = (epoch - 1 + step / steps) / config.epochs
        set_rates(optimizer, config, progress, history)
        images, labels = to_float(batch.images), batch.labels
        images = augment.apply(config.augment, images, generator)
        try:
            loss, correct, norm = take_step(model, optimizer, images, labels, config)
        except NonFiniteError:
            total.fill_(math.nan)
            break
        norms.append(norm)
        total += torch.stack([loss * len(batch), correct.to(loss.dtype)])
        on_step(batch, loss, correct)
    train_loss, train_accuracy = (total / n).tolist()
    return {
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "seconds": time.perf_counter() - start,
        **_summarise_norms(norms),
    }


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
    model, optimizer : changed in place; the model is in training mode.
    images, labels : a batch as the network sees it, (N, C, H, W) float32 and (N,) int64.

    Returns
    -------
    The mean cross-entropy before the step, without the penalty, the number of right answers,
    and the `gradient_norms` before any clipping: on the model's device, detached, so that
    nothing waits for an accelerator.

    Raises
    ------
    stnlib.transforms.NonFiniteError
        When θ is not finite; nothing has been changed then.
    """
    with autocast(images.device, config.precision):
        logits = model(images).float()
        # The grid is computed again: so the model is called, and watched, as ever.
        grid = model.transformer.locate(images)[1] if config.outside_penalty else None
    loss = F.cross_entropy(logits, labels)
    optimizer.zero_grad()
    (loss if grid is None else loss + config.outside_penalty * outside(grid)).backward()
    norms = gradient_norms(model)
    if config.loc_clip is not None:
        nn.utils.clip_grad_norm_(model.transformer.localisation.parameters(), config.loc_clip)
    optimizer.step()
    return loss.detach(), (logits.detach().argmax(1) == labels).sum(), norms


def outside(grid: Tensor) -> Tensor:
    """Mean squared distance of sampling points from the image, as a scalar; 0 within.

    Where every point is outside, zero padding leaves θ no gradient; this has one.

    Parameters
    ----------
    grid : (N, H, W, 2) float, normalised (x, y); the image is [-1, 1]².
    """
    return (grid.abs() - 1).clamp_min(0).square().sum(dim=-1).mean()


def batches(
    split: Split, config: RunConfig, epoch: int, at_once: int | None = None
) -> Iterator[Split]:
    """The batches of an epoch of training, in their order.

    Parameters
    ----------
    at_once : how many are made at a time, which changes nothing in them. By default one on the
        CPU, fifty on a GPU: what makes a batch of C10D is many small operations, and a GPU waits
        for the host, to which each costs the same whatever its size.
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
