"""Hooks that change nothing: on modules, on an optimiser's steps, and on PyTorch's calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from threading import get_ident
from typing import Any
from weakref import WeakMethod, finalize

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from stnlib.diagnostics.graph import memory

__all__ = [
    "SAMPLERS",
    "Calls",
    "Dispatched",
    "Harmless",
    "Hook",
    "Modes",
    "Span",
    "StepHook",
    "remove",
    "span",
]

Span = tuple[nn.Module | None, nn.Module | None]

SAMPLERS = (
    *("grid_sample", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d"),
    "cudnn_grid_sampler",
)


class Hook:
    """A hook that ends with its owner, and that copies and pickles to one that does nothing.

    So a model that is saved or copied leaves what watches it behind, and loads where this package
    is not installed.
    """

    def __init__(self, method: Callable[..., None]) -> None:
        self._method = WeakMethod(method)

    def __call__(self, *args: Any) -> None:
        if not torch.compiler.is_compiling() and (method := self._method()):
            method(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (nullcontext(), "__exit__")


class StepHook:
    """Calls methods before and after each step of an optimiser, so long as their owner is there.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer | None
        Or what wraps one, as accelerate does.
    steps, stepped : Callable[[], None]
        Methods of the owner: to be called before a step, and after.

    Attributes
    ----------
    seen : bool
        Whether a step was seen since the last `take`; True where none can be seen.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer | None,
        steps: Callable[[], None],
        stepped: Callable[[], None],
    ) -> None:
        self._steps, self._stepped = WeakMethod(steps), WeakMethod(stepped)
        self._optimizer = optimizer
        self._handles: tuple[RemovableHandle, ...] = ()
        inner = getattr(optimizer, "optimizer", optimizer)
        if isinstance(inner, torch.optim.Optimizer):
            before, after = inner.register_step_pre_hook, inner.register_step_post_hook
            self._handles = before(self._before), after(self._after)
        self.seen = not self._handles
        finalize(steps.__self__, remove, self._handles)  # type: ignore[attr-defined]

    def take(self) -> bool:
        """Whether a step was seen since the last call; True where none can be seen."""
        seen, self.seen = self.seen, not self._handles
        return seen

    def moves(self, parameters: Iterable[Tensor]) -> bool:
        """Whether all that changes these parameters lies between the two calls."""
        whole = isinstance(self._optimizer, torch.optim.Optimizer)  # and not a part of something
        groups = self._optimizer.param_groups if self._optimizer and whole else ()
        known = {id(p) for group in groups for p in group["params"]}
        return all(id(p) in known for p in parameters)

    def remove(self) -> None:
        """Take the hooks off the optimiser."""
        remove(self._handles)

    def _before(self, *_: object) -> None:
        if steps := self._steps():
            steps()

    def _after(self, *_: object) -> None:
        self.seen = True
        if stepped := self._stepped():
            stepped()


def remove(handles: Iterable[RemovableHandle]) -> None:
    """Take hooks off."""
    for handle in handles:
        handle.remove()


class Calls(TorchFunctionMode):
    """Notes the calls of a pass, and tells of those of `affine_grid` and of samplers."""

    def __init__(self, called: Callable[[Any, Any, Any, Any], None]) -> None:
        super().__init__()
        self._called = called

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self._called(func, args, kwargs, result)
        return result


class Dispatched(TorchDispatchMode):
    """Tells of samplers that run below PyTorch's functions, as in scripted parts."""

    def __init__(self, seen: Callable[[Tensor, Tensor, Tensor], None]) -> None:
        super().__init__()
        self._seen = seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in SAMPLERS:
            self._seen(args[1], result, args[0])
        return result


class Harmless(TorchDispatchMode):
    """Raises a RuntimeError before a call that would draw random numbers, or write into `held`.

    In PyTorch's lowest calls the dropout of an attention, a draw from a distribution and statistics
    that move are seen under whatever name they were called.
    """

    def __init__(self, held: set[int]) -> None:
        super().__init__()
        self._held = held

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs, taken = kwargs or {}, func._schema.arguments
        draws = torch.Tag.nondeterministic_seeded in func.tags
        moves = "batch_norm" in func.overloadpacket.__name__ and args[3] is not None and args[5]
        given = zip(taken, args, strict=False)
        written = [x for one, x in given if one.alias_info and one.alias_info.is_write]
        written += [kwargs.get(one.name) for one in taken if one.is_out]
        if draws or moves or memory(written) & self._held:
            raise RuntimeError(f"{func} leaves a trace")
        return func(*args, **kwargs)


class Modes:
    """Modes that are entered and left together, more than once, in the thread that made this."""

    def __init__(self, *modes: Any) -> None:
        self._modes, self._entered, self._thread = modes, False, get_ident()

    def enter(self, *_: object) -> None:
        """Enter them; nothing where that is done, or in another thread."""
        if not self._entered and get_ident() == self._thread:
            self._entered = True
            for mode in self._modes:
                mode.__enter__()

    def leave(self, *_: object) -> None:
        """Leave them; nothing where that is done, or in another thread."""
        if self._entered and get_ident() == self._thread:
            self._entered = False
            for mode in reversed(self._modes):
                mode.__exit__(None, None, None)


def span(
    begun: Sequence[tuple[nn.Module, int]], begin: int, end: int | None
) -> tuple[Span, tuple[int, int | None]]:
    """Modules at whose beginnings what has to be noted of a pass begins, and has ended.

    Parameters
    ----------
    begun : Sequence[tuple[nn.Module, int]]
        The modules of the pass in the order in which they began, and how many calls were made
        before each.
    begin : int
        Number of the first call to be noted, from 0.
    end : int | None
        Number of the first that need not be noted any more; None where all are to be.

    Returns
    -------
    tuple[Span, tuple[int, int | None]]
        The two modules, None for the beginning and the end of the pass; then `begin` and `end`,
        counted from the first of them on.
    """
    times = Counter(id(module) for module, _ in begun)
    once = [(module, count) for module, count in begun if times[id(module)] == 1]
    start, before = next(((m, n) for m, n in reversed(once) if n <= begin), (None, 0))
    rest = (m for m, n in once if end is not None and n >= end and m is not start)
    return (start, next(rest, None)), (begin - before, None if end is None else end - before)
