"""What can be asked of tensors, layers and models without changing any of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["has_own_weight", "is_batched", "leaves", "slope", "untouched"]


def is_batched(tensor: Tensor) -> bool:
    """Whether a tensor stands for many under vmap, at any depth of torch.func's transforms."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False


def has_own_weight(layer: nn.Linear) -> bool:
    """Whether a layer's weight is a parameter, and not computed at each access.

    To compute it once more could draw random numbers or move buffers, as spectral norm does.
    """
    return layer._parameters.get("weight") is not None and not hasattr(type(layer), "weight")


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


def slope(theta: Tensor, output: Tensor) -> Tensor | None:
    """The slope of θ over a layer's output that it is made of entry by entry, as by a tanh.

    (N, P) float32 for θ (N, …) and the output (N, P), whose graph stays; None where θ is the
    output, is of another size, or has no graph.

    Convention: see `stnlib.transforms`.
    """
    if not (theta.requires_grad and output.requires_grad and theta.numel() == output.numel()):
        return None
    if theta.grad_fn is output.grad_fn:
        return None
    ones = torch.ones_like(theta)
    (found,) = torch.autograd.grad(theta, output, ones, retain_graph=True, allow_unused=True)
    return None if found is None else found.flatten(0, -2).float()
