"""Settings as they are written on the command line: ``lr=1e-4 model=stn``."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from stnlib.errors import ConfigError
from stnlib.training.config import rules

__all__ = ["parse_settings"]


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Names and values of settings, ``["lr=1e-4", "model=stn"]``.

    Of all that a text can be read as, it is what the field's rule allows: ``none`` is no clipping
    for `loc_clip`, and a name for `augment`. What it allows in no reading, `RunConfig` refuses.

    Raises
    ------
    ConfigError
        One line, where a name is unknown or comes twice.
    """
    known = rules()
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in known:
            allowed = ", ".join(known)
            raise ConfigError(
                f"{setting[:80]!r} is no setting: write NAME=VALUE with one of {allowed}"
            )
        if name in values:
            raise ConfigError(f"{name} is set twice: {setting!r} is the second")
        readings, rule = list(_readings(text)), known[name]
        values[name] = next((value for value in readings if not rule(value)), readings[0])
    return values


def _readings(text: str) -> Iterator[Any]:
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        yield words[text.lower()]
    if re.fullmatch(r"[\w.+-]+", text, re.ASCII) and "_" not in text:  # Python allows more
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                yield kind(text)
    yield text
