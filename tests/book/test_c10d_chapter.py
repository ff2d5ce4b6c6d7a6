"""The figures of the CIFAR-10 chapter: what is drawn is what was measured."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from stnlib.book import paper
from stnlib.book.figures import c10d as figures
from stnlib.book.figures.style import spread_labels
from stnlib.data.catalogue import load


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def histories(**columns):
    rows = [
        {"data": "c10", "network": network, "seed": seed, "epoch": epoch, **columns}
        for network, epochs in (("baseline", 3), ("clipped", 2))
        for seed in (0, 1)
        for epoch in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows)


def test_the_courses_hold_every_run_and_the_papers():
    table = histories(train_accuracy=0.5, val_accuracy=0.4)
    published = paper.curves("c10").assign(data="c10")
    figure = figures.courses(table, published)
    _, validation = figure.axes
    lengths = [len(line.get_xdata()) for line in validation.lines]
    assert lengths.count(3) == 2 and lengths.count(2) == 2  # a line a run
    assert lengths.count(1) == 2  # runs that ended before the others are marked
    assert lengths.count(20) == 2  # the paper's two
    assert {text.get_text().strip() for text in validation.texts} == {
        "baseline",
        "STN, clipped sampler",
    }


def test_examples_are_named_by_the_set_that_they_are_of():
    figure = figures.examples([load("shapes10"), load("shapes10d")], count=3)
    names = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert names == ["Shapes-10", "Shapes-10-D"]


def test_transformers_show_only_what_is_known():
    table = histories(val_accuracy=0.4, coverage=0.7, black=0.0, theta_error=np.nan)
    figure = figures.transformer_courses(table, x="steps")
    assert [axis.get_ylabel() for axis in figure.axes] == [
        "validation\naccuracy",
        "coverage",
        "share of\nblack outputs",
    ]
    assert figure.axes[-1].get_xlabel() == "steps"


@pytest.mark.parametrize("error, scale", [(9.0, "linear"), (700.0, "log")])
def test_an_error_of_theta_is_shown_whatever_its_size(error, scale):
    axis = figures.transformer_courses(histories(val_accuracy=0.4, theta_error=error)).axes[-1]
    low, high = axis.get_ylim()
    assert low < error < high and axis.get_yscale() == scale


def test_footprints_are_the_corners_that_theta_gives_and_those_far_off_are_counted():
    identity, away, partly = ([1.0, 0, shift, 0, 1, 0] for shift in (0, 9, 4.5))
    half_right = [0.5, 0, 0.5, 0, 0.5, 0]
    thetas = [torch.tensor([identity, half_right]), torch.tensor([identity, away, partly])]
    first, second = figures.footprints(thetas, ["one", "two"]).axes
    assert not first.texts and second.texts[0].get_text() == "1 off the page"
    outline = first.lines[1].get_xydata()
    assert outline.tolist() == [[0, -0.5], [1, -0.5], [1, 0.5], [0, 0.5], [0, -0.5]]


def test_what_is_undone_has_a_line_a_run_and_a_name_a_rate():
    rows = [
        {"lr": lr, "seed": seed, "epoch": epoch, "shift": lr, "undone_rotation": seed}
        for lr, seeds in ((0.1, (0,)), (0.2, (0, 1)))
        for seed in seeds
        for epoch in (1, 2)
    ]
    shift, rotation = figures.undoing(pd.DataFrame(rows)).axes
    for axis in (shift, rotation):
        assert len([line for line in axis.lines if len(line.get_xdata()) == 2]) == 3 + 1  # and 1
        assert {text.get_text().strip() for text in axis.texts} == {"rate 0.1", "rate 0.2"}


def test_labels_keep_their_distance_and_their_order():
    _, axis = plt.subplots()
    axis.set_ylim(0, 1)
    spread_labels(axis, [(1, 0.5, "b", "k"), (1, 0.49, "a", "k"), (1, 0.9, "c", "k")], gap=0.1)
    heights = {text.get_text().strip(): text.get_position()[1] for text in axis.texts}
    assert heights["a"] == 0.49 and heights["c"] == 0.9
    assert heights["b"] == pytest.approx(0.59)
