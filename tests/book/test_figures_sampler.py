"""The figures of the sampler chapter: what is drawn is what was computed."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from stnlib.book.figures import sampler as figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def ys(axis):
    return [list(line.get_ydata()) for line in axis.lines]


def colored(axis):
    """What is written beside lines: by colour, the text."""
    return {to_rgb(text.get_color()): text.get_text().strip() for text in axis.texts}


def named(axis):
    """The lines of a panel that its legend names, by name."""
    return {line.get_label(): line for line in axis.lines if not line.get_label().startswith("_")}


def test_kernels_have_a_panel_each_with_the_pixels_their_shares_and_the_sum():
    row, x = [0.2, 0.8], np.array([0.0, 0.5, 1.0])
    parts = np.array([[0.2, 0.1, 0], [0, 0.4, 0.8]])
    curves = {"bilinear": (parts.sum(0), parts), "integer": (parts.sum(0) / 2, parts / 2)}
    for axis, (name, (value, shares)) in zip(
        figures.kernels(row, x, curves).axes, curves.items(), strict=True
    ):
        assert axis.get_title() == f"{name} kernel"
        *drawn, total, dots = axis.lines
        assert [list(line.get_ydata()) for line in drawn] == shares.tolist()
        assert list(total.get_ydata()) == list(value) and list(total.get_xdata()) == list(x)
        assert dots.get_xydata().tolist() == [[0, 0.2], [1, 0.8]]
        assert total.get_linewidth() > drawn[0].get_linewidth()
        assert axis.get_ylim()[0] == 0


def test_values_stand_above_and_slopes_below_with_a_name_a_series():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    one = {"correct": (x**2, 2 * x), "clipped": (x**3, 3 * x**2)}
    two = {"zeros": (np.sin(x), np.cos(x))}
    figure = figures.values_and_slopes(x, {"a": one, "b": two}, lines=[1, 2], shade=(0.5, 2.5))
    top_a, top_b, low_a, low_b = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", ""]
    assert (top_a.get_ylabel(), low_a.get_ylabel()) == ("value", "derivative")
    for row, axis in enumerate((top_a, low_a)):
        drawn = {name: list(line.get_ydata()) for name, line in named(axis).items()}
        assert drawn == {name: list(curve[row]) for name, curve in one.items()}
    for row, axis in enumerate((top_b, low_b)):
        assert list(named(axis)["zeros"].get_ydata()) == list(two["zeros"][row])
    legend = top_a.get_legend()
    shown = [to_rgb(line.get_color()) for line in legend.get_lines()]
    expected = {name: to_rgb(line.get_color()) for name, line in named(top_a).items()}
    assert dict(zip([t.get_text() for t in legend.get_texts()], shown, strict=True)) == expected
    assert {to_rgb(line.get_color()) for line in named(low_a).values()} == set(expected.values())
    assert len(set(expected.values())) == 2 and top_b.get_legend() is None
    for axis in figure.axes:
        (span,) = axis.patches
        assert (span.get_x(), span.get_width()) == (0.5, 2.0)
        upright = [line.get_xdata()[0] for line in axis.lines if len(set(line.get_xdata())) == 1]
        assert upright == [1, 2]
    assert low_a.get_xlim() == (0, 3) and low_a.get_xlabel() == "x (pixels)"


def test_footprints_write_the_weight_of_each_pixel_at_its_column_and_row():
    weights = np.zeros((3, 4))
    weights[0, 2], weights[2, 1] = 0.25, 0.75
    figure = figures.footprints({"a": weights, "b": 4 * weights}, point=(2.1, 0.3))
    for axis, scale in zip(figure.axes, (1, 4), strict=True):
        assert np.array_equal(axis.images[0].get_array(), scale * weights)
        written = {
            t.get_text(): (round(t.get_position()[0]), round(t.get_position()[1]))
            for t in axis.texts
        }
        assert written == {f"{scale * 0.25:.2f}": (2, 0), f"{scale * 0.75:.2f}": (1, 2)}
        assert (axis.get_xlabel()[0], axis.get_ylabel()[0]) == ("m", "n")
        top = axis.images[0].norm.vmax
        assert axis.images[0].norm.vmin == 0 and top >= max(1, scale * 0.75)
        for text in axis.texts:  # legible: white on what is dark
            dark = float(text.get_text()) > top / 2
            assert text.get_color() == ("white" if dark else "black")
    (mark,) = figure.axes[0].lines
    assert mark.get_xydata().tolist() == [[2.1, 0.3]] and not figure.axes[1].lines


def test_a_footprint_of_many_pixels_has_no_numbers():
    (axis,) = figures.footprints({"a": np.full((10, 10), 0.01)}).axes
    assert not axis.texts and not axis.lines


def test_a_table_of_images_has_names_at_the_left_and_titles_on_top():
    rows = {
        r: {c: np.full((2, 2), v) for c, v in zip("xy", vs, strict=True)}
        for r, vs in (("p", (0.1, 0.2)), ("q", (0.3, 0.4)))
    }
    axes = figures.images(rows).axes
    assert [axis.images[0].get_array()[0, 0] for axis in axes] == [0.1, 0.2, 0.3, 0.4]
    assert [axis.get_title() for axis in axes] == ["x", "y", "", ""]
    assert [axis.get_ylabel() for axis in axes] == ["p", "", "q", ""]
    assert {axis.images[0].get_clim() for axis in axes} == {(0, 1)}


def test_signed_images_share_one_scale_whose_middle_is_zero():
    maps = {"a": np.array([[0.1, -0.4]]), "b": np.array([[0.2, 0.3]])}
    first, second, bar = figures.difference_images(maps, "∂V").axes
    for axis, (title, values) in zip((first, second), maps.items(), strict=True):
        assert axis.get_title() == title
        assert np.array_equal(axis.images[0].get_array(), values)
        assert axis.images[0].get_clim() == (-0.4, 0.4)
    assert bar.get_ylabel() == "∂V"
    red, _, blue = first.images[0].cmap([1.0, 0.5, 0.0])[:, [0, 2]]
    assert red[0] > red[1] and blue[0] < blue[1]  # orange above, blue below


def test_shares_of_good_starts_have_their_names_beside_their_ends():
    shares = {"points": [0.9, 0.5, 0.34], "pyramid": [0.95, 0.9, 0.8], "linear": [0.9, 0.6, 0.36]}
    axis = figures.agreement([1, 2, 4], shares, chance=1 / 3).axes[0]
    lines = axis.lines[:3]
    assert ys(axis)[:3] == list(shares.values())
    assert all(list(line.get_xdata()) == [1, 2, 4] for line in lines)
    assert ys(axis)[3] == [1 / 3, 1 / 3]
    written = colored(axis)
    assert [written[to_rgb(line.get_color())] for line in lines] == list(shares)
    at = {text.get_text().strip(): text.get_position() for text in axis.texts}
    assert all(at[name][0] == 4 for name in shares)
    assert at["points"][1] < at["linear"][1] < at["pyramid"][1]  # apart, in their order
    (note,) = (text for text in axis.texts if text.get_text() == "a random direction")
    assert note.xy == (1, 1 / 3)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "1/2", "1/4"]
    assert list(axis.get_xticks()) == [1, 2, 4] and axis.get_xscale() == "log"


def test_positions_are_numbered_where_they_are_read_in_the_row_of_their_name():
    rows = {"correct": [0, 1, 2], "clipped": [0, 1.5, 3]}
    axis = figures.positions(3, rows).axes[0]
    heights = {
        label.get_text(): y
        for y, label in zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)
    }
    assert heights == {"correct": 0, "clipped": -1}
    for line, (name, places) in zip(axis.lines, rows.items(), strict=True):
        assert line.get_xydata().tolist() == [[x, heights[name]] for x in places]
    *numbers, black = axis.texts
    expected = [
        (str(i), (x, heights[n])) for n, places in rows.items() for i, x in enumerate(places)
    ]
    assert [(text.get_text(), tuple(text.xy)) for text in numbers] == expected
    pixels = [(span.get_x(), span.get_width()) for span in axis.patches]
    assert pixels == [(-0.5, 1), (0.5, 1), (1.5, 1)]  # so 3 is outside
    assert black.get_text() == "black" and tuple(black.xy) == (3, -1)


def test_derivatives_stand_below_their_loss_and_differences_are_dots_on_them():
    scales = np.linspace(0.5, 1.5, 13)
    panels = {
        name: {
            "loss": k + scales**2,
            "derivatives": {
                "true": k + 2 * scales,
                "clipped": k + 3 * scales,
                "native": k * scales,
            },
            "differences": {"clipped, finite": k + 4 * scales, "native, finite": k - scales},
        }
        for k, name in ((1, "bright"), (2, "black"))
    }
    figure = figures.scale_derivatives(scales, panels)
    for column, (title, panel) in enumerate(panels.items()):
        top, bottom = figure.axes[column], figure.axes[2 + column]
        assert top.get_title() == title
        assert list(top.lines[0].get_ydata()) == list(panel["loss"])
        lines = named(bottom)
        for name, values in panel["derivatives"].items():
            assert list(lines[name].get_ydata()) == list(values)
            assert list(lines[name].get_xdata()) == list(scales)
        for name, values in panel["differences"].items():
            assert lines[name].get_xydata().tolist() == [[scales[i], values[i]] for i in (0, 6, 12)]
            assert lines[name].get_linestyle() == "None"
        assert all(1 in [line.get_xdata()[0] for line in axis.lines] for axis in (top, bottom))
    assert [figure.axes[i].get_ylabel() for i in (0, 2)] == ["loss L(s)", "dL/ds"]
    names = [text.get_text() for text in figure.axes[3].get_legend().get_texts()]
    assert names == [*panels["bright"]["derivatives"], *panels["bright"]["differences"]]
