"""Where remedies were tried: runs of one data set at one rate, with and without, in groups."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from stnlib.book import remedies
from stnlib.records.store import Record, of_study
from stnlib.training.config import RunConfig

__all__ = ["Comparison", "comparisons", "judged"]

_NAMES = {"cm": "Cluttered MNIST", "digits": "Digits", "shapes10": "Shapes"}
_ONE_CHANGE = ("cm-cures", "cm-claims", "cm-map")
_LATER = ("cm-factorial", "cm-blind", "cm-sight", "cm-others")
_CLIPPED = ("recipe", "c10-probe", "c10", "c10-recipe")
_CLIPPED += ("c10d-probe", "c10d-cures", "c10d", "c10d-recipe")


class Comparison(NamedTuple):
    """Runs that differ in their remedy alone.

    Parameters
    ----------
    data : str
        For people.
    lr : float
        Their learning rate.
    sampler : str
        Of those without a remedy: correct or clipped.
    runs : pd.DataFrame
        Of `stnlib.book.remedies.table`, with a transformer, those without a remedy among them.
    """

    data: str
    lr: float
    sampler: str
    runs: pd.DataFrame


def comparisons() -> list[Comparison]:
    """All that the book has.

    Returns
    -------
    list[Comparison]
        On Cluttered MNIST one change each, as `stnlib.book.screening.screened` has it, but without
        localisation networks that learn faster than the classifier; then what was tried later;
        then what was changed where the sampler was the clipped one. Each has a remedy at least.
    """
    return [*_one_change(), *_later_changes(), *_with_the_clipped_sampler()]


def _one_change() -> list[Comparison]:
    records = [record for study in _ONE_CHANGE for record in of_study(study)]
    slow = [r for r in records if r.config.has_transformer and r.config.loc_lr_factor <= 1]
    by_rate = remedies.table(slow).groupby("lr")
    found = [Comparison(_NAMES["cm"], lr, "correct", runs) for lr, runs in by_rate]
    return [one for one in found if one.runs["id"].nunique() > 1]


def _later_changes() -> list[Comparison]:
    """What `_one_change` has not, against its runs without a remedy where it has such."""
    single = {one.lr: one.runs for one in _one_change()}
    runs = remedies.table(record for study in _LATER for record in of_study(study))
    found = []
    for lr, part in runs[runs["transformer"]].groupby("lr"):
        if lr in single:
            alone = single[lr]
            new = part[~part["id"].isin(alone["id"])]
            part = pd.concat([new, alone[alone["id"] == "none"]])
        found.append(Comparison(_NAMES["cm"], lr, "correct", part))
    return found


def _with_the_clipped_sampler() -> list[Comparison]:
    records = {r.key: r for study in _CLIPPED for r in of_study(study) if r.config.has_transformer}
    places: dict[tuple, list[Record]] = {}
    for record in records.values():
        config = record.config
        place = (config.data, config.n_train, config.output_size, config.scale_init)
        places.setdefault((*place, config.epochs, config.lr), []).append(record)
    found = []
    for some in places.values():
        names = [_beside_the_clipped(record.config) for record in some]
        columns = pd.DataFrame(names, columns=["kind", "id", "remedy"])
        runs = remedies.table(some).assign(**{name: columns[name] for name in columns})
        if "none" in set(runs["id"]) and runs["id"].nunique() > 1:
            config = some[0].config
            found.append(Comparison(_name(config), config.lr, "clipped", runs))
    return sorted(found, key=lambda one: (one.data, one.lr))


def _beside_the_clipped(config: RunConfig) -> remedies.Remedy:
    """A configuration's remedy, where the clipped sampler is none and the correct one is."""
    kind, id_, label = remedies.named(remedies.in_usual_setting(config))
    if config.sampler == "clipped":
        return remedies.Remedy(kind, id_, label)
    if id_ == "none":
        return remedies.Remedy("transformer", "sampler_bilinear", "correct sampler")
    return remedies.Remedy(kind, f"sampler_bilinear + {id_}", f"correct sampler, {label}")


def _name(config: RunConfig) -> str:
    if config.data == "c10":
        return f"C10, {config.epochs} epochs"
    if config.data == "c10d":
        return "C10D probe" if config.output_size else "C10D"
    return _NAMES[config.data]


def judged(verdict: pd.Series, without: int) -> str:
    """What a comparison says of a remedy, in the chapter's words.

    Parameters
    ----------
    verdict : pd.Series
        A row of `stnlib.book.remedies.verdicts`.
    without : int
        How many are lost without a remedy.

    Returns
    -------
    str
        "helps" where fewer are lost after the correction; "passes alone" where that is so before it
        only; "loses more" where more are, after the correction; "nothing to prevent" where none is
        lost with it or without; else "not shown to help".
    """
    sure = verdict["holm"] < 0.05
    if verdict["helps"]:
        return "helps" if sure else "passes alone"
    if verdict["difference"] > 0 and sure:
        return "loses more"
    if without == 0 and verdict["lost"].k == 0:
        return "nothing to prevent"
    return "not shown to help"
