"""Figures of why transformers are lost: what is drawn is what was recorded."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from stnlib.book.figures import collapse as figures
from stnlib.book.figures.style import GREEN, RED, STATES
from stnlib.book.stats import wilson
from stnlib.records.outcome import LIVING, Outcome


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def texts(axis):
    return [text.get_text() for text in axis.texts]


def marks(axis):
    """Place, form and colour of the marks, those of the legend left out."""
    found = [
        line for line in axis.lines if line.get_marker() in ("o", "X") and len(line.get_xdata())
    ]
    return [
        (x, y, line.get_marker(), to_hex(line.get_color()))
        for line in found
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_a_fan_has_a_panel_a_change_and_a_cross_for_each_loss():
    rows = [{"begun": 0, "fork": 20, "died": True, "course": [1.0, 0.9, 0.8, 0.7, 0.6, 0.1]}]
    for change, died in (("none", True), ("none", False), ("locnet frozen", False)):
        rows.append({"change": change, "died": died, "course": [0.6, 0.3, 0.0 if died else 0.6]})
    unchanged, frozen = figures.fan(rows, {"none": "unchanged", "locnet frozen": "frozen"}).axes
    crosses = [[line for line in a.lines if line.get_marker() == "X"] for a in (unchanged, frozen)]
    assert [len(found) for found in crosses] == [1, 0]
    assert crosses[0][0].get_xydata().tolist() == [[11, 0.0]]  # the third entry, five steps apart
    assert unchanged.lines[0].get_xdata().tolist() == [-19, -14, -9, -4, 1, 6]


def branches():
    died = {"none": [1, 1, 0], "frozen": [0, 0, 0, 0], "signs": [1, 1], "reset": [0, 1]}
    table = pd.DataFrame([{"id": c, "died": bool(d)} for c, ds in died.items() for d in ds])
    effects = pd.DataFrame({"holm": [0.01, 0.01, 0.5], "difference": [-0.7, 0.3, -0.2]})
    return table.assign(change=table["id"] + "!"), effects.set_index(
        pd.Index(["frozen", "signs", "reset"])
    )


def test_every_branch_has_a_mark_in_the_row_of_its_change_the_least_lost_first():
    (axis,) = figures.branches(*branches()).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["frozen!", "reset!", "nothing", "signs!"]
    assert texts(axis) == ["0 of 4", "1 of 2", "2 of 3", "2 of 2"]
    drawn = {row: sorted(m for _, y, m, _ in marks(axis) if y == row) for row in range(4)}
    assert drawn == {0: ["o"] * 4, 1: ["X", "o"], 2: ["X", "X", "o"], 3: ["X", "X"]}


def test_a_change_is_green_or_red_only_after_the_correction():
    (axis,) = figures.branches(*branches()).axes
    colors = {label.get_text(): label.get_color() for label in axis.get_yticklabels()}
    assert colors["frozen!"] == GREEN and colors["signs!"] == RED
    assert colors["reset!"] == colors["nothing"] == "black"


def runs():
    rows = [(1e-3, 1.0, "looks"), (1e-2, 1.0, "black"), (1e-2, 1.0, "looks"), (1e-2, 0.1, "looks")]
    table = pd.DataFrame(rows, columns=["lr", "loc_lr_factor", "outcome"])
    return table.assign(reach=table["lr"] * table["loc_lr_factor"] * 4)


def test_the_map_has_a_mark_a_run_in_the_cell_of_its_rates():
    alone = pd.DataFrame([{"lr": 1e-2, "loc_lr_factor": np.nan, "outcome": "at chance"}])
    (axis,) = figures.outcome_map(pd.concat([runs(), alone])).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["× 1", "× 0.1", "no\ntransformer"]
    words = {to_hex(color): state for state, color in STATES.items() if state != "learns"}
    drawn = [(x, y, words[color]) for x, y, _, color in marks(axis)]
    assert sorted(drawn) == [
        (0, 0, "looks"),
        (5, 0, "looks"),
        (5, 4, "looks"),
        (5, 8, "at chance"),
        (6, 0, "black"),
    ]


def test_each_run_lies_at_its_own_reach_in_the_row_of_the_classifiers_rate():
    (axis,) = figures.reach(runs()).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["0.01", "0.001"]
    drawn = sorted((round(y), round(x, 4)) for x, y, _, _ in marks(axis))
    assert drawn == [(0, 0.004), (0, 0.04), (0, 0.04), (1, 0.004)]
    assert texts(axis) == ["n = 3", "n = 1"]


def test_forecasts_are_lines_that_end_at_the_loss_with_their_numbers():
    table = pd.DataFrame({"judged": [0.5, 0.9], "low": [0.4, 0.8], "high": [0.6, 0.95]}, [3, 1])
    table = table.assign(dying=[wilson(1, 7), wilson(8, 9)], living=[wilson(2, 4)] * 2)
    (axis,) = figures.foresight({"steps": table, "monitor": table}).axes
    lines = [line for line in axis.lines if line.get_marker() == "o"]
    assert [np.round(line.get_xdata()).tolist() for line in lines] == [[-3, -1]] * 2
    assert texts(axis)[:2] == ["steps", "monitor"]
    assert {"n = 7 + 4", "n = 9 + 4"} == set(texts(axis)[2:])


def test_every_loss_is_a_mark_above_its_lead():
    (axis,) = figures.leads(pd.Series([0, 0, 1, 4, 10, 11, 500])).axes
    places = sorted((round(x), m) for x, _, m, _ in marks(axis))
    assert places == [(0, "X"), (0, "X"), (1, "o"), (4, "o"), (4, "o"), (5, "o"), (6, "o")]
    assert texts(axis) == ["2", "1", "0", "0", "2", "1", "1"]
    assert axis.get_title() == "warned before the onset: 5 of 7"


@given(scale=st.floats(0.5, 300), shift=st.floats(-300, 300))
@settings(max_examples=20, deadline=None)
def test_no_view_leaves_its_panel(scale, shift):
    theta = torch.tensor([[scale, 0, shift, 0, scale, 0]]).view(1, 2, 3)
    grid = F.affine_grid(theta, [1, 1, 5, 5], align_corners=True)
    figure = figures.goodbye(torch.zeros(1, 5, 5), [grid], torch.zeros(1, 1, 5, 5), [1])
    axis = figure.axes[0]
    (low, high), far = axis.get_xlim(), np.abs(axis.lines[0].get_xydata()).max()
    assert low <= -far and far <= high and high >= 1
    plt.close(figure)


def test_every_outcome_has_a_colour():
    """A state without one would be left out of the map, and nobody would see that it is missing."""
    assert set(STATES) == {*Outcome, *LIVING, "diverged", "at chance"}
