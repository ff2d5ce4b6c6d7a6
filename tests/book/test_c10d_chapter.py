"""The CIFAR-10 chapter and its appendix: what is drawn and counted is what was recorded."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgba

from stnlib.book import paper, photographs
from stnlib.book.figures import c10d as figures
from stnlib.book.figures.films import Moment, film
from stnlib.book.figures.style import COLORS, STATES, spread_labels
from stnlib.records import store
from stnlib.records.outcome import corner_spread
from stnlib.transforms import boxes

ROOT = Path(__file__).parents[2]
BLACK = {"outcome": "black", "sampler": "clipped"}
BLIND = {"outcome": "blind", "sampler": "bilinear"}
PLAIN = {"outcome": "learns", "sampler": "bilinear", "transformer": False}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def history(**columns):
    """Two data sets; in each a black training of two epochs, a blind one and one without."""
    rows = [
        {"data": data, "seed": 0, "lr": 1e-3, "transformer": True, "epoch": epoch}
        | {"accuracy": 0.5, "coverage": 0.7, "spread": 1.0, "shift": 0.5, "rotation": 0.25}
        | kind
        | columns
        for data in ("c10", "c10d")
        for kind, epochs in ((BLACK, 2), (BLIND, 3), (PLAIN, 3))
        for epoch in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows)


def drawn(axis, length):
    """The lines of a panel that have so many points."""
    return [line for line in axis.lines if len(line.get_xdata()) == length]


# What the records are asked


def test_a_course_has_the_corner_spread_of_the_epoch_that_it_tells():
    (record,) = (r for r in store.of_study("c10d") if r.key == "c5532ba2d62b")
    table = photographs.courses([record])
    assert len(table) == len(record.history)
    assert table["spread"].iloc[-1] == corner_spread(record) < 0.01 < table["spread"].iloc[0]
    third = record.history[2]
    assert table["shift"][2] == (third["undone_tx"] + third["undone_ty"]) / 2


def test_a_course_without_a_transformer_has_an_accuracy_alone():
    (record,) = (r for r in store.of_study("c10d") if r.key == "39b8ae6994e2")
    table = photographs.courses([record])
    assert not table["transformer"].any() and "coverage" not in table
    assert table["accuracy"].tolist() == [row["val_accuracy"] for row in record.history]


def test_the_census_counts_every_training_once_and_the_ledgers_three_collapses():
    census = photographs.census()
    own = [r for r in store.of_study("c10d") if r.config.has_transformer]
    at_full_size = census[census["row"].str.startswith("C10D, 20 epochs")]
    assert len(at_full_size[at_full_size["lr"] == 1e-3]) == len(own) == 6
    fell = census[census["fell"]]
    assert (fell["outcome"] == "black").all() and (fell["lr"] == 1e-3).all()
    assert fell["row"].str.endswith("clipped").all()


def test_learned_then_black_is_more_than_black():
    black = [r for r in store.of_study("c10") if r.outcome == "black"]
    (fell,) = (r for r in store.of_study("c10d") if r.key == "0513a54fe767")
    assert len(black) == 2 and not any(map(photographs.learned_then_black, black))
    assert photographs.learned_then_black(fell)


# Figures


def test_accuracies_mark_every_training_in_the_colour_of_its_end_and_the_papers():
    rows = [("one", 0.1, "black"), ("one", 0.7, "blind"), ("two", 0.75, "learns")]
    runs = pd.DataFrame(rows, columns=["row", "accuracy", "outcome"])
    (axis,) = figures.accuracies(runs, {"one": 0.2}).axes
    crosses = [line for line in axis.lines if len(line.get_xdata()) == 1]
    found = {(float(line.get_xdata()[0]), to_rgba(line.get_color())) for line in crosses}
    assert (0.1, to_rgba(STATES["black"])) in found and (0.7, to_rgba(STATES["blind"])) in found
    assert any(line.get_marker() == "D" and line.get_xdata()[0] == 0.2 for line in crosses)
    said = [text.get_text() for text in axis.texts]
    assert sorted(said) == ["1 black\n1 blind", "n = 1"]


def test_the_census_rings_those_that_learned_first():
    rows = [("one", 1e-3, "black", True), ("one", 1e-3, "looks", False)]
    rows.append(("two", 3e-4, "looks", False))
    runs = pd.DataFrame(rows, columns=["row", "lr", "outcome", "fell"])
    (axis,) = figures.ends(runs).axes
    marks = [line for line in axis.lines if len(line.get_xdata()) == 1]
    rings = [m for m in marks if m.get_markeredgecolor() == COLORS["paper"]]
    assert len(marks) == len(runs) + 1 and len(rings) == 1
    (ringed,) = rings
    crosses = [m for m in marks if m.get_marker() == "X"]
    assert [m.get_xydata().tolist() for m in crosses] == [ringed.get_xydata().tolist()]
    assert {text.get_text() for text in axis.texts} == {"0.0003", "0.001"}


def test_courses_have_a_line_a_training_and_the_papers_crosses():
    published = pd.concat([paper.curves(name).assign(data=name) for name in ("c10", "c10d")])
    plain, _ = figures.courses(history(), published).axes
    black, *others = [*drawn(plain, 2), *drawn(plain, 3)]
    assert len(others) == 2
    assert black.get_color() == STATES["black"] and black.get_linestyle() == "--"
    assert {line.get_color() for line in others} == {STATES["blind"], COLORS["baseline"]}
    crosses = [line.get_ydata() for line in drawn(plain, 20)]
    theirs = published[published["data"] == "c10"].groupby("model")["val_accuracy"]
    assert sorted(map(list, crosses)) == sorted(map(list, (run for _, run in theirs)))


def test_a_view_that_does_not_move_at_all_is_drawn_at_the_foot_of_its_axis():
    figure = figures.inside(history(spread=0.0))
    spread = figure.axes[2]
    heights = {y for line in drawn(spread, 3) for y in line.get_ydata()}
    assert heights == {1e-4} and spread.get_ylim()[0] < 1e-4


def test_a_network_without_a_transformer_has_nothing_inside():
    coverage = figures.inside(history()).axes[0]
    assert len(drawn(coverage, 2)) == len(drawn(coverage, 3)) == 1


def trace(steps, phi):
    columns = {"coverage": 1.0, "phi": phi, "accuracy": 0.5}
    return pd.DataFrame(columns, index=pd.Index(steps))


def test_onsets_shade_where_all_features_are_zero_and_mark_the_onset():
    whole = trace(range(10), [1, 1, 0, 0, 1, 1, 1, 1, 1, 1])
    around = {"seed 0": trace(range(-3, 2), 1.0), "seed 1": trace(range(-3, 2), 2.0)}
    axes = figures.onsets(whole, around, 7).axes
    (band,) = axes[2].patches
    assert (band.get_x(), band.get_width()) == (2, 1)
    for left, right in zip(axes[::2], axes[1::2], strict=True):
        assert [list(line.get_xdata()) for line in drawn(left, 2)] == [[7, 7]]
        assert len(drawn(right, 5)) == 2
    assert not figures.onsets(whole.assign(phi=1.0), around, 7).axes[2].patches


def test_rates_are_colours_and_transformers_dashes():
    table = history()
    table = table[table["data"] == "c10d"]
    lower = table.assign(lr=1e-4)
    (axis,) = figures.rates(pd.concat([table, lower])).axes
    whole = drawn(axis, 3)
    assert len({line.get_color() for line in whole}) == 2
    assert [line.get_linestyle() for line in whole].count("--") == 2  # none, at each rate
    said = {text.get_text().strip() for text in axis.texts}
    assert said == {"0.001", "0.001, none", "0.0001", "0.0001, none"}


def test_what_is_undone_has_a_line_a_training_and_a_name_a_rate():
    table = history()
    table = table[(table["data"] == "c10d") & (table["outcome"] == "blind")]
    shift, rotation = figures.undoing(pd.concat([table, table.assign(lr=1e-4)])).axes
    for axis, height in ((shift, 0.5), (rotation, 0.25)):
        lines = drawn(axis, 3)
        assert len(lines) == 2 and {y for line in lines for y in line.get_ydata()} == {height}
        assert {text.get_text().strip() for text in axis.texts} == {"0.0001", "0.001"}


def test_a_trace_is_shown_around_its_worst_step():
    figure = figures.traced(trace(range(200), 1.0), 100)
    right = figure.axes[1]
    (near,) = drawn(right, 101)
    assert near.get_xdata()[0] == -40 and near.get_xdata()[-1] == 60
    assert not figure.legends


def test_labels_keep_their_distance_and_their_order():
    _, axis = plt.subplots()
    axis.set_ylim(0, 1)
    spread_labels(axis, [(1, 0.5, "b", "k"), (1, 0.49, "a", "k"), (1, 0.9, "c", "k")], gap=0.1)
    heights = {text.get_text().strip(): text.get_position()[1] for text in axis.texts}
    assert heights["a"] == 0.49 and heights["c"] == 0.9
    assert heights["b"] == pytest.approx(0.59)


# Photographs


def test_a_film_shows_every_outline_whole_and_what_is_handed_on():
    images, outputs = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 4, 4)
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0], [2.0, 0, 9, 0, 2, 0], [1.0, 0, 0, 0, 1, -3]])
    axes = film(images, [Moment("then", theta, outputs, "green")]).axes
    assert [len(axis.images) for axis in axes] == [0, 0, 1, 1, 1, 1]
    assert [axis.images[0].get_array().shape[0] for axis in axes[2:]] == [8, 4, 8, 4]
    image, *outlines = axes[1].patches
    quads = boxes(theta, (8, 8))
    for outline, box in zip(outlines, quads, strict=True):
        assert torch.allclose(torch.tensor(outline.get_xy()[:4]).float(), box)
    (left, right), (bottom, top) = axes[1].get_xlim(), axes[1].get_ylim()
    corners = torch.cat([quads.flatten(0, 1), torch.tensor(image.get_xy()).float()])
    assert left < corners[:, 0].min() and corners[:, 0].max() < right
    assert top < corners[:, 1].min() and corners[:, 1].max() < bottom


def test_every_training_on_a_photograph_ended_as_it_is_said_to():
    text = (ROOT / "tools" / "c10d_pictures.py").read_text(encoding="utf-8")
    shown = re.findall(r'^[A-Z_]+ = \("([\w-]+)", "(\w+)", "(\w+)"\)', text, re.M)
    assert len(shown) == 8
    for study, key, state in shown:
        (record,) = [one for one in store.of_study(study) if one.key == key]
        assert record.outcome == state


def test_the_chapter_shows_every_picture_that_is_drawn_for_it_with_its_command():
    text = (ROOT / "tools" / "c10d_pictures.py").read_text(encoding="utf-8")
    names = set(re.findall(r'^    "([\w-]+)": \w+,$', text, re.M))
    cells = nbformat.read(ROOT / "book" / "c10d.ipynb", as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert names == set(re.findall(r"\(images/([\w-]+)\.png\)", prose))
    for name in names:
        assert (ROOT / "book" / "images" / f"{name}.png").is_file()
    assert prose.count("Made by `python tools/c10d_pictures.py`") == len(names)
