"""Recovery: what a run does after an epoch that left its transformer's outputs black."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from stnlib.diagnostics import Criteria
from stnlib.training.config import RunConfig

__all__ = ["recover", "snapshot"]

BLACK = Criteria().black  # the share at which the monitor warns, too

State = tuple[dict[str, Any], dict[str, Any]]


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer, config: RunConfig) -> State | None:
    """A copy of the state before an epoch, if `config` may want it back."""
    if config.recovery != "rollback":
        return None
    return copy.deepcopy((model.state_dict(), optimizer.state_dict()))


def recover(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: RunConfig,
    before: State | None,
    row: dict[str, Any],
) -> bool:
    """Bring a transformer back that an epoch left black, as `config.recovery` says.

    `rollback` takes everything back to the state before the epoch, and from then on
    `stnlib.training.rates.set_rates` divides the localisation network's rate by 10 for each such
    epoch.
    `reset` makes its last layer the identity again and forgets what the optimiser knows of it.
    Either way the state after any epoch is healthy or the start: a checkpoint needs nothing more.

    Parameters
    ----------
    model, optimizer : changed in place.
    before : the `snapshot`.
    row : what validation saw after the epoch.

    Returns
    -------
    Whether there was something to do.
    """
    if config.recovery == "none" or row.get("black", 0) < BLACK:
        return False
    if config.recovery == "rollback":
        model.load_state_dict(before[0])
        optimizer.load_state_dict(before[1])
    else:
        localisation = model.transformer.localisation
        localisation.to_identity()
        for parameter in localisation.theta.parameters():
            optimizer.state.pop(parameter, None)
    return True
