"""Rules: what values a parameter may have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["Rule", "choice", "flag", "number", "optional", "whole"]

Rule = Callable[[Any], str | None]  # returns what is allowed if the value is not, else None


def number(
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> Rule:
    """Rule for a finite number within bounds."""
    bounds = [f"> {above:g}" if above is not None else None]
    bounds += [f">= {least:g}" if least is not None else None]
    bounds += [f"< {below:g}" if below is not None else None]
    bounds += [f"<= {most:g}" if most is not None else None]
    allowed = "a number " + " and ".join(b for b in bounds if b)

    def rule(value: Any) -> str | None:
        ok = isinstance(value, int | float) and not isinstance(value, bool)
        ok = ok and abs(value) <= sys.float_info.max  # refuses nan, too, and huge whole numbers
        ok = ok and (above is None or value > above) and (least is None or value >= least)
        ok = ok and (below is None or value < below) and (most is None or value <= most)
        return None if ok else allowed

    return rule


def optional(rule: Rule) -> Rule:
    """Rule for what another allows, or None."""

    def either(value: Any) -> str | None:
        allowed = None if value is None else rule(value)
        return allowed and f"{allowed} or None"

    return either


def whole(least: int, most: int | None = None) -> Rule:
    """Rule for a whole number of at least `least`, and at most `most`."""
    allowed = f"a whole number >= {least}" + (f" and <= {most}" if most else "")

    def rule(value: Any) -> str | None:
        ok = isinstance(value, int) and not isinstance(value, bool)
        ok = ok and least <= value <= (2**63 - 1 if most is None else most)  # no huge ones
        return None if ok else allowed

    return rule


def choice(*names: str) -> Rule:
    """Rule for one of `names`."""
    return lambda value: None if value in names else "one of " + ", ".join(names)


def flag(value: Any) -> str | None:
    """Rule for True or False."""
    return None if isinstance(value, bool) else "True or False"
