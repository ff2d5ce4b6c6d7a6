"""Data of the interactive figures, made of the records and of the digits that come with stnlib.

Each function is named as its figure and returns what ``book/interactive/data`` holds for it, as
plain numbers, texts, lists and dicts; ``make interactive`` writes it there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from stnlib.data import digits
from stnlib.data.sets import interleaved
from stnlib.records import outcome

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


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


#: what makes the data of each file in `book/interactive/data`
FIGURES: dict[str, Callable[[], dict[str, Any]]] = {"train": train, "window": window}


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
    return f"// Made by `make interactive`; do not edit.\n(window.STN_DATA ??= {{}}).{name} = {content};\n"
