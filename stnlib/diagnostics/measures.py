"""From one look at a training step to numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stnlib.diagnostics.footprints import coverage, grid_coverage, object_coverage
from stnlib.diagnostics.hooks import ForwardProbe, ForwardRecord

__all__ = ["QUANTITIES", "measure", "rate_of"]

QUANTITIES = {
    "loss": "as given to `step`",
    "coverage": "mean share of the output whose sampling points lie inside the image: exact for "
    "affine θ, counted on the grid for others",
    "object_coverage": "mean share of the object that is seen; affine θ only",
    "black": "share of all-black output images",
    "finite": "share of images whose θ is finite",
    "extent": "median over images of the larger side of the box around the footprint, 1 where it "
    "is the image's",
    "extent_pixels": "the same in input pixels, the image's side where `extent` is 1",
    "centre": "median distance of the footprint's centre from the image's, in half image sides; "
    "outside above 1",
    "phi": "mean ‖φ‖₁ over images, φ the features that enter the layer that makes θ",
    "phi_max": "the largest ‖φ‖₁",
    "step": "mean over images of the largest change of an entry of θ by the last optimiser step of "
    "that layer, the images held; a tanh behind the layer counts by its slope, unless compiled",
    "step_ratio": "mean of `step` over lr (1 + ‖φ‖₁), which Adam can reach when its steps agree",
    "loc_grad": "norm of the gradient of the parameters that θ depends on",
    "rest_grad": "norm of the gradient of the others",
}


@torch.no_grad()
def measure(
    record: ForwardRecord,
    probe: ForwardProbe,
    lr: float | None,
    loss: Tensor | float | None,
    seen_object: Mapping[str, Any],
) -> Tensor:
    """Numbers of one training step, in the order of QUANTITIES, then θ's means and spreads.

    Parameters
    ----------
    record : ForwardRecord
        Of the step's forward pass.
    probe : ForwardProbe
        Whence it came; its model's weights are those after the step.
    lr : float | None
        Learning rate of the layer that makes θ, if it is known.
    loss : Tensor | float | None
        A number, or a tensor of one.
    seen_object : Mapping[str, Any]
        `points` or `mask` for `object_coverage`, or nothing.

    Returns
    -------
    Tensor
        (14 + 2 P,) float32 on the model's device; NaN for what cannot be measured.
    """
    nan = record.black.new_full((), math.nan)
    values = dict.fromkeys(QUANTITIES, nan)
    if loss is not None:
        values["loss"] = torch.as_tensor(loss, dtype=nan.dtype, device=nan.device).reshape(())
    values["black"] = record.black
    values |= _place(record)
    if seen_object and record.matrix is not None:
        values["object_coverage"] = object_coverage(record.matrix, **seen_object).mean()
    values |= _step(record, probe.layer, lr)
    values["loc_grad"], values["rest_grad"] = _norms(probe.localisation, probe.rest, nan)
    row = torch.stack([value.float() for value in values.values()])
    if record.theta is None:
        return row
    spread, mean = torch.std_mean(record.theta.float(), dim=0, correction=0)
    return torch.cat([row, mean, spread])


def _place(record: ForwardRecord) -> dict[str, Tensor]:
    """Where the footprints lie."""
    if record.matrix is not None:
        matrix = record.matrix.float()
        sides, centre = matrix[:, :, :2].abs().sum(dim=2), matrix[:, :, 2]
        seen, finite = coverage(matrix), matrix.isfinite().flatten(1)
    else:
        assert record.grid is not None  # what is not known to be affine has one
        points = record.grid.float().flatten(1, 2)
        low, high = points.amin(dim=1), points.amax(dim=1)
        sides, centre = (high - low) / 2, (high + low) / 2
        seen, finite = grid_coverage(record.grid), (low + high).isfinite()
    width, height = record.size or (math.nan, math.nan)
    pixels = torch.maximum(sides[:, 0] * width, sides[:, 1] * height)
    return {
        "coverage": seen.mean(),
        "finite": finite.all(dim=1).float().mean(),
        "extent": sides.amax(dim=1).nanmedian(),
        "extent_pixels": pixels.nanmedian(),
        "centre": centre.abs().amax(dim=1).nanmedian(),
    }


def _step(record: ForwardRecord, layer: nn.Linear | None, lr: float | None) -> dict[str, Tensor]:
    """What the optimiser's step did to the layer that makes θ; nothing where none does."""
    if layer is None or record.features is None or record.weight is None:
        return {}
    phi = record.features.abs().sum(dim=1)
    change = record.features @ (layer.weight - record.weight).float().T
    if record.bias is not None:
        change = change + (layer.bias - record.bias).float()
    if record.slope is not None:
        change = change * record.slope
    largest = change.abs().amax(dim=1)
    values = {"phi": phi.mean(), "phi_max": phi.amax(), "step": largest.mean()}
    if lr:
        values["step_ratio"] = (largest / (1 + phi)).mean() / lr
    return values


def _norms(first: list[nn.Parameter], second: list[nn.Parameter], none: Tensor) -> list[Tensor]:
    """Norms of the gradients of either, NaN where there are none; all tensors in one call."""
    one, two = ([p.grad for p in part if p.grad is not None] for part in (first, second))
    norms = torch._foreach_norm(one + two) if one or two else []
    norms = [norm.to(none.device) for norm in norms]
    parts = norms[: len(one)], norms[len(one) :]
    return [torch.linalg.vector_norm(torch.stack(part)) if part else none for part in parts]


def rate_of(parameter: Tensor, optimizer: torch.optim.Optimizer) -> float | None:
    """Learning rate that an optimiser has for a parameter.

    Parameters
    ----------
    parameter : Tensor
        One of a model's.
    optimizer : torch.optim.Optimizer
        Any.

    Returns
    -------
    float | None
        None where the optimiser does not have the parameter.
    """
    for group in optimizer.param_groups:
        if any(p is parameter for p in group["params"]):
            return float(group["lr"])
    return None
