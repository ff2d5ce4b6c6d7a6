"""Rules: what values a parameter may have."""

from __future__ import annotations

import numbers
import reprlib
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["Rule", "choice", "flag", "number", "optional", "require", "shown", "whole"]

Rule = Callable[[Any], str | None]  # returns what is allowed if the value is not, else None


def number(
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> Rule:
    """Rule for a finite number within bounds.

    Parameters
    ----------
    above, least, below, most : float | None
        What it must be >, >=, < and <=; None for no such bound.

    Returns
    -------
    Rule
        For `require`.
    """
    bounds = [f"> {above:g}" if above is not None else None]
    bounds += [f">= {least:g}" if least is not None else None]
    bounds += [f"< {below:g}" if below is not None else None]
    bounds += [f"<= {most:g}" if most is not None else None]
    told = " and ".join(b for b in bounds if b)
    allowed = f"a number {told}" if told else "a finite number"

    def rule(value: Any) -> str | None:
        ok = isinstance(value, (int, float)) and not isinstance(value, bool)
        ok = ok and abs(value) <= sys.float_info.max  # refuses nan, too, and huge whole numbers
        ok = ok and (above is None or value > above) and (least is None or value >= least)
        ok = ok and (below is None or value < below) and (most is None or value <= most)
        return None if ok else allowed

    return rule


def optional(rule: Rule) -> Rule:
    """Rule for what another allows, or None.

    Parameters
    ----------
    rule : Rule
        The other.

    Returns
    -------
    Rule
        For `require`.
    """

    def either(value: Any) -> str | None:
        allowed = None if value is None else rule(value)
        return allowed and f"{allowed} or None"

    return either


def whole(least: int, most: int | None = None) -> Rule:
    """Rule for a whole number.

    Parameters
    ----------
    least : int
        What it must be >=.
    most : int | None
        What it must be <=; None for what NumPy and PyTorch can count to.

    Returns
    -------
    Rule
        For `require`.
    """
    allowed = f"a whole number >= {least}" + (f" and <= {most}" if most else "")
    limit = sys.maxsize if most is None else most

    def rule(value: Any) -> str | None:
        ok = isinstance(value, int) and not isinstance(value, bool)
        return None if ok and least <= value <= limit else allowed

    return rule


def choice(*names: str) -> Rule:
    """Rule for one of some names.

    Parameters
    ----------
    *names : str
        The allowed.

    Returns
    -------
    Rule
        For `require`.
    """

    def rule(value: Any) -> str | None:
        # An array would be compared entry by entry.
        ok = isinstance(value, str) and value in names
        return None if ok else "one of " + ", ".join(names)

    return rule


def flag(value: Any) -> str | None:
    """Rule for True or False.

    Parameters
    ----------
    value : Any
        What was handed over.

    Returns
    -------
    str | None
        What is allowed if the value is not, else None.
    """
    return None if isinstance(value, bool) else "True or False"


def require(name: str, value: Any, rule: Rule) -> None:
    """Raise a ValueError of one line unless the rule allows `value`; NumPy's numbers count.

    Parameters
    ----------
    name : str
        What the message calls it.
    value : Any
        What was handed over.
    rule : Rule
        Says what is allowed.
    """
    plain = value
    if isinstance(value, numbers.Real) and not isinstance(value, (int, float)):
        plain = int(value) if isinstance(value, numbers.Integral) else float(value)
    allowed = rule(plain)
    if allowed:
        raise ValueError(f"{name} must be {allowed}, not {shown(value)}")


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def shown(value: Any) -> str:
    """A value in one short line, for the message of an error.

    Parameters
    ----------
    value : Any
        What was handed over.

    Returns
    -------
    str
        At most 120 characters; of a tensor or an array its dtype and shape.
    """
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"a {value.dtype} {type(value).__name__} of shape {tuple(value.shape)}"
    if isinstance(value, int) and abs(value) > 1e40:
        return "a huge whole number"
    text = " ".join(_SHORT.repr(value).split())
    return text if len(text) <= 120 else f"{text[:117]}..."
