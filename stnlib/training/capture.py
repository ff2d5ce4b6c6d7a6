"""A training step as a CUDA graph: the GPU is given its few hundred kernels by one call.

A step of C10D asks the host for several milliseconds and the GPU for three. Captured once and
replayed, it asks the host for some tens of microseconds, so that runs which share a GPU keep it
busy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stnlib.training.config import RunConfig
from stnlib.training.device import device_of
from stnlib.training.loop import train_step

__all__ = ["CapturedStep", "capturable"]

_WARM = 3  # steps before the capture, in which libraries choose their kernels; taken back


def capturable(model: nn.Module, config: RunConfig) -> bool:
    """Whether a model's training step can be replayed: on a GPU, where nothing in it varies.

    Dropout and the linearised sampler draw anew, a blur fades, Keras's Adam computes its eps on
    the host, and `rollback` puts other tensors in the place of the optimiser's.
    """
    fixed = config.dropout == 0 and config.recovery == "none" and config.optimizer != "keras_adam"
    fixed = fixed and config.sampler != "linearised" and config.blur == 0
    return device_of(model).type == "cuda" and fixed


class CapturedStep:
    """`train_step`, captured at its first call and replayed from then on.

    A batch of another size, as an epoch's last may be, is trained on as ever. θ that is not
    finite raises no error: it makes the loss nan.
    """

    def __init__(self) -> None:
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        images: Tensor,
        labels: Tensor,
        config: RunConfig,
    ) -> tuple[Tensor, Tensor, Tensor]:
        if self._graph is None:
            self._images, self._labels = images.clone(), labels.clone()
            self._graph = self._captured(model, optimizer, config)
        if images.shape != self._images.shape:
            return train_step(model, optimizer, images, labels, config)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._graph.replay()
        loss, correct, norms = self._results
        return loss.clone(), correct.clone(), norms.clone()

    def _captured(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, config: RunConfig
    ) -> torch.cuda.CUDAGraph:
        step = model, optimizer, self._images, self._labels, config
        before = {id(tensor): tensor.detach().clone() for tensor in _changing(model, optimizer)}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM):
                train_step(*step)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.no_grad():  # what the optimiser has made since begins at 0
            for tensor in _changing(model, optimizer):
                tensor.copy_(before.get(id(tensor), torch.zeros_like(tensor)))
        optimizer.zero_grad()  # so that the graph has gradients of its own
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._results = train_step(*step)
        return graph


def _changing(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All tensors that a step changes."""
    slots = [value for state in optimizer.state.values() for value in state.values()]
    return [*model.parameters(), *model.buffers(), *slots]
