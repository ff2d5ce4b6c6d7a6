"""What a model's transformers depend on, found by one forward pass that leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from stnlib.diagnostics.graph import leaves, parts, untouched, unwrapped
from stnlib.diagnostics.probe import ForwardProbe

__all__ = ["localisation_of"]


def localisation_of(model: nn.Module, batch: Any) -> list[nn.Parameter]:
    """Parameters that θ depends on, and what the model returns depends on by θ alone.

    Frozen ones count. The pass is in evaluation mode; modes, buffers, gradients and random numbers
    are as before, but lazy modules take their shapes by it. Forward hooks are called.

    Parameters
    ----------
    model : nn.Module
        Any; of one that is compiled or wrapped for many devices, the module inside.
    batch : Any
        Its input; a tuple is its arguments, a mapping its arguments by name.

    Returns
    -------
    list[nn.Parameter]
        Of the model's; none where its forward pass has no transformer that is seen.

    Raises
    ------
    ValueError
        One line, where the model's forward pass of `batch` ended in an error.
    """
    inner = unwrapped(model)
    args = batch if isinstance(batch, tuple) else () if isinstance(batch, Mapping) else (batch,)
    probe = ForwardProbe(inner)
    try:
        with untouched(inner), _learning(inner), torch.enable_grad(), probe.watching():
            try:
                output = inner(*args, **(batch if isinstance(batch, Mapping) else {}))
            except Exception as error:  # of any kind: what a model raises may be anything
                reason = str(error).partition("\n")[0]
                raise ValueError(
                    f"batch must be an input of the model's, which said of this one: {reason}"
                ) from error
            found = _apart(probe, output)
    finally:
        probe.detach()
    ids = {id(x) for x in found}
    return [p for p in inner.parameters() if id(p) in ids]


def _apart(probe: ForwardProbe, output: Any) -> list[Tensor]:
    """Leaves that transformers of the pass depend on, and its output only by them; each once."""
    cut = {source.grad_fn for source in probe.sources} - {None}
    if probe.tape:
        cut = cut.union(*map(probe.tape.nodes, probe.sources))
    shared = {id(x) for x in leaves(parts(output), cut)} - {id(x) for x in probe.sources}
    found = {id(x): x for x in leaves(probe.sources)}
    return [x for key, x in found.items() if key not in shared]


@contextmanager
def _learning(model: nn.Module) -> Iterator[None]:
    """All parameters require gradients for a while, or what depends on frozen ones is not seen."""
    frozen = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point()]
    for parameter in frozen:
        parameter.requires_grad_()
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
