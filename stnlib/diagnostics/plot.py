"""The picture of a trace. Imported only when one is drawn: nothing else here needs Matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from stnlib.diagnostics.charts import PANELS

if TYPE_CHECKING:
    from stnlib.diagnostics.trace import Trace

__all__ = ["draw"]


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
