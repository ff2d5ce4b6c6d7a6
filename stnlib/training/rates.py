"""The optimiser that a configuration names, and its learning rates in the course of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from stnlib.checks.tensors import check_module
from stnlib.checks.values import shown
from stnlib.optim import KerasAdam, param_groups, plateau, schedule
from stnlib.training.config import RunConfig

__all__ = ["make_optimizer", "set_rates"]


def make_optimizer(model: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    """The optimiser that `config` names; eps 1e-8, inside the bias correction but for Keras's."""
    check_module("model", model)
    _check_config(config)
    kinds: dict[str, type[torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "keras_adam": KerasAdam,
        "sgd": torch.optim.SGD,
    }
    adaptive = config.optimizer != "sgd"
    groups = param_groups(model, config.lr, config.loc_lr_factor)
    device = next(model.parameters()).device
    capturable = device.type == "cuda" and config.optimizer != "keras_adam"
    for group in groups:
        if group["localisation"] and adaptive:
            group["betas"] = (0.9, config.loc_beta2)
        if capturable:  # a CUDA graph reads its rate from where the schedule writes it
            group["lr"] = torch.tensor(group["lr"], device=device)
    options: dict[str, Any] = {"weight_decay": config.weight_decay, "fused": True}
    if adaptive:  # descent without momentum has no state, and so nothing to say of it
        options["capturable"] = capturable
    return kinds[config.optimizer](groups, **options)


def set_rates(
    optimizer: torch.optim.Optimizer,
    config: RunConfig,
    progress: float,
    history: Sequence[dict[str, Any]] = (),
) -> None:
    """Give each group of `make_optimizer` the learning rate that the schedule has for it.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Changed in place.
    config : RunConfig
        Has the schedule.
    progress : float
        Share of all steps that is done, in [0, 1].
    history : Sequence[dict[str, Any]]
        Rows of the epochs so far, with their `val_loss` and `recovered`.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    _check_config(config)
    groups = getattr(optimizer, "param_groups", ())
    if not groups or not all("initial_lr" in g and "localisation" in g for g in groups):
        raise ValueError(f"optimizer must be one of make_optimizer, not {shown(optimizer)}")
    if not isinstance(history, Sequence) or not all(isinstance(row, Mapping) for row in history):
        raise ValueError(f"history must be rows of epochs, not {shown(history)}")
    plateaus = config.schedule == "plateau"
    losses: list[Any] = [row.get("val_loss") for row in history] if plateaus else []
    fallen = sum("recovered" in row for row in history) if config.recovery == "rollback" else 0
    for group in groups:
        part = "localisation" if group["localisation"] else "classifier"
        warmup = config.warmup if config.warmup_of in ("both", part) else 0.0
        factor = schedule(config.schedule, progress, warmup) * plateau(losses)
        lr = group["initial_lr"] * factor * (0.1**fallen if group["localisation"] else 1)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def _check_config(config: RunConfig) -> None:
    if not isinstance(config, RunConfig):
        raise TypeError(f"config must be a RunConfig, not {shown(config)}")
