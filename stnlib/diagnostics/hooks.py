"""Seeing what a model's sampler does, without changing the model: hooks for one forward pass.

A `SpatialTransformer` of `stnlib.models` is recognised by its attributes. In any other model the
calls of `affine_grid` and `grid_sample` are seen by a `TorchFunctionMode` that is active during
the model's forward pass and no longer; no function is replaced. A sampler of one's own, which
calls neither, tells of itself by `report_sampling`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakMethod, finalize

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function

from stnlib.checks.tensors import check_images
from stnlib.diagnostics.footprints import black_share, check_grid
from stnlib.diagnostics.graph import has_own_weight, is_batched, leaves, slope, untouched

__all__ = ["ForwardProbe", "ForwardRecord", "report_sampling"]

OURS = ("localisation", "family", "locate", "sample")  # what a SpatialTransformer has
COARSE = (16, 16)  # points of the grid by which families that are not affine are judged


@dataclass
class ForwardRecord:
    """What one forward pass showed, detached.

    Parameters
    ----------
    black : Tensor
        (), share of black output images.
    size : tuple[int, int] | None
        Width and height of the input images in pixels; None where a sampler of one's own does not
        tell.
    theta : Tensor | None
        (N, P), if it was seen.
    matrix : Tensor | None
        (N, 2, 3), where the transform is known to be affine.
    grid : Tensor | None
        (N, h, w, 2), where it is not.
    features : Tensor | None
        (M, F) float32, what goes into the linear layer that makes θ, if one does.
    weight, bias : Tensor | None
        (P, F) and (P,), that layer's own, copied.
    slope : Tensor | None
        (M, P) float32, of θ over that layer's output, where something such as a tanh lies between
        the two and gradients were on.

    Convention
    ----------
    θ, the matrix and the grid map points of the *output* to points of the *input*. A point is
    (x, y), x to the right and y down, normalised so that either image is [-1, 1] both ways. Where
    -1 and 1 are, at centres or edges of the outermost pixels, is as the model has it.
    """

    black: Tensor
    size: tuple[int, int] | None = None
    theta: Tensor | None = None
    matrix: Tensor | None = None
    grid: Tensor | None = None
    features: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    slope: Tensor | None = None


def report_sampling(grid: Tensor, output: Tensor, images: Tensor | None = None) -> Tensor:
    """Return `output`; and let a monitor see what a sampler that is not PyTorch's made of `grid`.

    To be called in a model's forward pass, where it costs nothing::

        out = report_sampling(grid, sampler(images, grid), images)

    Parameters
    ----------
    grid : Tensor
        (N, h, w, 2), floating point.
    output : Tensor
        (N, C, h, w), floating point.
    images : Tensor | None
        (N, C, H, W), which were sampled; without them a monitor cannot tell that a view has become
        a point.

    Returns
    -------
    Tensor
        `output` itself.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is of another type or shape.

    Convention
    ----------
    The grid holds, for each pixel of the *output*, the point (x, y) of the *input* that it is read
    from, x to the right and y down, normalised so that the input is [-1, 1] both ways. Where -1 and
    1 are, at centres or edges of the outermost pixels, is as the sampler has it.
    """
    tensors = (grid, output) if images is None else (grid, output, images)
    if has_torch_function(tensors):
        return handle_torch_function(report_sampling, tensors, grid, output, images)
    check_grid(grid)
    check_images("output", output)
    if images is not None:
        check_images("images", images)
    return output


class _Hook:
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


def _remove(hooks: list[Any]) -> None:
    for hook in hooks:
        hook.remove()


class _Enough(Exception):
    """Ends a probe once the sampler has been seen."""


class _Calls(TorchFunctionMode):
    """Tells of calls of `affine_grid`, `grid_sample` and `report_sampling`."""

    def __init__(
        self,
        made: Callable[[Tensor, Tensor], None],
        sampled: Callable[[Tensor, Tensor, Tensor | None], None],
    ) -> None:
        super().__init__()
        self._made, self._sampled = made, sampled

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is F.affine_grid:
            self._made(args[0] if args else kwargs["theta"], result)
        elif func is F.grid_sample and result.ndim == 4:
            images = args[0] if args else kwargs["input"]
            self._sampled(args[1] if len(args) > 1 else kwargs["grid"], result, images)
        elif func is report_sampling:
            self._sampled(args[0], result, args[2])
        return result


class ForwardProbe:
    """Hooks on a model that leave a `record` after each forward pass with gradients.

    Parameters
    ----------
    model : nn.Module
        Any; what `torch.compile` returned, too: inside of it nothing can be seen, so before every
        `every`-th pass the uncompiled module is run as far as its sampler.
    sampler : int
        Which of the model's samplers, in the order in which they run, from 0.
    every : int
        Passes from one look to the next.
    failed : Callable[[Tensor], None] | None
        Called with θ when a pass ends by an error between θ and the sampler.

    Attributes
    ----------
    record : ForwardRecord | None
        What the last pass showed; None before the first, and where it was not looked at.
    calls : int
        Forward passes with gradients so far.
    localisation, rest : list[nn.Parameter]
        Parameters that θ depends on, none until the first look; the others.
    layer : nn.Linear | None
        The layer that makes θ, None where something else does.
    """

    def __init__(
        self,
        model: nn.Module,
        sampler: int = 0,
        every: int = 1,
        failed: Callable[[Tensor], None] | None = None,
    ) -> None:
        self.record: ForwardRecord | None = None
        self.calls = 0
        self.localisation: list[nn.Parameter] = []
        self.layer: nn.Linear | None = None
        self._sampler, self._every = sampler, every
        self._eager = getattr(model, "_orig_mod", model)
        modules = list(self._eager.modules())
        self._ours: list[Any] = [m for m in modules if all(hasattr(m, name) for name in OURS)]
        self._compiled = [m for m in modules if hasattr(m, "_orig_mod")]  # opaque to hooks
        opaque = {id(m) for part in self._compiled for m in part.modules()}
        self._candidates = [m for m in modules if isinstance(m, nn.Linear) and id(m) not in opaque]
        self.rest = list(self._eager.parameters())
        self._stack = ExitStack()
        self._searched = False
        self._failed = failed
        self._theta: Tensor | None = None
        self._grid: Tensor | None = None
        self._passes: dict[int, tuple[Tensor, Tensor]] | None = None
        self._awaited, self._lost = False, ""
        before, after = _Hook(self._before), _Hook(self._after)
        self._hooks = [model.register_forward_pre_hook(before, with_kwargs=True)]
        if self._eager is model:
            self._hooks.append(model.register_forward_hook(after, always_call=True))
        finalize(self, _remove, self._hooks)

    def detach(self) -> None:
        """Take the hooks off the model."""
        self._stack.close()
        _remove(self._hooks)

    @property
    def unseen(self) -> str:
        """Why a sampler may not have been seen, and what to do, in one line."""
        if self._lost:
            return self._lost
        if self._compiled:
            return "and a part of it is compiled: compile the whole model instead"
        return (
            "nor can one be in other threads, in scripted parts or in a library of its own: let "
            "report_sampling of stnlib.diagnostics tell of it"
        )

    def take(self) -> ForwardRecord | None:
        """The `record`, which is not kept: the step that it belongs to has been taken."""
        record, self.record, self._awaited = self.record, None, False
        return record

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not torch.is_grad_enabled() or (self._awaited and not module.training):
            return  # an evaluation does not stand for the training's pass, gradients or not
        self.calls, self._awaited = self.calls + 1, module.training
        if (self.calls - 1) % self._every:
            return
        if self._eager is not module:
            self._run_uncompiled(args, kwargs)
        else:
            self._stack.close()
            self._open()

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._stack.close()
        theta, self._theta = self._theta, None
        if output is None and self.record is None and theta is not None and self._failed:
            self._failed(theta.detach())

    def _run_uncompiled(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run the uncompiled module as far as its sampler, and leave no trace of that."""
        try:
            with untouched(self._eager), self._stack:
                self._open(enough=True)
                self._eager(*args, **kwargs)
        except _Enough:
            pass

    def _open(self, enough: bool = False) -> None:
        """Put in place everything that sees, until `_stack` is closed: for one pass."""
        self.record, self._theta, self._grid, self._passes = None, None, None, {}
        self._left, self._enough = self._sampler, enough
        hooks: list[tuple[nn.Module, Callable[..., None]]]
        hooks = [(layer, self._passed) for layer in self._candidates]
        for transformer in self._ours[self._sampler : self._sampler + 1]:
            hooks += [(transformer.localisation, self._located), (transformer, self._transformed)]
        for module, function in hooks:
            self._stack.callback(module.register_forward_hook(function).remove)
        if not self._ours:
            mode = self._stack.enter_context(_Calls(self._made, self._sampled))
            for part in self._compiled:  # torch.compile fails where a mode is active
                for register, act in (
                    (part.register_forward_pre_hook, lambda *_: mode.__exit__(None, None, None)),
                    (part.register_forward_hook, lambda *_: mode.__enter__() and None),
                ):
                    self._stack.callback(register(act).remove)

    def _passed(self, layer: nn.Linear, args: tuple[Any, ...], output: Tensor) -> None:
        if self._passes is not None:  # what comes behind the sampler makes no θ
            self._passes[id(layer)] = args[0].detach(), output

    def _made(self, theta: Tensor, grid: Tensor) -> None:
        self._theta, self._grid = theta, grid

    def _sampled(self, grid: Tensor, output: Tensor, images: Tensor | None) -> None:
        if is_batched(grid):
            self._lost = "for what runs under vmap cannot be seen"
            return
        self._left -= 1
        if self._left != -1:
            return
        black = black_share(output.detach(), None if images is None else images.detach())
        record = ForwardRecord(black, _size(images))
        if (
            self._grid is grid and self._theta is not None
        ):  # made by affine_grid and by nothing else
            record.matrix = self._theta.detach()
            record.theta = record.matrix.flatten(1)
        else:
            record.grid = grid.detach()
        self._finish(record, grid)

    def _located(self, localisation: nn.Module, args: tuple[Any, ...], theta: Tensor) -> None:
        self._theta, self._size = theta, _size(args[0] if args else None)

    def _transformed(self, transformer: Any, args: tuple[Any, ...], output: Tensor) -> None:
        assert self._theta is not None  # `_located` was called before
        theta = self._theta.detach().float()
        black = black_share(output.detach(), args[0].detach() if args else None)
        record = ForwardRecord(black, self._size, theta)
        family = transformer.family
        if getattr(family, "name", None) == "affine":
            record.matrix = theta.reshape(-1, 2, 3)  # needs no check and no assembling
        elif getattr(getattr(family, "base", None) or family, "affine", False):
            record.matrix = family.matrix(theta)[:, :2]
        else:
            record.grid = family.grid(theta, COARSE, align_corners=transformer.align_corners)
        self._finish(record, self._theta)

    def _finish(self, record: ForwardRecord, source: Tensor) -> None:
        if not self._searched and source.requires_grad:
            self._search(source)
        layer = self.layer
        if layer and self._passes and id(layer) in self._passes:
            features, output = self._passes[id(layer)]
            record.features = features.flatten(0, -2).float()
            record.weight = layer.weight.detach().clone()
            record.bias = None if layer.bias is None else layer.bias.detach().clone()
            record.slope = slope(source if self._theta is None else self._theta, output)
            if record.theta is None:
                bias = None if record.bias is None else record.bias.float()
                record.theta = F.linear(record.features, record.weight.float(), bias)
        self._passes = self._theta = self._grid = None  # hold on to no graph
        self.record = record
        if self._enough:
            raise _Enough

    def _search(self, source: Tensor) -> None:
        """Find the parameters that θ depends on, and the linear layer nearest to it."""
        known = {id(p): p for p in self._eager.parameters()}
        self.localisation = [known[id(p)] for p in leaves(source) if id(p) in known]
        found = {id(p) for p in self.localisation}
        self.rest = [p for p in known.values() if id(p) not in found and p.is_leaf]
        for layer in self._candidates if found else ():
            if any(p is self.localisation[0] for p in layer._parameters.values()):
                self.layer = layer if has_own_weight(layer) else None
        self._candidates = [self.layer] if self.layer else []
        self._searched = True


def _size(images: Tensor | None) -> tuple[int, int] | None:
    return None if images is None else (images.shape[-1], images.shape[-2])
