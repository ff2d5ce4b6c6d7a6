"""The runs of the study, recorded one by one and read as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from stnlib.book.alarms import Measured, measured
from stnlib.book.stats import Share, tally
from stnlib.book.third_party.images import SIZES, load
from stnlib.book.third_party.networks import NETWORKS, RATES
from stnlib.book.third_party.training import train
from stnlib.records import observations
from stnlib.records.outcome import BLIND
from stnlib.records.provenance import provenance

__all__ = ["EARLIER", "STUDY", "ends", "plan", "record", "runs", "told", "verdicts"]

STUDY = "third-party"
#: the same trainings as the monitor saw them when a step of θ was an entry of its layer, *black* no
#: light at all, and *blind* features that are all zero
EARLIER = "wild"


def plan(data: str, seeds: int = 10, controls: int = 2) -> list[dict[str, Any]]:
    """What to do: every network at each of its rates.

    Parameters
    ----------
    data : str
        Images to train on.
    seeds : int
        Trainings of each.
    controls : int
        Trainings of each at the two higher rates with a transformer that is not trained.

    Returns
    -------
    list[dict[str, Any]]
        Each `what` of `stnlib.records.observations`, seed by seed.
    """
    n_train, _, epochs = SIZES[data]
    return [
        {"network": network, "data": data, "lr": lr, "seed": seed, "frozen": frozen}
        | {"epochs": epochs, "n_train": n_train}
        for seed in range(seeds)
        for network, rates in RATES.items()
        for lr in rates
        for frozen in (False, True)
        if not frozen or (seed < controls and lr > rates[0])
    ]


def record(what: dict[str, Any], folder: Path) -> Path:
    """Do one thing and write the observation, unless it is there already.

    Parameters
    ----------
    what : dict[str, Any]
        Of a `plan`.
    folder : Path
        Of observations.

    Returns
    -------
    Path
        Of this one.
    """
    path = observations.place(folder, STUDY, what)
    if path.exists():
        return path
    images = load(what["data"], NETWORKS[what["network"]].distorted)
    names = ("lr", "seed", "epochs", "frozen")
    rows = train(what["network"], images, **{name: what[name] for name in names})
    origin = provenance(torch.device("cpu"), images.fingerprint)
    return observations.write(folder, STUDY, what, rows, origin)


def runs(found: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """What was done, what the monitor said, what happened, and two verdicts.

    Parameters
    ----------
    found : Iterable[dict[str, Any]]
        Observations of this study.

    Returns
    -------
    pd.DataFrame
        A row a run: the fields of `plan`; those of `train`'s first row; and three more. `monitor`:
        of the bounded networks of EARLIER, 1 where a step was that of the layer before the bound,
        2 where the bound counted by its slope; else nan. `fate`: `died` (black, gone or accuracy
        fallen, for good), `shrunken`, `blind` (at the end, where the run says so) or `alive`.
        `failed`: the first step at which what became of it showed, `blackened` included where it
        died; nan where it is alive or blind.
    """
    table = pd.DataFrame([_monitor(one) | one["what"] | one["rows"][0] for one in found])
    table = table.reindex(columns=[*dict.fromkeys([*table, "onset", "corner_spread"])])
    signs = ["died", "fell", "blackened", "shrank"]
    steps = ["warned", "onset", *signs]
    table[steps] = table[steps].astype(float)
    dead = table[["died", "fell"]].notna().any(axis=1)
    table["failed"] = table[signs].where(dead, table[["shrank"]]).min(axis=1)
    ends = {"died": dead, "shrunken": table["shrank"].notna()}
    ends["blind"] = ~table["frozen"] & (table["corner_spread"].astype(float) < BLIND)
    table["fate"] = np.select(list(ends.values()), list(ends), "alive")
    return table.drop(columns=["kind"]).sort_values(["network", "lr", "frozen", "seed"])


def _monitor(one: dict[str, Any]) -> dict[str, float]:
    marked = one["study"] == EARLIER and NETWORKS[one["what"]["network"]].bounded
    return {"monitor": 1.0 if marked else math.nan}


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """How many runs came to each end, and mean accuracies, the controls' too.

    Parameters
    ----------
    table : pd.DataFrame
        Of `runs`.

    Returns
    -------
    pd.DataFrame
        A row a network and rate.
    """
    cell = ["network", "lr"]
    trained = table[~table["frozen"]]
    counts = trained.groupby([*cell, "fate"], sort=False).size().unstack(fill_value=0)
    accuracy = table.groupby([*cell, "frozen"], sort=False)["accuracy"].mean().unstack()
    return counts.join(accuracy.rename(columns={False: "accuracy", True: "classifier alone"}))


def told(table: pd.DataFrame) -> Measured:
    """How well the monitor warned of those that die, and how often of those that live.

    Parameters
    ----------
    table : pd.DataFrame
        Of `runs` of STUDY; controls do not count.

    Returns
    -------
    Measured
        Lost are those that do not live, at the same rates those of a network at one rate.
    """
    trained, at = table[~table["frozen"]], ("data", "network", "lr")
    kept = trained["fate"] == "alive"
    return measured(trained.assign(warning=trained["warned"], kept=kept, lost=~kept), at)


def verdicts(table: pd.DataFrame) -> dict[str, Share]:
    """How many runs the monitor warned of.

    Parameters
    ----------
    table : pd.DataFrame
        Of `runs`.

    Returns
    -------
    dict[str, Share]
        By what became of them, in words; without what none became.
    """
    trained, controls = table[~table["frozen"]], table[table["frozen"]]
    fate, warned, said = trained["fate"], trained["warned"], trained["warned"].notna()
    lowest = trained["lr"] == trained.groupby(["data", "network"])["lr"].transform("min")
    cases = {
        "fell, and warned before": (trained["fell"].notna(), warned < trained["fell"]),
        "died, and warned before the first sign": (fate == "died", warned < trained["failed"]),
        "shrank, and warned before it": (fate == "shrunken", warned < trained["failed"]),
        "alive, and warned": (fate == "alive", said),
        "alive at the lowest rate, and warned": (lowest & (fate == "alive"), said),
        "controls, and warned": (controls["frozen"], controls["warned"].notna()),
    }
    return {what: tally(such[of]) for what, (of, such) in cases.items() if of.any()}
