"""A watch over a training: warns of a transformer's collapse, and can act."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from stnlib.checks.values import require, shown, whole
from stnlib.diagnostics.account import Account
from stnlib.diagnostics.actions import Actions
from stnlib.diagnostics.advice import NO_PASS, NO_PATH, NO_STEP, advice
from stnlib.diagnostics.album import Album
from stnlib.diagnostics.criteria import Collapse, CollapseWarning, Criteria
from stnlib.diagnostics.graph import is_shared, uncompiled
from stnlib.diagnostics.hooks import StepHook
from stnlib.diagnostics.looks import UNHURRIED, Looks
from stnlib.diagnostics.measures import QUANTITIES, check_loss, measure, rate_of
from stnlib.diagnostics.options import check_optimizer, check_options, check_seen, claim, release
from stnlib.diagnostics.probe import ForwardProbe
from stnlib.diagnostics.sampling import ForwardRecord

__all__ = ["CollapseMonitor"]


class CollapseMonitor(Account):
    """Records what a spatial transformer does at each training step, and warns of its collapse.

    Two lines in a loop: one before it, one after each optimiser step::

        monitor = CollapseMonitor(model, optimizer)
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            monitor.step(loss)

    and afterwards ``print(monitor.summary())``, ``monitor.report("report.html")``,
    ``monitor.plot()``, ``monitor.to_frame()`` or ``monitor.save("trace.npz")``. `log_to` hands all
    numbers on while the training runs. Lightning and Hugging Face's Trainer have callbacks in
    `stnlib.diagnostics.lightning_callback` and `stnlib.diagnostics.trainer_callback`.

    It watches every sampler of the forward pass whose grid depends on parameters: PyTorch's, for
    images and volumes, scripted ones, too, and those of `stnlib.models.SpatialTransformer`. Any
    other tells of itself by `stnlib.diagnostics.report_sampling`. Each has a trace of its own. What
    runs outside of the model's forward pass, such as a warp in the loss, belongs into a block
    ``with monitor.watching():``. An evaluation is not seen. Weights, buffers and random numbers are
    as without the monitor, unless it acts. Inside of what `torch.compile` made nothing can be seen:
    give the monitor the compiled module, and every `every` steps it runs the uncompiled one, in
    evaluation mode, which leaves no trace. Under DDP the verdict is that of all ranks together,
    and each rank can tell, alone, of the looks that were judged.

    Parameters
    ----------
    model : nn.Module
        Hooked until `detach`, or the end of a ``with`` block; otherwise unchanged.
    optimizer : torch.optim.Optimizer | None
        Its steps are what `step` measures, and its rate is the scale of `step_ratio`; a rollback
        restores its moments, too, but no rates, which a schedule sets.
    on_collapse : str | Callable[[Collapse], object]
        `warn`; `lower`: from then on the localisation network takes steps `lr_factor` times as
        large, which is what a lower rate does, whatever groups and schedules there are;
        `rollback`: back to the last snapshot but one, then `lower` (which alone came too late in
        trials where θ ran away within ten steps); `stop`: `CollapseError`; or a function, which is
        called with the `Collapse` and may raise. Each comes with a `CollapseWarning`: one, or one
        an action or a call, at most 3.
    criteria : Criteria | None
        What counts as a collapse; None for the defaults.
    seen_object : Callable[[], Mapping[str, Any]] | None
        For `object_coverage` at each step: returns `points` or `mask` (and `align_corners`) for the
        batch of the last forward pass.
    lr_factor : float
        Above 0, below 1.
    every : int | None
        Forward passes from one look to the next. By default 1 while θ moves by more than 0.01 half
        image sides a step, or by an unknown amount, and 4 otherwise; always 1 for `rollback`, and
        where looks are not judged one by one; 10 for a compiled model.
    check_every : int | None
        Looks from one judgement to the next; by default 1 on the CPU and 10 elsewhere, because
        each makes the host wait for the device.
    snapshot_every : int
        Steps from one snapshot to the next; kept in memory, two, for `rollback`.
    sampler : int | None
        Only this one, in the order in which they run: from 0, or -1 for the last; None for all.
    keep : int | None
        Looks that a trace keeps, the last; None for all.
    pictures : int
        How many images of a batch, and their outputs, `report` shows at the first look, before and
        at each collapse, and at the last look. Copies of at most 64 × 64 pixels wait in memory, of
        the first look and of the last 11 and `check_every`; they are not in `state_dict`.

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
    Measured on trainings that this project traced at each step; judged are the looks that the
    monitor takes by default. Of those that ended black or out of view 166 of 188 were warned of
    before the onset, the first step from which on more than half of the outputs are black or less
    than a twentieth of the image is seen. The lead is 3 steps in the median and at most 3 for 55 %
    of them: enough to go back to a snapshot. Of transformers that looked or idled at the end it
    warned of 17 of 188 where others were lost at the same rates, and of 0 of 179 where none was. A
    look costs 2 ms or so however small the network is. On a CPU that is 3 to 4 % of a step of the
    CM network and 1 % of one of the C10 network, in batches of 128, and 12 to 14 % of a step of the
    network of PyTorch's tutorial, in batches of 64; a quarter of it where every fourth step is
    looked at.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        on_collapse: str | Callable[[Collapse], object] = "warn",
        criteria: Criteria | None = None,
        seen_object: Callable[[], Mapping[str, Any]] | None = None,
        lr_factor: float = 0.1,
        every: int | None = None,
        check_every: int | None = None,
        snapshot_every: int = 50,
        sampler: int | None = None,
        keep: int | None = None,
        pictures: int = 0,
    ) -> None:
        numbers = {"every": every, "check_every": check_every, "snapshot_every": snapshot_every}
        numbers |= {"sampler": sampler, "keep": keep, "pictures": pictures}
        check_options(model, optimizer, criteria, seen_object, **numbers)
        super().__init__(
            Looks(criteria or Criteria(), keep), Album(int(check_every or 10)) if pictures else None
        )
        self.steps, self._calls, self._told = 0, 0, set[str]()
        self.collapse: Collapse | None = None
        self._model, self._optimizer, self._sampler = model, optimizer, sampler
        self._object, self._check_every = seen_object, check_every
        self._actions = Actions(on_collapse, lr_factor, snapshot_every, model, optimizer)
        claim(model, sampler, self)
        eager = uncompiled(model) is model
        self._paced = every is None and eager and on_collapse != "rollback"
        self._probe = ForwardProbe(model, every or (1 if eager else 10), self._failed, pictures)
        self._hook = StepHook(optimizer, self._steps, self._stepped)

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: torch.optim.Optimizer | None) -> None:
        check_optimizer(optimizer)
        self._hook.remove()
        self._optimizer = self._actions.optimizer = optimizer
        self._hook = StepHook(optimizer, self._steps, self._stepped)

    @property
    def stepped(self) -> bool:
        """Whether the optimiser took a step since the last call of `step`; no scaler skipped it.

        True where that cannot be seen. A loop with a scaler asks it before it calls `step`.
        """
        return self._hook.seen

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
            At a collapse with ``on_collapse="stop"``; a function there may raise anything.
        """
        check_loss(loss)
        if self._probe.calls == self._calls:
            raise ValueError(NO_PASS)
        self.steps, self._calls = self.steps + 1, self._probe.calls
        stepped, braked = self._hook.take(), self._actions.brake.apply()
        records = self._chosen(self._probe.take())
        if not records and not (self.trace or self._looks.waiting):
            number = f" number {self._sampler}" if self._sampler else ""
            raise ValueError(
                "the model's forward pass has no spatial transformer: no grid_sample of images (N, "
                f"C, H, W){number} whose grid depends on parameters was seen, {self._probe.unseen}"
            )
        found = None
        if records:
            self._look(records, loss, braked)
            self._say_what_is_missing(records, stepped)
            device = next(iter(self._looks.waiting[-1][1].values())).device.type
            checks = self._check_every or (1 if device == "cpu" else 10)
            if len(self._looks.waiting) >= checks:
                found = self.check()
                if self._paced and checks == 1:
                    self._probe.every = UNHURRIED if self._looks.still else 1
        if found is None:
            self._actions.healthy(self.steps)
        return found

    def check(self) -> Collapse | None:
        """Judge now what was recorded, without waiting until `check_every` looks are there.

        Under DDP all ranks have to call it, as they do `detach`.

        Returns
        -------
        Collapse | None
            What was found now, usually None.
        """
        found = self._looks.settle(self._model, self._names())
        return self._act(*found) if found else None

    def detach(self) -> None:
        """Take the hooks off the model; what was recorded stays."""
        self._probe.detach()
        self._hook.remove()
        release(self._model, self._sampler)
        self.check()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # a model that holds it is copied and saved without it

    def __enter__(self) -> CollapseMonitor:
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()

    def state_dict(self) -> dict[str, Any]:
        """Everything but snapshots, as plain numbers, lists and dicts, for ``torch.save``."""
        self._catch_up()
        return {
            "steps": self.steps,
            "collapse": asdict(self.collapse) if self.collapse else None,
            **self._looks.state_dict(),
            "actions": self._actions.state_dict(),
            "pace": self._probe.pace(),
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
            require("steps", steps := state["steps"], whole(0))
            collapse = Collapse(**state["collapse"]) if state["collapse"] else None
            looks = self._looks.resumed(state)
            every, since = state.get("pace", self._probe.pace())
            require("pace", every, whole(1))
            since = float(since)
            self._actions.load_state_dict(state["actions"], steps)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError):
            raise ValueError(
                "state must be what state_dict() of a CollapseMonitor of such a model returned, "
                f"not {shown(state)}"
            ) from None
        self.steps, self.collapse, self._looks = steps, collapse, looks
        self._probe.keep_pace(every if self._paced else self._probe.every, since)

    def _look(
        self, records: list[ForwardRecord], loss: Tensor | float | None, braked: bool
    ) -> None:
        """Keep what is to be judged of a step."""
        rows = {}
        for record in records:
            place = record.place if self._sampler is None else 0
            if braked or record.moved is None or not self._hook.moves(record.parameters):
                record.look_again()
            rows[place] = self._measure(place, record, loss)
        self._looks.waiting.append((self.steps, rows))
        if self._album:
            self._album.add(self.steps, dict(zip(rows, records, strict=True)))

    def _steps(self) -> None:
        for record in self._probe.records:
            if self._hook.moves(record.parameters):
                record.look_ahead()

    def _stepped(self) -> None:
        if not self._actions.brake.parameters:
            for record in self._probe.records:
                record.look_again()

    def _chosen(self, records: list[ForwardRecord]) -> list[ForwardRecord]:
        number = self._sampler or 0
        there = number < len(records) and -number <= len(records)
        return records if self._sampler is None else records[number:][:1] if there else []

    def _say_what_is_missing(self, records: list[ForwardRecord], stepped: bool) -> None:
        """Say once, in one line, why `step` cannot be measured; the rest is judged all the same."""
        if not stepped:
            self._say(NO_STEP)
        elif any(record.lost for record in records):
            self._say(NO_PATH)

    def _say(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            warnings.warn(line, UserWarning, stacklevel=4)

    def _catch_up(self) -> None:
        if not is_shared(self._model):  # there one rank may ask alone
            self.check()

    def _names(self) -> list[str]:
        """Of the transformers that have a trace, as far as they are known."""
        names = self._probe.names
        return names if self._sampler is None else names[self._sampler :][:1]

    def _remedy(self, place: int = 0) -> str:
        return advice(self._model, self._parameters(place), self._actions.kind != "rollback")

    def _parameters(self, place: int) -> list[nn.Parameter]:
        """Those that a transformer depends on; none before the first look."""
        n = place if self._sampler is None else self._sampler
        known = self._probe.parameters[n : n + 1 or None]
        return known[0] if known else []

    def _measure(self, place: int, record: ForwardRecord, loss: Tensor | float | None) -> Tensor:
        lr, weight = None, record.path.weight if record.path else None
        if weight is not None and self._optimizer and (lr := rate_of(weight, self._optimizer)):
            lr *= self._actions.brake.factor
        seen: Mapping[str, Any] = {}
        if self._object and not place:
            check_seen(seen := self._object())
        return measure(record, self._probe, lr, loss, seen)

    def _failed(self, theta: Tensor) -> None:
        """A forward pass ended in an error before its sampler: say so if θ explains it."""
        share = theta.isfinite().flatten(1).all(dim=1).float().mean().item()
        if share < 1:
            row = dict.fromkeys(QUANTITIES, math.nan) | {"finite": share}
            if found := self._looks.judges[0].judge(self.steps + 1, row):
                self._act(found, 0)

    def _act(self, found: Collapse, place: int) -> Collapse | None:
        """Warn and do what `on_collapse` says; None once that was done often enough."""
        if self._actions.exhausted:
            return None
        parameters = self._parameters(place)
        if len(self.traces) > 1:
            name = list(self._named())[place]
            found = replace(found, message=f"{name}: {found.message}")
        self.collapse = self.collapse or found
        self.traces[place].events.append((found.step, found.kind))
        if self._album:
            self._album.mark(found.step)
        done = self._actions.act(parameters)
        if self._actions.repeats:
            self._looks.forgive()
        warnings.warn(
            f"{found.message}{done}\n{self._remedy(place)}", CollapseWarning, stacklevel=4
        )
        self._actions.conclude(found)
        return found
