"""Learning rates and what steps by them: parameter groups, schedules, and Keras's Adam.

Schedules keep no state: a run that resumes from a checkpoint computes what it would have had.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import nn

from stnlib.checks.tensors import check_module
from stnlib.checks.values import choice, number, require, shown

__all__ = ["PATIENCE", "SCHEDULES", "KerasAdam", "param_groups", "plateau", "schedule"]

SCHEDULES = ("constant", "step", "cosine", "onecycle", "plateau")

_PROGRESS, _WARMUP = number(least=0), number(least=0, below=1)

PATIENCE = 1  # epochs without a better validation loss that `plateau` still bears with


def schedule(name: str, progress: float, warmup: float = 0.0) -> float:
    """Factor of the learning rate when a share `progress` of all steps is done.

    Parameters
    ----------
    name : str
        `constant`; `step`: divided by 10 after each third, as in Jaderberg et al. (2015),
        Appendix A; `cosine`: to 0 along half a cosine (Loshchilov and Hutter, 2017); `onecycle`:
        from 1/25 up to 1 at 0.3 and down to 4e-6, each along half a cosine (Smith and Topin, 2018,
        in PyTorch's form and with its numbers; momentum stays as it is); `plateau`: 1, for
        `plateau` has the rest.
    progress : float
        0 or more; from 1 on the factor stays what it is at 1, so that a training which goes on a
        little longer than planned does not begin to learn again.
    warmup : float
        Share of the steps over which the factor first rises linearly from 0, in [0, 1).

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        One line, for another name, progress or warm-up; a number of steps, for instance.
    """
    require("schedule", name, choice(*SCHEDULES))
    for key, value, rule in (("progress", progress, _PROGRESS), ("warmup", warmup, _WARMUP)):
        if rule(value):
            told = "a share of all steps, 0 or more" + (", below 1" if key == "warmup" else "")
            raise ValueError(f"{key} must be {told}, not {shown(value)}")
    progress = min(progress, 1.0)
    if progress < warmup:
        return progress / warmup
    rest = (progress - warmup) / (1 - warmup)
    if name == "step":
        return 0.1 ** math.floor(min(rest, 0.999999) * 3 + 1e-9)
    if name == "cosine":
        return _half_cosine(1, 0, rest)
    if name == "onecycle" and rest < 0.3:
        return _half_cosine(1 / 25, 1, rest / 0.3)
    if name == "onecycle":
        return _half_cosine(1, 4e-6, (rest - 0.3) / 0.7)
    return 1.0


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def plateau(losses: Sequence[float]) -> float:
    """Factor of the learning rate after epochs with these validation losses.

    It begins as 1 and is divided by 10 whenever more than `PATIENCE` epochs in a row have not
    brought the loss at least 0.01 % below the best so far: PyTorch's `ReduceLROnPlateau`.

    Parameters
    ----------
    losses : Sequence[float]
        One an epoch; NaN is no better than anything.

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError
        One line, where `losses` are not numbers.
    """
    if not isinstance(losses, Sequence) or not all(isinstance(loss, Real) for loss in losses):
        raise ValueError(f"losses must be a list of numbers, not {shown(losses)}")
    factor, best, waited = 1.0, math.inf, 0
    for loss in losses:
        better = loss < best * (1 - 1e-4)
        best, waited = (loss, 0) if better else (best, waited + 1)
        if waited > PATIENCE:
            factor, waited = factor * 0.1, 0
    return factor


def param_groups(model: nn.Module, lr: float, loc_lr_factor: float = 1.0) -> list[dict[str, Any]]:
    """Parameter groups that give the localisation network a learning rate of its own.

    Parameters
    ----------
    model : nn.Module
        Any; localisation networks are the submodules named `localisation`.
    lr : float
        Learning rate of everything else, 0 or more.
    loc_lr_factor : float
        The localisation networks' learning rate over `lr`, 0 or more.

    Returns
    -------
    list[dict[str, Any]]
        For any `torch.optim` optimiser; an empty group is left out. `initial_lr` keeps the rate
        that a schedule multiplies, ours or PyTorch's; `localisation` says whose group it is.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed, or there is a factor and nothing that
        it could be for.
    """
    check_module("model", model)
    require("lr", lr, number(least=0))
    require("loc_lr_factor", loc_lr_factor, number(least=0))
    groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for name, parameter in model.named_parameters():
        groups["localisation" in name.split(".")].append(parameter)
    if loc_lr_factor != 1 and not groups[True]:
        raise ValueError(
            f"loc_lr_factor {loc_lr_factor} is for submodules named localisation, and this model "
            "has none: name its localisation network so, or give torch.optim two parameter groups"
        )
    rates = {False: lr, True: lr * loc_lr_factor}
    return [
        {
            "params": members,
            "lr": rates[is_loc],
            "initial_lr": rates[is_loc],
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

    Parameters
    ----------
    params : Iterable[Any]
        Parameters, or groups of them.
    lr : float
        Learning rate of groups that have none of their own, 0 or more.
    **options : Any
        Of `torch.optim.Adam`; eps is `EPS`, whatever is given.
    """

    EPS = 1e-8

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, **options: Any) -> None:
        require("lr", lr, number(least=0))
        if not isinstance(params, Iterable):
            raise TypeError(f"params must be parameters or their groups, not {shown(params)}")
        super().__init__(params, lr=lr, **options)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Parameters
        ----------
        closure : Callable[[], Any] | None
            Computes the loss anew, as for `torch.optim.Adam`.

        Returns
        -------
        Any
            What `closure` returned, None without one.
        """
        for group in self.param_groups:
            steps = [self.state[p]["step"] for p in group["params"] if self.state.get(p)]
            t = 1 + (int(steps[0]) if steps else 0)
            group["eps"] = self.EPS / math.sqrt(1 - group["betas"][1] ** t)
        return super().step(closure)
