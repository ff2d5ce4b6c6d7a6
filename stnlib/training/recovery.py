"""Recovery: what a run does after an epoch that left its transformer's outputs black."""

from __future__ import annotations

from typing import Any, cast

from stnlib.diagnostics import Criteria
from stnlib.models import STN, LocNet
from stnlib.training.loop import Training

__all__ = ["recover"]

BLACK = Criteria().black  # the share at which the monitor warns, too


def recover(training: Training, before: dict[str, Any], row: dict[str, Any]) -> bool:
    """Bring a transformer back that an epoch left black, as the configuration's `recovery` says.

    `rollback` takes everything back to the state before the epoch, and from then on
    `stnlib.training.rates.set_rates` divides the localisation network's rate by 10 for each such
    epoch. `reset` makes its last layer the identity again and forgets what the optimiser knows of
    it. Either way the state after any epoch is healthy or the start: a checkpoint needs nothing
    more.

    Parameters
    ----------
    training : Training
        Changed in place. What it has taken stays taken: the epoch counts.
    before : dict[str, Any]
        Its state before the epoch, which only `rollback` needs.
    row : dict[str, Any]
        What validation saw after the epoch.

    Returns
    -------
    bool
        Whether there was something to do.
    """
    kind = training.config.recovery
    if kind == "none" or row.get("black", 0) < BLACK:
        return False
    if kind == "rollback":
        training.restore(before | {"taken": training.taken})
    else:
        localisation = cast(LocNet, cast(STN, training.model).transformer.localisation)
        localisation.to_identity()
        for parameter in localisation.theta.parameters():
            training.optimizer.state.pop(parameter, None)
    return True
