"""What can be asked of tensors, layers and models without changing any of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["is_batched", "leaves", "shared", "uncompiled", "untouched"]


def is_batched(tensor: Tensor) -> bool:
    """Whether a tensor stands for many under vmap, at any depth of torch.func's transforms."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then modes, buffers and random numbers are as they were."""
    training = [m for m in model.modules() if m.training]
    buffers = [(m._buffers, name, b) for m in model.modules() for name, b in m._buffers.items()]
    kept = [None if b is None else b.clone() for *_, b in buffers]
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


def leaves(tensor: Tensor) -> Iterator[Tensor]:
    """The leaves of a tensor's graph, the nearest first."""
    if tensor.grad_fn is None:
        yield tensor
        return
    queue, seen = deque([tensor.grad_fn]), {tensor.grad_fn}
    while queue:
        node = queue.popleft()
        if hasattr(node, "variable"):
            yield node.variable
        for following, _ in getattr(node, "next_functions", ()):
            if following is not None and following not in seen:
                seen.add(following)
                queue.append(following)


def uncompiled(model: nn.Module) -> nn.Module:
    """What `torch.compile` made a compiled model of; any other model itself."""
    found: nn.Module = getattr(model, "_orig_mod", model)
    return found


def shared(values: Tensor, model: nn.Module) -> Tensor:
    """Under DDP the mean over all ranks, so that each gives the same verdict."""
    if not isinstance(model, nn.parallel.DistributedDataParallel):
        return values
    torch.distributed.all_reduce(values)
    return values / torch.distributed.get_world_size()
