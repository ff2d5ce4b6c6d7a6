"""What a transformer wins: scattered digits, and photographs on fewer pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from stnlib.book.stats import Interval, paired_difference, summarize
from stnlib.data import digits
from stnlib.data.scattered import poses, warp
from stnlib.models import SpatialTransformer
from stnlib.records import tables
from stnlib.records.outcome import in_a_word
from stnlib.records.store import Record, of_study
from stnlib.records.weights import kept, transformer
from stnlib.training.config import RunConfig

__all__ = [
    "compared",
    "outputs",
    "scattered",
    "seconds",
    "undistorted",
    "views",
    "when_it_pays",
    "won",
]

_SIDE = 28  # of an MNIST digit
_NETWORKS = {"stn": "transformer", "crop": "crop", "oracle": "θ undone", "baseline": "all"}


def scattered() -> pd.DataFrame:
    """The trainings on scattered digits.

    Returns
    -------
    pd.DataFrame
        Of `stnlib.records.tables.table`, with `undone_shift` (mean of both directions),
        `undone_scale` and `undone_rotation` on test images.
    """
    runs = tables.table(of_study("scattered"))
    runs["undone_shift"] = runs[["test_undone_tx", "test_undone_ty"]].mean(axis=1)
    parts = ("scale", "rotation")
    return runs.rename(columns={f"test_undone_{part}": f"undone_{part}" for part in parts})


def won(runs: pd.DataFrame, strength: float) -> tuple[Interval, Interval]:
    """What there is to win at a strength, and what the transformer wins of it.

    Parameters
    ----------
    runs : pd.DataFrame
        Of `scattered`.
    strength : float
        One of theirs.

    Returns
    -------
    tuple[Interval, Interval]
        The oracle, and the transformer, minus the network without one, in test accuracy and in
        pairs of one seed.
    """
    made = runs[runs["distortion"] == strength]
    by_seed = made.pivot(index="seed", columns="model", values="test_accuracy").dropna()
    oracle, stn = (paired_difference(by_seed[m], by_seed["baseline"]) for m in ("oracle", "stn"))
    return oracle, stn


def when_it_pays() -> dict[str, Any]:
    """What the interactive figure of this name shows: trainings, digits, and the views of them.

    Returns
    -------
    dict[str, Any]
        `trainings`, of `scattered`, each with its `strength`, `network`, test `accuracy` and, of a
        transformer, `undone`: the shares of shift, size and rotation, null where there are none;
        `digits`, ten of MNIST, one a class, flat, 0 to 255; and `strengths`, each with the `key`
        of the transformer trained at it that has kept its weights and the lowest seed, and for each
        digit the true θ, `truth`, and the θ that this transformer returns, `theta`. A digit is
        turned, shrunk and moved in the same direction at every strength.
    """
    runs = scattered()
    numbers = torch.arange(10) * 500 + 250  # 500 of each class
    images = torch.tensor(digits.embedded()[0])[numbers, None]
    strengths = []
    for strength in sorted(set(runs["distortion"])):
        config = _trained("scattered", distortion=strength)
        truth = poses(numbers, strength, _SIDE, "shown")
        theta = _theta(config, warp(images, truth).double() / 255)
        shown = {"truth": _rounded(truth), "theta": _rounded(theta)}
        strengths.append({"strength": strength, "key": config.key} | shown)
    return {
        "digits": images.flatten(1).tolist(),
        "strengths": strengths,
        "trainings": [_shown(run) for run in runs.to_dict("records")],
    }


def _shown(run: Mapping[str, Any]) -> dict[str, Any]:
    undone = [run[f"undone_{part}"] for part in ("shift", "scale", "rotation")]
    return {
        "key": run["key"],
        "strength": run["distortion"],
        "network": run["model"],
        "seed": run["seed"],
        "accuracy": round(run["test_accuracy"], 4),
        "undone": None if any(map(math.isnan, undone)) else [round(part, 4) for part in undone],
    }


@torch.no_grad()
def _theta(config: RunConfig, canvases: Tensor) -> Tensor:
    """θ in double precision, so that every machine rounds it to the same."""
    localisation = transformer(config, *canvases.shape[1:3]).localisation
    return localisation.double()(canvases)


def _rounded(theta: Tensor) -> list[list[float]]:
    return [[round(entry, 4) + 0.0 for entry in row] for row in theta.tolist()]


def views(canvases: Tensor) -> Tensor:
    """What the trained 32 × 32 transformer of C10D hands on.

    Parameters
    ----------
    canvases : Tensor
        (N, 3, 64, 64), float32 in [0, 1].

    Returns
    -------
    Tensor
        (N, 3, 32, 32), of the training with the lowest seed.
    """
    return _view(_trained("c10d-recipe", output_size=32), canvases)


def _trained(study: str, **fields: object) -> RunConfig:
    made = [r.config for r in of_study(study) if r.config.has_transformer]
    made = [c for c in made if all(getattr(c, name) == v for name, v in fields.items())]
    return min((c for c in made if kept(c)), key=lambda config: config.seed)


@torch.no_grad()
def _view(config: RunConfig, canvases: Tensor) -> Tensor:
    network: SpatialTransformer = transformer(config, *canvases.shape[1:3])
    return network.eval()(canvases).clamp(0, 1)


def outputs() -> pd.DataFrame:
    """The networks on C10D that are given fewer pixels, and those that are given all.

    Returns
    -------
    pd.DataFrame
        A row a run: `row` (pixels, and by what they are chosen), `pixels` (the side of what the
        classifier sees), `seed`, `outcome`, `accuracy` (on validation images) and `test`; the
        fewest pixels first.
    """
    rows = []
    for record in of_study("c10d-recipe"):
        config = record.config
        side = config.output_size or (32 if config.model == "crop" else 64)
        chosen = _NETWORKS[config.model]
        if chosen == "transformer" and side == 64:
            chosen = "blind transformer" if in_a_word(record) == "blind" else chosen
        row = {"row": f"{side}×{side}, {chosen}", "pixels": side, "seed": config.seed}
        rows.append(row | _ends(record))
    order = ["pixels", "row", "seed"]
    return pd.DataFrame(rows).sort_values(order, ignore_index=True)


def undistorted() -> pd.DataFrame:
    """The networks on C10, where there is nothing to undo, with the correct sampler or none.

    Returns
    -------
    pd.DataFrame
        A row a run: `row` (rates and network), `seed`, `outcome`, `accuracy` and `test`.
    """
    rows = []
    for record in of_study("c10") + of_study("c10-recipe"):
        config = record.config
        if config.sampler == "bilinear":
            rates = "constant" if config.schedule == "constant" else "the recipe"
            network = "transformer" if config.has_transformer else "none"
            rows.append({"row": f"{rates}, {network}", "seed": config.seed} | _ends(record))
    return pd.DataFrame(rows).sort_values(["row", "seed"], ignore_index=True)


def _ends(record: Record) -> dict[str, object]:
    accuracies = {"accuracy": record.last["val_accuracy"], "test": record.result["test_accuracy"]}
    return {"outcome": in_a_word(record)} | accuracies


def compared(runs: pd.DataFrame, one: str, other: str, column: str = "accuracy") -> Interval:
    """How much more accurate one group of runs is than another, in pairs of one seed.

    Parameters
    ----------
    runs : pd.DataFrame
        With `row`, `seed` and the column.
    one, other : str
        Values of `row`; the second is subtracted.
    column : str
        What is compared.

    Returns
    -------
    Interval
        Over the seeds that both have.
    """
    by_seed = runs.pivot(index="seed", columns="row", values=column)[[one, other]].dropna()
    return paired_difference(by_seed[one], by_seed[other])


def seconds() -> dict[tuple[str, str], float]:
    """How long an epoch of C10D took, with and without a transformer that hands on fewer pixels.

    Returns
    -------
    dict[tuple[str, str], float]
        Seconds, the median of epochs and trainings, by kind of machine ("processor", "GPU") and
        network ("all pixels", "transformer, a quarter").
    """
    found: dict[tuple[str, str], list[float]] = {}
    for record in of_study("c10d-recipe") + of_study("c10d"):
        config, device = record.config, record.provenance["device"]
        kind = "processor" if device.startswith("cpu, AMD") else "GPU"
        small = config.has_transformer and config.output_size
        name = "transformer, a quarter" if small else "all pixels"
        if (small or config.model == "baseline") and not device.startswith("cpu, Intel"):
            took = median(row["seconds"] for row in record.history)
            found.setdefault((kind, name), []).append(took)
    return {key: summarize(values).mean for key, values in found.items()}
