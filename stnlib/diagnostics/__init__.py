"""What a spatial transformer does with its input, as numbers, and a watch for its collapse.

Needs nothing but torch, so that it can be used on anyone's network.
"""

from __future__ import annotations

from stnlib.diagnostics.bounds import step_bound
from stnlib.diagnostics.criteria import Collapse, CollapseError, CollapseWarning, Criteria
from stnlib.diagnostics.finder import Rates, find_rates
from stnlib.diagnostics.footprints import (
    black_share,
    coverage,
    footprint,
    grid_coverage,
    object_coverage,
)
from stnlib.diagnostics.monitor import CollapseMonitor
from stnlib.diagnostics.pose import pose_summary, through
from stnlib.diagnostics.sampling import report_sampling
from stnlib.diagnostics.theta import decompose, theta_summary
from stnlib.diagnostics.trace import Trace
from stnlib.diagnostics.view import corner_spread, view_corners, view_pixels

__all__ = [
    "Collapse",
    "CollapseError",
    "CollapseMonitor",
    "CollapseWarning",
    "Criteria",
    "Rates",
    "Trace",
    "black_share",
    "corner_spread",
    "coverage",
    "decompose",
    "find_rates",
    "footprint",
    "grid_coverage",
    "object_coverage",
    "pose_summary",
    "report_sampling",
    "step_bound",
    "theta_summary",
    "through",
    "view_corners",
    "view_pixels",
]
