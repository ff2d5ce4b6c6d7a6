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
from stnlib.diagnostics.dependence import localisation_of

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


def param_groups(
    model: nn.Module,
    lr: float,
    loc_lr_factor: float = 1.0,
    *,
    batch: Any = None,
    localisation: nn.Module | Iterable[nn.Module] | Callable[[str], bool] | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups that give the localisation network a learning rate of its own.

    With `batch` it is found, whatever its names: the parameters that θ depends on, and the model's
    output by θ alone. Those that the classifier needs as well, such as a backbone that both share,
    or what lies between two transformers, belong to the rest: a lower rate would slow the
    classifier down, too. ::

        param_groups(model, 1e-3, 0.1, batch=images)
        param_groups(model, 1e-3, 0.1, localisation=[model.localization, model.fc_loc])

    Parameters
    ----------
    model : nn.Module
        Any; without `batch` and `localisation`, its localisation networks are the submodules named
        `localisation`.
    lr : float
        Learning rate of everything else, 0 or more.
    loc_lr_factor : float
        The localisation networks' learning rate over `lr`, 0 or more.
    batch : Any
        An input of the model's, for one forward pass in evaluation mode: a tensor; a tuple of
        arguments; or a mapping of arguments by name. The pass changes no weight, buffer, gradient,
        mode or random number; lazy modules take their shapes by it.
    localisation : nn.Module | Iterable[nn.Module] | Callable[[str], bool] | None
        Instead of `batch`: modules of the model, or a function that says of a parameter's name
        whether it is one of a localisation network's.

    Returns
    -------
    list[dict[str, Any]]
        For any `torch.optim` optimiser; an empty group is left out. `initial_lr` keeps the rate
        that a schedule multiplies, ours or PyTorch's; `localisation` says whose group it is.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed, or there is no localisation network
        and `batch`, `localisation` or a factor for one.
    """
    check_module("model", model)
    require("lr", lr, number(least=0))
    require("loc_lr_factor", loc_lr_factor, number(least=0))
    if batch is not None and localisation is not None:
        raise ValueError("param_groups takes batch or localisation, not both")
    if batch is not None:
        chosen = {id(p) for p in localisation_of(model, batch)}
    else:
        chosen = _chosen(model, localisation)
    groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for parameter in model.parameters():
        groups[id(parameter) in chosen].append(parameter)
    if not groups[True]:
        _refuse_none(loc_lr_factor, batch, localisation)
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


def _chosen(model: nn.Module, localisation: Any) -> set[int]:
    """Ids of the parameters that modules or a function of names choose."""
    named = list(model.named_parameters(remove_duplicate=False))
    if localisation is None:
        return {id(p) for name, p in named if "localisation" in name.split(".")}
    modules = [localisation] if isinstance(localisation, nn.Module) else localisation
    if callable(modules):
        return {id(p) for name, p in named if modules(name)}
    modules = list(modules) if isinstance(modules, Iterable) else [modules]
    present = {id(p) for _, p in named}
    for module in modules:
        if not isinstance(module, nn.Module):
            raise TypeError(
                "localisation must be modules of the model or a function of parameters' names, "
                f"not {shown(module)}"
            )
        if not all(id(p) in present for p in module.parameters()):
            raise ValueError(f"localisation must be modules of the model, not {shown(module)}")
    return {id(p) for module in modules for p in module.parameters()}


def _refuse_none(factor: float, batch: Any, localisation: Any) -> None:
    """Raise a ValueError of one line where a localisation network was asked for."""
    if batch is not None:
        raise ValueError(
            "in a pass of the batch no parameter was found that θ depends on and the model's "
            "output by θ alone: give localisation=, its modules or a function of names"
        )
    if localisation is not None:
        raise ValueError("localisation chooses no parameter of the model")
    if factor != 1:
        raise ValueError(
            f"loc_lr_factor {factor} needs a localisation network, and no submodule is named "
            "localisation: give batch=, an input of the model's, by which it is found, or "
            "localisation=, its modules or a function of parameters' names"
        )


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
