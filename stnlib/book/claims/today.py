"""Transformers before today's classifiers: the six predictions of `today.toml`."""

from __future__ import annotations

from typing import Any

from stnlib.book.claims.cells import Found, counted, on_cells, undone
from stnlib.book.claims.facts import runs, validation
from stnlib.book.claims.findings import Verdict
from stnlib.book.claims.recipe import OUT_OF_VIEW
from stnlib.records.store import Record

__all__ = [
    "alone",
    "canonical_gains_less",
    "looks_with_the_slower_rate",
    "pays_before_the_vision_transformer",
    "sooner_before_the_vision_transformer",
    "what_undoing_gains",
]

STUDY, BESIDE = "today", "c10d-window"
NETS = ("resnet", "vit")
KINDS: dict[str, dict[str, Any]] = {
    "alone": {"model": "baseline"},
    "undone": {"model": "oracle"},
    "slower": {"model": "stn", "loc_lr_factor": 0.3},
    "one rate": {"model": "stn", "loc_lr_factor": 1.0, "locnet": "paper"},
    "canonical": {"model": "stn", "locnet": "canonical"},
}


def _cells(*kinds: str) -> dict[tuple[str, str], list[Record]]:
    return {
        (net, kind): runs(STUDY, architecture=net, **KINDS[kind]) for net in NETS for kind in kinds
    }


def _paper(model: str) -> list[Record]:
    """The paper's classifier on the same data, with the same batches, rate and schedule."""
    fields = {"lr": 1e-3, "schedule": "cosine", "warmup": 0.05, "epochs": 6}
    return runs(BESIDE, model=model, architecture="paper", **fields)


def _gain(some: list[Record], base: list[Record]) -> float:
    """By how much some are ahead in validation, in the mean of pairs by seed."""
    return float((validation(some) - validation(base)).dropna().mean())


def _gains(kind: str) -> Found:
    cells = _cells("alone", kind)
    return {net: _gain(cells[net, kind], cells[net, "alone"]) for net in NETS}


def alone() -> Verdict:
    """The ResNet is 0.05 or more ahead of the paper's classifier, the other 0.05 or more worse."""
    cells = _cells("alone")
    return on_cells(
        {**cells, "paper": _paper("baseline")},
        lambda: {net: _gain(cells[net, "alone"], _paper("baseline")) for net in NETS},
        lambda found: found["resnet"] >= 0.05 and found["vit"] <= -0.05,
    )


def looks_with_the_slower_rate() -> Verdict:
    """At × 0.3 all look; at one rate one before the ResNet is out of view, and nothing else."""
    slower, canonical = _cells("slower"), _cells("canonical")
    even = _cells("one rate")
    risky = {key: cell for key, cell in even.items() if key[0] == "resnet"}
    others = slower | canonical | {key: cell for key, cell in even.items() if key[0] == "vit"}
    return on_cells(
        even | slower | canonical,
        lambda: {
            "do not look at × 0.3:": sum(map(len, slower.values())) - counted(slower, "looks"),
            "out of view at one rate before the ResNet:": counted(risky, *OUT_OF_VIEW),
            "out of view elsewhere:": counted(others, *OUT_OF_VIEW),
        },
        lambda found: [value > 0 for value in found.values()] == [False, True, False],
    )


def pays_before_the_vision_transformer() -> Verdict:
    """At × 0.3 it gains 0.02 or more before the vision transformer, and less before the ResNet."""
    return on_cells(
        _cells("alone", "slower"),
        lambda: _gains("slower"),
        lambda found: found["vit"] >= 0.02 > found["resnet"],
    )


def sooner_before_the_vision_transformer() -> Verdict:
    """There each is an epoch ahead of where the network alone ends; before the ResNet one is."""
    cells = _cells("alone", "slower")

    def sooner() -> Found:
        return {net: _sooner(cells[net, "slower"], cells[net, "alone"]) for net in NETS}

    return on_cells(
        cells,
        sooner,
        lambda found: found["vit"] == len(cells["vit", "slower"]) and found["resnet"] <= 1,
    )


def _sooner(some: list[Record], base: list[Record]) -> int:
    """How many reach, before their last epoch, the accuracy at which the same seed ends alone."""
    ends = validation(base)
    return sum(
        any(row["val_accuracy"] >= ends[record.seed] for row in record.history[:-1])
        for record in some
        if record.seed in ends
    )


def what_undoing_gains() -> Verdict:
    """The true θ brings the ResNet less than half of what it brings the paper's, the other more."""
    cells = {**_cells("alone", "undone"), "paper": _paper("baseline"), "oracle": _paper("oracle")}
    return on_cells(
        cells,
        lambda: {"paper": _gain(_paper("oracle"), _paper("baseline"))} | dict(_gains("undone")),
        lambda found: found["resnet"] < found["paper"] / 2 and found["vit"] > found["paper"],
    )


def canonical_gains_less() -> Verdict:
    """The canonicaliser looks, undoes less than a tenth of the rotation, and gains less."""
    cells = _cells("canonical")

    def find() -> Found:
        every = [record for cell in cells.values() for record in cell]
        mine, its = _gains("canonical"), _gains("slower")
        return {
            "do not look:": len(every) - counted(cells, "looks"),
            "most undone": max(undone([record], "rotation") for record in every),
            "most ahead": max(mine[net] - its[net] for net in NETS),
        }

    return on_cells(
        _cells("alone", "slower", "canonical"),
        find,
        lambda f: not f["do not look:"] and f["most undone"] < 0.1 and f["most ahead"] < 0,
    )
