"""Remedies: what a training changes against the collapse, by name, and how often it helps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from stnlib.book.stats import Contrast, Share, holm, share_contrast, share_difference, tally
from stnlib.records.outcome import LIVING, Outcome, in_a_word, lost
from stnlib.records.store import Record
from stnlib.training.config import RunConfig, defaults

__all__ = [
    "KINDS",
    "RECIPE",
    "Remedy",
    "effects",
    "has",
    "in_usual_setting",
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
    "loc_grad_factor": ("rate", "loc_grad_x{:g}", "θ's gradient × {:g}"),
    "optimizer": ("rate", "{}", {"keras_adam": "Keras's Adam", "adamw": "AdamW", "sgd": "SGD"}),
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
            "centred": "φ normalised before its ReLU",
            "cnn": "Jaderberg's",
            "fcn": "Jaderberg's, dense",
            "canonical": "chosen among turned copies",
        },
    ),
    "theta_init": (
        "localisation network",
        "init_{}",
        {"small_random": "small random weights", "glorot": "Glorot's weights, no identity"},
    ),
    "hidden_scale": ("localisation network", "hidden_x{:g}", "hidden layer's input × {:g}"),
    "scale_init": ("transformer", "init_scale_{:g}", "begins at scale {:g}"),
    "warps": ("transformer", "warps_{}", "{} warps composed"),
    "blur": ("transformer", "blur_{:g}", "blurred by {:g} pixels at first"),
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
    "identity_penalty": ("watching", "penalty_identity", "penalty on leaving the identity"),
    "area_penalty": ("watching", "penalty_area", "penalty on another area"),
    "phi_penalty": ("watching", "penalty_phi_{:g}", "penalty of {:g} on φ before its ReLU"),
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
    """What a configuration has that may be a remedy.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    id : str
        What code selects by.
    label : str
        For people.
    """

    kind: str
    id: str
    label: str


def named(config: RunConfig) -> Remedy:
    """The remedy of a configuration.

    Parameters
    ----------
    config : RunConfig
        What is no remedy (the rate of everything, the data, the seed) is left out.

    Returns
    -------
    Remedy
        One of several parts has the kind of its first, all their ids, joined by " + ", and all
        their labels. Without any: no kind, "none" and "nothing".
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
    """Which runs have a remedy, alone or beside others.

    Parameters
    ----------
    runs : pd.DataFrame
        Of `table`.
    part : str
        The remedy's id.

    Returns
    -------
    pd.Series
        Whether it has, one a run.
    """
    return runs["id"].map(lambda ids: part in ids.split(" + "))


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Records by remedy.

    Parameters
    ----------
    records : Iterable[Record]
        One a run.

    Returns
    -------
    pd.DataFrame
        A row a run: `kind`, `id` and `remedy` (the label; see `named`), `transformer` (whether it
        has one), `lr`, `data`, `seed`, `outcome` and `lost` (see `stnlib.records.outcome`:
        `in_a_word` and `lost`), and `val_accuracy` after the last epoch.
    """
    rows = []
    for record in records:
        config = record.config
        row = dict(zip(("kind", "id", "remedy"), named(config), strict=True))
        row |= {"transformer": config.has_transformer, "lr": config.lr, "data": config.data}
        row |= {"seed": config.seed, "outcome": in_a_word(record), "lost": lost(record)}
        rows.append(row | {"val_accuracy": record.last["val_accuracy"]})
    return pd.DataFrame(rows)


def verdicts(runs: pd.DataFrame) -> pd.DataFrame:
    """What each remedy does to the share of lost runs, against no remedy.

    Parameters
    ----------
    runs : pd.DataFrame
        Of `table`, networks with a transformer only.

    Returns
    -------
    pd.DataFrame
        A row a remedy, by its id, the best first: `kind`, `remedy` (the label), `lost` (a `Share`),
        `looks` (a `Share`), `difference`, `low` and `high` (Newcombe's 95 % interval), `p`
        (Fisher's exact test, two-sided, of this remedy alone), `holm` (that p corrected for the
        number of remedies), `helps` (fewer are lost, and `p` is below 0.05), `accuracy` (mean of
        the runs that learn and whose transformer is not lost, nan for none).
    """
    base = tally(runs[runs["id"] == "none"]["lost"])
    living = runs[runs["outcome"].isin(LIVING)].groupby("id")["val_accuracy"].mean()
    rows = {}
    for (label, name, kind), part in runs.groupby(["remedy", "id", "kind"]):
        share = tally(part["lost"])
        difference, low, high = share_difference(share, base)
        p = fisher_exact([[one.k, one.n - one.k] for one in (share, base)]).pvalue
        row = {"kind": kind, "remedy": label, "lost": share, "difference": difference}
        row |= {"low": low, "high": high, "p": p, "accuracy": living.get(name, float("nan"))}
        rows[name] = row | {"looks": tally(part["outcome"] == Outcome.LOOKS)}
    found = pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")
    others = found.index != "none"
    found.loc[others, "holm"] = holm(found.loc[others, "p"])
    found["helps"] = (found["difference"] < 0) & (found["p"] < 0.05)
    found["looking"] = found["looks"].map(lambda share: share.k / share.n)
    found = found.sort_values(["difference", "looking"], ascending=[True, False])
    return found.drop(columns="looking")


def lost_without(record: Record, others: Iterable[Record]) -> Share | None:
    """How many are lost of the same training without a remedy.

    Only where some are can a remedy prevent anything: there a training is *at risk*.

    Parameters
    ----------
    record : Record
        Of the training.
    others : Iterable[Record]
        Those with the same data, number of images, output and highest rate count if nothing is done
        against the collapse. Those with the clipped sampler do only where none has the correct one.

    Returns
    -------
    Share | None
        None where there is no such run.
    """
    kind = attrgetter("data", "n_train", "output_size", "lr")
    by_sampler: dict[str, list[bool]] = {"bilinear": [], "clipped": []}
    for other in others:
        config = other.config
        alike = kind(config) == kind(record.config)
        if alike and config.has_transformer and _unaided(config):
            by_sampler[config.sampler].append(lost(other))
    gone = by_sampler["bilinear"] or by_sampler["clipped"]
    return tally(gone) if gone else None


# What belongs to an experiment, and is no remedy there although it has a name.
_SETTING = ("sampler", "output_size", "scale_init", "batch_size", "precision")


def in_usual_setting(config: RunConfig) -> RunConfig:
    """A configuration without what belongs to an experiment.

    Parameters
    ----------
    config : RunConfig
        Any.

    Returns
    -------
    RunConfig
        With the usual sampler, output, scale at the start, batches and precision.
    """
    return config.replace(**{name: defaults()[name] for name in _SETTING})


def _unaided(config: RunConfig) -> bool:
    return named(in_usual_setting(config)).id == "none"


def effects(runs: pd.DataFrame, factors: Sequence[str]) -> dict[str, Contrast]:
    """Effects of factors on the share of lost runs, and of any two on each other's.

    Parameters
    ----------
    runs : pd.DataFrame
        A row a run: `lost`, and a bool column a factor; runs of every combination.
    factors : Sequence[str]
        Columns.

    Returns
    -------
    dict[str, Contrast]
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
