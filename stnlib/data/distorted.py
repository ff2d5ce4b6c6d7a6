"""Data sets distorted as CIFAR-10-DISTORTED is, and what remains when that is undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from stnlib.data import distort
from stnlib.data.sets import DataSet, Split, combined
from stnlib.sampler import sample_native
from stnlib.transforms import family, invert

__all__ = ["VIEWS", "cropped", "distorted", "in_parts", "turned_further", "undone"]


def distorted(data: DataSet, name: str) -> DataSet:
    """A data set of 32×32 images, each distorted on a 64×64 canvas (`stnlib.data.distort`).

    As in the paper's code: training images anew in every epoch, by the run's seed, the epoch
    and the image's number; those to validate and to test once. Training and validation images
    are flipped with probability 1/2, test images are not. All runs validate on the same
    images, so that they can be compared in pairs.

    Returns
    -------
    DataSet
        Named `name`: `train` keeps the 32×32 images, and `batch` distorts them; the others are
        64×64. All come with the true θ and the image's centre.
    """
    val = in_parts(data.val, lambda part, index: _seen(part, index, "val"))
    test = in_parts(data.test, lambda part, index: _seen(part, index, "test"))
    return DataSet(
        name,
        replace(data.train, renew=lambda part, index, *run: _seen(part, index, "train", *run)),
        val,
        test,
        data.classes,
        f"{data.source}; distorted: on a 64×64 canvas, turned and shifted at random",
        combined(data.fingerprint, val, test),
        {"turned_30": lambda: turned_further(data.test, 30)},
    )


def _seen(part: Split, index: Tensor, *purpose: int | str) -> Split:
    draws = distort.draw(index, *purpose, flip=purpose[0] != "test")
    theta = distort.true_theta(draws)
    images = distort.distort(part.images, draws)
    return Split(images, part.labels, positions=theta[:, [2, 5]], theta=theta)


def turned_further(test: Split, degrees: int) -> Split:
    """Test images distorted with a wider range of angles, up to ±`degrees`.

    The paper's code drew up to ±30 until its last day, and kept test images that it found.
    """
    affine, edge = family("affine"), (distort.CANVAS - distort.SIDE) // 2

    def turned(part: Split, index: Tensor) -> Split:
        draws = distort.draw(index, "test", degrees, flip=False, most=degrees)
        theta = distort.true_theta(draws)
        forth = invert(affine.matrix(theta))[:, :2].flatten(1)
        grid = affine.grid(forth, (distort.CANVAS, distort.CANVAS))
        canvas = F.pad(part.images.float(), (edge,) * 4)
        images = F.grid_sample(canvas, grid, mode="nearest", align_corners=True).to(torch.uint8)
        return Split(images, part.labels, positions=theta[:, [2, 5]], theta=theta)

    return in_parts(test, turned)


def undone(data: DataSet, size: int | None = None) -> DataSet:
    """What a perfect transformer gives of a distorted data set: each image sampled at its θ.

    Bilinear, zeros outside, as in the study's transformers; rounded to whole grey levels. The
    output is the middle of the upright canvas, `size` pixels high and wide, or by default all of
    it; half of the canvas's height and width is the image alone.
    """

    def undo(part: Split) -> Split:
        canvas = part.images.shape[-1]
        out = size or canvas
        zoom = (out - 1) / (canvas - 1)
        true = cast(Tensor, part.theta)  # distorted data have it
        theta = true * true.new_tensor([zoom, zoom, 1, zoom, zoom, 1])
        images = sample_native(part.images.float(), family("affine").grid(theta, (out, out)))
        return Split(images.round_().clamp_(0, 255).to(torch.uint8), part.labels)

    return _viewed(data, undo)


def cropped(data: DataSet, size: int | None = None) -> DataSet:
    """The `size` × `size` pixels in the centre of each canvas, wherever the image is.

    By default half of the canvas's height and width.

    Raises
    ------
    ValueError
        If the canvas is smaller, or the data not distorted.
    """
    canvas = data.size[0]
    out = size or canvas // 2
    if out > canvas:
        raise ValueError(f"size must be at most the canvas's {canvas} pixels, not {out}")
    inner = slice((canvas - out) // 2, (canvas + out) // 2)
    return _viewed(
        data, lambda part: Split(part.images[..., inner, inner].contiguous(), part.labels)
    )


#: how the controls see a distorted data set, by the name of the model
VIEWS: dict[str, Callable[[DataSet, int | None], DataSet]] = {"oracle": undone, "crop": cropped}


def _viewed(data: DataSet, view: Callable[[Split], Split]) -> DataSet:
    renew = data.train.renew
    if renew is None or data.val.theta is None:
        raise ValueError(f"data must be distorted, which {data.name!r} is not")
    train = replace(data.train, renew=lambda *batch: view(renew(*batch)))
    val, test = (in_parts(split, lambda part, _: view(part)) for split in (data.val, data.test))
    return replace(data, train=train, val=val, test=test, probes={})


def in_parts(split: Split, make: Callable[[Split, Tensor], Split]) -> Split:
    """Make a split of another, 500 images and their numbers at a time, for the sake of memory."""
    indices = torch.arange(len(split), device=split.labels.device).split(500)
    parts = [make(split.take(index), index) for index in indices]
    tensors: dict[str, Any] = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in parts[0].tensors()
    }
    return Split(**tensors)
