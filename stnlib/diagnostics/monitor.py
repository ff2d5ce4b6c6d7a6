"""A watch over a training: warns of a transformer's collapse, and can act."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from numbers import Real
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from stnlib.checks.tensors import check_module
from stnlib.checks.values import number, optional, require, shown, whole
from stnlib.diagnostics.actions import Actions
from stnlib.diagnostics.advice import advice
from stnlib.diagnostics.criteria import Collapse, CollapseError, CollapseWarning, Criteria, Judge
from stnlib.diagnostics.hooks import ForwardProbe, ForwardRecord
from stnlib.diagnostics.measures import QUANTITIES, measure, rate_of
from stnlib.diagnostics.trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["CollapseMonitor"]

# Who watches which sampler; a monitor that nobody holds lets go.
_Held = dict[int, ReferenceType["CollapseMonitor"]]
_attached: WeakKeyDictionary[nn.Module, _Held] = WeakKeyDictionary()


class CollapseMonitor:
    """Records what a spatial transformer does at each training step, and warns of its collapse.

    Two lines in a loop: one before it, one after each optimiser step::

        monitor = CollapseMonitor(model, optimizer)
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            monitor.step(loss)

    and afterwards ``monitor.plot()``, ``monitor.to_frame()`` or ``monitor.save("trace.npz")``.

    It works for any module whose forward pass calls `torch.nn.functional.grid_sample` on images,
    and for a `stnlib.models.SpatialTransformer`, whatever its sampler; any other sampler tells of
    itself by `stnlib.diagnostics.report_sampling`. It does not see what runs without gradients,
    such as an evaluation. Weights and random numbers are as without it, unless it acts.
    Inside of what `torch.compile` made nothing can be seen: give the monitor the compiled module,
    and it runs the uncompiled one as far as its sampler every `every` steps, in evaluation mode.
    What ``model.compile()`` compiled in place cannot be watched.

    Parameters
    ----------
    model : nn.Module
        Hooked until `detach`, or the end of a ``with`` block; otherwise unchanged.
    optimizer : torch.optim.Optimizer | None
        Its learning rate sets the scale of `step_ratio`; a rollback restores it, too.
    on_collapse : str
        `warn`; `lower`: from then on the localisation network takes steps `lr_factor` times as
        large, which is what a lower rate does, whatever groups and schedules there are;
        `rollback`: back to the last snapshot but one, then `lower` (which alone came too late in
        trials where θ ran away within ten steps); `stop`: `CollapseError`. Each comes with a
        `CollapseWarning`: one, or one an action, at most 3.
    criteria : Criteria | None
        What counts as a collapse; None for the defaults.
    seen_object : Callable[[], Mapping[str, Any]] | None
        For `object_coverage` at each step: returns `points` or `mask` (and `align_corners`) for the
        batch of the last forward pass.
    lr_factor : float
        Above 0, below 1.
    every : int | None
        Forward passes from one look to the next; by default 1, and 10 for a compiled model.
    check_every : int | None
        Looks from one judgement to the next; by default 1 on the CPU and 10 elsewhere, because
        each makes the host wait for the device.
    snapshot_every : int
        Steps from one snapshot to the next; kept in memory, two, for `rollback`.
    sampler : int
        Which of the model's samplers, in the order in which they run, from 0.

    Attributes
    ----------
    trace : Trace
        The numbers of each look.
    collapse : Collapse | None
        The first that was found.
    steps : int
        Calls of `step` so far.

    Raises
    ------
    TypeError, ValueError
        One line: an argument that is not one of the allowed, a monitor already there, or, at the
        first step, a model without a sampler.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        on_collapse: str = "warn",
        criteria: Criteria | None = None,
        seen_object: Callable[[], Mapping[str, Any]] | None = None,
        lr_factor: float = 0.1,
        every: int | None = None,
        check_every: int | None = None,
        snapshot_every: int = 50,
        sampler: int = 0,
    ) -> None:
        check_module("model", model)
        if optimizer is not None and not hasattr(optimizer, "param_groups"):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer, not {shown(optimizer)}")
        if criteria is not None and not isinstance(criteria, Criteria):
            raise TypeError(f"criteria must be Criteria or None, not {shown(criteria)}")
        if seen_object is not None and not callable(seen_object):
            raise TypeError(f"seen_object must be a function or None, not {shown(seen_object)}")
        for name, value in {"every": every, "check_every": check_every}.items():
            require(name, value, optional(whole(1)))
        require("snapshot_every", snapshot_every, whole(1))
        require("sampler", sampler, whole(0))
        self.trace, self.steps = Trace(), 0
        self.collapse: Collapse | None = None
        self._model, self._optimizer, self._sampler = model, optimizer, sampler
        self._object, self._check_every = seen_object, check_every
        self._judge = Judge(criteria or Criteria())
        self._actions = Actions(on_collapse, lr_factor, snapshot_every, model, optimizer)
        self._pending: list[tuple[int, Tensor]] = []
        self._calls = 0
        self._attach(every)

    def step(self, loss: Tensor | float | None = None) -> Collapse | None:
        """Record the training step that was just taken, judge it and act.

        To be called once after each ``optimizer.step()``, before gradients are set to zero.

        Parameters
        ----------
        loss : Tensor | float | None
            A number or a tensor of one, to be recorded.

        Returns
        -------
        Collapse | None
            What was found now, usually None.

        Raises
        ------
        ValueError
            One line: another loss, no forward pass since the last step, or no sampler in it.
        CollapseError
            At a collapse with ``on_collapse="stop"``.
        """
        _check_loss(loss)
        if self._probe.calls == self._calls:
            raise ValueError(
                "no forward pass with gradients was seen since the last step: call step() once "
                "after each optimizer.step(), and watch the module that is called"
            )
        self.steps, self._calls = self.steps + 1, self._probe.calls
        self._actions.brake.apply()
        record = self._probe.take()
        if record is None and not (self.trace or self._pending):
            number = f" number {self._sampler}" if self._sampler else ""
            raise ValueError(
                "the model's forward pass has no spatial transformer: no grid_sample of images "
                f"(N, C, H, W){number} was seen, {self._probe.unseen}"
            )
        found = None
        if record is not None:
            self._pending.append((self.steps, self._measure(record, loss)))
            if len(self._pending) >= (self._check_every or self._default_check()):
                found = self.check()
        if found is None:
            self._actions.healthy(self.steps)
        return found

    def check(self) -> Collapse | None:
        """Judge now what was recorded, without waiting until `check_every` looks are there.

        Returns
        -------
        Collapse | None
            What was found now, usually None.
        """
        pending, self._pending = self._pending, []
        found = None
        for step, values in pending:
            row = self.trace.append(step, values.tolist())
            found = found or self._judge.judge(step, row)
        return self._act(found) if found else None

    def detach(self) -> None:
        """Take the hooks off the model; what was recorded stays."""
        self._probe.detach()
        _attached.get(_eager(self._model), {}).pop(self._sampler, None)
        self.check()

    def __enter__(self) -> CollapseMonitor:
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()

    def plot(self) -> Figure:
        """Draw the trace: a Matplotlib figure."""
        self.check()
        return self.trace.plot()

    def to_frame(self) -> pd.DataFrame:
        """The trace as a pandas DataFrame, a row a look."""
        self.check()
        return self.trace.to_frame()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace as a compressed ``.npz``, for `Trace.load`.

        Parameters
        ----------
        path : str | os.PathLike[str]
            Of the file.
        """
        self.check()
        self.trace.save(path)

    def state_dict(self) -> dict[str, Any]:
        """Everything but snapshots, as plain numbers, lists and dicts, for ``torch.save``."""
        self.check()
        return {
            "steps": self.steps,
            "collapse": asdict(self.collapse) if self.collapse else None,
            "trace": self.trace.state_dict(),
            "judge": self._judge.state_dict(),
            "actions": self._actions.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`; the model must have been loaded before.

        Parameters
        ----------
        state : Mapping[str, Any]
            What `state_dict` returned.

        Raises
        ------
        ValueError
            With nothing changed, where `state` is of something else or of another model.
        """
        trace, judge = Trace(), Judge(self._judge.criteria)
        try:
            steps = int(state["steps"])
            collapse = Collapse(**state["collapse"]) if state["collapse"] else None
            trace.load_state_dict(state["trace"])
            judge.load_state_dict(state["judge"])
            self._actions.load_state_dict(state["actions"], steps)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError):
            raise ValueError(
                "state must be what state_dict() of a CollapseMonitor of such a model returned, "
                f"not {shown(state)}"
            ) from None
        self.steps, self.collapse, self.trace, self._judge = steps, collapse, trace, judge

    def _attach(self, every: int | None) -> None:
        eager = _eager(self._model)
        if getattr(self._model, "_compiled_call_impl", None) is not None:
            raise ValueError("a model compiled in place is opaque: use torch.compile(model)")
        held = _attached.setdefault(eager, {})
        if self._sampler in held and held[self._sampler]() is not None:
            raise ValueError("the model has a CollapseMonitor already: detach() it first")
        me = held[self._sampler] = ref(self)
        every = every or (1 if eager is self._model else 10)

        def failed(theta: Tensor) -> None:
            if monitor := me():
                monitor._failed(theta)

        self._probe = ForwardProbe(self._model, self._sampler, every, failed)

    def _default_check(self) -> int:
        return 1 if self._pending[-1][1].device.type == "cpu" else 10

    def _measure(self, record: ForwardRecord, loss: Tensor | float | None) -> Tensor:
        lr, layer = None, self._probe.layer
        if layer and self._optimizer and (lr := rate_of(layer.weight, self._optimizer)):
            lr *= self._actions.brake.factor
        seen = self._object() if self._object else {}
        if not isinstance(seen, Mapping) or seen.keys() - {"points", "mask", "align_corners"}:
            raise ValueError(
                "seen_object must return a dict with points or mask, and align_corners, "
                f"not {shown(seen)}"
            )
        return measure(record, self._probe, lr, loss, seen)

    def _failed(self, theta: Tensor) -> None:
        """A forward pass ended in an error before its sampler: say so if θ explains it."""
        share = theta.isfinite().flatten(1).all(dim=1).float().mean().item()
        if share < 1:
            row = dict.fromkeys(QUANTITIES, math.nan) | {"finite": share}
            if found := self._judge.judge(self.steps + 1, row):
                self._act(found)

    def _act(self, found: Collapse) -> Collapse | None:
        """Warn and do what `on_collapse` says; None once that was done often enough."""
        if self._actions.exhausted:
            return None
        told = advice(self._model, self._probe.localisation, self._actions.kind != "rollback")
        self.collapse = self.collapse or found
        self.trace.events.append((found.step, found.kind))
        done = self._actions.act(self._probe.localisation)
        if done:
            self._judge.forgive()
        warnings.warn(f"{found.message}{done}\n{told}", CollapseWarning, stacklevel=4)
        if self._actions.kind == "stop":
            raise CollapseError(found.message)
        return found


def _eager(model: nn.Module) -> nn.Module:
    return getattr(model, "_orig_mod", model)


def _check_loss(loss: object) -> None:
    if isinstance(loss, Tensor):
        one = loss.numel() == 1 and not loss.is_complex()
    else:
        real = isinstance(loss, Real) and not isinstance(loss, int)
        one = loss is None or real or number()(loss) is None
    if not one:
        raise ValueError(f"loss must be a number or a tensor of one, not {shown(loss)}")
