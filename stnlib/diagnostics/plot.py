"""Pictures of a trace and of a range test. Imported only when drawn: they alone need Matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from stnlib.diagnostics.charts import PANELS

if TYPE_CHECKING:
    from stnlib.diagnostics.finder import Rates
    from stnlib.diagnostics.trace import Trace

__all__ = ["draw", "draw_rates"]


def draw(trace: Trace) -> Figure:
    """Four panels over the steps; a dashed line at each collapse that was found."""
    # pyplot tells a notebook how to show figures; closed, it is shown where it is asked for only.
    figure = plt.figure(figsize=(9, 5), layout="constrained")
    plt.close(figure)
    steps = trace.columns.get("step_number", [])
    for ax, (title, names, logarithmic) in zip(
        figure.subplots(2, 2, sharex=True).flat, PANELS, strict=True
    ):
        positive = False
        for name in names:
            values = trace.columns.get(name, [])
            if any(math.isfinite(v) for v in values):
                ax.plot(steps, values, lw=1, label=name)
                positive |= any(v > 0 for v in values)
        if ax.lines:
            ax.legend(fontsize="small", frameon=False)
        for step, _ in trace.events:
            ax.axvline(step, color="0.3", ls="--", lw=1)
        ax.set_title(title, fontsize="medium")
        if not logarithmic:
            ax.set_ylim(-0.03, 1.03)
        elif positive:
            ax.set_yscale("log")
    for ax in figure.axes[2:]:
        ax.set_xlabel("step")
    for step, kind in trace.events:
        figure.axes[0].annotate(kind, (step, 0.5), (3, 0), textcoords="offset points")
    return figure


def draw_rates(rates: Rates) -> Figure:
    """Loss, and θ's step and spread, over the rates; the window shaded, the suggestion dotted."""
    figure = plt.figure(figsize=(9, 3.2), layout="constrained")
    plt.close(figure)
    left, right = figure.subplots(1, 2, sharex=True)
    curve = rates.curve
    left.plot(curve["rate"], curve["loss"], lw=1)
    left.set_ylabel("loss")
    right.plot(curve["rate"], curve["step"], lw=1, label="step of θ, half image sides")
    right.plot(curve["rate"], curve["corner_spread"], lw=1, label="corner spread, input pixels")
    if any(v > 0 for name in ("step", "corner_spread") for v in curve[name]):
        right.set_yscale("log")
    right.legend(fontsize="small", frameon=False)
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xlabel("learning rate")
        if rates.window and rates.lr and rates.loc_lr:
            ax.axvspan(*rates.window, color="0.9", zorder=0)
            ax.axvline(rates.lr if ax is left else rates.loc_lr, color="0.3", ls=":", lw=1)
    left.set_title("the network", fontsize="medium")
    right.set_title("the localisation network", fontsize="medium")
    return figure
