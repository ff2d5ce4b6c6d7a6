"""Optimisers: a learning rate of its own for the localisation network, and Keras's Adam."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from stnlib.config import RunConfig
from stnlib.schedules import plateau, schedule

__all__ = ["KerasAdam", "make_optimizer", "param_groups", "set_rates"]


def param_groups(model: nn.Module, lr: float, loc_lr_factor: float = 1.0) -> list[dict[str, Any]]:
    """Parameter groups that give the localisation network a learning rate of its own.

    Parameters
    ----------
    model : any module; localisation networks are the submodules named `localisation`.
    lr : learning rate of everything else.
    loc_lr_factor : the localisation networks' learning rate over `lr`.

    Returns
    -------
    For any `torch.optim` optimiser; an empty group is left out. `base_lr` keeps the rate
    that a schedule multiplies, `localisation` says whose group it is.

    Raises
    ------
    ValueError
        One line, where there is a factor and nothing that it could be for.
    """
    groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for name, parameter in model.named_parameters():
        groups["localisation" in name.split(".")].append(parameter)
    if loc_lr_factor != 1 and not groups[True]:
        raise ValueError(
            f"loc_lr_factor {loc_lr_factor} is for submodules named localisation, and this model "
            "has none: name its localisation network so"
        )
    rates = {False: lr, True: lr * loc_lr_factor}
    return [
        {
            "params": members,
            "lr": rates[is_loc],
            "base_lr": rates[is_loc],
            "localisation": is_loc,
        }
        for is_loc, members in groups.items()
        if members
    ]


class KerasAdam(torch.optim.Adam):
    """Adam as Keras 2.1.2 has it: eps is added outside the bias correction.

    With m and v the running means of the gradient and its square, and t the number of steps,
    Keras subtracts lr √(1-β₂ᵗ) / (1-β₁ᵗ) · m / (√v + eps), as Kingma and Ba (2015) suggest at
    the end of their Section 2. PyTorch's √v / √(1-β₂ᵗ) + eps is as much with eps / √(1-β₂ᵗ).
    """

    EPS = 1e-8

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; `torch.optim.Adam` has the rest."""
        for group in self.param_groups:
            steps = [self.state[p]["step"] for p in group["params"] if self.state.get(p)]
            t = 1 + (int(steps[0]) if steps else 0)
            group["eps"] = self.EPS / math.sqrt(1 - group["betas"][1] ** t)
        return super().step(closure)


def make_optimizer(model: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    """The optimiser that `config` names; eps 1e-8, inside the bias correction but for Keras's."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "keras_adam": KerasAdam}
    groups = param_groups(model, config.lr, config.loc_lr_factor)
    device = next(model.parameters()).device
    capturable = device.type == "cuda" and config.optimizer != "keras_adam"
    for group in groups:
        if group["localisation"]:
            group["betas"] = (0.9, config.loc_beta2)
        if capturable:  # a CUDA graph reads its rate from where the schedule writes it
            group["lr"] = torch.tensor(group["lr"], device=device)
    options = {"weight_decay": config.weight_decay, "fused": True, "capturable": capturable}
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
    progress : share of all steps that is done, in [0, 1].
    history : rows of the epochs so far, with their `val_loss` and `recovered`.
    """
    losses = [row["val_loss"] for row in history] if config.schedule == "plateau" else []
    fallen = sum("recovered" in row for row in history) if config.recovery == "rollback" else 0
    for group in optimizer.param_groups:
        part = "localisation" if group["localisation"] else "classifier"
        warmup = config.warmup if config.warmup_of in ("both", part) else 0.0
        factor = schedule(config.schedule, progress, warmup) * plateau(losses)
        lr = group["base_lr"] * factor * (0.1**fallen if group["localisation"] else 1)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
