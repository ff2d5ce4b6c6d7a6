"""The runs of the study, recorded one by one and read as a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from stnlib import observations
from stnlib.provenance import provenance
from stnlib.wild.images import SIZES, load
from stnlib.wild.networks import NETWORKS, RATES
from stnlib.wild.training import train

__all__ = ["STUDY", "plan", "record", "runs"]

STUDY = "wild"


def plan(data: str, seeds: int = 5, controls: int = 2) -> list[dict[str, Any]]:
    """What to do, as `what` of `stnlib.observations`, seed by seed.

    Every network at each of its rates; at the two higher ones, with the first `controls` seeds,
    also with a transformer that is not trained.
    """
    n_train, _, epochs = SIZES[data]
    cases = [
        (seed, network, lr, frozen)
        for seed in range(seeds)
        for network, rates in RATES.items()
        for lr in rates
        for frozen in (False, True)
        if not frozen or (seed < controls and lr > rates[0])
    ]
    return [
        {"network": network, "data": data, "lr": lr, "seed": seed, "frozen": frozen}
        | {"epochs": epochs, "n_train": n_train}
        for seed, network, lr, frozen in cases
    ]


def record(what: dict[str, Any], folder: Path) -> Path:
    """Do one thing of a `plan` and write the observation, unless it is there already."""
    path = observations.place(folder, STUDY, what)
    if path.exists():
        return path
    images = load(what["data"], NETWORKS[what["network"]].distorted)
    names = ("lr", "seed", "epochs", "frozen")
    rows = train(what["network"], images, **{name: what[name] for name in names})
    origin = provenance(torch.device("cpu"), images.fingerprint)
    return observations.write(folder, STUDY, what, rows, origin)


def runs(found: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """A row a run: what was done, what the monitor said, what happened, and two verdicts.

    Parameters
    ----------
    found : observations of this study.

    Returns
    -------
    The fields of `plan`, those of `train`'s first row, and two more. `fate`: `died` (black, gone
    or accuracy fallen, for good), `shrunken` or `alive`; `failed`: the first step at which what
    became of it showed, `blackened` included where it died; nan where it is alive.
    """
    table = pd.DataFrame([one["what"] | one["rows"][0] for one in found])
    steps = ["warned", "died", "fell", "blackened", "shrank"]
    table[steps] = table[steps].astype(float)
    dead = table[["died", "fell"]].notna().any(axis=1)
    table["failed"] = table[steps[1:]].where(dead, table[["shrank"]]).min(axis=1)
    table["fate"] = np.select([dead, table["shrank"].notna()], ["died", "shrunken"], "alive")
    return table.drop(columns=["kind"]).sort_values(["network", "lr", "frozen", "seed"])
