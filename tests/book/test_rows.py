"""Figures with a row a group and a mark a run: whether what is drawn is what the runs are."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from stnlib.book.figures import rows
from stnlib.book.figures.style import COLORS, STATES
from stnlib.book.stats import Contrast


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def runs(**groups):
    """Runs by row, from their outcomes."""
    return pd.DataFrame([{"row": row, "outcome": o} for row, some in groups.items() for o in some])


def drawn(axis, y):
    """Colour and form of the marks at a height, from the left."""
    lines = [x for x in axis.lines if len(x.get_xdata()) == 1 and x.get_ydata()[0] == y]
    lines.sort(key=lambda line: line.get_xdata()[0])
    return [(to_hex(line.get_color()), line.get_marker()) for line in lines]


def states(*words):
    return [(to_hex(STATES[w]), "o" if w in ("looks", "idle") else "X") for w in words]


def test_every_run_has_a_mark_in_the_colour_of_its_outcome_alike_beside_alike():
    (axis,) = rows.marks(runs(a=["black", "looks", "black"], b=["idle"])).axes
    assert drawn(axis, 0) == states("looks", "black", "black")
    assert drawn(axis, 1) == states("idle")


def test_rows_are_named_from_the_top_with_notes_and_those_that_help_bold():
    figure = rows.marks(runs(b=["looks"], a=["black"]), {"b": "1 of 1"}, bold=["b"])
    (axis,) = figure.axes
    names = axis.get_yticklabels()
    assert [name.get_text() for name in names] == ["b", "a"]
    assert [name.get_fontweight() for name in names] == ["bold", "normal"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]
    assert [text.get_text() for text in axis.texts] == ["1 of 1", ""]


def test_the_legend_explains_the_outcomes_that_occur_and_no_others():
    figure = rows.marks(runs(a=["black", "looks"], b=["learns"]))
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(said) == {"looks", "no transformer", "black"}


def test_accuracies_have_a_mark_a_run_the_mean_and_the_number():
    table = runs(a=["looks", "idle"], b=["learns"]).assign(accuracy=[0.8, 0.9, 0.5])
    (axis,) = rows.accuracies(table).axes
    marks = [line for line in axis.lines if line.get_marker() in ("o", "X")]
    marks = [line for line in marks if len(line.get_xdata())]
    assert sorted(line.get_xdata()[0] for line in marks) == [0.5, 0.8, 0.9]
    means = [line.get_xdata() for line in axis.lines if line.get_linewidth() == 2]
    assert [x[0] for x in means] == pytest.approx([0.85, 0.5])
    assert [text.get_text() for text in axis.texts] == ["0.850 (n = 2)", "0.500 (n = 1)"]
    without = [x for x in marks if x.get_xdata()[0] == 0.5]
    assert to_hex(without[0].get_color()) == to_hex(COLORS["baseline"])


def test_switches_have_a_row_a_combination_and_the_groups_side_by_side():
    cells = [(on, rate) for on in (True, False) for rate in (1.0, 2.0)]
    table = pd.DataFrame(cells, columns=["up", "rate"])
    table["outcome"] = ["looks", "looks", "black", "blind"]
    (axis,) = rows.switches(table, ["up"], "rate").axes
    faces = [x.get_markerfacecolor() for x in axis.lines if x.get_markersize() == 9]
    assert faces == ["none", "0.2"]
    assert drawn(axis, 0)[1:] == states("black", "blind")
    assert drawn(axis, 1)[1:] == states("looks", "looks")
    said = [text.get_text() for text in axis.texts]
    assert said == ["rate 1", "rate 2", "up"]


def test_effects_are_drawn_with_their_intervals():
    effects = {"rate 1": {"a": Contrast(-0.5, -0.7, -0.2)}, "rate 2": {"a": Contrast(0, -0.1, 0.1)}}
    (axis,) = rows.contrasts(effects, "share").axes
    bars = [tuple(x.get_xdata()) for x in axis.lines if x.get_linewidth() == 1.6]
    assert bars == [(-0.7, -0.2), (-0.1, 0.1)]
    middles = [x.get_xdata()[0] for x in axis.lines if x.get_marker() == "o"]
    assert middles == [-0.5, 0]


@pytest.mark.parametrize("figure", ["marks", "accuracies"])
def test_no_type_is_too_small_for_a_phone(figure):
    table = runs(a=["looks"], b=["black"]).assign(accuracy=[0.5, 0.1])
    made = getattr(rows, figure)(table)
    sizes = [t.get_fontsize() for axis in made.axes for t in [*axis.get_yticklabels(), *axis.texts]]
    # 350 pixels for the picture and 72 points an inch
    assert min(sizes) / 72 * 350 / rows.WIDTH >= 9
