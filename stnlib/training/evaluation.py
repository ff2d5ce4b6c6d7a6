"""What a network does with images that it does not learn from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stnlib.data.distort import upright_points
from stnlib.data.sets import Split
from stnlib.diagnostics import (
    black_share,
    corner_spread,
    grid_coverage,
    pose_summary,
    theta_summary,
    view_corners,
    view_pixels,
)
from stnlib.models import STN, SpatialTransformer
from stnlib.training.device import autocast, device_of
from stnlib.transforms import NonFiniteError

__all__ = ["accuracy_without_own_theta", "evaluate", "thetas", "to_float"]

N_PERMUTATIONS = 5
Row = dict[str, Any]


def to_float(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1], whether they are that already or uint8."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def evaluate(model: nn.Module, split: Split, precision: str = "float32") -> Row:
    """Loss and accuracy on `split`, and for an STN what its transformer does.

    Returns
    -------
    Row
        `loss` (mean cross-entropy in nats) and `accuracy` in [0, 1]; for an STN also
        `coverage` and `black` (`grid_coverage` and `black_share` of `stnlib.diagnostics`),
        `corner_spread` and `view_pixels` (the median over images) in input pixels; and for affine
        θ its summary, and how far it is from the true θ where that is known. When the network
        diverged, so that θ or the loss is not finite: nan for both.
    """
    try:
        return _measure(model, split, precision)
    except NonFiniteError:
        return {"loss": math.nan, "accuracy": math.nan}


def _at_once(device: torch.device) -> int:
    """Images that are judged at a time.

    On the CPU as many as in a step of training, or validation would need more memory than that; a
    GPU has the memory, and waits for the host with fewer.
    """
    return 100 if device.type == "cpu" else 1000


@torch.inference_mode()
def _measure(model: nn.Module, split: Split, precision: str) -> Row:
    model.eval()
    loss = correct = 0.0
    looks = []
    for images, labels in _parts(split):
        with autocast(images.device, precision):
            if isinstance(model, STN):
                seen, look = _looked(model.transformer, images)
                looks.append(look)
                logits = model.classifier(seen).float()
            else:
                logits = model(images).float()
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(1) == labels).sum().item()
    accuracy = correct / len(split) if math.isfinite(loss) else math.nan
    row = {"loss": loss / len(split), "accuracy": accuracy}
    return row | (_transformer_row(looks, split) if looks else {})


def _parts(split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Images as float32 and their labels, some at a time."""
    n = _at_once(split.labels.device)
    parts = (tensor.split(n) for tensor in (split.images, split.labels))
    for images, labels in zip(*parts, strict=True):
        yield to_float(images), labels


class _Look(NamedTuple):
    """What a transformer did with n images: means of the first two, n rows of the others."""

    n: int
    coverage: Tensor
    black: Tensor
    theta: Tensor
    corners: Tensor
    pixels: Tensor


def _looked(transformer: SpatialTransformer, images: Tensor) -> tuple[Tensor, _Look]:
    theta, grid = transformer.locate(images)
    seen = transformer.sample(images, grid)
    means = grid_coverage(grid).mean(), black_share(seen, images)
    place = view_corners(grid), view_pixels(grid, _size(images))
    return seen, _Look(len(images), *means, theta, *place)


def _size(images: Tensor) -> tuple[int, int]:
    height, width = images.shape[-2:]
    return height, width


def _transformer_row(looks: list[_Look], split: Split) -> Row:
    n, size = len(split), _size(split.images)
    theta = torch.cat([look.theta for look in looks])
    row = {
        "coverage": sum(look.n * look.coverage.item() for look in looks) / n,
        "black": sum(look.n * look.black.item() for look in looks) / n,
        "corner_spread": corner_spread(torch.cat([look.corners for look in looks]), size),
        "view_pixels": torch.cat([look.pixels for look in looks]).median().item(),
    }
    if theta.shape[1] != 6:
        return row
    row |= theta_summary(theta)
    if split.theta is not None:
        points = upright_points(size[1]).to(theta.device)
        row |= pose_summary(theta, split.theta, points, size[1])
    return row


@torch.inference_mode()
def accuracy_without_own_theta(model: STN, split: Split, precision: str = "float32") -> Row:
    """Accuracy where each image is seen with another θ than its own: is θ of any use?

    Returns
    -------
    Row
        `permuted`, the mean accuracy over `N_PERMUTATIONS` fixed permutations of θ among the
        images; `mean_theta`, where every image is seen with the images' mean θ; `identity`, with
        the identity. Nothing where θ is not finite.
    """
    model.eval()
    transformer = model.transformer
    try:
        with autocast(device_of(model), precision):
            found = [transformer.localisation(images).float() for images, _ in _parts(split)]
    except NonFiniteError:
        return {}
    theta = torch.cat(found)
    if not theta.isfinite().all():
        return {}
    accuracy = partial(_accuracy_with, model, split, precision)
    draws = (torch.Generator().manual_seed(k) for k in range(N_PERMUTATIONS))
    permuted = [accuracy(theta[torch.randperm(len(theta), generator=draw)]) for draw in draws]
    return {
        "permuted": sum(permuted) / N_PERMUTATIONS,
        "mean_theta": accuracy(theta.mean(dim=0)),
        "identity": accuracy(transformer.family.identity().to(theta)),
    }


def _accuracy_with(model: STN, split: Split, precision: str, theta: Tensor) -> float:
    """Accuracy where image i is seen with row i of `theta`, or all with the only one."""
    transformer, correct = model.transformer, 0
    size = transformer.output_size or _size(split.images)
    parts = theta.expand(len(split), -1).split(_at_once(theta.device))
    for (images, labels), part in zip(_parts(split), parts, strict=True):
        grid = transformer.family.grid(part, size, align_corners=transformer.align_corners)
        with autocast(images.device, precision):
            logits = model.classifier(transformer.sample(images, grid)).float()
        correct += (logits.argmax(1) == labels).sum().item()
    return correct / len(split)


@torch.inference_mode()
def thetas(model: STN, split: Split, n: int, precision: str = "float32") -> list[list[float]]:
    """θ of the first `n` images of `split`, for pictures of what the transformer does.

    Where θ is bounded and is not finite, there is none to show: an empty list.
    """
    model.eval()
    images = to_float(split.first(n).images)
    try:
        with autocast(device_of(model), precision):
            return model.transformer.localisation(images).float().tolist()
    except NonFiniteError:
        return []
