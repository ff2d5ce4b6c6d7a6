"""Hooks that change nothing: on modules, on an optimiser's steps, and on PyTorch's calls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from weakref import WeakMethod

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["SAMPLERS", "Calls", "Dispatched", "Hook", "StepHook"]

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
