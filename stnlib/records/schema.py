"""What the parts of records hold: types, names and ranges.

Each function raises `ValueError`, one line, for the first thing that is not as it should be. Where
a measurement was not finite, None stands in a file, and nan or infinity in memory.
"""

from __future__ import annotations

import functools
import math
import re
import reprlib
import sys
from typing import Any

from stnlib.checks.values import Rule, choice, number, whole

__all__ = ["check_history", "check_observed", "check_origin", "check_result"]

# Means of shares are exact to a few digits of float32 only.
_SHARE = number(least=0, most=1 + 1e-6)
_AMOUNT, _COUNT = number(least=0), whole(0)
_SHARES = ("accuracy", "coverage", "black", "permuted", "mean_theta", "identity")
_AMOUNTS: tuple[str, ...] = ("loss", "seconds", "norm_mean", "norm_max", "std", "error")
_AMOUNTS += ("corner_spread", "view_pixels")
_COUNTS = ("n_test", "parameters")
_OF_EPOCH = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")  # and seconds


def check_history(rows: Any, epochs: int, transformer: bool = False) -> None:
    """A row an epoch, at most `epochs`; a transformer's say what share of the image it sees."""
    if not isinstance(rows, list) or not 1 <= len(rows) <= epochs:
        raise ValueError(f"history must be a list of 1 to {epochs} rows, not {_short(rows)}")
    for n, row in enumerate(rows, 1):
        where = f"history row {n}"
        _check_names(where, row, ("epoch", *_OF_EPOCH, "seconds"))
        if type(row["epoch"]) is not int or row["epoch"] != n:
            raise ValueError(f"{where}: epoch must be {n}, not {_short(row['epoch'])}")
        seen = [name for name in ("coverage", "black") if not _lost(row.get(name))]
        if transformer and not _lost(row["val_loss"]) and len(seen) < 2:
            raise ValueError(f"{where} lacks the transformer's coverage and black")
        for name, rule in _rules_in_history(tuple(row)):
            if rule(row[name]):
                _check(f"{where}: {name}", rule, row[name])


def check_result(result: Any) -> None:
    """What a whole training gave; a test accuracy where, and only where, there was a test."""
    _check_names("result", result, (*_COUNTS, "seconds"))
    for name, value in result.items():
        _check(f"result: {name}", _word if isinstance(value, str) else _rule(name), value)
    if (result["n_test"] > 0) != ("test_accuracy" in result):
        raise ValueError("result: test_accuracy must be there just where n_test is above 0")


def check_origin(origin: Any, needed: tuple[str, ...] = ()) -> None:
    """What the machine decided: see `stnlib.records.provenance`."""
    _check_names("provenance", origin, needed)
    for name, value in origin.items():
        _check(f"provenance: {name}", _ORIGIN.get(name, _text), value)


def check_observed(rows: Any) -> None:
    """Rows of numbers, texts, yes and no, and lists of numbers."""
    if not isinstance(rows, list):
        raise ValueError(f"rows must be a list, not {_short(rows)}")
    for n, row in enumerate(rows, 1):
        _check_names(f"row {n}", row, ())
        for name, value in row.items():
            if not isinstance(value, str | bool):
                _check(f"row {n}: {name}", _numbers if type(value) is list else _rule(name), value)


def _check_names(where: str, row: Any, needed: tuple[str, ...]) -> None:
    if not isinstance(row, dict):
        raise ValueError(f"{where} must have names and values, not be {_short(row)}")
    if wrong := _wrong_names(tuple(row), needed):
        raise ValueError(f"{where} {wrong}")


@functools.lru_cache(maxsize=1000)  # thousands of rows have the same names
def _wrong_names(names: tuple[str, ...], needed: tuple[str, ...]) -> str | None:
    if missing := [name for name in needed if name not in names]:
        return f"lacks {', '.join(missing)}"
    if strange := [name for name in names if not re.fullmatch(r"[a-zA-Z]\w{0,59}", name)]:
        return f"has a name that is none: {_short(strange[0])}"
    return None


def _check(what: str, rule: Rule, value: Any) -> None:
    if allowed := rule(value):
        raise ValueError(f"{what} must be {allowed}, not {_short(value)}")


def _lost(value: Any) -> bool:
    """Whether it stands for a measurement that was not finite, or was not made."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _measured(rule: Rule) -> Rule:
    return lambda value: rule(value) and (None if _lost(value) else rule(value))


def _any(value: Any) -> str | None:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool)
    return None if ok and abs(value) <= sys.float_info.max else "a number"


@functools.lru_cache(maxsize=1000)
def _rule(name: str) -> Rule:
    """Of one number, by its name; `test_` and the like may stand before it."""
    if name in (*_COUNTS, "seconds"):
        return _COUNT if name in _COUNTS else _AMOUNT
    if name.endswith(_SHARES):
        return _measured(_SHARE)
    return _measured(_AMOUNT if name.endswith(_AMOUNTS) else _any)


@functools.lru_cache(maxsize=1000)
def _rules_in_history(names: tuple[str, ...]) -> list[tuple[str, Rule]]:
    return [(name, _IN_HISTORY.get(name) or _rule(name)) for name in names]


def _true(value: Any) -> str | None:
    return None if value is True else "true"


def _numbers(value: Any) -> str | None:
    ok = isinstance(value, list) and all(
        one is None or type(one) is float or _any(one) is None  # a float may be lost
        for one in value
    )
    return None if ok else "a list of numbers"


def _thetas(value: Any) -> str | None:
    ok = isinstance(value, list) and all(_numbers(one) is None for one in value)
    ok = ok and len({len(one) for one in value}) <= 1
    return None if ok else "lists of numbers, all of one length"


def _pattern(pattern: str, allowed: str) -> Rule:
    def rule(value: Any) -> str | None:
        ok = isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII)
        return None if ok else allowed

    return rule


def _text(value: Any) -> str | None:
    ok = isinstance(value, str) and len(value) <= 200 and value.isprintable()
    return None if ok else "a line of text"


def _versions(value: Any) -> str | None:
    ok = isinstance(value, dict) and all(_text(one) is None for one in value.values())
    return None if ok else "names and versions"


_IN_HISTORY = {"recovered": _true, "thetas": _thetas}
_word = _pattern(r"[a-z][a-z _-]{0,39}", "a word in small letters")
_ORIGIN = {
    "data": _pattern(r"[0-9a-f]{16}", "16 hex digits"),
    "precision": choice("float32", "bfloat16"),
    "threads": whole(1),
    "versions": _versions,
    "date": _pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "such as 2018-01-31T12:00:00Z"),
}


def _short(value: Any) -> str:
    return reprlib.repr(value)
