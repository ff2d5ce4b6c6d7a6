"""*One point*: value and slope are those of stnlib's samplers, wherever one stands."""

import itertools

import pytest
import torch
from pages import state

from stnlib.sampler import sample_clipped, sample_native

D = torch.float64


@pytest.fixture
def page(show):
    return show("point")


def check_against_stnlib(found):
    image = torch.tensor(found["row"], dtype=D).expand(1, 1, 3, -1)
    x = torch.tensor(found["x"] + 1e-12, dtype=D, requires_grad=True)  # right of a tie
    grid = torch.stack([x, torch.zeros_like(x)]).reshape(1, 1, 1, 2)
    if found["padding"] == "clipped":
        value = sample_clipped(image, grid)
    else:
        options = dict(padding=found["padding"], align_corners=found["corners"])
        value = sample_native(image, grid, **options)
    value.backward()
    assert found["value"] == pytest.approx(value.item(), abs=1e-5)
    assert found["slope"] == pytest.approx(x.grad.item(), abs=1e-5)


SETTINGS = itertools.product(
    ("zeros", "border", "the clipped sampler"), ("bright", "black"), (False, True)
)


def test_value_and_slope_are_those_of_stnlib(page):
    for outside, rim, edges in SETTINGS:
        choose(page, outside, rim, edges)
        for value in ("-2.5", "-1.21", "-0.97", "-0.33", "0.11", "0.77", "1.13", "1.9"):
            page.get_by_label("x", exact=True).fill(value)
            found = state(page)
            assert found["x"] == float(value)
            check_against_stnlib(found)


def choose(page, outside, rim, edges):
    box = page.get_by_label("±1 are the outer edges")
    if box.is_checked() != edges:
        box.press("Space")
    page.get_by_label(outside, exact=True).check(force=True)
    page.get_by_label(rim, exact=True).check(force=True)


def test_the_point_is_dragged_and_moves_by_the_arrow_keys(page):
    canvas = page.locator("canvas").first
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] * (2.5 + 2.5) / 10  # between the third pixel and the fourth
    page.mouse.move(box["x"] + 20, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + 40, steps=3)
    page.mouse.up()
    assert state(page)["x"] == pytest.approx(0, abs=0.011)
    canvas.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert state(page)["x"] == pytest.approx(-0.03, abs=0.011)
    check_against_stnlib(state(page))


def test_outside_nothing_says_where_to_go(page):
    page.get_by_label("x", exact=True).fill("-2.2")
    assert state(page)["slope"] == state(page)["value"] == 0
    assert "nothing says where to go" in page.locator(".stn-live-text").inner_text()


def test_border_hides_the_black_but_has_no_slope_either(page):
    page.get_by_label("border", exact=True).check(force=True)
    page.get_by_label("x", exact=True).fill("-2.2")
    assert state(page)["slope"] == 0
    assert state(page)["value"] == state(page)["row"][0]
