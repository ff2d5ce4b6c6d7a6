"""What can be asked of tensors, layers and models without changing any of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = [
    "is_batched",
    "is_ours",
    "is_shared",
    "leaves",
    "memory",
    "parts",
    "shared",
    "takes_hooks",
    "uncompiled",
    "untouched",
    "unwrapped",
    "version",
]


def is_batched(tensor: Tensor) -> bool:
    """Whether a tensor stands for many under vmap, at any depth of torch.func's transforms."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False


_OURS = ("localisation", "family", "locate", "sample")  # what a SpatialTransformer has


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then modes, buffers and random numbers are as they were."""
    training = [m for m in model.modules() if m.training]
    buffers = [(m._buffers, name, b) for m in model.modules() for name, b in m._buffers.items()]
    kept = [None if b is None or is_lazy(b) else b.clone() for *_, b in buffers]
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    for m in training:
        m.training = False
    try:
        with torch.random.fork_rng(list(devices)):
            yield
    finally:
        for m in training:
            m.training = True
        with torch.no_grad():
            for (owner, name, buffer), before in zip(buffers, kept, strict=True):
                owner[name] = buffer
                if buffer is not None and before is not None:
                    buffer.copy_(before)


def parts(value: Any) -> list[Tensor]:
    """The tensors in a value: in lists, tuples, mappings and the attributes of objects."""
    found, waiting, seen = [], [value], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, Tensor):
            found.append(one)
        elif id(one) not in seen and not isinstance(one, nn.Module | str | bytes | type):
            seen.add(id(one))
            if isinstance(one, Mapping):
                waiting += one.values()
            elif isinstance(one, list | tuple | set):
                waiting += one
            else:
                waiting += getattr(one, "__dict__", {}).values()
    return found


def leaves(tensors: Iterable[Tensor], cut: Collection[Any] = ()) -> Iterator[Tensor]:
    """The leaves of the tensors' graphs, the nearest first; not what lies behind nodes of `cut`."""
    seen, queue = set(cut), deque[Any]()
    for tensor in tensors:
        if tensor.grad_fn is None:
            yield tensor
        elif tensor.grad_fn not in seen:
            seen.add(tensor.grad_fn)
            queue.append(tensor.grad_fn)
    while queue:
        node = queue.popleft()
        if hasattr(node, "variable"):
            yield node.variable
        for following, _ in getattr(node, "next_functions", ()):
            if following is not None and following not in seen:
                seen.add(following)
                queue.append(following)


def memory(value: Any) -> set[int]:
    """Where the tensors of a value are kept."""
    return {tensor.untyped_storage().data_ptr() for tensor in parts(value)} - {0}


def unwrapped(model: nn.Module) -> nn.Module:
    """A model without what `torch.compile`, DataParallel and DDP put around it."""
    while True:
        parallel = isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel)
        inner: Any = model.module if parallel else uncompiled(model)
        if inner is model:
            return model
        model = inner


def is_ours(module: Any) -> bool:
    """Whether a module does as `stnlib.models.SpatialTransformer`, and can be hooked."""
    return all(hasattr(module, name) for name in _OURS) and takes_hooks(module.localisation)


def takes_hooks(module: nn.Module) -> bool:
    """Whether forward hooks can be put on a module: not on one that was scripted."""
    return not isinstance(module, torch.jit._script.RecursiveScriptModule)


def version(tensor: Tensor) -> int:
    """A number that changes when a tensor is written into."""
    return 0 if tensor.is_inference() else tensor._version


def uncompiled(model: nn.Module) -> nn.Module:
    """What `torch.compile` made a compiled model of; any other model itself."""
    found: nn.Module = getattr(model, "_orig_mod", model)
    return found


def is_shared(model: nn.Module) -> bool:
    """Whether several processes train replicas of the model under DDP."""
    return isinstance(model, nn.parallel.DistributedDataParallel)


def shared(values: Tensor, model: nn.Module) -> Tensor:
    """Under DDP the mean over all ranks, so that each gives the same verdict."""
    if not is_shared(model):
        return values
    torch.distributed.all_reduce(values)
    return values / torch.distributed.get_world_size()
