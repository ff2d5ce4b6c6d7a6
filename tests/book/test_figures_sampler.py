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
    two = {"correct": (np.sin(x), np.cos(x))}
    figure = figures.values_and_slopes(x, {"a": one, "b": two}, lines=[1, 2], shade=(0.5, 2.5))
    top_a, top_b, low_a, low_b = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", ""]
    assert (top_a.get_ylabel(), low_a.get_ylabel()) == ("value", "slope")
    for row, axis in enumerate((top_a, low_a)):
        drawn = {name: list(line.get_ydata()) for name, line in named(axis).items()}
        assert drawn == {name: list(curve[row]) for name, curve in one.items()}
    for row, axis in enumerate((top_b, low_b)):
        assert list(named(axis)["correct"].get_ydata()) == list(two["correct"][row])
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


def test_footprints_write_the_weight_of_each_pixel_at_its_column_and_row():
    weights = np.array([[0.0, 0.0, 0.3], [0.0, 0.8, 0.0]])
    figure = figures.footprints({"a": weights, "b": 4 * weights})
    for axis, (title, scale) in zip(figure.axes, (("a", 1), ("b", 4)), strict=True):
        assert axis.get_title() == title
        assert np.array_equal(axis.images[0].get_array(), scale * weights)
        written = {tuple(text.get_position()): text.get_text() for text in axis.texts}
        assert written == {
            (m, n): f"{scale * weights[n, m]:.1f}" for n in range(2) for m in range(3)
        }
        top = axis.images[0].norm.vmax
        for text in axis.texts:  # legible: white on what is dark
            dark = float(text.get_text()) > top / 2
            assert text.get_color() == ("white" if dark else "black")


def test_shares_of_good_starts_have_their_intervals_and_their_names_beside_their_ends():
    counts = {"at points": [90, 50, 30], "linearised": [90, 60, 36], "pyramid": [95, 90, 80]}
    axis = figures.agreement([1, 2, 4], counts, n=100, chance=1 / 3).axes[0]
    for (name, found), bars in zip(counts.items(), axis.containers, strict=True):
        line, _, (spans,) = bars
        assert list(line.get_ydata()) == pytest.approx([k / 100 for k in found])
        assert line.get_xdata() == pytest.approx([1, 2, 4], rel=0.04)  # apart, to be seen
        for k, span in zip(found, spans.get_segments(), strict=True):
            # Wilson's interval solves (p - k / n)² = z² p (1 - p) / n.
            for p in span[:, 1]:
                assert abs(p - k / 100) == pytest.approx(
                    1.96 * (p * (1 - p) / 100) ** 0.5, rel=1e-3
                )
        assert colored(axis)[to_rgb(line.get_color())] == name
    at = {text.get_text().strip(): text.get_position() for text in axis.texts}
    assert at["at points"][1] < at["linearised"][1] < at["pyramid"][1]  # apart, in their order
    (note,) = (text for text in axis.texts if text.get_text() == "a random direction")
    assert note.xy == (1, 1 / 3) and [1 / 3, 1 / 3] in ys(axis)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "1/2", "1/4"]
    assert axis.get_xscale() == "log" and "n = 100" in axis.get_ylabel()


def test_slopes_of_a_loss_are_lines_and_what_was_measured_is_dots():
    scales = np.linspace(0.5, 1.5, 13)
    panels = {
        name: {"true": k + 2 * scales, "correct": k + 3 * scales, "clipped": k * scales}
        for k, name in ((1, "bright"), (2, "black"))
    }
    measured = {name: k + 4 * scales for k, name in ((1, "bright"), (2, "black"))}
    figure = figures.scale_slopes(scales, panels, measured)
    for axis, (title, slopes) in zip(figure.axes, panels.items(), strict=True):
        assert axis.get_title() == title
        lines = named(axis)
        dots = lines.pop("clipped, measured")
        assert {name: list(line.get_ydata()) for name, line in lines.items()} == {
            name: list(values) for name, values in slopes.items()
        }
        assert dots.get_xdata() == pytest.approx(scales[[0, 6, 12]])
        assert dots.get_ydata() == pytest.approx(measured[title][[0, 6, 12]])
        assert dots.get_linestyle() == "None"
        assert to_rgb(dots.get_color()) == to_rgb(lines["clipped"].get_color())
        assert len({to_rgb(line.get_color()) for line in lines.values()}) == 3
        assert 1 in [line.get_xdata()[0] for line in axis.lines]
    written = [text.get_text() for text in figure.legends[0].get_texts()]
    assert written == ["true", "correct", "clipped", "clipped, measured"]
