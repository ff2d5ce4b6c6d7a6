"""Looking back through the graph of a tensor: where it comes from, and how steeply."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["leaves", "slope"]


def leaves(tensor: Tensor) -> Iterator[Tensor]:
    """The leaves of a tensor's graph, the nearest first."""
    if tensor.grad_fn is None:
        yield tensor
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

    Parameters
    ----------
    theta, output : (N, …) and (N, P), with their graph, which stays.

    Returns
    -------
    (N, P) float32; None where θ is the output, is of another size, or has no graph.
    """
    if not (theta.requires_grad and output.requires_grad and theta.numel() == output.numel()):
        return None
    if theta.grad_fn is output.grad_fn:
        return None
    ones = torch.ones_like(theta)
    (found,) = torch.autograd.grad(theta, output, ones, retain_graph=True, allow_unused=True)
    return None if found is None else found.flatten(0, -2).float()
