"""From the weights that make θ to θ: the calls of one forward pass, to be made again.

A `Tape` notes the calls of a pass. A `Path` has those of them that lie between the layer that makes
θ and θ or the grid, that layer included. Called again after the optimiser's step, with the
parameters as they then are, it says where the step has moved θ, the images held: whatever lies in
between, be it a tanh, a matrix exponential or the composition with an estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

__all__ = ["Path", "Tape"]

_LAYERS = ("linear", "conv1d", "conv2d", "conv3d", "matmul", "mm", "bmm", "addmm", "einsum", "mv")
#: what draws random numbers or moves statistics is not called again
_UNREPEATABLE = {
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"),
    *("rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "random"),
    *("normal", "uniform", "bernoulli", "multinomial", "exponential", "rrelu", "gumbel_softmax"),
    *("batch_norm", "instance_norm"),
}


@dataclass
class _Call:
    """A call of PyTorch's, and the autocast under which it was made."""

    function: Callable[..., Any]
    args: Any
    kwargs: dict[str, Any]
    result: Any
    cast: tuple[bool, torch.dtype]

    @property
    def name(self) -> str:
        return str(getattr(self.function, "__name__", "")).strip("_")

    @property
    def in_place(self) -> bool:
        """Whether it changes its first argument."""
        name = str(getattr(self.function, "__name__", ""))
        changes = name.endswith("_") and not name.endswith("__")
        return changes or name == "__setitem__" or self.kwargs.get("inplace") is True

    def tensors(self) -> list[Tensor]:
        return [x for x in tree_flatten((self.args, self.kwargs))[0] if isinstance(x, Tensor)]

    def results(self) -> list[Tensor]:
        made = self.args[0] if self.in_place else self.result
        return [x for x in tree_flatten(made)[0] if isinstance(x, Tensor)]


@dataclass(frozen=True)
class _Slot:
    """Stands for a tensor that the path makes itself."""

    number: int


@dataclass(frozen=True)
class Path:
    """The calls from the layer that makes θ on.

    Parameters
    ----------
    calls : list[_Call]
        In their order; `_Slot` where an argument is made on the path, everything else detached,
        but for the parameters, which are those of the model.
    target : int
        The slot of what is asked for.
    features : Tensor | None
        (M, F) float32, what goes into the layer, if it is linear.
    weight : Tensor | None
        A parameter of the layer.
    """

    calls: list[_Call]
    target: int
    features: Tensor | None
    weight: Tensor | None

    @torch.no_grad()
    def again(self) -> Tensor:
        """θ or the grid with the parameters as they are now, as it was made in the pass."""
        made: dict[int, Any] = {}

        def put(value: Any) -> Any:
            return made[value.number] if isinstance(value, _Slot) else value

        for call in self.calls:
            args, kwargs = tree_map(put, (call.args, call.kwargs), is_leaf=_is_slot)
            enabled, dtype = call.cast
            device = next(
                (x.device.type for x in tree_flatten(args)[0] if isinstance(x, Tensor)), "cpu"
            )
            with torch.autocast(device, dtype, enabled=enabled, cache_enabled=False):
                result = call.function(*args, **kwargs)
            values = tree_flatten(args[0] if call.in_place else result)[0]
            for slot, value in zip(call.result, values, strict=False):
                made[slot.number] = value
        found = made[self.target]
        assert isinstance(found, Tensor)
        return found


def _is_slot(value: Any) -> bool:
    return isinstance(value, _Slot)


class Tape:
    """The calls of a pass so far, from the `begin`-th on."""

    def __init__(self, device: str, begin: int = 0) -> None:
        self._device, self._begin, self._count = device, begin, 0
        self._calls: list[_Call] = []
        self._numbers: list[int] = []

    def note(self, function: Callable[..., Any], args: Any, kwargs: Any, result: Any) -> None:
        """Keep one call, until the tape is dropped."""
        self._count += 1
        plain = isinstance(result, torch.Size) or not isinstance(result, Tensor | tuple | list)
        if plain and getattr(function, "__name__", "") != "__setitem__":
            return  # such as a shape
        if self._count > self._begin:
            cast = torch.is_autocast_enabled(self._device), torch.get_autocast_dtype(self._device)
            self._calls.append(_Call(function, args, kwargs, result, cast))
            self._numbers.append(self._count - 1)

    def has_parameter(self, target: Tensor) -> bool:
        """Whether any of the calls that lead to a tensor takes a parameter."""
        led = {id(target)}
        for call in reversed(self._calls):
            if led & {id(x) for x in call.results()}:
                led |= {id(x) for x in call.tensors()}
                if any(isinstance(x, torch.nn.Parameter) for x in call.tensors()):
                    return True
        return False

    def path(self, target: Tensor) -> tuple[Path, int] | None:
        """The path to a tensor, and the number of its first call; None where it cannot be told."""
        made: dict[int, int] = {}  # by the tensor's id: the call that made it last
        needs: list[list[int]] = []
        for i, call in enumerate(self._calls):
            needs.append([made[id(x)] for x in call.tensors() if id(x) in made])
            made |= {id(x): i for x in call.results()}
        if id(target) not in made:
            return None
        wanted: set[int] = set()
        layers: list[_Call] = []
        waiting = [made[id(target)]]
        while waiting:
            i = waiting.pop()
            if i in wanted:
                continue
            call = self._calls[i]
            if call.name in _UNREPEATABLE:
                return None
            wanted.add(i)
            if call.name in _LAYERS and any(_is_parameter(x) for x in call.tensors()):
                layers.append(call)
                continue
            before = {id(x): n for n in needs[i] for x in self._calls[n].results()}
            for j, x in enumerate(call.tensors()):
                own = call.in_place and j == 0
                if id(x) in before and (x.requires_grad or own):
                    waiting.append(before[id(x)])
                elif own or (x.requires_grad and not x.is_leaf):
                    return None  # made by something that is no call of PyTorch's
        order = sorted(wanted)
        path = _path([self._calls[i] for i in order], target, layers[0] if layers else None)
        return None if path is None else (path, self._numbers[order[0]])


def _is_parameter(tensor: Tensor) -> bool:
    return isinstance(tensor, torch.nn.Parameter) and tensor.requires_grad


def _path(calls: list[_Call], target: Tensor, layer: _Call | None) -> Path | None:
    """The calls by slots, without any graph."""
    slots: dict[int, _Slot] = {}

    def take(value: Any) -> Any:
        if not isinstance(value, Tensor) or _is_parameter(value):
            return value
        return slots.get(id(value)) or value.detach()

    bare = []
    for call in calls:
        args, kwargs = tree_map(take, (call.args, call.kwargs))
        made = [_Slot(len(slots) + n) for n, _ in enumerate(call.results())]
        for n, (x, slot) in enumerate(zip(call.results(), made, strict=True)):
            slots[id(x)] = made[n] = slots[id(x)] if call.in_place and id(x) in slots else slot
        bare.append(_Call(call.function, args, kwargs, made, call.cast))
    if id(target) not in slots:
        return None
    features = weight = None
    if layer:
        weight = next(x for x in layer.tensors() if _is_parameter(x))
        others = [x for x in layer.tensors() if not _is_parameter(x) and x.ndim >= 2]
        if others and layer.name not in ("conv1d", "conv2d", "conv3d"):
            features = others[0].detach().flatten(0, -2).float()
    return Path(bare, slots[id(target)].number, features, weight)
