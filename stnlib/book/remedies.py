"""Remedies: what a training changes against the collapse, by name, and how often it helps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from stnlib.book.stats import Contrast, Share, holm, share_contrast, share_difference, tally
from stnlib.records.outcome import LIVING, in_a_word, lost
from stnlib.records.store import Record
from stnlib.training.config import RunConfig, defaults

__all__ = [
    "KINDS",
    "RECIPE",
    "Remedy",
    "effects",
    "has",
    "lost_without",
    "named",
    "table",
    "verdicts",
]

# The recipe that the chapter on remedies tests: it says what each part is for, at which rates it
# helped, and where it did not. One twentieth of the steps is an epoch of twenty.
RECIPE: Mapping[str, Any] = {"loc_lr_factor": 0.1, "schedule": "cosine", "warmup": 0.05}

# What a field of the configuration changes: the kind, and an id and the words for its value.
_WORDS: dict[str, tuple[str, str, str | dict[Any, str]]] = {
    "loc_lr_factor": ("rate", "loc_lr_x{:g}", "locnet's rate × {:g}"),
    "loc_beta2": ("rate", "loc_beta2_{:g}", "locnet's β₂ {:g}"),
    "loc_clip": ("rate", "loc_clipped", "locnet's gradient clipped"),
    "optimizer": ("rate", "{}", {"keras_adam": "Keras's Adam", "adamw": "AdamW"}),
    "warmup": ("schedule", "warmup", "warm-up"),
    "schedule": (
        "schedule",
        "{}",
        {"step": "step decay", "onecycle": "one cycle", "plateau": "less on a plateau"},
    ),
    "locnet": (
        "localisation network",
        "locnet_{}",
        {
            "x4": "4 × the parameters",
            "x16": "16 × the parameters",
            "relu": "ReLU after convolutions",
            "groupnorm": "group normalisation",
            "deep": "deeper",
            "shared": "first layers shared",
            "bounded": "φ bounded by tanh",
            "normalised": "φ normalised",
        },
    ),
    "theta_init": (
        "localisation network",
        "init_{}",
        {"small_random": "small random weights", "glorot": "Glorot's weights, no identity"},
    ),
    "hidden_scale": ("localisation network", "hidden_x{:g}", "hidden layer's input × {:g}"),
    "scale_init": ("transformer", "init_scale_{:g}", "begins at scale {:g}"),
    "bound": ("transformer", "bound_{:g}", "θ within {:g} of the identity"),
    "transform": (
        "transformer",
        "{}",
        {"attention": "scale and shift only", "similarity": "no shear, one scale"},
    ),
    "padding": ("transformer", "padding_{}", "{} padding"),
    "sampler": ("transformer", "sampler_{}", "{} sampler"),
    "output_size": ("transformer", "output_{}", "output of {}²"),
    "outside_penalty": ("watching", "penalty_outside", "penalty on leaving"),
    "recovery": (
        "watching",
        "{}",
        {"rollback": "rolled back when black", "reset": "reset when black"},
    ),
    "alter": ("data and numbers", "{}", {"standard": "images normalised"}),
    "shuffle": ("data and numbers", "unshuffled", "not shuffled"),
    "batch_size": ("data and numbers", "batch_{}", "batches of {}"),
    "precision": ("data and numbers", "bfloat16", "bfloat16"),
}
KINDS = tuple(dict.fromkeys(kind for kind, *_ in _WORDS.values()))


class Remedy(NamedTuple):
    """What a configuration has that may be a remedy: a kind, and an id and a label for its parts.

    The id is what code selects by; the label is for people.
    """

    kind: str
    id: str
    label: str


def named(config: RunConfig) -> Remedy:
    """The remedy of a configuration; of no kind, "none" and "nothing" where it has none.

    One of several parts has the kind of its first, all their ids, joined by " + ", and all their
    labels. What is none (the rate of everything, the data, the seed) is left out.
    """
    changed = config.changed()
    parts = []
    for field, (kind, id_, words) in _WORDS.items():
        if field in changed:
            value = changed[field]
            said = words.get(value, value) if isinstance(words, dict) else words.format(value)
            parts.append((kind, id_.format(value), str(said)))
    if not parts:
        return Remedy("", "none", "nothing")
    kinds, ids, labels = zip(*parts, strict=True)
    return Remedy(kinds[0], " + ".join(ids), ", ".join(labels))


def has(runs: pd.DataFrame, part: str) -> pd.Series:
    """Which runs of `table` have a remedy, by its id, alone or beside others."""
    return runs["id"].map(lambda ids: part in ids.split(" + "))


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Records by remedy: one row a run.

    Returns
    -------
    Columns: `kind`, `id` and `remedy` (the label; see `named`), `transformer` (whether it has one),
    `lr`, `data`, `seed`, `outcome` and `lost` (see `stnlib.records.outcome`: `in_a_word` and
    `lost`), and `val_accuracy` after the last epoch.
    """
    rows = []
    for record in records:
        config = record.config
        kind, id_, label = named(config)
        row = {"kind": kind, "id": id_, "remedy": label, "transformer": config.has_transformer}
        row |= {"lr": config.lr, "data": config.data, "seed": config.seed}
        row |= {"outcome": in_a_word(record), "lost": lost(record)}
        row |= {"val_accuracy": record.last["val_accuracy"]}
        rows.append(row)
    return pd.DataFrame(rows)


def verdicts(runs: pd.DataFrame) -> pd.DataFrame:
    """What each remedy does to the share of lost runs, against no remedy.

    Parameters
    ----------
    runs : of `table`, networks with a transformer only.

    Returns
    -------
    A row a remedy, by its id, the best first: `kind`, `remedy` (the label), `lost` (a `Share`),
    `difference`, `low` and `high` (Newcombe's 95 % interval), `p` (Fisher's exact test, two-sided,
    of this remedy alone), `holm` (that p corrected for the number of remedies), `helps` (fewer are
    lost, and `p` is below 0.05), `accuracy` (mean of the runs that learn and whose transformer is
    not lost, nan for none).
    """
    shares = {name: tally(part["lost"]) for name, part in runs.groupby("id")}
    living = runs[runs["outcome"].isin(LIVING)].groupby("id")["val_accuracy"].mean()
    rows = {}
    for (label, name), part in runs.groupby(["remedy", "id"]):
        difference, low, high = share_difference(shares[name], shares["none"])
        row = {"kind": part["kind"].iloc[0], "remedy": label}
        row |= {"lost": shares[name], "difference": difference}
        p = _fisher(shares[name], shares["none"])
        rows[name] = row | {"low": low, "high": high, "p": p, "helps": difference < 0 and p < 0.05}
        rows[name]["accuracy"] = living.get(name, float("nan"))
    found = pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")
    others = found.index != "none"
    found.loc[others, "holm"] = holm(found.loc[others, "p"])
    return found.sort_values(["difference", "accuracy"], ascending=[True, False])


def _fisher(first: Share, second: Share) -> float:
    counts = [[share.k, share.n - share.k] for share in (first, second)]
    return float(fisher_exact(counts).pvalue)


def lost_without(record: Record, others: Iterable[Record]) -> Share | None:
    """How many are lost of the same training without a remedy; None where there is no such run.

    Only where some are can a remedy prevent anything: there a training is *at risk*.

    Parameters
    ----------
    others : those with the same data, number of images, output and highest rate count if nothing
        is done against the collapse. Those with the clipped sampler do only where none has the
        correct one.
    """
    fields = ("data", "n_train", "output_size", "lr")
    same = [getattr(record.config, field) for field in fields]
    by_sampler: dict[str, list[bool]] = {"bilinear": [], "clipped": []}
    for other in others:
        config = other.config
        alike = [getattr(config, field) for field in fields] == same
        if alike and config.has_transformer and _unaided(config):
            by_sampler[config.sampler].append(lost(other))
    gone = by_sampler["bilinear"] or by_sampler["clipped"]
    return tally(gone) if gone else None


# What belongs to an experiment, and is no remedy there although it has a name.
_SETTING = ("sampler", "output_size", "scale_init", "batch_size", "precision")


def _unaided(config: RunConfig) -> bool:
    usual = {name: value for name, value in defaults().items() if name in _SETTING}
    return named(config.replace(**usual)).id == "none"


def effects(runs: pd.DataFrame, factors: Sequence[str]) -> dict[str, Contrast]:
    """Effects of factors on the share of lost runs, and of any two on each other's.

    Parameters
    ----------
    runs : a row a run: `lost`, and a bool column a factor; runs of every combination.

    Returns
    -------
    By factor, the share lost with it minus that without, over all the others; and by pair,
    ``a & b``, a's effect with b minus that without.
    """
    found = {}
    for some in (*combinations(factors, 1), *combinations(factors, 2)):
        terms = []
        for values in product((1, -1), repeat=len(some)):
            such = (runs[list(some)] == (np.array(values) > 0)).all(axis=1)
            terms.append((math.prod(values), tally(runs[such]["lost"])))
        found[" & ".join(some)] = share_contrast(*terms)
    return found
