"""From the weights that make θ to θ: the calls of one forward pass, to be made again.

A `Tape` notes the calls of a pass. A `Path` has those of them that lie between the layer that makes
θ and θ or the grid, that layer included. Called again after the optimiser's step, with the
parameters as they then are, it says where the step has moved θ, the features held: whatever lies in
between, be it a tanh, a matrix exponential or the composition with an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stnlib.diagnostics.graph import memory, version
from stnlib.diagnostics.hooks import Harmless

__all__ = ["Path", "Tape"]

_WEIGHTED = {"linear", "bilinear", "conv1d", "conv2d", "conv3d"}  # (input, weight, ...)
_PRODUCTS = {"matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "mv"}
_VIEWS = {"t", "T", "mT", "transpose", "permute", "view", "reshape", "expand", "unsqueeze", "get"}
#: what draws random numbers is not called again
_UNREPEATABLE = {
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"),
    *("rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "random"),
    *("normal", "uniform", "bernoulli", "multinomial", "exponential", "rrelu", "gumbel_softmax"),
    *("batch_norm", "instance_norm"),
}
#: the arguments of what moves statistics, unless `training` is false
_MOVING = {
    F.batch_norm: ("input", "running_mean", "running_var", "weight", "bias", "training"),
    F.instance_norm: ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats"),
}


_SEQUENCES = (tuple, list)  # a union of types would be made anew at each call


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors of arguments or of a result, in their order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, _SEQUENCES):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """The same lists, tuples and dicts, with something else in them."""
    if isinstance(value, list):
        return [_mapped(change, one) for one in value]
    if isinstance(value, tuple):
        return tuple(_mapped(change, one) for one in value)
    if isinstance(value, dict):
        return {name: _mapped(change, one) for name, one in value.items()}
    return change(value)


@dataclass(slots=True)
class _Call:
    """A call of PyTorch's, and the autocast under which it was made."""

    function: Callable[..., Any]
    args: Any
    kwargs: dict[str, Any]
    result: Any
    cast: torch.dtype | None
    name: str = field(init=False)
    in_place: bool = field(init=False)  # whether it changes its first argument

    def __post_init__(self) -> None:
        name = getattr(self.function, "__name__", "").partition(".")[0]  # of ATen's: "add_.Tensor"
        changes = name.endswith("_") and not name.endswith("__")
        self.in_place = changes or name == "__setitem__" or self.kwargs.get("inplace") is True
        self.name = name.strip("_")

    def tensors(self) -> list[Tensor]:
        return [*_tensors(self.args), *_tensors(self.kwargs)]

    def results(self) -> list[Tensor]:
        return [*_tensors(self.args[0] if self.in_place else self.result)]

    def without_statistics(self) -> _Call:
        """The call that gives the same and moves no running mean."""
        if self.function not in _MOVING:
            return self
        names = (*_MOVING[self.function], "momentum", "eps")
        given = dict(zip(names, self.args, strict=False)) | self.kwargs
        if not given.get(names[5], self.function is F.instance_norm):
            return self
        given |= {"running_mean": None, "running_var": None}
        return _Call(self.function, (), given, self.result, self.cast)


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
        (M, F), what goes into the layer, if it is linear.
    weight : Tensor | None
        A parameter of the layer.
    entering : Tensor | None
        (N, ...), the same as the layer had it, in slot 0.

    Attributes
    ----------
    parameters : list[Tensor]
        That the calls take and that learn.
    """

    calls: list[_Call]
    target: int
    features: Tensor | None
    weight: Tensor | None
    entering: Tensor | None
    parameters: list[Tensor] = field(init=False)
    _states: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        taken = (x for call in self.calls for x in call.tensors())
        object.__setattr__(self, "parameters", [x for x in taken if _is_parameter(x)])
        object.__setattr__(self, "_states", [*map(_state, self.parameters)])

    def changed(self) -> bool:
        """Whether a parameter is not what it was in the pass."""
        return [*map(_state, self.parameters)] != self._states

    @property
    def below(self) -> bool:
        """Whether some of the calls were made below PyTorch's functions, as in scripted parts."""
        return any(isinstance(call.function, torch._ops.OpOverload) for call in self.calls)

    @torch.no_grad()
    def again(self, every: int = 1) -> Tensor:
        """θ or the grid with the parameters as they are now, of every so many-th image.

        Parameters
        ----------
        every : int
            Above 1 only where `gives` has said that it can be done.

        Returns
        -------
        Tensor
            As it was made in the pass.
        """
        made: dict[int, Any] = {0: self.entering}
        if every > 1:
            assert self.entering is not None
            made[0] = self.entering[::every]

        def put(value: Any) -> Any:
            return made[value.number] if isinstance(value, _Slot) else value

        for call in self.calls:
            args, kwargs = _mapped(put, call.args), _mapped(put, call.kwargs)
            with _autocast(call.cast, args):
                result = call.function(*args, **kwargs)
            values = _tensors(args[0] if call.in_place else result)
            for slot, value in zip(call.result, values, strict=False):
                made[slot.number] = value
        found = made[self.target]
        assert isinstance(found, Tensor)
        return found

    @torch.no_grad()  # or a checkpoint finds more tensors saved than it can compute again
    def gives(self, target: Tensor, every: int = 1) -> bool:
        """Whether that is what the pass had, so long as no parameter has changed."""
        if every > 1 and (self.entering is None or len(self.entering) != len(target)):
            return False
        target = target[::every]
        try:
            with Harmless(memory([*(call.tensors() for call in self.calls), self.entering])):
                again = self.again(every)
        except RuntimeError:  # such as a constant for each image, where it is every so many-th
            return False
        if again.shape != target.shape:
            return False
        tolerance = 1e-3 if target.dtype in (torch.float32, torch.float64) else 0.05
        close = torch.isclose(again.float(), target.detach().float(), tolerance, tolerance)
        return bool((close | ~target.isfinite()).all())


def _autocast(dtype: torch.dtype | None, args: Any) -> Any:
    """The autocast of a call, as cheap as can be where there is none."""
    device = next((x.device.type for x in _tensors(args)), "cpu")
    if dtype is None and not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, dtype, enabled=dtype is not None, cache_enabled=False)


class Tape:
    """The calls of a pass, of which only some are kept.

    Parameters
    ----------
    device : str
        Type of the model's device.
    begin : int
        Number of the first call to be kept, from 0.
    end : int | None
        Number of the first call that is not kept any more; None to keep all.
    """

    def __init__(self, device: str, begin: int = 0, end: int | None = None) -> None:
        self._device, self._begin, self._end = device, begin, end
        self.count = 0
        self._calls: list[_Call] = []
        self._numbers: list[int] = []
        self._makers: dict[int, list[int]] = {}  # by the tensor's id: the calls that made it

    def note(self, function: Callable[..., Any], args: Any, kwargs: Any, result: Any) -> None:
        """Keep one call, until the tape is dropped."""
        number, self.count = self.count, self.count + 1
        if number < self._begin or (self._end is not None and number >= self._end):
            return
        plain = isinstance(result, torch.Size) or not isinstance(result, (Tensor, *_SEQUENCES))
        if plain and getattr(function, "__name__", "") != "__setitem__":
            return  # such as a shape
        on = torch.is_autocast_enabled(self._device)
        cast = torch.get_autocast_dtype(self._device) if on else None
        call = _Call(function, args, kwargs, result, cast)
        for tensor in call.results():
            self._makers.setdefault(id(tensor), []).append(len(self._calls))
        self._calls.append(call)
        self._numbers.append(number)

    def _maker(self, tensor: Tensor, before: int) -> int | None:
        """The last call before one that made a tensor, or changed it."""
        made = self._makers.get(id(tensor), ())
        return next((i for i in reversed(made) if i < before), None)

    def parameters(self, target: Tensor) -> list[Tensor]:
        """All parameters that calls took which lead to a tensor, frozen or not."""
        found: list[Tensor] = []
        seen: set[int] = set()
        waiting = [self._maker(target, len(self._calls))]
        while waiting:
            i = waiting.pop()
            if i is None or i in seen or self._calls[i].name == "detach":
                continue
            seen.add(i)
            for x in self._calls[i].tensors():
                if isinstance(x, torch.nn.Parameter):
                    found.append(x)
                else:
                    waiting.append(self._maker(x, i))
        return found

    def path(self, target: Tensor) -> tuple[Path, int] | None:
        """The path to a tensor, and the number of its first call; None where it cannot be told."""
        found = self._way(target)
        if found is None:
            return None
        order, layer = found
        path = _path([self._calls[i] for i in order], target, layer)
        return None if path is None else (path, self._numbers[order[0]])

    def nodes(self, target: Tensor) -> set[Any]:
        """The nodes of the graph that lie on the path to a tensor."""
        order, _ = self._way(target) or ([], None)
        results = [x for i in order for x in self._calls[i].results()]
        return {x.grad_fn for x in (*results, target)} - {None}

    def _way(self, target: Tensor) -> tuple[list[int], tuple[_Call, Tensor] | None] | None:
        """The calls of the path in their order; its layer and what goes into that."""
        last = self._maker(target, len(self._calls))
        if last is None:
            return None
        unknown = not target.requires_grad  # what does, as in a reentrant checkpoint
        wanted: set[int] = set()
        layers: list[tuple[_Call, Tensor]] = []
        waiting = [last]
        while waiting:
            i = waiting.pop()
            if i in wanted:
                continue
            call = self._calls[i]
            if call.name in _UNREPEATABLE and call.function not in _MOVING:
                return None
            wanted.add(i)
            features = self._features(call, i)
            if features is not None:
                layers.append((call, features))
            for j, x in enumerate(call.tensors()):
                own = call.in_place and j == 0
                maker = self._maker(x, i)
                if x is features:
                    continue
                held = maker is not None and self._calls[maker].name == "detach"
                if maker is not None and (x.requires_grad or own or (unknown and not held)):
                    waiting.append(maker)
                elif own or (x.requires_grad and not x.is_leaf):
                    return None  # made by something that is no call of PyTorch's
        return sorted(wanted), (layers[0] if layers else None)

    def _features(self, call: _Call, number: int) -> Tensor | None:
        """What goes into a layer, whose weights may be computed; None where the call is none."""
        tensors = call.tensors()
        if call.name in _WEIGHTED:
            return tensors[0] if any(x.requires_grad for x in tensors[1:]) else None
        if call.name not in _PRODUCTS:
            return None
        others = [x for x in tensors if not self._is_weight(x, number)]
        return others[0] if 0 < len(others) < len(tensors) else None

    def _is_weight(self, tensor: Tensor, before: int) -> bool:
        """Whether it is a parameter, or a view of one."""
        while not _is_parameter(tensor):
            maker = self._maker(tensor, before)
            if maker is None or self._calls[maker].name not in _VIEWS:
                return False
            tensor, before = self._calls[maker].tensors()[0], maker
        return True


def _is_parameter(tensor: Tensor) -> bool:
    return tensor.requires_grad and isinstance(tensor, torch.nn.Parameter)


def _state(parameter: Tensor) -> tuple[int, int]:
    return version(parameter), parameter.data_ptr()


def _path(calls: list[_Call], target: Tensor, layer: tuple[_Call, Tensor] | None) -> Path | None:
    """The calls by slots, without any graph."""
    slots: dict[int, _Slot] = {id(layer[1]) if layer else 0: _Slot(0)}

    def take(value: Any) -> Any:
        if not isinstance(value, Tensor) or _is_parameter(value):
            return value
        return slots.get(id(value)) or value.detach()

    bare = []
    for call in map(_Call.without_statistics, calls):
        args, kwargs = _mapped(take, call.args), _mapped(take, call.kwargs)
        made = [_Slot(len(slots) + n) for n, _ in enumerate(call.results())]
        for n, (x, slot) in enumerate(zip(call.results(), made, strict=True)):
            slots[id(x)] = made[n] = slots[id(x)] if call.in_place and id(x) in slots else slot
        bare.append(_Call(call.function, args, kwargs, made, call.cast))
    if id(target) not in slots:
        return None
    features = weight = None
    if layer:
        call, entering = layer
        ours = (x for one in (call, *calls) for x in one.tensors() if _is_parameter(x))
        weight = next(ours, None)
        if entering.ndim >= 2 and not call.name.startswith("conv"):
            features = entering.detach().flatten(0, -2)
    held = layer[1].detach() if layer else None
    return Path(bare, slots[id(target)].number, features, weight, held)
