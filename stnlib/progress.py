"""Bars for people who wait, and a line a minute for logs."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm

__all__ = ["bar"]


def bar(**options: Any) -> tqdm:
    """A bar of tqdm's: in a file, which nobody watches, a line a minute.

    Parameters
    ----------
    **options : Any
        Of tqdm.

    Returns
    -------
    tqdm
        To be closed, or used in a ``with`` block.
    """
    watched = sys.stderr.isatty() or _in_a_notebook()  # which has no terminal
    return tqdm(mininterval=0.1 if watched else 60, dynamic_ncols=True, **options)


def _in_a_notebook() -> bool:
    """Whether this is a kernel, as tqdm itself finds out."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return bool(shell) and "IPKernelApp" in shell.config
