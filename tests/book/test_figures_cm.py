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


def test_digit_places_count_the_centres_in_pixels_down_and_to_the_right():
    pixels = torch.tensor([[12.0, 27.0]] * 6 + [[30.0, 5.0], [39.0, 0.0]])  # x, y
    places, across, down = figures.digit_places(2 * pixels / 39 - 1).axes
    counts = places.images[0].get_array()
    assert counts.shape == (40, 40) and counts.sum() == 8
    assert counts[27, 12] == 6 and counts[5, 30] == counts[0, 39] == 1  # row, column
    for axis, shares in (
        (across, {12: 0.75, 30: 0.125, 39: 0.125}),
        (down, {0: 0.125, 5: 0.125, 27: 0.75}),
    ):
        bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axis.patches]
        assert np.array(bars) == pytest.approx(np.array(list(shares.items())), abs=1e-4)
    assert [axis.get_xlabel()[0] for axis in (places, across, down)] == ["x", "x", "y"]
    assert down.get_ylim() == (0, 1) and across.get_ylim()[0] == 0


def histories(**courses):
    """A run a list of (training, validation) accuracies, by model."""
    return pd.DataFrame(
        {"model": model, "seed": seed, "epoch": epoch, "train_accuracy": a, "val_accuracy": b}
        for model, runs in courses.items()
        for seed, run in enumerate(runs)
        for epoch, (a, b) in enumerate(run, 1)
    )


def test_courses_are_the_mean_and_deviation_of_our_runs_and_the_papers_run():
    ours = histories(
        baseline=[[(0.1, 0.2), (0.3, 0.4)], [(0.1, 0.2), (0.3, 0.4)], [(0.4, 0.5), (0.9, 0.7)]],
        stn=[[(0.5, 0.6), (0.7, 0.8)]],
    )
    theirs = histories(baseline=[[(0.11, 0.12), (0.13, 0.14)]], stn=[[(0.21, 0.22), (0.23, 0.24)]])
    training, validation = figures.courses(ours, theirs).axes
    assert (training.get_title(), validation.get_title()) == ("training", "validation")
    expected = {
        training: {"baseline": ([0.2, 0.5], [0.11, 0.13]), "stn": ([0.5, 0.7], [0.21, 0.23])},
        validation: {"baseline": ([0.3, 0.5], [0.12, 0.14]), "stn": ([0.6, 0.8], [0.22, 0.24])},
    }
    for axis, models in expected.items():
        for model, (mean, published) in models.items():
            solid, dashed = in_color(axis.lines, model)
            assert list(solid.get_xdata()) == list(dashed.get_xdata()) == [1, 2]
            assert solid.get_ydata() == pytest.approx(mean)
            assert list(dashed.get_ydata()) == published and dashed.get_linestyle() == "--"
    legend = training.get_legend()
    named = dict(zip(legend.get_texts(), legend.get_lines(), strict=True))
    styles = {text.get_text(): line.get_linestyle() for text, line in named.items()}
    assert styles == {"ours: mean and standard deviation": "-", "the paper: one run": "--"}
    band = validation.collections[0].get_paths()[0].vertices
    spread = np.std([0.4, 0.4, 0.7], ddof=1)
    heights = band[band[:, 0] == 2][:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.5 - spread, 0.5 + spread))
    assert words(validation) == {
        "baseline": (2, pytest.approx(0.5)),
        "STN": (2, pytest.approx(0.8)),
    }


def test_pairs_stand_side_by_side_each_under_its_title():
    before = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 2, 2) / 10
    axes = figures.pairs(before, before + 0.05, "abcde").axes
    assert len(axes) == 16  # two rows of four pairs
    shown = [(axis.get_title(), axis.images[0].get_array()[0, 0]) for axis in axes if axis.images]
    values = [v for i in range(5) for v in (i / 10, i / 10 + 0.05)]
    assert [title for title, _ in shown] == [f"{name} {k}." for name in "abcde" for k in "OT"]
    assert [value for _, value in shown] == pytest.approx(values)
    assert all(axis.images for axis in axes[:10]) and not any(axis.images for axis in axes[10:])
    assert axes[0].images[0].get_clim() == (0, 1)


def test_accuracies_are_a_dot_a_run_and_a_bar_at_their_mean():
    runs = {"stn": [0.8, 0.9, 0.98], "baseline": [0.5, 0.52, 0.9], "stn_frozen": [0.7]}
    table = pd.DataFrame(
        [{"model": m, "test_accuracy": a} for m, values in runs.items() for a in values]
    )
    axis = figures.accuracy_dots(table, {"stn": 0.91}).axes[0]
    order = ["baseline", "stn", "stn_frozen"]
    names = ["baseline", "STN", "STN, frozen at the identity"]
    assert [label.get_text() for label in axis.get_yticklabels()] == names
    assert list(axis.get_yticks()) == [0, 1, 2]
    dots = [line.get_xydata() for line in axis.lines if line.get_marker() == "o"]
    for height, (name, found) in enumerate(zip(order, dots, strict=True)):
        assert sorted(found[:, 0]) == pytest.approx(runs[name])
        assert np.abs(found[:, 1] - height).max() < 0.3
        (bar,) = (line for line in in_color(axis.lines, name) if line.get_marker() == "None")
        assert bar.get_xdata() == pytest.approx([sum(runs[name]) / len(runs[name])] * 2)
        assert np.mean(bar.get_ydata()) == pytest.approx(height)
    diamonds = [line.get_xydata().tolist() for line in axis.lines if line.get_marker() == "D"]
    assert diamonds == [[[0.91, 1]]] and words(axis) == {"the paper": (0.91, 1)}


def test_where_the_transformer_looks_is_drawn_for_x_and_for_y():
    positions = torch.tensor([[-0.3, 0.4], [0.2, 0.1]])
    theta = torch.tensor([[0.5, 9, -0.25, 9, 0.6, 0.35], [0.5, 9, 0.15, 9, 0.6, 0.05]])
    for axis, name, where, look in zip(
        figures.translation_response(positions, theta).axes,
        "xy",
        ([-0.3, 0.2], [0.4, 0.1]),
        ([-0.25, 0.15], [0.35, 0.05]),
        strict=True,
    ):
        diagonal, dots = axis.lines
        assert np.array_equal(diagonal.get_xdata(), diagonal.get_ydata())
        assert dots.get_xdata() == pytest.approx(where, abs=0.012)  # a little apart, to be seen
        assert dots.get_ydata() == pytest.approx(look)
        assert axis.get_xlabel() == f"{name} of the digit's centre"
        assert axis.get_ylabel() == f"{name} of the view's centre"
        assert words(axis).keys() == {"on the digit"}


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
    assert written["measured"] == (30, 6.0)
    assert written["undone"][0] == written["undone"][1]


def test_accuracies_by_size_are_means_on_a_logarithmic_axis_with_the_target():
    runs = {("stn", 500): [0.7, 0.7, 0.85], ("stn", 10_000): [0.96], ("baseline", 500): [0.5]}
    table = pd.DataFrame(
        {"model": model, "n_train": n, "test_accuracy": a}
        for (model, n), values in runs.items()
        for a in values
    )
    axis = figures.accuracy_by_size(table, target=0.9).axes[0]
    (line,) = in_color(axis.lines, "stn")
    assert list(line.get_xdata()) == [500, 10_000] and axis.get_xscale() == "log"
    assert line.get_ydata() == pytest.approx([0.75, 0.96])
    assert words(axis) == {"STN": (10_000, 0.96), "baseline": (500, 0.5)}
    assert list(axis.get_xticks()) == [500, 10_000]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["500", "10,000"]
    assert [0.9, 0.9] in [list(line.get_ydata()) for line in axis.lines]
