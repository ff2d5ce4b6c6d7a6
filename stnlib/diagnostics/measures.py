"""From one look at a training step to numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from stnlib.checks.values import number, shown
from stnlib.diagnostics.footprints import coverage, object_coverage
from stnlib.diagnostics.probe import ForwardProbe
from stnlib.diagnostics.sampling import ForwardRecord

__all__ = ["QUANTITIES", "check_loss", "measure", "rate_of"]

QUANTITIES = {
    "loss": "as given to `step`",
    "coverage": "mean share of the output whose sampling points lie inside the image: exact for "
    "affine θ, counted on the grid for others, of large ones on that of some images",
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
    "step": "mean over images of the largest change, by the last optimiser step and φ held, "
    "of an entry of the matrix or else of a point of the grid, in half image sides",
    "step_ratio": "mean of `step` over lr (1 + ‖φ‖₁), which Adam can reach when its steps agree",
    "loc_grad": "norm of the gradient of the parameters that θ depends on",
    "rest_grad": "norm of the gradient of those that no θ depends on",
    "corner_spread": "largest standard deviation over images of a view corner's x or y, in input "
    "pixels; nan for a batch of one",
}


MOST_ENTRIES = 32  # of θ; one with more is not kept entry by entry


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
        Of one of the step's samplers.
    probe : ForwardProbe
        Whence it came.
    lr : float | None
        Learning rate of the layer that makes θ, if it is known.
    loss : Tensor | float | None
        A number, or a tensor of one.
    seen_object : Mapping[str, Any]
        `points` or `mask` for `object_coverage`, or nothing.

    Returns
    -------
    Tensor
        (15 + 2 P,) float32 on the model's device, P 0 for a θ of more than MOST_ENTRIES; NaN for
        what cannot be measured.
    """
    nan = _nan(record.black.device)
    values = dict.fromkeys(QUANTITIES, nan)
    if loss is not None:
        values["loss"] = torch.as_tensor(loss, dtype=nan.dtype, device=nan.device).reshape(())
    values["black"] = record.black
    values |= _place(record)
    if seen_object and record.matrix is not None:
        values["object_coverage"] = object_coverage(record.matrix, **seen_object).mean()
    values |= _step(record, lr)
    parts = probe.parameters[record.place], probe.rest
    values["loc_grad"], values["rest_grad"] = _norms(*parts, nan)
    row = torch.stack([value.float() for value in values.values()])
    if record.theta is None or record.theta.shape[1] > MOST_ENTRIES:
        return row
    spread, mean = torch.std_mean(record.theta.float(), dim=0, correction=0)
    return torch.cat([row, mean, spread])


def _place(record: ForwardRecord) -> dict[str, Tensor]:
    """Where the footprints lie."""
    if record.matrix is not None:
        matrix = record.matrix.float()
        sides, centre = matrix[:, :, :2].abs().sum(dim=2), matrix[:, :, 2]
        seen, total = coverage(matrix), matrix.sum(dim=(1, 2))
        corners = matrix @ _CORNERS.to(matrix.device)
    else:
        assert record.grid is not None  # what is not known to be affine has one
        total = record.grid.flatten(1).sum(dim=1, dtype=torch.float32)
        points = (
            record.grid[:: record.stride].float().flatten(1, -2).mT.contiguous()
        )  # or it takes 15 times
        low, high = points.amin(dim=2), points.amax(dim=2)
        sides, centre = (high - low) / 2, (high + low) / 2
        seen = (points.abs().amax(dim=1) <= 1).float()
        corners = _ends(record.grid).float().mT
    pixels, half = _pixels(record.size or (math.nan,) * sides.shape[1], sides.device)
    spread = (corners.std(dim=0, correction=0).amax(dim=1) * half).amax()
    typical = torch.stack([sides, sides * pixels, centre.abs()]).amax(dim=2).nanmedian(dim=1).values
    return {
        "coverage": seen.mean(),
        "finite": (total * 0 == 0).float().mean(),
        "extent": typical[0],
        "extent_pixels": typical[1],
        "centre": typical[2],
        "corner_spread": spread if len(corners) > 1 else spread.new_full((), math.nan),
    }


# Of the output: x, y and 1.
_CORNERS = torch.tensor([[-1.0, 1.0, -1.0, 1.0], [-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])


@cache
def _nan(device: torch.device) -> Tensor:
    return torch.tensor(math.nan, device=device)


@cache
def _pixels(size: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """An image's sides in pixels, and half the way from its first to its last pixel."""
    pixels = torch.tensor(size, device=device)
    return pixels, (pixels - 1) / 2


def _ends(grid: Tensor) -> Tensor:
    """The corners of a grid: (N, 4, 2) or (N, 8, 3)."""
    for axis in range(1, grid.ndim - 1):
        grid = torch.stack([grid.select(axis, 0), grid.select(axis, -1)], dim=axis)
    return grid.flatten(1, -2)


def _step(record: ForwardRecord, lr: float | None) -> dict[str, Tensor]:
    """What the optimiser's step did to the transform; nothing where that is not known."""
    values: dict[str, Tensor] = {}
    phi = None
    if record.path is not None and record.path.features is not None:
        phi = record.path.features.abs().sum(dim=1, dtype=torch.float32)
        values |= {"phi": phi.mean(), "phi_max": phi.amax()}
    if record.moved is None:
        return values
    some = slice(None, None, record.stride // record.every)
    now = record.now[:: record.stride] if record.before is None else record.before[some]
    moved = record.moved[some]
    largest = (moved.float() - now.float()).flatten(1).abs().amax(dim=1)
    values["step"] = largest.mean()
    if lr and phi is not None:
        reach = (1 + phi) * lr
        alike = len(largest) == len(reach)
        values["step_ratio"] = (largest / reach).mean() if alike else largest.mean() / reach.mean()
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


def check_loss(loss: object) -> None:
    """Raise a ValueError of one line unless `loss` is a number or a tensor of one."""
    if isinstance(loss, Tensor):
        one = loss.numel() == 1 and not loss.is_complex()
    else:
        real = isinstance(loss, Real) and not isinstance(loss, int)
        one = loss is None or real or number()(loss) is None
    if not one:
        raise ValueError(f"loss must be a number or a tensor of one, not {shown(loss)}")
