"""The figures of the Cluttered MNIST chapter: what is drawn is what was measured."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgb

from stnlib.book.figures import cm as figures
from stnlib.book.figures.style import COLORS


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def in_color(artists, name):
    """Those of the lines or texts that have a model's colour."""
    return [a for a in artists if to_rgb(a.get_color()) == to_rgb(COLORS[name])]


def words(axis):
    """What is written into a panel, and at which point."""
    return {text.get_text(): tuple(text.xy) for text in axis.texts}


def histories(**courses):
    """A run a list of (training, validation) accuracies, by model."""
    return pd.DataFrame(
        {"model": model, "seed": seed, "epoch": epoch, "train_accuracy": a, "val_accuracy": b}
        for model, runs in courses.items()
        for seed, run in enumerate(runs)
        for epoch, (a, b) in enumerate(run, 1)
    )


def test_rotations_have_a_line_a_seed_and_the_diagonal_on_which_they_are_undone():
    runs = {0: [-2.0, 0.0, 5.0], 1: [-4.0, 1.0, 7.0]}
    table = pd.DataFrame(
        {"seed": seed, "degrees": degrees, "rotation": rotation}
        for seed, run in runs.items()
        for degrees, rotation in zip((-30, 0, 30), run, strict=True)
    )
    axis = figures.rotation_response(table).axes[0]
    diagonal, *lines = axis.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [-30, 30]
    assert [list(line.get_ydata()) for line in lines] == list(runs.values())
    assert all(list(line.get_xdata()) == [-30, 0, 30] for line in lines)
    assert (axis.get_xlabel()[:21], axis.get_ylabel()[:18]) == (
        "rotation of the digit",
        "mean rotation of θ",
    )
    written = words(axis)
    assert written["measured\nn = 2"] == (30, 6.0)
    assert written["fully undone"][0] == written["fully undone"][1]


def test_digit_places_count_the_centres_in_pixels_across_and_down():
    pixels = torch.tensor([[12.0, 27.0]] * 6 + [[30.0, 5.0], [39.0, 0.0]])  # x, y
    across, down = figures.digit_places(2 * pixels / 39 - 1).axes
    for axis, name, shares in (
        (across, "x", {12: 0.75, 30: 0.125, 39: 0.125}),
        (down, "y", {0: 0.125, 5: 0.125, 27: 0.75}),
    ):
        bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axis.patches]
        assert np.array(bars) == pytest.approx(np.array(list(shares.items())), abs=1e-4)
        assert axis.get_xlabel()[0] == name and axis.get_ylim() == (0, 1)
    assert across.get_ylabel() == "share of 8 images"


def test_courses_are_a_line_a_run_and_the_papers_run_as_dots():
    ours = histories(
        baseline=[[(0.1, 0.2), (0.3, 0.4)], [(0.4, 0.5), (0.9, 0.7)]],
        stn=[[(0.5, 0.6), (0.7, 0.8)], [(0.5, 0.5), (0.6, 0.6)]],
    )
    theirs = histories(baseline=[[(0.11, 0.12), (0.13, 0.14)]], stn=[[(0.21, 0.22), (0.23, 0.24)]])
    training, validation = figures.courses(ours, theirs).axes
    assert (training.get_title(), validation.get_title()) == ("training", "validation")
    expected = {
        (training, "baseline"): [[0.1, 0.3], [0.4, 0.9], [0.11, 0.13]],
        (training, "stn"): [[0.5, 0.7], [0.5, 0.6], [0.21, 0.23]],
        (validation, "baseline"): [[0.2, 0.4], [0.5, 0.7], [0.12, 0.14]],
        (validation, "stn"): [[0.6, 0.8], [0.5, 0.6], [0.22, 0.24]],
    }
    for (axis, model), runs in expected.items():
        drawn = in_color(axis.lines, model)
        assert [list(line.get_ydata()) for line in drawn] == runs
        assert all(list(line.get_xdata()) == [1, 2] for line in drawn)
        assert [line.get_marker() for line in drawn] == ["None", "None", "o"]
    legend = training.get_legend()
    named = dict(zip(legend.get_texts(), legend.get_lines(), strict=True))
    markers = {text.get_text(): line.get_marker() for text, line in named.items()}
    assert markers == {"ours, n = 2 each": "None", "the paper, one each": "o"}
    assert words(validation) == {
        "baseline": (2, pytest.approx(0.55)),
        "STN": (2, pytest.approx(0.7)),
    }


def test_accuracies_are_a_dot_a_run_and_a_bar_at_their_mean():
    runs = {"stn": [0.8, 0.9, 0.98], "baseline": [0.5, 0.52, 0.9], "stn_frozen": [0.7]}
    table = pd.DataFrame(
        [{"model": m, "test_accuracy": a} for m, values in runs.items() for a in values]
    )
    axis = figures.accuracy_dots(table, {"stn": 0.91}).axes[0]
    order = ["baseline", "stn_frozen", "stn"]
    names = ["baseline\nn = 3", "STN, frozen\nn = 1", "STN\nn = 3"]
    assert [label.get_text() for label in axis.get_yticklabels()] == names
    assert list(axis.get_yticks()) == [0, 1, 2]
    dots = [line.get_xydata() for line in axis.lines if line.get_marker() == "o"]
    for height, (name, found) in enumerate(zip(order, dots, strict=True)):
        assert sorted(found[:, 0]) == pytest.approx(runs[name])
        assert np.abs(found[:, 1] - height).max() < 0.3
        (bar,) = (line for line in in_color(axis.lines, name) if line.get_marker() == "None")
        assert bar.get_xdata() == pytest.approx([sum(runs[name]) / len(runs[name])] * 2)
        assert np.mean(bar.get_ydata()) == pytest.approx(height)
    ((x, y),) = [line.get_xydata()[0] for line in axis.lines if line.get_marker() == "D"]
    assert x == 0.91 and 2.3 < y < 2.5  # under the dots of the STN
    assert words(axis) == {"the paper": (x, y)}


def test_where_the_transformers_look_is_drawn_for_x_and_for_y_in_pixels():
    positions = torch.tensor([[-0.3, 0.4], [0.2, 0.1]])
    first = torch.tensor([[0.5, 9, -0.25, 9, 0.6, 0.35], [0.5, 9, 0.15, 9, 0.6, 0.05]])
    second = torch.tensor([[0.5, 9, 0.0, 9, 0.6, 0.1], [0.5, 9, 0.0, 9, 0.6, 0.1]])
    axes = figures.translation_response(positions, {0: first, 1: second}).axes
    for axis, name, where, look, still in zip(
        axes, "xy", ([-0.3, 0.2], [0.4, 0.1]), ([-0.25, 0.15], [0.35, 0.05]), (0, 1.95), strict=True
    ):
        diagonal, dots, follows, stays = axis.lines
        assert np.array_equal(diagonal.get_xdata(), diagonal.get_ydata())
        where, look = np.array(where) * 19.5, np.array(look) * 19.5
        assert dots.get_xdata() == pytest.approx(where, abs=0.36)  # a little apart, to be seen
        assert dots.get_ydata() == pytest.approx(look)
        (x0, y0), (x1, y1) = follows.get_xydata()
        slope = (look[1] - look[0]) / (where[1] - where[0])
        assert (y1 - y0) / (x1 - x0) == pytest.approx(slope, rel=1e-4)
        assert stays.get_ydata() == pytest.approx([still, still], abs=1e-3)
        assert axis.get_xlabel() == f"{name} of the digit's centre"
    assert axes[0].get_ylabel() == "centre of the view"
    assert "lines: n = 2 seeds\ndots: one of them" in words(axes[1])


def test_accuracies_by_size_are_dots_and_their_means_with_an_arrow_at_the_target():
    runs = {("stn", 500): [0.7, 0.7, 0.85], ("stn", 10_000): [0.96], ("baseline", 500): [0.5]}
    table = pd.DataFrame(
        {"model": model, "n_train": n, "test_accuracy": a}
        for (model, n), values in runs.items()
        for a in values
    )
    axis = figures.accuracy_by_size(table, 0.9, {"stn": 1000.0, "baseline": 2500.0}).axes[0]
    dots, line = in_color(axis.lines, "stn")
    assert sorted(dots.get_ydata()) == pytest.approx([0.7, 0.7, 0.85, 0.96])
    assert list(line.get_xdata()) == [500, 10_000] and axis.get_xscale() == "log"
    assert line.get_ydata() == pytest.approx([0.75, 0.96])
    assert words(axis) == {
        "STN": (10_000, 0.96),
        "baseline": (500, 0.5),
        "2.5 times fewer  ": (1000, 0.9),
        "": (1000, 0.9),
    }
    (arrow,) = (text for text in axis.texts if text.arrow_patch)
    assert tuple(arrow.get_position()) == (2500, 0.9)  # from there
    assert [label.get_text() for label in axis.get_xticklabels()] == ["500", "10,000"]
    assert [0.9, 0.9] in [list(line.get_ydata()) for line in axis.lines]
    assert "n = 3 runs" in axis.get_xlabel()
