"""Bars for people who wait, and a line a minute for logs."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm

__all__ = ["bar"]


def bar(**options: Any) -> tqdm:
    """A bar of tqdm's with these options: in a file, which nobody watches, a line a minute."""
    watched = sys.stderr.isatty() or "ipykernel" in sys.modules  # a notebook's is no terminal
    return tqdm(mininterval=0.1 if watched else 60, dynamic_ncols=True, **options)
