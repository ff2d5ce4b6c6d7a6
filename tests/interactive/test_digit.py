"""*Your digit*: the network in the page is the recorded one, and looks as that does."""

import numpy as np
import pytest
import torch
from pages import state

from stnlib.book import interactive
from stnlib.records import store, weights
from stnlib.sampler import sample_native
from stnlib.transforms import FAMILIES

D = torch.float64


@pytest.fixture
def page(show):
    return show("digit")


@pytest.fixture(scope="module")
def network():
    """The recorded localisation network, its weights rounded as the page has them."""
    (path,) = store.paths(key=interactive.digit()["key"], where=store.folders()[:1])
    found = weights.transformer(store.read(path).config, 1, 40).localisation
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.copy_(parameter.half().float())
    return found


def check_against_stnlib(found, network):
    image = torch.tensor(found["image"], dtype=D).reshape(1, 1, 40, 40)
    with torch.no_grad():
        theta = network(image.float())
    assert found["theta"] == pytest.approx(theta[0].tolist(), abs=1e-5)
    grid = FAMILIES["affine"].grid(torch.tensor([found["theta"]], dtype=D), (40, 40))
    wanted = sample_native(image, grid).flatten()
    torch.testing.assert_close(torch.tensor(found["output"], dtype=D), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("which", ["0", "3", "8", "-1"])
def test_the_view_is_that_of_the_recorded_network(page, network, which):
    page.get_by_role("combobox", name="Digit").select_option(which)
    check_against_stnlib(state(page), network)


def test_every_control_changes_the_image(page, network):
    for label in ("turn", "size", "scraps"):
        before = state(page)["image"]
        page.get_by_label(label, exact=True).focus()
        page.keyboard.press("ArrowRight")
        assert state(page)["image"] != before
        check_against_stnlib(state(page), network)
    before = state(page)["image"]
    page.get_by_role("button", name="Other scraps").click()
    assert state(page)["image"] != before


def test_the_digit_is_dragged_by_mouse_and_by_the_arrow_keys(page, network):
    canvas = page.locator("canvas").first
    box, before = canvas.bounding_box(), state(page)
    unit = box["width"] / 3.2
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 100 - 0.5 * unit, box["y"] + 100 + 0.25 * unit, steps=3)
    page.mouse.up()
    found = state(page)
    assert found["x"] - before["x"] == pytest.approx(-0.5, abs=0.02)
    assert found["y"] - before["y"] == pytest.approx(0.25, abs=0.02)
    canvas.focus()
    page.keyboard.press("Shift+ArrowUp")
    assert state(page)["y"] == pytest.approx(found["y"] - 0.2)
    check_against_stnlib(state(page), network)


def test_one_draws_and_erases(page, network):
    page.get_by_role("combobox", name="Digit").select_option("-1")
    empty = state(page)["image"]
    page.get_by_label("draws", exact=True).check(force=True)
    box = page.locator("canvas").first.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["width"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.6 * box["width"], steps=8)
    page.mouse.up()
    found = state(page)
    assert sum(found["image"]) > sum(empty) + 15
    check_against_stnlib(found, network)
    page.get_by_role("button", name="Erase").click()
    assert state(page)["image"] == empty


def slope(page, label, values, read):
    """How much the view follows, over the ten digits."""
    slopes = []
    for digit in range(10):
        page.get_by_role("combobox", name="Digit").select_option(str(digit))
        seen = []
        for value in values:
            page.get_by_label(label, exact=True).fill(str(value))
            seen.append(read(state(page)["theta"]))
        slopes.append(np.polyfit(values, seen, 1)[0])
    return np.mean(slopes)


def test_the_view_follows_a_shift_and_hardly_a_turn(page):
    turned = slope(
        page, "turn", (-30, -15, 0, 15, 30), lambda t: np.degrees(np.arctan2(t[3], t[0]))
    )
    assert abs(turned) < 0.3
    page.get_by_label("turn", exact=True).fill("0")
    page.locator("canvas").first.focus()
    places, views = [], []
    for _ in range(5):
        page.keyboard.press("Shift+ArrowLeft")
        places.append(state(page)["x"])
        views.append(state(page)["theta"][2])
    assert np.polyfit(places, views, 1)[0] > 0.4
