"""How far a step can move θ and the features that it is made of, on small and large canvases.

σ and ρ are those of `stnlib.diagnostics.step_bound`. Both are proportional to the localisation
network's rate, so each is given for a rate of 1. They are computed in double precision, so that
every machine rounds them to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import fmean
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from stnlib.book.rescue import DATA, plain
from stnlib.data.catalogue import load
from stnlib.data.sets import DataSet
from stnlib.diagnostics import step_bound
from stnlib.models import STN, LocNet
from stnlib.records.outcome import in_a_word, lost
from stnlib.records.store import Record, of_study
from stnlib.training.config import RunConfig
from stnlib.training.evaluation import to_float
from stnlib.training.loop import make_model

__all__ = ["SIDES", "STUDIES", "at_rate_one", "cases", "of_network", "reach"]

SIDES = (28, 32, 40, 48, 64, 96)  # of a canvas, in pixels
STUDIES = ("cm", "cm-map", "cm-edge", "cm-hidden", "recipe", "c10", "c10-probe")
STUDIES += ("c10d", "c10d-rates", "c10d-probe", "c10d-cures")
_FEATURES = {50: "paper", 100: "x4"}  # how many, and the kind of localisation network
_CHANNELS = (1, 3)
_PACKAGED = {"cm": "digits", "c10": "shapes10", "c10d": "shapes10d"}  # in the data set's place
_SLOWEST = 3e-5  # a localisation network's rate; below, nothing is near an upper edge


def reach() -> dict[str, Any]:
    """What the interactive figure of this name shows: recorded cases, and networks of one's own.

    Returns
    -------
    dict[str, Any]
        `cases`, of `cases`; and `networks`, a list with `side`, `channels`, `features`, and `sigma`
        and `rho` of `of_network`.
    """
    networks = [
        {"side": side, "channels": channels, "features": features}
        | of_network(side, channels, features)
        for side in SIDES
        for channels in _CHANNELS
        for features in _FEATURES
    ]
    return {"cases": cases(), "networks": networks}


def of_network(side: int, channels: int, features: int) -> dict[str, float]:
    """σ and ρ of an untrained localisation network at a rate of 1.

    Parameters
    ----------
    side, channels, features : int
        Of its square images in pixels, 1 or 3, and 50 or 100.

    Returns
    -------
    dict[str, float]
        `sigma` and `rho`, means over five networks, on twenty of the package's drawn shapes that
        are enlarged to the canvas; with one channel, their mean grey.
    """
    images = F.interpolate(_images("c10", 20), (side, side), mode="bilinear", align_corners=True)
    if channels == 1:
        images = images.mean(dim=1, keepdim=True)
    bounds = []
    for seed in range(5):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = LocNet(channels, side, kind=_FEATURES[features])
        bounds.append(step_bound(network.double(), images, 1.0))
    return _rounded(*(fmean(bound[name] for bound in bounds) for name in ("theta", "phi")))


def cases(studies: Sequence[str] = STUDIES) -> list[dict[str, Any]]:
    """Recorded trainings of the paper's network at a constant rate, and where they began.

    Parameters
    ----------
    studies : Sequence[str]
        Their names.

    Returns
    -------
    list[dict[str, Any]]
        Of each training `key`, `data` (CM, C10 or C10D), `rate` and `factor` (the localisation
        network's share), `hidden` (the factor of ρ alone), `outcome`, `lost`, and `sigma` and `rho`
        at its rate.
    """
    found = {record.key: record for study in studies for record in of_study(study)}
    return [_case(record) for record in found.values() if _counts(record)]


def _counts(record: Record) -> bool:
    """Whether nothing but rates, the features' reach and the output's size is changed."""
    config = record.config
    constant = config.schedule == "constant" and not config.warmup
    unchanged = plain(record, "hidden_scale", "output_size", "scale_init")
    return constant and unchanged and config.lr * config.loc_lr_factor >= _SLOWEST


def _case(record: Record) -> dict[str, Any]:
    config = record.config
    rate = config.lr * config.loc_lr_factor
    sigma, rho = at_rate_one(config.data, config.seed, config.hidden_scale)
    return {
        "key": record.key,
        "data": DATA[config.data].partition(",")[0],
        "rate": _significant(config.lr),
        "factor": _significant(config.loc_lr_factor),
        "hidden": config.hidden_scale,
        "outcome": str(in_a_word(record)),
        "lost": lost(record),
        **_rounded(rate * sigma, rate * rho),
    }


@cache
def at_rate_one(data: str, seed: int, hidden_scale: float = 1.0) -> tuple[float, float]:
    """σ and ρ with which a training begins, at a rate of 1.

    Parameters
    ----------
    data : str
        `cm`, `c10` or `c10d`; images that come with the package are in the place of its own.
    seed : int
        Of the weights.
    hidden_scale : float
        Of the configuration.

    Returns
    -------
    tuple[float, float]
        Means over fifty images.
    """
    config = RunConfig(data=_PACKAGED[data], seed=seed, hidden_scale=hidden_scale)
    model = cast(STN, make_model(config, _packaged(data)))
    bound = step_bound(model.transformer.localisation.double(), _images(data, 50), 1.0)
    return bound["theta"], bound["phi"]


@cache
def _packaged(data: str) -> DataSet:
    return load(_PACKAGED[data], n_train=500)


def _images(data: str, count: int) -> Tensor:
    return to_float(_packaged(data).val.images[:count]).double()


def _rounded(sigma: float, rho: float) -> dict[str, float]:
    return {"sigma": _significant(sigma), "rho": _significant(rho)}


def _significant(value: float) -> float:
    return float(f"{value:.3g}")
