"""Data of the interactive figures, made of the records and of the digits that come with stnlib.

Each function is named as its figure and returns what ``book/interactive/data`` holds for it, as
plain numbers, texts, lists and dicts; ``make interactive`` writes it there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from stnlib.data import digits

__all__ = ["FIGURES", "script"]


def window() -> dict[str, Any]:
    """Ten optical digits, one a class, 0 to 16."""
    images, labels = digits.optical()
    return {"digits": [images[labels == k][0].flatten().tolist() for k in range(10)]}


#: what makes the data of each file in `book/interactive/data`
FIGURES: dict[str, Callable[[], dict[str, Any]]] = {"window": window}


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
