"""A watch over a training: warns of a transformer's collapse, and can act."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from stnlib.checks.tensors import check_module
from stnlib.checks.values import optional, require, shown, whole
from stnlib.diagnostics.actions import Actions
from stnlib.diagnostics.advice import NO_PATH, NO_STEP, advice
from stnlib.diagnostics.criteria import Collapse, CollapseError, CollapseWarning, Criteria, Judge
from stnlib.diagnostics.graph import shared, uncompiled
from stnlib.diagnostics.hooks import StepHook
from stnlib.diagnostics.measures import QUANTITIES, check_loss, measure, rate_of
from stnlib.diagnostics.probe import ForwardProbe
from stnlib.diagnostics.sampling import ForwardRecord
from stnlib.diagnostics.trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["CollapseMonitor"]

# Who watches which sampler; a monitor that nobody holds lets go.
_Held = dict[int | None, ReferenceType["CollapseMonitor"]]
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

    It watches every sampler of the forward pass whose grid depends on parameters: PyTorch's, for
    images and volumes, scripted ones, too, and those of `stnlib.models.SpatialTransformer`. Any
    other tells of itself by `stnlib.diagnostics.report_sampling`. Each has a trace of its own. What
    runs outside of the model's forward pass, such as a warp in the loss, belongs into a block
    ``with monitor.watching():``. An evaluation is not seen. Weights, buffers and random numbers are
    as without the monitor, unless it acts. Inside of what `torch.compile` made nothing can be seen:
    give the monitor the compiled module, and every `every` steps it runs the uncompiled one, in
    evaluation mode, which leaves no trace. Under DDP the verdict is that of all ranks together.

    Parameters
    ----------
    model : nn.Module
        Hooked until `detach`, or the end of a ``with`` block; otherwise unchanged.
    optimizer : torch.optim.Optimizer | None
        Its steps are what `step` measures, and its rate is the scale of `step_ratio`; a rollback
        restores its moments, too, but no rates, which a schedule sets.
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
    sampler : int | None
        Only this one of the samplers, in the order in which they run, from 0, or from the end with
        -1; None for all.
    keep : int | None
        Looks that a trace keeps, the last; None for all.

    Attributes
    ----------
    trace : Trace
        The numbers of each look at the first sampler.
    traces : list[Trace]
        Those of all samplers, in the order in which they run.
    collapse : Collapse | None
        The first that was found.
    steps : int
        Calls of `step` so far.
    optimizer : torch.optim.Optimizer | None
        May be set, where a training goes on with another.

    Raises
    ------
    TypeError, ValueError
        One line: an argument that is not one of the allowed, a monitor already there, or, at the
        first step, a model without a sampler.

    Notes
    -----
    Measured where this project traced its own trainings. Of those that ended black or out of view
    167 of 188 were warned of before the onset, the first step from which on more than half of the
    outputs are black or less than a twentieth of the image is seen. The lead is 3 steps in the
    median and at most 3 for 54 % of them: enough to go back to a snapshot. Of transformers that
    looked or idled at the end it warned of 17 of 188 where others were lost at the same rates, and
    of 1 of 179 where none was. It adds 2 % to a step of the CM network and less than 1 % to one of
    the C10 network, in batches of 128 on a CPU.
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
        sampler: int | None = None,
        keep: int | None = None,
    ) -> None:
        check_module("model", model)
        if optimizer is not None and not hasattr(optimizer, "param_groups"):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer, not {shown(optimizer)}")
        if criteria is not None and not isinstance(criteria, Criteria):
            raise TypeError(f"criteria must be Criteria or None, not {shown(criteria)}")
        if seen_object is not None and not callable(seen_object):
            raise TypeError(f"seen_object must be a function or None, not {shown(seen_object)}")
        for name, value in {"every": every, "check_every": check_every, "keep": keep}.items():
            require(name, value, optional(whole(1)))
        require("snapshot_every", snapshot_every, whole(1))
        require("sampler", sampler, optional(whole(-1000)))
        self.traces, self.steps = [Trace(keep)], 0
        self.collapse: Collapse | None = None
        self._model, self._optimizer, self._sampler = model, optimizer, sampler
        self._object, self._check_every, self._keep = seen_object, check_every, keep
        self._criteria = criteria or Criteria()
        self._judges = [Judge(self._criteria)]
        self._actions = Actions(on_collapse, lr_factor, snapshot_every, model, optimizer)
        self._pending: list[tuple[int, int, Tensor]] = []
        self._calls = self._looks = 0
        self._told: set[str] = set()
        self._hook: StepHook
        self._attach(every)

    @property
    def trace(self) -> Trace:
        return self.traces[0]

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: torch.optim.Optimizer | None) -> None:
        self._hook.remove()
        self._optimizer = self._actions.optimizer = optimizer
        self._hook = StepHook(optimizer, self._stepped)

    def watching(self) -> AbstractContextManager[None]:
        """A ``with`` block in which all that runs is looked at, in the model or outside of it."""
        return self._probe.watching()

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
        check_loss(loss)
        if self._probe.calls == self._calls:
            raise ValueError(
                "no forward pass with gradients was seen since the last step: call step() once "
                "after each optimizer.step(), and watch the module that is called"
            )
        self.steps, self._calls = self.steps + 1, self._probe.calls
        braked = self._actions.brake.apply()
        records = self._chosen(self._probe.take())
        if not records and not (self.trace or self._pending):
            number = f" number {self._sampler}" if self._sampler else ""
            raise ValueError(
                "the model's forward pass has no spatial transformer: no grid_sample of images (N, "
                f"C, H, W){number} whose grid depends on parameters was seen, {self._probe.unseen}"
            )
        for place, record in enumerate(records):
            if braked or record.moved is None:
                record.look_again()
            self._pending.append((self.steps, place, self._measure(place, record, loss)))
        found = None
        if records:
            self._looks += 1
            self._say_what_is_missing(records)
            if self._looks >= (self._check_every or self._default_check()):
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
        pending, self._pending, self._looks = self._pending, [], 0
        found = None
        for step, place, values in pending:
            while place >= len(self.traces):
                self.traces.append(Trace(self._keep))
                self._judges.append(Judge(self._criteria))
            row = self.traces[place].append(step, shared(values, self._model).tolist())
            verdict = self._judges[place].judge(step, row)
            if verdict and not found:
                found = verdict, place
        return self._act(*found) if found else None

    def detach(self) -> None:
        """Take the hooks off the model; what was recorded stays."""
        self._probe.detach()
        self._hook.remove()
        _attached.get(uncompiled(self._model), {}).pop(self._sampler, None)
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
            "traces": [trace.state_dict() for trace in self.traces],
            "judges": [judge.state_dict() for judge in self._judges],
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
        try:
            steps = int(state["steps"])
            collapse = Collapse(**state["collapse"]) if state["collapse"] else None
            traces = [Trace(self._keep) for _ in state["traces"]]
            judges = [Judge(self._criteria) for _ in traces]
            for trace, judge, one, other in zip(
                traces, judges, state["traces"], state["judges"], strict=True
            ):
                trace.load_state_dict(one)
                judge.load_state_dict(other)
            if not traces:
                raise ValueError("no trace")
            self._actions.load_state_dict(state["actions"], steps)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError):
            raise ValueError(
                "state must be what state_dict() of a CollapseMonitor of such a model returned, "
                f"not {shown(state)}"
            ) from None
        self.steps, self.collapse, self.traces, self._judges = steps, collapse, traces, judges

    def _attach(self, every: int | None) -> None:
        eager = uncompiled(self._model)
        if getattr(self._model, "_compiled_call_impl", None) is not None:
            raise ValueError("a model compiled in place is opaque: use torch.compile(model)")
        held = _attached.setdefault(eager, {})
        if self._sampler in held and held[self._sampler]() is not None:
            raise ValueError("the model has a CollapseMonitor already: detach() it first")
        held[self._sampler] = ref(self)
        usual = 1 if eager is self._model else 10
        self._probe = ForwardProbe(self._model, every or usual, self._failed)
        self._hook = StepHook(self._optimizer, self._stepped)

    def _stepped(self) -> None:
        if not self._actions.brake.parameters:
            for record in self._probe.records:
                record.look_again()

    def _chosen(self, records: list[ForwardRecord]) -> list[ForwardRecord]:
        number = self._sampler or 0
        there = number < len(records) and -number <= len(records)
        return records if self._sampler is None else records[number:][:1] if there else []

    def _say_what_is_missing(self, records: list[ForwardRecord]) -> None:
        """Say once, in one line, why `step` cannot be measured; the rest is judged all the same."""
        learning = (self._probe.parameters[record.place] for record in records)
        if not self._hook.take():
            self._say(NO_STEP)
        elif any(r.path is None and mine for r, mine in zip(records, learning, strict=True)):
            self._say(NO_PATH)

    def _say(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            warnings.warn(line, UserWarning, stacklevel=4)

    def _default_check(self) -> int:
        return 1 if self._pending[-1][2].device.type == "cpu" else 10

    def _measure(self, place: int, record: ForwardRecord, loss: Tensor | float | None) -> Tensor:
        lr, weight = None, record.path.weight if record.path else None
        if weight is not None and self._optimizer and (lr := rate_of(weight, self._optimizer)):
            lr *= self._actions.brake.factor
        seen = self._object() if self._object and not place else {}
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
            if found := self._judges[0].judge(self.steps + 1, row):
                self._act(found, 0)

    def _act(self, found: Collapse, place: int) -> Collapse | None:
        """Warn and do what `on_collapse` says; None once that was done often enough."""
        if self._actions.exhausted:
            return None
        n = place if self._sampler is None else self._sampler
        known = self._probe.parameters[n : n + 1 or None]  # none before the first look
        parameters = known[0] if known else []
        if len(self.traces) > 1:
            name = self._probe.names[place]
            found = replace(found, message=f"{name}, number {place}: {found.message}")
        told = advice(self._model, parameters, self._actions.kind != "rollback")
        self.collapse = self.collapse or found
        self.traces[place].events.append((found.step, found.kind))
        done = self._actions.act(parameters)
        for judge in self._judges if done else ():
            judge.forgive()
        warnings.warn(f"{found.message}{done}\n{told}", CollapseWarning, stacklevel=4)
        if self._actions.kind == "stop":
            raise CollapseError(found.message)
        return found
