"""Digits that have moved, and small networks that were never told: for the theory pages."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stnlib.data import cluttered, digits
from stnlib.data.sets import DataSet, Split
from stnlib.sampler import sample_native
from stnlib.training.config import RunConfig
from stnlib.training.evaluation import to_float
from stnlib.training.fit import fit
from stnlib.training.loop import make_model
from stnlib.transforms import family

__all__ = ["accuracy", "moved", "plain_digits", "trained"]

SIDE = 40  # pixels of an image


def plain_digits(placement: str, n_train: int) -> DataSet:
    """Digits on a black ground of 40×40 pixels, without clutter.

    Parameters
    ----------
    placement : str
        `centre`, or `uniform`: up to 6 pixels from there in x and in y.
    n_train : int
        Images to train on; 250 more validate and 250 test.

    Returns
    -------
    DataSet
        Made of the embedded MNIST digits.
    """
    options = {"placement": placement, "patches": 0, "sizes": (n_train, 250, 250)}
    return cluttered.dataset(*digits.embedded(), name=placement, source="MNIST", **options)


def trained(data: DataSet, seed: int, epochs: int) -> nn.Module:
    """The paper's network for Cluttered MNIST without a transformer, after its training.

    Parameters
    ----------
    data : DataSet
        What it sees.
    seed, epochs : int
        Of its weights and batches; how often it sees all of it.

    Returns
    -------
    nn.Module
        Ready to be asked.
    """
    n_train = len(data.train)
    config = RunConfig(data="digits", model="baseline", batch_size=40, lr=2e-3, schedule="cosine",
                       seed=seed, n_train=n_train, epochs=epochs)  # fmt: skip
    network = make_model(config, data)
    network.to(memory_format=torch.channels_last)  # the same numbers, sooner
    fit(network, data, config, progress=False)
    return network.eval()


def moved(images: Tensor, right: float = 0.0, turn: float = 0.0, zoom: float = 1.0) -> Tensor:
    """What the images show, shifted, turned and magnified.

    Parameters
    ----------
    images : Tensor
        (N, 1, 40, 40).
    right, turn, zoom : float
        Pixels; degrees, clockwise; a factor.

    Returns
    -------
    Tensor
        (N, 1, 40, 40).
    """
    cos = math.cos(math.radians(turn)) / zoom
    sin = math.sin(math.radians(turn)) / zoom
    theta = torch.tensor([cos, sin, -2 * right / (SIDE - 1), -sin, cos, 0.0])
    grid = family("affine").grid(theta.expand(len(images), 6), (SIDE, SIDE))
    return sample_native(images, grid)


@torch.inference_mode()
def accuracy(network: nn.Module, split: Split, **move: float) -> float:
    """Share of the images that a network names right after they have moved.

    Parameters
    ----------
    network : nn.Module
        Images to scores.
    split : Split
        Images and their classes.
    **move : float
        As `moved` takes it.

    Returns
    -------
    float
        In [0, 1].
    """
    images = moved(to_float(split.images), **move)
    return (network(images).argmax(1) == split.labels).float().mean().item()
