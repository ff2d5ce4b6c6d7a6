"""Seeing what a model's samplers do, without changing the model: hooks for one forward pass.

The calls of PyTorch's samplers are seen by a `TorchFunctionMode` that is active during the model's
forward pass and no longer; no function is replaced. Those of scripted parts are seen by a dispatch
mode. A sampler of one's own tells of itself by `report_sampling`. A `SpatialTransformer` of
`stnlib.models` is recognised by its attributes.

The first look, and every `WHOLE`-th, is at the whole pass. It finds which of these are needed,
which calls need to be noted, and between which modules they lie; the looks until the next do no
more than that. One that finds less than expected is followed by one at the whole pass.

A sampler whose grid depends on nothing that learns is no transformer, and does not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakMethod, finalize

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stnlib.diagnostics.advice import NOT_SEEN
from stnlib.diagnostics.album import thumbnails
from stnlib.diagnostics.footprints import black_share
from stnlib.diagnostics.graph import (
    is_batched,
    is_ours,
    leaves,
    takes_hooks,
    uncompiled,
    untouched,
    version,
)
from stnlib.diagnostics.hooks import SAMPLERS, Calls, Dispatched, Hook, Modes, Span, remove, span
from stnlib.diagnostics.sampling import ForwardRecord, flat, record_of, report_sampling, size_of
from stnlib.diagnostics.tape import Tape

__all__ = ["ForwardProbe"]

WHOLE = 10  # looks from one to the next at which everything of a pass is noted


class ForwardProbe:
    """Hooks on a model that leave `records` after each forward pass with gradients.

    Parameters
    ----------
    model : nn.Module
        Any; what `torch.compile` returned, too: inside of it nothing can be seen, so before every
        `every`-th pass the uncompiled module is run, which leaves no trace.
    every : int
        Passes from one look to the next; may be set at any time.
    failed : Callable[[Tensor], None] | None
        A method, which is not held: called with θ when a pass ends by an error between θ and the
        sampler.
    pictures : int
        Images of a batch of which small copies are made.

    Attributes
    ----------
    records : list[ForwardRecord]
        What the last pass showed, a transformer each, in the order in which they ran.
    calls : int
        Forward passes with gradients so far.
    parameters : list[list[nn.Parameter]]
        For each transformer, those that it depends on, in the order in which they were first seen.
    names : list[str]
        For each transformer: its module's name where it is ours.
    rest : list[nn.Parameter]
        Those that no transformer depends on.
    sources, tape : list[Tensor], Tape | None
        Of the pass that runs: θ or the grid of each transformer, with its graph; and the calls.
    """

    def __init__(
        self,
        model: nn.Module,
        every: int = 1,
        failed: Callable[[Tensor], None] | None = None,
        pictures: int = 0,
    ) -> None:
        self.records: list[ForwardRecord] = []
        self.calls = 0
        self.parameters: list[list[nn.Parameter]] = []
        self.names: list[str] = []
        self.rest: list[nn.Parameter] = []
        self.every, self._pictures = every, pictures
        self._looked = -math.inf  # number of the call that was looked at last
        self._failed = WeakMethod(failed) if failed else None
        self._eager = uncompiled(model)
        first = next(self._eager.parameters(), None)
        self._device = "cpu" if first is None else first.device.type
        self._stack = ExitStack()
        self._awaited, self._open_for, self._lost = False, 0, ""
        self._looks, self._whole = 0, True
        self._deep = self._only_ours = False  # whether a dispatch mode is needed, or none
        self._late = False  # whether calls are to be noted until the end of a pass
        self._others = self._expected = 0
        self._window: tuple[int, int | None] = (0, None)  # of the calls that need to be noted
        self._span: Span = (None, None)  # where the modes begin and end, if known
        self._places: dict[tuple[str, int], int] = {}  # by name and which of that name in a pass
        self._name_of: list[str] = []
        self._unrepeatable: set[int] = set()
        self._sliced: set[tuple[int, int]] = set()  # places and batches of which some images do
        self._leaves: dict[int, list[Tensor]] = {}
        self.tape: Tape | None = None
        self._ours: dict[str, Any] = {}
        self._compiled: list[nn.Module] = []
        self._find()
        self._forget()
        before, after = Hook(self._before), Hook(self._after)
        self._hooks = []
        if takes_hooks(model):
            self._hooks.append(model.register_forward_pre_hook(before, with_kwargs=True))
        if takes_hooks(model) and self._eager is model:
            self._hooks.append(model.register_forward_hook(after, always_call=True))
        finalize(self, remove, self._hooks)

    @property
    def unseen(self) -> str:
        """Why a sampler may not have been seen, and what to do, in one line."""
        compiled = "and a part of it is compiled: compile the whole model instead"
        return self._lost or (compiled if self._compiled else NOT_SEEN)

    def detach(self) -> None:
        """Take the hooks off the model."""
        self._stack.close()
        remove(self._hooks)

    def take(self) -> list[ForwardRecord]:
        """The `records`, which are not kept: the step that they belong to has been taken."""
        records, self.records, self._awaited = self.records, [], False
        if self._leaves:  # not in the pass, where others may stand for the model's parameters
            present = list(self._eager.parameters())
            for place, found in self._leaves.items():
                ids = {id(p) for p in found}
                self.parameters[place] = [p for p in present if id(p) in ids]
            known = {id(p) for part in self.parameters for p in part}
            self.rest = [p for p in present if id(p) not in known]
            self._leaves = {}
        return records

    def _find(self) -> None:
        """What the model has of ours, and what is compiled."""
        modules = dict(self._eager.named_modules())
        self._ours = {n: m for n, m in modules.items() if is_ours(m)}
        self._compiled = [m for m in modules.values() if hasattr(m, "_orig_mod")]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at all that runs inside, of the model or not, as at one pass."""
        self.calls, self._awaited = self.calls + 1, True
        self._open_for += 1
        if self._due():
            self._open()
        try:
            yield
        finally:
            self._open_for -= 1
            self._close()

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        other = not module.training or torch._C._current_graph_task_id() != -1
        if not torch.is_grad_enabled() or self._open_for or (self._awaited and other):
            return  # neither an evaluation nor what a checkpoint runs again is the training's pass
        self.calls, self._awaited = self.calls + 1, module.training
        if not self._due():
            return
        if self._eager is not module:
            with untouched(self._eager):
                self._open()
                try:
                    self._eager(*args, **kwargs)
                finally:
                    self._close()
        else:
            self._stack.close()
            self._open()
            self._inside += any(module is ours for ours in self._ours.values())

    def pace(self) -> tuple[int, float]:
        """Passes from one look to the next, and since the last."""
        return self.every, self.calls - self._looked

    def keep_pace(self, every: int, since: float) -> None:
        """Go on at the pace of another probe."""
        self.every, self._looked = every, self.calls - since

    def _due(self) -> bool:
        """Whether this pass is to be looked at; to be asked once a pass."""
        due = self.calls - self._looked >= self.every
        self._looked = self.calls if due else self._looked
        return due

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self._open_for:
            return
        theta = self._theta
        self._close()
        failed = self._failed and self._failed()
        if output is None and theta is not None and failed:
            failed(theta.detach())

    def _open(self) -> None:
        """Put in place everything that sees, until it is closed: for one pass."""
        self.records = []
        self._forget()
        self._whole, self._looks = self._looks % WHOLE == 0, self._looks + 1
        if self._whole:
            self._find()
            self._unrepeatable.clear()
            self._sliced.clear()
        self.tape = Tape(self._device, *((0, None) if self._whole else self._window))
        for name, transformer in self._ours.items():
            for module, function in (
                (transformer.localisation, self._located),
                (transformer, self._transformed(name)),
            ):
                self._stack.callback(module.register_forward_hook(function, prepend=True).remove)
            begun = transformer.register_forward_pre_hook(self._begun)
            self._stack.callback(begun.remove)
        deep = self._whole or self._deep
        modes = Modes(Calls(self.called), *((Dispatched(self._dispatched),) if deep else ()))
        self._stack.callback(modes.leave)
        if self._only_ours and not self._whole:  # then their localisation networks suffice
            for transformer in self._ours.values():
                part = transformer.localisation
                self._stack.callback(part.register_forward_pre_hook(modes.enter).remove)
                self._stack.callback(part.register_forward_hook(modes.leave).remove)
            return
        first, last = (None, None) if self._whole else self._span
        if first:
            self._stack.callback(first.register_forward_pre_hook(modes.enter).remove)
        else:
            modes.enter()
        if last:
            self._stack.callback(last.register_forward_pre_hook(modes.leave).remove)
        if self._whole and not self._compiled:  # whose hooks are a part of what was compiled
            for part in filter(takes_hooks, self._eager.modules()):
                self._stack.callback(part.register_forward_pre_hook(self._begins).remove)
        for part in self._compiled:  # torch.compile fails, or does nothing, where a mode is active
            self._stack.callback(part.register_forward_pre_hook(modes.leave).remove)
            self._stack.callback(part.register_forward_hook(modes.enter).remove)

    def _close(self) -> None:
        """End the look, and hold on to no graph."""
        self._stack.close()
        self._tell_below()
        if self._whole and self.records:
            self._only_ours = bool(self._ours) and not self._others
        lost = {record.place for record in self.records if record.path is None}
        if lost - self._unrepeatable:  # the number of transformers changes: more ran, and later
            self._late, self._looks = True, 0
        elif self._whole:
            self._expected = len(self.records)
            self._span, self._window = span(self._begun_at, *self._needed)
            if self._only_ours:  # whose calls are counted from elsewhere
                self._window = 0, None
        elif len(self.records) < self._expected:
            self._looks = 0
        else:
            self._window = self._needed
        self._forget()

    def _begins(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Note after how many calls of the pass a module begins."""
        if self.tape:
            self._begun_at.append((module, self.tape.count))

    def _forget(self) -> None:
        self.tape = None
        self._theta: Tensor | None = None
        self._affine: dict[int, tuple[Tensor, int, Tensor]] = {}  # of affine_grid, each with θ
        self._inside = self._others = 0
        self.sources: list[Tensor] = []
        self._needed: tuple[int, int | None] = (0, None)
        self._begun_at: list[tuple[nn.Module, int]] = []
        self._below: list[tuple[Tensor, Tensor, Tensor]] = []

    def called(self, func: Callable[..., Any], args: Any, kwargs: Any, result: Any) -> None:
        """Note a call of the pass."""
        if self.tape is None:
            return
        self.tape.note(func, args, kwargs, result)
        if self._inside:  # a transformer of ours: its own hook tells of it
            return
        name = getattr(func, "__name__", "")
        if func is F.affine_grid:
            self._theta = args[0] if args else kwargs["theta"]
            self._affine[id(result)] = result, version(result), self._theta
        elif func is report_sampling:
            self._tell_below()
            self._sampled(args[0], result, args[2])
        elif name in SAMPLERS:
            images = args[0] if args else kwargs["input"]
            grid = args[1] if len(args) > 1 else kwargs["grid"]
            if self._below:
                self._below.pop()  # the same, seen from below
            self._tell_below()
            self._sampled(grid, result, images)

    def _dispatched(self, grid: Tensor, output: Tensor, images: Tensor) -> None:
        if not self._inside:
            self._below.append((grid, output, images))

    def _tell_below(self) -> None:
        """Samplers that the dispatch mode saw and nothing above it."""
        below, self._below = self._below, []
        self._deep = self._deep or bool(below)
        for seen in below:
            self._sampled(*seen)

    def _sampled(self, grid: Tensor, output: Tensor, images: Tensor | None) -> None:
        self._others += 1
        if is_batched(grid):
            self._lost = "for what runs under vmap cannot be seen"
        learns = grid.requires_grad or (self.tape and self.tape.parameters(grid))  # if frozen
        if is_batched(grid) or not learns:
            return
        black = black_share(flat(output), None if images is None else flat(images))
        record = ForwardRecord(black, size=size_of(images))
        record.pictures = thumbnails(self._pictures, output, images)
        _, made, theta = self._affine.get(id(grid), (None, None, None))
        if grid.shape[-1] == 2 and theta is not None and made == version(grid):  # as it was made
            record.matrix = theta.detach()
            record.theta = record.matrix.flatten(1)
            self._finish(record, theta, "")
        else:
            record.grid = grid.detach()
            self._finish(record, grid, "")

    def _begun(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._inside += 1

    def _located(self, localisation: nn.Module, args: tuple[Any, ...], theta: Tensor) -> None:
        self._theta, self._seen = theta, size_of(args[0] if args else None)

    def _transformed(self, name: str) -> Callable[[Any, tuple[Any, ...], Tensor], None]:
        def transformed(transformer: Any, args: tuple[Any, ...], output: Tensor) -> None:
            self._inside -= 1
            theta, self._theta = self._theta, None
            if theta is None or not args:
                return  # a subclass that does it by other means
            with torch._C.DisableTorchFunction():  # or the tape would note what follows
                record = record_of(transformer, theta, args[0], output)
                record.size = self._seen
                record.pictures = thumbnails(self._pictures, output, args[0])
                self._finish(record, theta, name)

        return transformed

    def _finish(self, record: ForwardRecord, source: Tensor, name: str) -> None:
        """Give a record its place, and the path on which the layer makes its θ."""
        number = sum(name == self._name_of[r.place] for r in self.records)
        record.place = self._places.setdefault((name, number), len(self._places))
        if record.place == len(self.parameters):
            self.parameters.append([])
            self.names.append(name or f"sampler {record.place}")
            self._name_of.append(name)
        self._find_path(record, source)
        weight = record.path and record.path.weight
        known = {id(p) for p in self.parameters[record.place]}
        if not known or (weight is not None and id(weight) not in known):
            found = [*leaves([source])] if source.requires_grad else []
            if not any(isinstance(x, nn.Parameter) for x in found) and self.tape:
                behind = self.tape.parameters(source)  # such as behind a reentrant checkpoint
                found += [p for p in behind if p.requires_grad]
            self._leaves[record.place] = found
        self.records.append(record)
        self.sources.append(source)
        self._theta = None

    def _find_path(self, record: ForwardRecord, source: Tensor) -> None:
        assert self.tape is not None
        found = None if record.place in self._unrepeatable else self.tape.path(source)
        if self._whole:
            waiting = len(self._below)
            if not (found and found[0].gives(source)):
                self._unrepeatable.add(record.place)  # such as by views that were written into
                found = None
            del self._below[waiting:]  # samplers that the path called again
            self._deep = self._deep or bool(found and found[0].below)
        learns = source.requires_grad or bool(self.parameters[record.place])
        record.lost = learns and record.place in self._unrepeatable
        record.path, begin = found or (None, 0)
        if record.path and record.stride > 1:
            key = record.place, len(source)
            if self._whole and record.path.gives(source, record.stride):
                self._sliced.add(key)
            record.every = record.stride if key in self._sliced else 1
        if record.path is None or record.path.weight is None:
            begin = 0  # what is needed may lie before
        first = self._needed[0] if self.records else begin
        self._needed = min(first, begin), None if self._late else self.tape.count
