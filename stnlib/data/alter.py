"""Data sets with other images: what a network may rest on without anyone having meant it to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from stnlib.data.sets import DataSet, Split

__all__ = ["ALTERATIONS", "altered"]

ALTERATIONS = ("none", "standard", "frame1", "frame2", "inverted")


def altered(data: DataSet, name: str) -> DataSet:
    """The same set with every image changed, those to train on as those to judge by.

    How is what `name` says, one of `ALTERATIONS`: `frame1` and `frame2` draw a black frame of so
    many pixels on each image; `inverted` makes black white; `standard` subtracts each channel's
    mean and divides by its standard deviation, as most tutorials do, so that 0, with which a
    transformer pads, is no longer black. Mean and deviation are of the first 1000 training images
    as a network sees them. Images keep their type, but for `standard`'s, which are float32.
    """
    if name not in ALTERATIONS:
        raise ValueError(f"alter must be one of {', '.join(ALTERATIONS)}, not {name!r}")
    if name == "none":
        return data
    change = _standard(data.train) if name == "standard" else _CHANGES[name]

    def of(split: Split) -> Split:
        return replace(split, images=change(split.images))

    renew = data.train.renew
    if renew is None:
        train = of(data.train)
    else:
        train = replace(data.train, renew=lambda *batch: of(renew(*batch)))
    probes = {probe: lambda make=make: of(make()) for probe, make in data.probes.items()}
    return replace(data, train=train, val=of(data.val), test=of(data.test), probes=probes)


def _framed(images: Tensor, width: int) -> Tensor:
    out = torch.zeros_like(images)
    inner = (..., slice(width, -width), slice(width, -width))
    out[inner] = images[inner]
    return out


def _inverted(images: Tensor) -> Tensor:
    return (255 if images.dtype == torch.uint8 else 1) - images


_CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "frame1": lambda images: _framed(images, 1),
    "frame2": lambda images: _framed(images, 2),
    "inverted": _inverted,
}


def _standard(train: Split) -> Callable[[Tensor], Tensor]:
    first = torch.arange(min(len(train), 1000), device=train.labels.device)
    seen = _copied(train.batch(first, 0, 1).images)
    std, mean = torch.std_mean(seen, dim=(0, 2, 3), correction=0, keepdim=True)
    return lambda images: _copied(images).sub_(mean).div_(std)


def _copied(images: Tensor) -> Tensor:
    """Images as float32, in memory of their own."""
    return images / 255 if images.dtype == torch.uint8 else images.clone()
