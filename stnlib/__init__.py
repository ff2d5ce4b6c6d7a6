"""Spatial transformer networks, taken apart: what the chapters of this book import.

For a project of one's own::

    from stnlib import CollapseMonitor, SpatialTransformer, coverage
    from stnlib import find_rates, param_groups, schedule

Nothing is imported before it is asked for: ``import stnlib`` alone needs no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "CollapseMonitor": "stnlib.diagnostics",
    "SpatialTransformer": "stnlib.models",
    "coverage": "stnlib.diagnostics",
    "find_rates": "stnlib.diagnostics",
    "param_groups": "stnlib.optim",
    "schedule": "stnlib.optim",
}

__all__ = [
    "CollapseMonitor",
    "SpatialTransformer",
    "__version__",
    "coverage",
    "find_rates",
    "param_groups",
    "schedule",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """The version that pyproject.toml gives the installed package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("stnlib")
    except PackageNotFoundError:  # a checkout on the path that was never installed
        return "0+unknown"
