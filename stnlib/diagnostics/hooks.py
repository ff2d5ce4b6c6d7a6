"""Hooks that change nothing: on modules, on an optimiser's steps, and on PyTorch's calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from threading import get_ident
from typing import Any
from weakref import WeakMethod, finalize

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["SAMPLERS", "Calls", "Dispatched", "Hook", "Modes", "Span", "StepHook", "span"]

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
    """Calls a method after each step of an optimiser, for as long as its owner is there.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer | None
        Or what wraps one, as accelerate does.
    stepped : Callable[[], None]
        A method of the owner.

    Attributes
    ----------
    seen : bool
        Whether a step was seen since the last `take`; True where none can be seen.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer | None, stepped: Callable[[], None]
    ) -> None:
        self._stepped, self._handle, self.seen = WeakMethod(stepped), None, True
        inner = getattr(optimizer, "optimizer", optimizer)
        if isinstance(inner, torch.optim.Optimizer):
            self._handle = inner.register_step_post_hook(self._after)
            self.seen = False
            finalize(stepped.__self__, self._handle.remove)  # type: ignore[attr-defined]

    def take(self) -> bool:
        """Whether a step was seen since the last call; True where none can be seen."""
        seen, self.seen = self.seen, self._handle is None
        return seen

    def remove(self) -> None:
        """Take the hook off the optimiser."""
        if self._handle is not None:
            self._handle.remove()

    def _after(self, *_: object) -> None:
        self.seen = True
        if stepped := self._stepped():
            stepped()


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
