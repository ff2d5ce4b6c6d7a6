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

from stnlib.book import payoff, reaches
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
    "digit": digit,
    "reach": reaches.reach,
    "recorder": recorder,
    "recorder-home": recorder_home,
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
