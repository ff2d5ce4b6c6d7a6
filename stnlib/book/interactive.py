"""Data of the interactive figures, made of the records and of the digits that come with stnlib.

Each function is named as its figure and returns what ``book/interactive/data`` holds for it, as
plain numbers, texts, lists and dicts; ``make interactive`` writes it there.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from stnlib.book import payoff, reaches
from stnlib.book.autopsy.contrasts import contrasts
from stnlib.book.autopsy.interventions import IDS
from stnlib.book.claims.causes import branches_of
from stnlib.book.claims.facts import observed
from stnlib.book.comparisons import comparisons, judged
from stnlib.book.remedies import verdicts
from stnlib.data import catalogue, cluttered, digits
from stnlib.data.sets import interleaved
from stnlib.diagnostics import Trace
from stnlib.records import outcome, store, weights

__all__ = ["FIGURES", "script"]


def window() -> dict[str, Any]:
    """Ten optical digits, one a class, 0 to 16."""
    images, labels = digits.optical()
    return {"digits": [images[labels == k][0].flatten().tolist() for k in range(10)]}


def train() -> dict[str, Any]:
    """All optical digits, the first 1,497 to train on, and the thresholds of outcomes."""
    images, labels = digits.optical()
    order = interleaved(labels)
    thresholds = {
        "black": outcome.BLACK,
        "seen": outcome.SEEN,
        "point": outcome.POINT,
        "blind": outcome.BLIND,
        "idle": outcome.IDLE,
        "chance": outcome.AT_CHANCE,
    }
    return {
        "digits": _base64(images[order]),
        "labels": labels[order].tolist(),
        "train": len(order) - 300,
        "count": len(order),
        "thresholds": thresholds,
    }


_COLUMNS = {  # a trace's columns, and what the figure calls them
    **{f"theta_mean_{k}": f"theta_mean_{k}" for k in range(6)},
    "theta_std_2": "spread_x",
    "theta_std_5": "spread_y",
    "step": "change",
    **{name: name for name in ("coverage", "phi", "accuracy")},
}
_NAMES = {"cm": "CM", "c10": "C10", "c10d": "C10D"}
_MOST = 240  # frames of a training


def recorder(most: int = 8) -> dict[str, Any]:
    """Trainings with a trace: of each data set and outcome the first in the order of their keys.

    Besides, the two that the figure starts with: of all that end black the one that was most
    accurate before, and the first on the same data that looks.

    Parameters
    ----------
    most : int
        Of one data set and outcome, at most.
    """
    groups: dict[tuple[str, str], list[store.Record]] = {}
    for path in store.paths(where=store.folders()[:1]):
        if store.trace_path(path).exists():
            record = store.read(path)
            word = str(outcome.in_a_word(record))
            groups.setdefault((record.config.data, word), []).append(record)
    black = [record for (_, word), found in groups.items() if word == "black" for record in found]
    start = max(black, key=lambda record: (_peak(record), record.key))
    trainings = []
    for data, word in sorted(groups, key=lambda group: (list(_NAMES).index(group[0]), group[1])):
        found = groups[data, word]
        trainings += [_flight(r) for k, r in enumerate(found) if k < most or r is start]
    beside = groups[start.config.data, "looks"][0]
    return {
        "trainings": trainings,
        "scenes": {name: _scene(name) for name in _NAMES},
        "start": [start.key, beside.key],
        "columns": list(_COLUMNS.values()),
    }


def recorder_home() -> dict[str, Any]:
    """The same with two of each, for the home page."""
    return recorder(2)


def _flight(record: store.Record) -> dict[str, Any]:
    """One training: its numbers in half precision, column by column, and what became of it."""
    trace = Trace.load(store.trace_path(record.path))
    every = math.ceil(len(trace) / _MOST)
    values = [np.array(trace.columns[name][::every]) for name in _COLUMNS]
    top = np.finfo(np.float16).max
    packed = np.nan_to_num(np.clip(values, -top, top)).astype("<f2")
    data, word = record.config.data, str(outcome.in_a_word(record))
    return {
        "key": record.key,
        "group": f"{_NAMES[data]}, {word}",
        "label": f"{_NAMES[data]} {_settings(record)}",
        "data": data,
        "sampler": record.config.sampler,
        "outcome": word,
        "final": round(record.last["val_accuracy"], 4),
        "every": every,
        "events": [list(event) for event in trace.events[:1]],
        "values": _base64(packed),
    }


def _settings(record: store.Record) -> str:
    """What sets a training apart, in few words."""
    config = record.config
    parts = [f"rate {config.lr:g}"]
    parts += [f"× {config.loc_lr_factor:g}"] * (config.loc_lr_factor != 1)
    parts += [config.sampler] * (config.sampler == "clipped")
    parts += [f"seed {config.seed}"]
    return ", ".join(parts)


def _peak(record: store.Record) -> float:
    """Largest mean of the batches' accuracy over a hundred steps."""
    accuracy = Trace.load(store.trace_path(record.path)).columns["accuracy"]
    return float(np.convolve(accuracy, np.ones(100) / 100, "valid").max())


def _scene(data: str) -> dict[str, Any]:
    """An image that may be shown, in the place of the data set's: a digit, or a drawn shape."""
    if data == "cm":
        images, labels = digits.optical()
        large = np.kron(images[:200] * 15, np.ones((1, 3, 3), np.uint8))
        image = cluttered.generate(large, labels[:200], 1, seed=4).images[0]
    else:
        shapes = {"c10": "shapes10", "c10d": "shapes10d"}[data]
        image = catalogue.load(shapes, n_train=20).train.images[1]
    grey = image.float().mean(dim=0).round().numpy().astype(np.uint8)
    return {"side": len(grey), "pixels": _base64(grey)}


def switches() -> dict[str, Any]:
    """Each transformer's training of the study cm-factorial: its switches and what it gave."""
    runs = [record for record in store.of_study("cm-factorial") if record.config.has_transformer]
    trainings = [
        {
            "key": record.key,
            "rate": record.config.lr,
            "seed": record.seed,
            "switches": [
                int(record.config.warmup > 0),
                int(record.config.schedule == "cosine"),
                int(record.config.loc_lr_factor < 1),
            ],
            "accuracy": round(record.last["val_accuracy"], 4),
            "outcome": str(outcome.in_a_word(record)),
        }
        for record in runs
    ]
    return {"trainings": trainings}


def remedies() -> dict[str, Any]:
    """Each comparison of remedies: what is without one, and each remedy's runs and judgement.

    Remedies stand in the order of `stnlib.book.remedies.verdicts`, which judges them.
    """
    found = []
    for one in comparisons():
        table = verdicts(one.runs)
        rows = {name: _remedy(row, one.runs) for name, row in table.iterrows()}
        base = rows.pop("none")
        for name, row in rows.items():
            row["judged"] = judged(table.loc[name], base["lost"][0])
        found.append(
            {
                "data": one.data,
                "rate": one.lr,
                "sampler": one.sampler,
                "unchanged": {name: base[name] for name in ("lost", "trainings")},
                "remedies": list(rows.values()),
            }
        )
    return {"comparisons": found}


def _remedy(verdict: pd.Series, runs: pd.DataFrame) -> dict[str, Any]:
    """A remedy's numbers: shares as k, n and bounds; trainings as accuracy and outcome."""
    some = runs[runs["id"] == verdict.name]
    pairs = zip(some["val_accuracy"], some["outcome"], strict=True)
    share = verdict["lost"]
    return {
        "remedy": verdict["remedy"],
        "lost": [share.k, share.n, round(share.low, 2), round(share.high, 2)],
        "difference": round(verdict["difference"], 4),
        "p": round(verdict["p"], 6),
        "holm": round(verdict["holm"], 6),
        "trainings": [[round(accuracy, 4), str(word)] for accuracy, word in pairs],
    }


_AUTOPSIES = {
    "forks-cm": "Cluttered MNIST at 0.01",
    "forks-c10": "C10",
    "late-c10": "C10, nearer to the loss",
    "forks-c10d": "C10D probe",
    "late-c10d": "C10D probe, nearer to the loss",
}


def branches() -> dict[str, Any]:
    """Each autopsy: what its changes do to the share of lost branches, and each loss's branches.

    Changes are judged by `stnlib.book.autopsy.contrasts.contrasts`, after its correction.
    """
    found = []
    for study, name in _AUTOPSIES.items():
        table = branches_of(study)
        effects = contrasts(table)
        labels = table.drop_duplicates("id").set_index("id")["change"].drop("none")
        base = table[table["id"] == "none"]["died"]
        losses = [_loss(one) for one in observed(study) if one["rows"][0]["died"]]
        found.append(
            {
                "name": name,
                "changes": [_effect(effects.loc[i], label) for i, label in labels.items()],
                "unchanged": [int(base.sum()), len(base)],
                "losses": sorted(losses, key=lambda loss: loss["seed"]),
            }
        )
    return {"autopsies": found}


def _effect(effect: pd.Series, label: str) -> dict[str, Any]:
    """What a change does: "fewer" or "more" are lost, or no difference is shown."""
    sure = effect["holm"] < 0.05
    judged = ("fewer" if effect["difference"] < 0 else "more") if sure else "no difference"
    lost = [effect["died"].k, effect["died"].n]
    return {
        "id": effect.name,
        "label": label,
        "lost": lost,
        "holm": round(effect["holm"], 6),
        "judged": judged,
    }


def _loss(observation: dict[str, Any], before: int = 100) -> dict[str, Any]:
    """A loss and its branches, with the coverage at each fifth step from the snapshot on.

    Of the training itself the course begins `before` steps before the snapshot.
    """
    first, *rows = observation["rows"]
    steps = [first["begun"] + 1 + 5 * k - first["fork"] for k in range(len(first["course"]))]
    seen = [[x, round(y, 2)] for x, y in zip(steps, first["course"], strict=True) if x >= -before]
    others = [row for row in rows if row["change"] != "none" or row["order"]]
    return {
        "key": observation["key"],
        "seed": observation["what"]["config"].get("seed", 0),
        "lost_at": first["after"],
        "snapshot": first["fork"],
        "course": seen,
        "branches": [
            {
                "id": IDS[row["change"]],
                "lost": row["died"],
                "course": [round(y, 2) for y in row["course"]],
            }
            for row in others
        ],
    }


def digit() -> dict[str, Any]:
    """A trained localisation network in half precision, and ten digits for it to look at."""
    (record, *_) = (r for r in store.of_study("cm") if _shows_what_it_learned(r))
    network = weights.transformer(record.config, 1, 40).localisation
    layers = []
    for layer in [*network.features, network.theta]:
        kind = _KINDS.get(type(layer).__name__)
        if kind in ("pool", "relu"):
            layers.append({"kind": kind})
        elif kind:
            weight, bias = (p.detach().numpy().astype("<f2") for p in (layer.weight, layer.bias))
            packed = {"weight": _base64(weight), "bias": _base64(bias), "size": weight.shape[-1]}
            layers.append({"kind": kind, **packed})
    images, labels = digits.optical()
    ten = [images[labels == k][0].flatten().tolist() for k in range(10)]
    return {"key": record.key, "layers": layers, "digits": ten}


_KINDS = {"MaxPool2d": "pool", "Conv2d": "convolve", "Linear": "dense", "ReLU": "relu"}


def _shows_what_it_learned(record: store.Record) -> bool:
    """Whether it is the paper's network, looks, and its weights are kept."""
    config = record.config
    paper = config.model == "stn" and config.locnet == "paper" and config.transform == "affine"
    return paper and record.outcome == "looks" and weights.kept(config) is not None


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


#: what makes the data of each file in `book/interactive/data`
FIGURES: dict[str, Callable[[], dict[str, Any]]] = {
    "branches": branches,
    "digit": digit,
    "reach": reaches.reach,
    "recorder": recorder,
    "recorder-home": recorder_home,
    "remedies": remedies,
    "switches": switches,
    "train": train,
    "when-it-pays": payoff.when_it_pays,
    "window": window,
}


def script(name: str) -> str:
    """The data of a figure as a classic script, which works from file://.

    Parameters
    ----------
    name : str
        One of `FIGURES`.

    Returns
    -------
    str
        The same for the same records.
    """
    content = json.dumps(FIGURES[name](), separators=(",", ":"), ensure_ascii=False)
    place = f"(window.STN_DATA ??= {{}})[{json.dumps(name)}]"
    return f"// Made by `make interactive`; do not edit.\n{place} = {content};\n"
