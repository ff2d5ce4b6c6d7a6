"""How good the rates are that `stnlib.find_rates` suggests, on networks that it was not made on.

Written down before the finder was fitted or judged. Its constants may be chosen on CELLS_FITTED
alone: the paper's network on CM and on the small digits, Adam, three epochs, where the records of
`cm-map` and `recipe-judged` say what becomes of which rates. CELLS_HELD are seen once, afterwards:
other localisation networks on CM and digits, and the third-party networks on MNIST and
Fashion-MNIST, among them two that are trained by SGD.

In each held cell the suggestion is trained with seeds 0, 1 and 2; so is the plain rule, 0.01 for
the network and 0.3 of it for the localisation network, with a warm-up of 0.05 and a cosine; and
so is the best of a search of ten, which are all pairs of a rate of 0.001, 0.003, 0.01, 0.03 or 0.1
and a factor of 1 or 0.3, on the same schedule, by validation accuracy with seed 0. A transformer
looks if its view differs by half a pixel between images, coverage is at least one half, and fewer
than half of the outputs are black. Predicted:

1. At the suggestion at least 90 % of the trainings look.
2. At the suggestion none is black or out of view at the end.
3. In at least five of the eight cells the mean accuracy at the suggestion is within a point of
   that of the search's best, and in at least one it is not.
4. The finder takes less than a twentieth of the search's steps in every cell.
5. The plain rule looks less often than the suggestion, because networks trained by SGD stay idle.

Recorded so far are the suggestion with two or three seeds a cell and the plain rule with one; the
search is not. Predictions 1 and 2 have failed whatever the rest gives: 11 of 18 look and two are
out of view, all seven failures with SGD. Prediction 4 holds, by how long a test may be.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stnlib.book.stats import Share, tally
from stnlib.book.third_party import images as others
from stnlib.book.third_party.networks import NETWORKS
from stnlib.book.third_party.training import BATCH
from stnlib.data.sets import Split, fingerprint
from stnlib.diagnostics import CollapseMonitor, find_rates
from stnlib.optim import param_groups, schedule
from stnlib.records import observations
from stnlib.records.outcome import HALF_BLACK, IDLE, SEEN
from stnlib.records.provenance import provenance
from stnlib.study.runs import prepare
from stnlib.training.config import RunConfig
from stnlib.training.evaluation import to_float
from stnlib.training.loop import make_model

__all__ = ["CELLS_FITTED", "CELLS_HELD", "STUDY", "plan", "record", "runs", "verdicts"]

STUDY = "finder"
#: data and network; of CM and digits the name of the localisation network
CELLS_FITTED = (("cm", "paper"), ("digits", "paper"))
CELLS_HELD = (
    *(("cm", "x4"), ("digits", "groupnorm")),
    *(("mnist", "tutorial"), ("mnist", "keras"), ("mnist", "tanh"), ("mnist", "tanh-adam")),
    *(("fashion", "tutorial"), ("fashion", "keras")),
)
SEEDS = 3
SEARCHED = tuple(itertools.product((1e-3, 3e-3, 1e-2, 3e-2, 1e-1), (1.0, 0.3)))
PLAIN = (1e-2, 0.3)
WARMUP, LAST = 0.05, 10  # share of the steps; steps at the end by which a transformer is judged


class Setting(NamedTuple):
    """What is trained, from which the first batch of each epoch is as any other."""

    model: nn.Module
    optimizer: Any  # makes one of parameter groups
    train: Split
    val: Split
    batch: int
    epochs: int

    def batches(self, epoch: int) -> list[tuple[Tensor, Tensor]]:
        """Of an epoch, whole ones only; the order is a number's."""
        generator = torch.Generator().manual_seed(epoch)
        order = torch.randperm(len(self.train), generator=generator).split(self.batch)
        taken = (self.train.take(chosen) for chosen in order if len(chosen) == self.batch)
        return [(to_float(one.images), one.labels) for one in taken]

    @property
    def steps(self) -> int:
        return len(self.train) // self.batch * self.epochs


def setting(data: str, network: str, seed: int) -> Setting:
    """The network with the weights that a seed draws, and its images."""
    if network in NETWORKS:
        images = others.load(data, NETWORKS[network].distorted)
        torch.manual_seed(seed)
        model = NETWORKS[network]()
        epochs = others.SIZES[data][2]
        return Setting(model, model.optimizer, images.train, images.val, BATCH, epochs)
    config = RunConfig(data=data, locnet=network, epochs=3, seed=seed)
    sets = prepare(config, torch.device("cpu"))
    model, size = make_model(config, sets), config.batch_size
    return Setting(model, torch.optim.Adam, sets.train, sets.val, size, config.epochs)


def train(to: Setting, lr: float, factor: float, seed: int) -> dict[str, Any]:
    """Train with a warm-up and a cosine, and say what the transformer does at the end.

    Parameters
    ----------
    to : Setting
        Its model is changed in place.
    lr, factor : float
        Rate at its peak, and the localisation network's over it.
    seed : int
        Of the order of images.

    Returns
    -------
    dict[str, Any]
        `accuracy` on the validation images; `coverage`, `black` and `corner_spread`, means over
        the last ten batches.
    """
    groups = param_groups(to.model, lr, factor, batch=to_float(to.train.images[:2]))
    optimizer, done, steps = to.optimizer(groups, lr), 0, to.steps
    monitor = None
    for epoch in range(to.epochs):
        for images, labels in to.batches(1000 * seed + epoch):
            if done == steps - LAST:
                monitor = CollapseMonitor(to.model, optimizer, every=1, check_every=LAST + 1)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * schedule("cosine", done / steps, WARMUP)
            loss = F.cross_entropy(to.model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if monitor:
                monitor.step()
    frame = monitor.to_frame()[["coverage", "black", "corner_spread"]].mean()
    to.model.eval()
    with torch.no_grad():
        hits = to.model(to_float(to.val.images)).argmax(1) == to.val.labels
    accuracy = hits.double().mean().item()
    return {"accuracy": accuracy} | {name: float(f"{x:.4g}") for name, x in frame.items()}


def plan() -> list[dict[str, Any]]:
    """What is decided beforehand: each `what` of an observation, in the order of their weight."""

    def several(by: str, seeds: Iterable[int]) -> list[dict[str, Any]]:
        return [
            {"data": data, "network": network, "by": by, "seed": seed}
            for seed in seeds
            for data, network in reversed(CELLS_HELD)
        ]

    search = [
        what | {"lr": lr, "factor": factor}
        for what in several("search", [0])
        for lr, factor in SEARCHED
    ]
    later = range(1, SEEDS)
    return [
        *several("finder", [0]),
        *several("plain", [0]),
        *several("finder", later),
        *search,
        *several("best", later),
        *several("plain", later),
    ]


def record(what: dict[str, Any], folder: Path) -> Path:
    """Do one thing and write the observation, unless it is there already.

    Parameters
    ----------
    what : dict[str, Any]
        Of a `plan`; that of the `best` needs the search of its cell.
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
    to, row = setting(what["data"], what["network"], what["seed"]), {}
    if what["by"] == "finder":
        row = _found(to, what["seed"])
    else:
        row["lr"], row["factor"] = _decided(what, folder)
    if row["lr"]:
        row |= train(to, row["lr"], row["factor"], what["seed"])
    origin = provenance(torch.device("cpu"), fingerprint(to.train, to.val))
    return observations.write(folder, STUDY, what, [row | {"steps": to.steps}], origin)


def _found(to: Setting, seed: int) -> dict[str, Any]:
    optimizer, batches = to.optimizer(to.model.parameters(), 1e-3), to.batches(1000 * seed)
    rates = find_rates(
        to.model, batches, F.cross_entropy, to.steps, optimizer=optimizer, progress=False
    )
    low, high = rates.window or (None, None)
    return {
        **{"lr": rates.lr, "factor": rates.loc_lr_factor, "loc_lr": rates.loc_lr},
        **{"low": low, "high": high, "travels": rates.travels, "thrown": rates.thrown},
        **{"ended": rates.ended or "", "swept": len(rates.curve["rate"])},
    }


def _decided(what: dict[str, Any], folder: Path) -> tuple[float, float]:
    if what["by"] == "plain":
        return PLAIN
    if what["by"] == "search":
        return what["lr"], what["factor"]
    found = runs(observations.read_all(STUDY, [folder]))
    same = (found["data"] == what["data"]) & (found["network"] == what["network"])
    searched = found[same & (found["by"] == "search")]
    if len(searched) < len(SEARCHED):
        raise ValueError(f"the best of {what['network']} on {what['data']} needs its whole search")
    best = searched.loc[searched["accuracy"].idxmax()]
    return float(best["lr"]), float(best["factor"])


def runs(found: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """All trainings.

    Parameters
    ----------
    found : Iterable[dict[str, Any]]
        Observations of STUDY.

    Returns
    -------
    pd.DataFrame
        A row a training: `data`, `network`, `by`, `seed`, `lr`, `factor`, what `train` gave, and
        `end`: `no window`, `lost` (black or out of view), `idle` or `looks`.
    """
    table = pd.DataFrame([one["what"] | one["rows"][0] for one in found])
    return table.assign(end=[_end(row) for row in table.to_dict("records")])


def _end(row: dict[str, Any]) -> str:
    if pd.isna(row["lr"]):
        return "no window"
    if not (row["coverage"] >= SEEN and row["black"] < HALF_BLACK):
        return "lost"
    return "looks" if row["corner_spread"] >= IDLE else "idle"


def verdicts(table: pd.DataFrame) -> dict[str, Share | bool | None]:
    """What became of the five predictions, as far as it is recorded.

    Parameters
    ----------
    table : pd.DataFrame
        Of `runs`.

    Returns
    -------
    dict[str, Share | bool | None]
        By the prediction in a word. Shares of trainings that look at the suggestion, and by the
        plain rule, and that are lost at the suggestion; of cells within a point of the search's
        best, which count once both have all seeds; and whether in all cells the test takes less
        than a twentieth of the search's steps. None where nothing is recorded yet.
    """
    ours, plain = (table[table["by"] == by] for by in ("finder", "plain"))
    behind = _behind(table)
    cost = ours["swept"] / (len(SEARCHED) * ours["steps"]) if len(ours) else pd.Series(dtype=float)
    return {
        "looks": tally(ours["end"] == "looks") if len(ours) else None,
        "lost": tally(ours["end"] == "lost") if len(ours) else None,
        "plain looks": tally(plain["end"] == "looks") if len(plain) else None,
        "within a point": tally(behind <= 0.01) if len(behind) else None,
        "below a twentieth": bool((cost < 0.05).all()) if len(cost) else None,
    }


def _behind(table: pd.DataFrame) -> pd.Series:
    """By how much the suggestion's mean accuracy is below the search's best, cell by cell."""
    cell = ["data", "network"]
    searched = table[table["by"] == "search"]
    best = searched.groupby(cell).filter(lambda one: len(one) == len(SEARCHED))
    best = best.sort_values("accuracy").groupby(cell).tail(1).assign(by="best")
    both = pd.concat([table[table["by"].isin(["finder", "best"])], best])
    both = both.fillna({"accuracy": 0.0})  # without a window nothing was trained
    means = both.groupby([*cell, "by"])["accuracy"].agg(["mean", "size"]).unstack("by")
    if not {"finder", "best"} <= {*means.get("mean", ())}:
        return pd.Series(dtype=float)
    whole = means[(means["size"][["finder", "best"]] == SEEDS).all(axis=1)]["mean"]
    return whole["best"] - whole["finder"]
