"""Curves as SVG in the colours of the page that it stands in, with nothing but Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stnlib.diagnostics.trace import Trace

__all__ = ["PANELS", "chart"]

PANELS = (  # title, quantities, logarithmic
    ("what is seen (shares)", ("coverage", "object_coverage", "black"), False),
    ("footprint, half image sides", ("extent", "centre"), True),
    ("a step of θ, and what drives it", ("step", "step_ratio", "phi"), True),
    ("loss and gradient norms", ("loss", "loc_grad", "rest_grad"), True),
)

LEFT, RIGHT, TOP, BOTTOM = 46, 352, 10, 150  # of 360 × 172
MOST = 300  # buckets of a curve


def chart(trace: Trace, title: str, names: Sequence[str], logarithmic: bool) -> str:
    """One panel with its legend, as HTML.

    Parameters
    ----------
    trace : Trace
        What is drawn.
    title : str
        Above it.
    names : Sequence[str]
        Of the trace's columns; what was never measured is left out.
    logarithmic : bool
        Else from 0 to 1.

    Returns
    -------
    str
        A ``<figure>``; its curves have the classes `c0`, `c1`, …
    """
    columns = {name: trace.columns.get(name, []) for name in names}
    drawn = {
        name: values
        for name, values in columns.items()
        if any(_height(v, logarithmic) is not None for v in values)
    }
    steps = trace.columns.get("step_number", [])
    low, high = _range(drawn, logarithmic)
    first, last = (steps[0], steps[-1]) if steps else (0.0, 1.0)

    def across(step: float) -> float:
        return LEFT + (RIGHT - LEFT) * (step - first) / max(last - first, 1)

    def up(height: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (height - low) / (high - low)

    parts = []
    for tick in _ticks(low, high, logarithmic):
        told = f"10<tspan dy='-5' class='small'>{tick:.0f}</tspan>" if logarithmic else f"{tick:g}"
        parts.append(
            f"<path class='grid' d='M{LEFT} {up(tick):.1f}H{RIGHT}'/>"
            f"<text x='{LEFT - 5}' y='{up(tick) + 4:.1f}' text-anchor='end'>{told}</text>"
        )
    ends = ((LEFT, "start", f"step {first:.0f}"), (RIGHT, "end", f"{last:.0f}"))
    for end, anchor, told in ends if steps else ():
        parts.append(f"<text x='{end}' y='168' text-anchor='{anchor}'>{told}</text>")
    for i, values in enumerate(drawn.values()):
        parts.append(
            f"<path class='curve c{i}' d='{_path(steps, values, across, up, logarithmic)}'/>"
        )
    for number, kind in trace.events:
        x = across(max(number, first))
        parts.append(
            f"<path class='event' d='M{x:.1f} {TOP}V{BOTTOM}'/>"
            f"<text x='{min(x + 3, RIGHT - 45):.1f}' y='{TOP + 9}'>{escape(kind)}</text>"
        )
    legend = " ".join(f"<span class='c{i}'>{escape(name)}</span>" for i, name in enumerate(drawn))
    told = "; ".join(f"{name} {values[-1]:.3g} at the end" for name, values in drawn.items())
    label = escape(f"{title}. {told or 'Nothing was measured'}.", quote=True)
    return (
        f"<figure><figcaption>{escape(title)}<span class='legend'>{legend}</span></figcaption>"
        f"<svg viewBox='0 0 360 172' role='img' aria-label='{label}'>{''.join(parts)}</svg>"
        "</figure>"
    )


def _height(value: float, logarithmic: bool) -> float | None:
    """Where a value is drawn; None where it cannot be."""
    if not math.isfinite(value) or (logarithmic and value <= 0):
        return None
    return math.log10(value) if logarithmic else value


def _range(drawn: Mapping[str, Sequence[float]], logarithmic: bool) -> tuple[float, float]:
    if not logarithmic:
        return -0.03, 1.03
    found = (_height(value, True) for values in drawn.values() for value in values)
    heights = [height for height in found if height is not None] or [0.0]
    low, high = math.floor(min(heights)), math.ceil(max(heights))
    return low, max(high, low + 1)


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if not logarithmic:
        return [0, 0.5, 1]
    every = max(1, math.ceil((high - low) / 4))
    return [low + i for i in range(0, int(high - low) + 1, every)]


def _path(
    steps: Sequence[float],
    values: Sequence[float],
    across: Callable[[float], float],
    up: Callable[[float], float],
    logarithmic: bool,
) -> str:
    """The curve; with a gap where nothing was measured, and the extremes of many looks."""
    heights = [_height(value, logarithmic) for value in values]
    parts, pen = [], "M"
    for i in _shown(heights):
        height = heights[i]
        if height is None:
            pen = "M"
            continue
        parts.append(f"{pen}{across(steps[i]):.1f} {up(height):.1f}" + "h0" * (pen == "M"))
        pen = "L"
    return "".join(parts)


def _shown(heights: Sequence[float | None]) -> list[int]:
    """Which looks are drawn: all, or of each bucket the lowest and the highest, or its gap."""
    size = -(-len(heights) // MOST)
    if size <= 2:
        return [*range(len(heights))]
    kept = set()
    for begin in range(0, len(heights), size):
        bucket = range(begin, min(begin + size, len(heights)))
        known = [(height, i) for i in bucket if (height := heights[i]) is not None]
        kept |= {min(known)[1], max(known)[1]} if known else {begin}
    return sorted(kept)
