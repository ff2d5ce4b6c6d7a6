"""The small transformer that trains in the page, here in PyTorch, and what becomes of it.

Digits of 8×8 pixels lie at random places of 16×16. A localisation network of one hidden layer
gives an affine θ, at first the identity; the sampler reads the view; a classifier of one hidden
layer names the digit. ``book/interactive/train.js`` trains the same network in JavaScript.
``tools/small.py`` records the same map of both.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from stnlib.book.stats import Share, tally
from stnlib.data import digits
from stnlib.data.sets import interleaved
from stnlib.diagnostics import (
    black_share,
    corner_spread,
    object_coverage,
    view_corners,
    view_pixels,
)
from stnlib.optim import schedule
from stnlib.records import outcome
from stnlib.sampler import sample_native
from stnlib.transforms import FAMILIES

__all__ = ["CELLS", "SEEDS", "STUDY", "Small", "cells", "in_words", "plan", "table", "train"]

STUDY = "small"
SEEDS = 10
_STEPS, _BATCH, _SIDE, _TRAIN, _VAL = 600, 32, 16, 1497, 300
#: learning rate, the localisation network's factor, share of the steps that warm up
CELLS = tuple(itertools.product((1e-3, 3e-3, 1e-2, 3e-2), (1.0, 0.1), (0.0, 0.1)))


class Small(nn.Module):
    """Several of these networks at once, each with weights of its own, in float64.

    Parameters
    ----------
    seeds : Iterable[int]
        One a network; it draws the weights as Glorot and Bengio (2010) have them.
    """

    def __init__(self, seeds: Iterable[int]):
        super().__init__()
        layers = {
            "look": (_SIDE**2, 32),
            "theta": (32, 6),
            "read": (_SIDE**2, 64),
            "name": (64, 10),
        }
        drawn: dict[str, list[Tensor]] = {name: [] for name in layers}
        for seed in (seeds := list(seeds)):
            generator = torch.Generator().manual_seed(seed)
            for name, (n, m) in layers.items():
                reach = 0 if name == "theta" else (6 / (n + m)) ** 0.5
                uniform = torch.rand(n, m, generator=generator, dtype=torch.float64)
                drawn[name].append((2 * uniform - 1) * reach)
        self.weights = nn.ParameterDict({k: torch.stack(v) for k, v in drawn.items()})
        self.biases = nn.ParameterDict(
            {k: torch.zeros(len(seeds), 1, m).double() for k, (_, m) in layers.items()}
        )
        with torch.no_grad():
            self.biases["theta"] += torch.tensor([1.0, 0, 0, 0, 1, 0])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Look, sample and classify.

        Parameters
        ----------
        images : Tensor
            (networks, n, 16, 16), 0 to 1.

        Returns
        -------
        tuple[Tensor, Tensor, Tensor]
            Scores (networks, n, 10), θ (networks · n, 6) and views (networks · n, 1, 16, 16).
        """
        flat = images.flatten(2)
        theta = self._layer("theta", self._layer("look", flat).relu()).flatten(0, 1)
        grid = FAMILIES["affine"].grid(theta, (_SIDE, _SIDE))
        views = sample_native(images.flatten(0, 1)[:, None], grid)
        hidden = self._layer("read", views.reshape(flat.shape)).relu()
        return self._layer("name", hidden), theta, views

    def _layer(self, name: str, values: Tensor) -> Tensor:
        return torch.baddbmm(self.biases[name], values, self.weights[name])


def _images(generator: torch.Generator, low: int, high: int, n: int) -> tuple[Tensor, Tensor]:
    """n digits of those in [low, high) at random places, (n, 16, 16), and their labels (n,)."""
    pictures, labels = _digits()
    which = torch.randint(low, high, (n,), generator=generator)
    left, top = torch.randint(0, _SIDE - 7, (2, n, 1), generator=generator)
    pixel = torch.arange(64)
    place = _SIDE * (top + pixel // 8) + left + pixel % 8
    images = torch.zeros(n, _SIDE**2).double().scatter_(1, place, pictures[which])
    return images.reshape(n, _SIDE, _SIDE), labels[which]


@lru_cache(maxsize=1)
def _digits() -> tuple[Tensor, Tensor]:
    """The optical digits (1797, 64), 0 to 1, in the page's order, and their labels."""
    pictures, labels = digits.optical()
    order = interleaved(labels)
    return torch.from_numpy(pictures[order]).flatten(1).double() / 16, torch.from_numpy(
        labels[order]
    )


def train(
    rate: float, factor: float, warmup: float, seeds: int = SEEDS, steps: int = _STEPS
) -> list[dict[str, Any]]:
    """Train networks with Adam, each on batches of its own, and judge them.

    Parameters
    ----------
    rate, factor : float
        Learning rate, and the localisation network's over it.
    warmup : float
        Share of the steps in which the rate rises from 0, in [0, 1).
    seeds, steps : int
        Networks, and steps of each, at least 1.

    Returns
    -------
    list[dict[str, Any]]
        A row a seed: `seed`, `outcome` (of `stnlib.records.outcome.in_a_word`), `accuracy` and
        `corner_spread` (pixels) on 300 images.
    """
    network = Small(range(seeds))
    optimizer = torch.optim.Adam(
        [{"params": [kind[name]]} for kind in (network.weights, network.biases) for name in kind]
    )
    slow = [network.weights["look"], network.weights["theta"]]
    slow += [network.biases["look"], network.biases["theta"]]
    own = [torch.Generator().manual_seed(1000 + seed) for seed in range(seeds)]
    for step in range(steps):
        now = rate * schedule("constant", step / steps, warmup)
        for group in optimizer.param_groups:
            group["lr"] = now * (factor if any(group["params"][0] is p for p in slow) else 1)
        batches = [_images(generator, 0, _TRAIN, _BATCH) for generator in own]
        images, labels = (torch.stack(parts) for parts in zip(*batches, strict=True))
        optimizer.zero_grad()
        scores, _, _ = network(images)
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten())
        (seeds * loss).backward()  # each network's own loss is a mean over its batch
        optimizer.step()
    return _judge(network, seeds)


@torch.no_grad()
def _judge(network: Small, seeds: int) -> list[dict[str, Any]]:
    images, labels = _images(torch.Generator().manual_seed(0), _TRAIN, _TRAIN + _VAL, _VAL)
    scores, thetas, views = network(images.expand(seeds, -1, -1, -1))
    rows = []
    for seed, theta in enumerate(thetas.unflatten(0, (seeds, _VAL))):
        grid = FAMILIES["affine"].grid(theta, (_SIDE, _SIDE))
        output = views.unflatten(0, (seeds, _VAL))[seed]
        found = {
            "accuracy": float((scores[seed].argmax(1) == labels).double().mean()),
            "corner_spread": float(corner_spread(view_corners(grid), (_SIDE, _SIDE))),
            "black": float(black_share(output, images[:, None])),
            "object": float(object_coverage(theta, mask=images[:, None]).mean()),
            "side": float(view_pixels(grid, (_SIDE, _SIDE)).median()),
        }
        kept = {name: round(found[name], 4) for name in ("accuracy", "corner_spread")}
        rows.append({"seed": seed, "outcome": _word(**found), **kept})
    return rows


def _word(accuracy: float, corner_spread: float, black: float, object: float, side: float) -> str:
    """What became of it, by the thresholds of the records."""
    if black >= outcome.BLACK:
        return "black"
    if not object >= outcome.SEEN:
        return "shrunken"
    if side < outcome.POINT:
        return "point"
    if corner_spread < outcome.BLIND:
        return "blind"
    if accuracy < outcome.AT_CHANCE:
        return "at chance"
    return "idle" if corner_spread < outcome.IDLE else "looks"


def plan(by: str) -> dict[str, Any]:
    """The map's `what`, of `stnlib.records.observations`.

    Parameters
    ----------
    by : str
        `stnlib` or `page`.
    """
    cells = [list(cell) for cell in CELLS]
    return {"by": by, "cells": cells, "seeds": SEEDS, "steps": _STEPS, "batch": _BATCH}


def table(found: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """All trainings of both maps.

    Parameters
    ----------
    found : Iterable[dict[str, Any]]
        The observations.

    Returns
    -------
    pd.DataFrame
        A row a training, setting by setting: `row` (setting and program in words), `by`, `rate`,
        `factor`, `warmup`, `seed`, `outcome`, `accuracy` and `corner_spread`.
    """
    runs = pd.DataFrame([{"by": one["what"]["by"], **row} for one in found for row in one["rows"]])
    settings = runs[["rate", "factor", "warmup"]].itertuples(index=False)
    words = [in_words(*setting) for setting in settings]
    runs.insert(0, "row", [f"{said}: {by}" for said, by in zip(words, runs["by"], strict=True)])
    order = ["factor", "warmup", "rate", "by", "seed"]
    return runs.sort_values(order, ascending=[False, True, True, False, True])


def in_words(rate: float, factor: float, warmup: float) -> str:
    """A setting in few words.

    Parameters
    ----------
    rate, factor, warmup : float
        As for `train`.

    Returns
    -------
    str
        Such as "0.03, loc. × 0.1, warm-up".
    """
    return f"{rate:g}{f', loc. × {factor:g}' * (factor != 1)}{', warm-up' * (warmup > 0)}"


def cells(runs: pd.DataFrame, word: str) -> dict[tuple[float, ...], dict[str, Share]]:
    """How often an outcome comes, in each cell of the map.

    Parameters
    ----------
    runs : pd.DataFrame
        Of `table`.
    word : str
        The outcome.

    Returns
    -------
    dict[tuple[float, ...], dict[str, Share]]
        (rate, factor, warmup) → `by` → the share with its interval.
    """
    shares: dict[tuple[float, ...], dict[str, Share]] = {cell: {} for cell in CELLS}
    for (*cell, by), group in runs.groupby(["rate", "factor", "warmup", "by"]):
        shares[tuple(cell)][by] = tally(group["outcome"] == word)
    return shares
