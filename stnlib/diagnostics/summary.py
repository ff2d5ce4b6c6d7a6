"""What a transformer does now, in a word and a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from stnlib.diagnostics.criteria import Criteria, is_outside
from stnlib.diagnostics.trace import Trace

__all__ = ["IDLE_PIXELS", "State", "state", "summary"]

IDLE_PIXELS = 0.5  # corner spread; idle below, as in the outcome of a record
_MEANS = ("coverage", "object_coverage", "black", "extent_pixels", "corner_spread")


class State(NamedTuple):
    """A word, and a sentence that says why.

    Parameters
    ----------
    word : str
        `not seen`, `not finite`, `black`, `shrunken`, `outside`, `point`, `blind`, `idle` or
        `looks`.
    why : str
        Begins with a small letter and ends without a full stop.
    """

    word: str
    why: str


def state(trace: Trace, criteria: Criteria) -> State:
    """What a transformer does, by the means over the last looks; the first that holds.

    Parameters
    ----------
    trace : Trace
        Of the transformer.
    criteria : Criteria
        The window and the thresholds. Shrunken is a coverage below the share `coverage_drop` of its
        highest mean; blind a view that has differed between images and no longer does; idle one
        that differs by less than IDLE_PIXELS.
    """
    if not len(trace):
        return State("not seen", "no training step has been looked at yet")
    now = {name: _means(trace, name, criteria.window)[-1] for name in _MEANS}
    if (finite := trace.columns["finite"][-1]) < 1:
        return State("not finite", f"θ is not finite for {1 - finite:.0%} of the images")
    if now["black"] > criteria.black:
        return State("black", f"{now['black']:.0%} of its outputs are black")
    for name, what in (("object_coverage", "the object"), ("coverage", "the image")):
        best = max(_known(_means(trace, name, criteria.window)), default=0.0)
        if now[name] < criteria.coverage_drop * best:
            return State(
                "shrunken",
                f"its view has lost {what}: coverage {now[name]:.2f}, at best {best:.2f}",
            )
    if is_outside(now["coverage"], trace.columns["centre"][-1]):
        return State("outside", f"its view is outside of the image: coverage {now['coverage']:.2f}")
    if now["extent_pixels"] < criteria.point:
        return State("point", f"its view is {now['extent_pixels']:.2g} input pixels large")
    spread = now["corner_spread"]
    widest = max(_known(_means(trace, "corner_spread", criteria.window)), default=0.0)
    if spread < criteria.blind <= widest:
        return State("blind", "it shows every image in the same way, and once did not")
    if spread < IDLE_PIXELS:
        return State(
            "idle",
            f"its view differs by {spread:.2f} pixels between images, less than {IDLE_PIXELS:g}",
        )
    seen = f"coverage {now['coverage']:.2f}"
    if math.isnan(spread):
        return State("looks", f"{seen}; whether its view differs between images is not known")
    return State("looks", f"{seen}, and its view differs by {spread:.2g} pixels between images")


def summary(traces: Mapping[str, Trace], criteria: Criteria) -> str:
    """A line for each transformer, and for each collapse that was found.

    Parameters
    ----------
    traces : Mapping[str, Trace]
        By the transformers' names.
    criteria : Criteria
        As for `state`.

    Returns
    -------
    str
        Without a line feed at the end.
    """
    lines = []
    for name, trace in traces.items():
        word, why = state(trace, criteria)
        step = f" at step {trace.columns['step_number'][-1]:.0f}" if len(trace) else ""
        lines.append(f"{name}: {word}{step}; {why}.")
        lines += [f"{name}: warned of {kind} at step {number}." for number, kind in trace.events]
    return "\n".join(lines)


def _means(trace: Trace, name: str, window: int) -> list[float]:
    """Means over windows that end at each look; shorter at the start."""
    values = trace.columns[name]
    parts = (values[max(0, i - window + 1) : i + 1] for i in range(len(values)))
    return [sum(part) / len(part) for part in parts]


def _known(values: list[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]
