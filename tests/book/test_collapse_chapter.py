"""The figures of the chapter on the collapse: what is drawn is what was recorded."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stnlib.book.figures import collapse as figures
from stnlib.book.figures.style import STATES
from stnlib.book.stats import wilson
from stnlib.records.outcome import LIVING, Outcome


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_a_fan_has_a_panel_a_change_and_a_cross_for_each_death():
    rows = [{"begun": 0, "fork": 20, "died": True, "course": [1.0, 0.9, 0.8, 0.7, 0.6, 0.1]}]
    for change, died in (("none", True), ("none", False), ("locnet frozen", False)):
        rows.append({"change": change, "died": died, "course": [0.6, 0.3, 0.0 if died else 0.6]})
    unchanged, frozen = figures.fan(rows, {"none": "unchanged", "locnet frozen": "frozen"}).axes
    crosses = [[line for line in a.lines if line.get_marker() == "X"] for a in (unchanged, frozen)]
    assert [len(found) for found in crosses] == [1, 0]
    assert crosses[0][0].get_xydata().tolist() == [[11, 0.0]]  # the third entry, five steps apart
    assert unchanged.lines[0].get_xdata().tolist() == [-19, -14, -9, -4, 1, 6]


def test_shares_of_deaths_stand_at_their_change_with_their_interval():
    died = {"none": [1, 1, 0], "frozen": [0, 0, 0, 0]}
    table = pd.DataFrame([{"id": c, "died": bool(d)} for c, ds in died.items() for d in ds])
    table["change"] = table["id"].map({"none": "none", "frozen": "locnet frozen"})
    other = table[table["id"] == "none"].assign(id="other", change="only here")
    left, right = figures.death_rates({"a": table, "b": pd.concat([table, other])}).axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == [
        "locnet frozen",
        "unchanged",
        "only here",
    ]  # by share, then those of other panels
    assert sorted(texts(left)) == ["0 of 4", "2 of 3"]
    assert sorted(texts(right)) == ["0 of 4", "2 of 3", "2 of 3"]
    low, high = wilson(0, 4)[2:]
    assert [low, high] in [list(line.get_xdata()) for line in left.lines]


def runs():
    rows = [(1e-3, 1.0, "looks"), (1e-2, 1.0, "black"), (1e-2, 1.0, "looks"), (1e-2, 0.1, "looks")]
    table = pd.DataFrame(rows, columns=["lr", "loc_lr_factor", "outcome"])
    return table.assign(reach=table["lr"] * table["loc_lr_factor"] * 4)


def test_the_map_counts_the_runs_of_each_cell_in_which_something_failed():
    baseline = pd.DataFrame([{"lr": 1e-2, "loc_lr_factor": np.nan, "outcome": "at chance"}])
    axis = figures.outcome_map(pd.concat([runs(), baseline])).axes[0]
    assert sorted(texts(axis)) == ["0 of 1", "0 of 1", "1 of 1", "1 of 2"]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["baseline", "× 0.1", "× 1"]
    widths = [round(bar.get_width(), 3) for bar in axis.patches if bar.get_width() > 0]
    assert sorted(widths) == [0.42, 0.42, 0.84, 0.84, 0.84]


def test_the_curve_has_a_mark_a_cell_where_its_runs_lie():
    axis = figures.one_curve(runs()).axes[0]
    marks = [line.get_xydata()[0] for line in axis.lines if len(line.get_xdata()) == 1]
    assert sorted(map(tuple, np.round(marks, 4))) == [(0.004, 0.0), (0.004, 0.0), (0.04, 0.5)]


def test_forecasts_are_lines_that_end_at_the_death():
    table = pd.DataFrame({"judged": [0.5, 0.9], "low": [0.4, 0.8], "high": [0.6, 0.95]}, [3, 1])
    axis = figures.foresight({"steps": table, "monitor": table}).axes[0]
    assert all(list(line.get_xdata()) == [3, 1] for line in axis.lines[:2])
    assert [text.get_text() for text in axis.texts] == ["steps", "monitor"]
    assert axis.get_xlim()[0] > axis.get_xlim()[1]


def test_samplers_are_dots_a_run_and_a_bar_at_their_mean():
    table = pd.DataFrame({"sampler": ["clipped", "clipped", "bilinear"], "alter": "none"})
    table["coverage"] = [0.1, 0.3, 0.9]
    (axis,) = figures.samplers(table, {"none": "photographs"}).axes
    dots, mean = axis.lines[0], axis.lines[1]
    assert list(dots.get_ydata()) == [0.1, 0.3] and mean.get_ydata() == pytest.approx([0.2, 0.2])
    assert axis.get_title() == "photographs" and axis.get_ylabel() == "coverage"


def test_every_outcome_has_a_colour():
    """A state without one would be left out of the map, and nobody would see that it is missing."""
    assert set(STATES) == {*Outcome, *LIVING, "diverged", "at chance"}
