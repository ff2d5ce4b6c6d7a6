"""A monitor's report: one HTML file that needs nothing but a browser."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from html import escape
from itertools import groupby
from textwrap import dedent

import torch
from torch import Tensor

from stnlib.diagnostics.advice import BOOK, IDLE, PAGES
from stnlib.diagnostics.album import Album, Shot, png
from stnlib.diagnostics.charts import PANELS, chart
from stnlib.diagnostics.criteria import Criteria
from stnlib.diagnostics.files import whole_file
from stnlib.diagnostics.measures import QUANTITIES
from stnlib.diagnostics.summary import State, state
from stnlib.diagnostics.trace import Trace

__all__ = ["write_report"]

FARTHEST = 4.0  # half image sides from the centre, the farthest that a footprint is drawn
NO_PICTURES = (
    "No views were kept. <code>CollapseMonitor(..., pictures=4)</code> keeps those of four images "
    "at the first look, before and at each collapse, and at the last look."
)
_MEANINGS = {n: re.sub("`(.*?)`", r"<code>\1</code>", escape(m)) for n, m in QUANTITIES.items()}
LOST = ("not finite", "black", "shrunken", "outside", "point", "blind")


def write_report(
    path: str | os.PathLike[str],
    traces: Mapping[str, Trace],
    criteria: Criteria,
    remedy: str,
    album: Album | None,
) -> None:
    """Write the report, whole or not at all.

    Parameters
    ----------
    path : str | os.PathLike[str]
        Of the file.
    traces : Mapping[str, Trace]
        By the transformers' names.
    criteria : Criteria
        By which the last looks are judged.
    remedy : str
        Several lines, what to do about a collapse.
    album : Album | None
        Pictures, where they were kept.
    """
    states = {name: state(trace, criteria) for name, trace in traces.items()}
    parts = [_verdict(states, traces), _what_to_do(states, traces, remedy)]
    for place, (name, trace) in enumerate(traces.items()):
        charts = "".join(chart(trace, *panel) for panel in PANELS)
        parts += [
            f"<section><h2>{escape(name)}</h2><div class='charts'>{charts}</div>",
            _views(album.pages(place)) if album else f"<p>{NO_PICTURES}</p>",
            _numbers(trace),
            "</section>",
        ]
    parts.append(f"<footer>PyTorch {escape(torch.__version__)}</footer>")
    with whole_file(path) as file:
        file.write(_PAGE.replace("<!-- body -->", "\n".join(parts)).encode())


def _verdict(states: Mapping[str, State], traces: Mapping[str, Trace]) -> str:
    """A sentence for each transformer, and for each warning."""
    lines = []
    for name, (word, why) in states.items():
        kind = "lost" if word in LOST else "idle" if word == "idle" else "fine"
        says = f"The transformer <em>{escape(name)}</em> {_VERBS.get(word, f'is {word}')}: {why}."
        lines.append(f"<p class='verdict {kind}'>{says}</p>")
        for step, event in traces[name].events:
            lines.append(f"<p>A collapse, <em>{escape(event)}</em>, was found at step {step}.</p>")
    return "<h1>What the spatial transformer does</h1>" + "".join(lines)


_VERBS = {"looks": "looks", "not seen": "has not been seen"}


def _what_to_do(states: Mapping[str, State], traces: Mapping[str, Trace], remedy: str) -> str:
    words = {word for word, _ in states.values()}
    told = []
    if words & {*LOST} or any(trace.events for trace in traces.values()):
        told += _prose_and_code(remedy)
    if "idle" in words:
        told.append(f"<p>{escape(IDLE)} See “{escape(PAGES[0])}” in the book “{escape(BOOK)}”.</p>")
    return f"<h2>What to do</h2>{''.join(told) or '<p>Nothing.</p>'}"


def _prose_and_code(text: str) -> list[str]:
    """Paragraphs, and what is indented as code."""
    blocks = groupby(text.splitlines(), lambda line: line.startswith("    "))
    return [
        f"<pre tabindex='0'>{escape(dedent(joined))}</pre>" if code else f"<p>{escape(joined)}</p>"
        for code, lines in blocks
        if (joined := "\n".join(lines))
    ]


def _views(pages: list[tuple[str, Shot]]) -> str:
    blocks = []
    for title, shot in pages:
        views = "".join(_view(shot, i) for i in range(len(shot.output)))
        heading = f"{escape(title.capitalize())}, step {shot.step}"
        blocks.append(f"<h4>{heading}</h4><div class='views'>{views}</div>")
    return (
        "<h3>Views</h3><p>Above, the first images of that step's batch, each with the outline of "
        "what the transformer reads. Below, what it hands on.</p>" + "".join(blocks)
    )


def _view(shot: Shot, i: int) -> str:
    """One image with its footprint, above its output."""
    output = shot.output[i].float()
    image = output if shot.images is None else shot.images[i].float()
    known = image[image.isfinite()]
    low, high = (known.amin(), known.amax()) if len(known) else (known.sum(), known.sum())
    scale = (high - low).clamp(min=1e-12)
    below = f"<img src='{png((output - low) / scale)}' alt='output'>"
    if shot.images is None:
        return f"<div>{below}</div>"
    return f"<div>{_outlined(png((image - low) / scale), shot.outline, i)}{below}</div>"


def _outlined(picture: str, outline: Tensor | None, i: int) -> str:
    """An image, as small as it must be for its footprint to be seen around it."""
    points = outline[i].tolist() if outline is not None and i < len(outline) else []
    if not all(map(math.isfinite, (value for point in points for value in point))):
        points = []
    reach = max((abs(value) for point in points for value in point), default=1.0)
    side = min(max(1.1, 1.05 * reach), FARTHEST)
    line = " ".join(f"{x:.3f},{y:.3f}" for x, y in points)
    return (
        f"<svg viewBox='{-side:.3f} {-side:.3f} {2 * side:.3f} {2 * side:.3f}' role='img' "
        "aria-label='input with the outline of the view'>"
        "<image x='-1' y='-1' width='2' height='2' preserveAspectRatio='none' "
        f"href='{picture}'/><polygon points='{line}'/></svg>"
    )


def _numbers(trace: Trace) -> str:
    if not len(trace):
        return ""
    last = trace.row(-1)
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{last[name]:.4g}</td><td>{meaning}</td></tr>"
        for name, meaning in _MEANINGS.items()
        if not math.isnan(last[name])
    )
    return (
        f"<h3>Last numbers, step {last['step_number']:.0f}</h3>"
        f"<table><tr><th>quantity</th><th>value</th><th>meaning</th></tr>{rows}</table>"
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Spatial transformer: report</title>
<style>
:root { --paper: #fff; --ink: #1c1c1c; --faint: #6b6b6b; --line: #d8d8d8; --box: #f4f4f4;
  --c0: #0072b2; --c1: #c4500a; --c2: #00805f; --lost: #b3261e; --idle: #8a6100; --fine: #1e7a3c; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17181a; --ink: #ececec; --faint: #a8a8a8; --line: #3c3e42; --box: #232529;
    --c0: #5ab4f0; --c1: #ff9a57; --c2: #3ccba0; --lost: #ff8a80; --idle: #f0c14b;
    --fine: #7bd88f; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1, h2, h3, h4 { line-height: 1.25; }
.verdict { padding: .5rem .75rem; border-left: 4px solid; font-size: 1.1rem;
  background: var(--box); }
.lost { border-color: var(--lost); } .idle { border-color: var(--idle); }
.fine { border-color: var(--fine); }
pre { padding: .75rem; overflow-x: auto; background: var(--box); font-size: .875rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  gap: 1rem; }
figure { margin: 0; }
figcaption { font-size: .9rem; }
.legend { float: right; }
.legend span { margin-left: .75em; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--faint); font-size: 11px; }
svg .small { font-size: 8.5px; }
.grid { stroke: var(--line); }
.event { stroke: var(--lost); stroke-dasharray: 3 3; }
.curve { fill: none; stroke-width: 1.5; stroke-linecap: round; stroke-linejoin: round; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); }
path.c0, path.c1, path.c2 { stroke: currentColor; }
.views { display: flex; flex-wrap: wrap; gap: .5rem; }
.views div { width: 6.5rem; }
.views svg, .views img { display: block; width: 100%; height: auto; margin-bottom: .25rem;
  background: var(--box); image-rendering: pixelated; }
polygon { fill: none; stroke: #e6007e; stroke-width: 2; vector-effect: non-scaling-stroke; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
td:nth-child(2) { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
footer { margin-top: 2rem; color: var(--faint); font-size: .875rem; }
</style>
</head>
<body>
<!-- body -->
</body>
</html>
"""
