"""The figures of the theory chapter: what is drawn is what was computed."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from stnlib.book.figures import theory as figures
from stnlib.transforms import family


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def affine(*theta, size=(5, 5)):
    return family("affine").grid(torch.tensor([theta]), size)[0]


def noise(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_invariance_has_a_panel_a_movement_and_a_named_line_a_training():
    curves = {
        "turn": {"centred": {-9.0: 0.3, 0.0: 0.9}, "shifted": {-9.0: 0.2, 0.0: 0.8}},
        "shift": {"centred": {0.0: 0.7, 4.0: 0.4}, "moved back": {0.0: 0.6, 4.0: 0.5}},
    }
    examples = {label: noise(3, 1, 4, 4) + k for k, label in enumerate(curves)}
    figure = figures.invariance(curves, examples, n=17, chance=0.25)
    for row, (label, lines) in enumerate(curves.items()):
        strip, axis = figure.axes[2 * row], figure.axes[2 * row + 1]
        close(strip.images[0].get_array(), np.hstack(list(examples[label][:, 0])))
        assert (axis.get_xlabel(), axis.get_ylabel()) == (label, "accuracy (n = 17)")
        *drawn, chance = axis.lines
        written = {to_rgb(text.get_color()): text for text in axis.texts}
        for line, (name, points) in zip(drawn, lines.items(), strict=True):
            assert line.get_xydata().tolist() == [list(point) for point in points.items()]
            text, color, style = figures.LINES[name]
            assert line.get_linestyle() == style and to_rgb(line.get_color()) == to_rgb(color)
            words = written[to_rgb(color)]
            assert words.get_text().strip() == text and words.get_position()[0] == max(points)
        assert list(chance.get_ydata()) == [0.25, 0.25]
        assert written[to_rgb("0.4")].xy == (min(min(points) for points in lines.values()), 0.25)


def test_three_parts_show_the_same_points_in_the_input_and_in_the_output():
    theta = torch.tensor([0.5, 0, 0.25, 0, 0.75, -0.1])
    grid, image, output = affine(*theta.tolist(), size=(11, 11)), noise(1, 11, 11), noise(1, 11, 11)
    first, second, third = figures.three_parts(image, grid, output, theta).axes
    for axis, picture in ((first, image), (second, image), (third, output)):
        close(axis.images[0].get_array(), picture[0])
    assert not first.lines and len(second.lines) == len(third.lines) == 6
    for row, read, made in zip(range(0, 11, 2), second.lines, third.lines, strict=True):
        assert made.get_xydata().tolist() == [[column, row] for column in range(0, 11, 2)]
        u, v = made.get_xydata().T / 5 - 1  # the output's pixels, normalised
        close(read.get_xydata(), np.stack([(0.5 * u + 1.25) * 5, (0.75 * v + 0.9) * 5], axis=1))
        assert to_rgb(read.get_color()) == to_rgb(made.get_color())
    assert len({to_rgb(line.get_color()) for line in third.lines}) == 6
    assert [line.split() for line in first.get_xlabel().splitlines()[-2:]] == [
        ["0.50", "0.00", "0.25"],
        ["0.00", "0.75", "-0.10"],
    ]


def test_holes_of_a_push_forward_are_counted_and_coloured():
    forward = torch.tensor([[0.1, torch.nan, 0.3], [torch.nan, 0.5, 0.6]])
    backward, source = noise(2, 3), noise(2, 2)
    left, middle, right = figures.forward_and_backward(forward, backward, source).axes
    close(left.images[0].get_array(), source)
    close(right.images[0].get_array(), backward)
    shown = middle.images[0].get_array()
    assert shown.mask.tolist() == [[False, True, False], [True, False, False]]
    close(shown.compressed(), [0.1, 0.3, 0.5, 0.6])
    assert middle.get_xlabel() == "2 of 6\nwithout a value"
    assert right.get_xlabel() == "0 of 6\nwithout a value"
    red, green, blue, _ = middle.images[0].cmap.get_bad()
    assert red > 2 * green and red > 2 * blue


def outline(axis):
    whole, top = axis.lines
    return whole.get_xydata(), top.get_xydata(), whole.get_linewidth(), top.get_linewidth()


def test_a_footprint_goes_round_what_is_read_and_its_top_edge_is_thick():
    image, output = noise(1, 9, 17), noise(1, 5, 5)
    _, pair = plt.subplots(1, 2)
    figures.draw_footprint(pair, image, affine(0.5, 0, 0.5, 0, 0.25, -0.5), output, "half")
    close(pair[0].images[0].get_array(), image[0])
    close(pair[1].images[0].get_array(), output[0])
    assert pair[0].get_title() == "half"
    whole, top, thin, thick = outline(pair[0])
    # x from 0 to 1 of [-1, 1] on 17 pixels: 8 to 16; y from -0.75 to -0.25 on 9: 1 to 3.
    close([whole.min(0), whole.max(0)], [[8, 1], [16, 3]])
    on_edge = np.isclose(whole, [8, 1], atol=1e-5) | np.isclose(whole, [16, 3], atol=1e-5)
    assert on_edge.any(1).all()
    close(whole[0], whole[-1])
    close(top, [[x, 1] for x in (8, 10, 12, 14, 16)])
    assert thick > 2 * thin


def test_footprints_stand_above_their_outputs_each_under_its_title():
    image, outputs = noise(1, 9, 9), noise(6, 1, 5, 5)
    shifts = {f"by {x}": x for x in (-0.5, 0.0, 0.5, 0.25, -0.25, 0.125)}
    grids = {name: affine(0.5, 0, x, 0, 0.5, 0) for name, x in shifts.items()}
    axes = np.array(figures.footprints(image, grids, outputs).axes).reshape(4, 3)
    assert [axis.get_title() for axis in axes[::2].flat] == list(shifts)
    for axis, below, x, output in zip(
        axes[::2].flat, axes[1::2].flat, shifts.values(), outputs, strict=True
    ):
        whole, *_ = outline(axis)
        close([whole.min(0), whole.max(0)], [[2 + 4 * x, 2], [6 + 4 * x, 6]])
        close(below.images[0].get_array(), output[0])


def test_a_lattice_has_its_rows_its_columns_and_its_first_row_thick():
    grids = {
        "turned": affine(0.25, -0.5, 0, 0.5, 0.25, 0, size=(2, 3)),
        "as it is": affine(1.0, 0, 0, 0, 1, 0),
        "smaller": affine(0.5, 0, 0, 0, 0.5, 0),
    }
    below = {name: f"{name}, 6 numbers" for name in grids}
    turned, *others = figures.lattices(grids, below).axes
    for axis, name in zip((turned, *others), grids, strict=True):
        assert (axis.get_title(), axis.get_xlabel()) == (name, below[name])
    *lines, top = turned.lines
    found = sorted(np.round(line.get_xydata(), 4).tolist() for line in lines)
    points = {(u, v): [0.25 * u - 0.5 * v, 0.5 * u + 0.25 * v] for u in (-1, 0, 1) for v in (-1, 1)}
    rows = [[points[u, v] for u in (-1, 0, 1)] for v in (-1, 1)]
    columns = [[points[u, v] for v in (-1, 1)] for u in (-1, 0, 1)]
    close(np.concatenate(found), np.concatenate(sorted(rows + columns)))
    close(top.get_xydata(), rows[0])
    assert top.get_linewidth() > 2 * lines[0].get_linewidth()
    (image,) = turned.patches
    assert (*image.get_xy(), image.get_width(), image.get_height()) == (-1, -1, 2, 2)
    low, high = turned.get_ylim()
    assert low > high  # down, as in an image


def test_a_table_says_how_far_each_family_is_off_and_colours_what_is_undone():
    axis = figures.undone([[0.0, 1.26], [3.0, 1e-9]], ["turn", "bend"], ["one", "all"]).axes[0]
    written = {tuple(text.get_position()): text.get_text() for text in axis.texts}
    assert written == {(0, 0): "undone", (1, 0): "1.3", (0, 1): "3.0", (1, 1): "undone"}
    colours = [to_rgb(box.get_facecolor()) for box in axis.patches]
    assert colours[0] == colours[3] != colours[1] == colours[2]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["turn", "bend"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["one", "all"]
    low, high = axis.get_ylim()
    assert low > high  # the first row on top


def pixel(value, width, align_corners):
    """Where a normalised coordinate is read, as PyTorch's documentation defines it."""
    if align_corners:
        return (value + 1) / 2 * (width - 1)
    return ((value + 1) * width - 1) / 2


@pytest.mark.parametrize("width", [4, 5])
def test_rulers_put_each_coordinate_at_the_pixel_where_it_is_read(width):
    rulers = figures.rulers(width).axes
    aligned = np.linspace(-1, 1, width)
    centres = (2 * np.arange(width) + 1) / width - 1
    for axis, values, corners in zip(
        rulers, (aligned, centres, aligned), (True, False, False), strict=True
    ):
        boxes = [(box.get_x(), box.get_width()) for box in axis.patches]
        assert boxes == [(n - 0.5, 1) for n in range(width)]
        close(axis.lines[0].get_xdata(), pixel(values, width, corners))
        numbers = axis.texts[:width]
        close([float(text.get_text()) for text in numbers], np.round(values, 2))
        close([text.xy[0] for text in numbers], axis.lines[0].get_xdata())
    for whole in rulers[:2]:  # of either convention every pixel is read at its centre
        close(whole.lines[0].get_xdata(), np.arange(width))
    edges = [list(line.get_xdata()) for line in rulers[1].lines[1:]]
    assert edges == [[-0.5, -0.5], [width - 0.5, width - 0.5]]
    written = {text.get_text(): text.xy[0] for text in rulers[1].texts[width:]}
    assert written == {"-1": -0.5, "1": width - 0.5}
    assert [axis.get_xlabel() for axis in rulers] == ["", "", "pixel of the input"]
    titles = [axis.get_title(loc="left") for axis in rulers]
    assert [title.split()[0] for title in titles] == [
        "align_corners=True:",
        "align_corners=False:",
        "mixed,",
    ]


def test_costs_are_stacked_bars_with_their_sums_the_first_on_top():
    bars = {
        "alone": {"classifier": 4_000_000},
        "led": {"localisation network": 300_000, "grid and sampler": 10_000, "classifier": 690_000},
    }
    axis = figures.costs(bars).axes[0]
    drawn = [box for box in axis.patches if box.get_width() > 1000]
    spans = [(box.get_x(), box.get_width(), round(box.get_y() + box.get_height() / 2))
             for box in drawn]  # fmt: skip
    assert spans == [
        (0, 4_000_000, 0),
        (0, 300_000, 1),
        (300_000, 10_000, 1),
        (310_000, 690_000, 1),
    ]
    colours = [to_rgb(box.get_facecolor()) for box in drawn]
    assert colours[0] == colours[3] and len(set(colours)) == 3
    assert [text.get_text() for text in axis.texts] == ["4.00", "1.00"]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(bars)
    low, high = axis.get_ylim()
    assert low > high
    names = {text.get_text() for text in axis.figure.legends[0].get_texts()}
    assert names == set(bars["led"])
