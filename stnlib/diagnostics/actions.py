"""What a monitor can do about a collapse: take smaller steps, and go back."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stnlib.checks.values import choice, number, require, shown, whole
from stnlib.diagnostics.criteria import Collapse, CollapseError

__all__ = ["ACTIONS", "Actions", "Brake", "Snapshots"]

ACTIONS = ("warn", "lower", "rollback", "stop")
MOST = 3  # actions of one monitor


class Actions:
    """Does what `kind` says at a collapse, at most MOST times (`warn` and `stop`: once).

    Parameters
    ----------
    kind : str | Callable[[Collapse], object]
        One of ACTIONS, or a function, which is called with the collapse.
    lr_factor : float
        The localisation network's steps after an action over those before, in (0, 1).
    every : int
        Steps from one snapshot to the next.
    model : nn.Module
        What snapshots are taken of.
    optimizer : torch.optim.Optimizer | None
        Likewise, if there is one.
    """

    def __init__(
        self,
        kind: str | Callable[[Collapse], object],
        lr_factor: float,
        every: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
    ) -> None:
        if not callable(kind) and (allowed := choice(*ACTIONS)(kind)):
            raise ValueError(f"on_collapse must be {allowed}, or a function, not {shown(kind)}")
        require("lr_factor", lr_factor, number(above=0, below=1))
        self.kind, self.done, self.brake = kind, 0, Brake()
        self._lr_factor, self._every, self._model = lr_factor, every, model
        self._snapshots = Snapshots(model, optimizer)
        self.healthy(0)

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """What snapshots are taken of, beside the model."""
        return self._snapshots.optimizer

    @optimizer.setter
    def optimizer(self, optimizer: torch.optim.Optimizer | None) -> None:
        self._snapshots = Snapshots(self._model, optimizer)
        self._snapshots.keep(0)

    @property
    def exhausted(self) -> bool:
        """Whether it has acted as often as it may."""
        return self.done >= (MOST if self.repeats else 1)

    @property
    def repeats(self) -> bool:
        """Whether what it does may help, so that it is judged anew and done again."""
        return self.kind not in ("warn", "stop")

    def healthy(self, step: int) -> None:
        """No collapse was found at this step: it may be the one to go back to."""
        if self.kind == "rollback" and step % self._every == 0:
            self._snapshots.keep(step)

    def act(self, localisation: list[nn.Parameter]) -> str:
        """Act, and say what was done in words."""
        self.done += 1
        if self.kind not in ("lower", "rollback"):
            return ""
        back = f"back to step {self._snapshots.restore()}" if self.kind == "rollback" else ""
        present = {id(p) for p in self._model.parameters()}
        both = {id(p): p for p in (*self.brake.parameters, *localisation)}  # of other samplers, too
        held = [p for key, p in both.items() if key in present]
        if not held:  # such as weights that another network computes
            unknown = "no parameter of the model is known that θ depends on, so none is slowed down"
            return f" Done: {back}; {unknown}." if back else f" Nothing done: {unknown}."
        self.brake.hold(held, self.brake.factor * self._lr_factor)
        slower = f"the localisation network's steps × {self.brake.factor:g}"
        return f" Done: {back}, {slower}." if back else f" Done: {slower}."

    def conclude(self, found: Collapse) -> None:
        """Once all is recorded and said: stop, or call the user's function."""
        if self.kind == "stop":
            raise CollapseError(found.message)
        if callable(self.kind):
            self.kind(found)

    def state_dict(self) -> dict[str, Any]:
        """What was done so far, as plain numbers and names of parameters; no snapshots."""
        held = {id(p) for p in self.brake.parameters}
        names = [_unwrapped(n) for n, p in self._model.named_parameters() if id(p) in held]
        return {"done": self.done, "factor": self.brake.factor, "held": names}

    def load_state_dict(self, state: Mapping[str, Any], step: int) -> None:
        """Go on from `state_dict` with the model's present weights."""
        parameters = {_unwrapped(name): p for name, p in self._model.named_parameters()}
        held = [parameters[_unwrapped(name)] for name in state["held"]]
        require("factor", state["factor"], number(above=0, most=1))
        require("done", state["done"], whole(0))
        self.brake.hold(held, float(state["factor"]))
        self.done = int(state["done"])
        if self.kind == "rollback":
            self._snapshots.keep(step)


def _unwrapped(name: str) -> str:
    """A parameter's name without what `torch.compile`, DataParallel and DDP put before it."""
    parts = [part for part in name.split(".") if part != "_orig_mod"]
    while parts[0] == "module":
        parts.pop(0)
    return ".".join(parts)


class Brake:
    """Makes what optimisers do to some parameters smaller by a factor, after the fact.

    For any optimiser whose step is proportional to its rate that is a lower rate; it holds
    whatever parameter groups there are and whatever a schedule sets.
    """

    def __init__(self) -> None:
        self.factor = 1.0
        self._held: list[tuple[nn.Parameter, Tensor]] = []

    def hold(self, parameters: list[nn.Parameter], factor: float) -> None:
        """From the parameters' present values on, take `factor` of each step."""
        self.factor = factor
        self._held = [(p, p.detach().clone()) for p in parameters] if factor < 1 else []

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is held."""
        return [parameter for parameter, _ in self._held]

    @torch.no_grad()
    def apply(self) -> bool:
        """To be called after each step of the optimiser; whether there was something to do."""
        for parameter, before in self._held:
            before.lerp_(parameter, self.factor)
            parameter.copy_(before)
        return bool(self._held)


class Snapshots:
    """The last two states of a model and its optimiser, in memory."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
        self._model, self.optimizer = model, optimizer
        self._kept: deque[tuple[int, dict[str, Any], dict[str, Any] | None]] = deque(maxlen=2)

    def keep(self, step: int) -> None:
        """Copy both as they are."""
        model = {name: copy.deepcopy(value) for name, value in self._model.state_dict().items()}
        optimizer = copy.deepcopy(self.optimizer.state_dict()) if self.optimizer else None
        self._kept.append((step, model, optimizer))

    def restore(self) -> int:
        """Put back the older of the two, forget the newer, and return the older's step.

        The optimiser's moments go back; its rates stay as they are, for a schedule sets them.
        """
        while len(self._kept) > 1:
            self._kept.pop()
        step, model, optimizer = self._kept[0]
        self._model.load_state_dict(model)
        if self.optimizer and optimizer:
            now = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict(copy.deepcopy(optimizer) | {"param_groups": now})
        return step
