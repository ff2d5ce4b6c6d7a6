"""*Drag the window*: what it shows is what stnlib computes, however one moves it."""

import itertools

import pytest
import torch
from pages import state

from stnlib.diagnostics import grid_coverage
from stnlib.sampler import sample_native
from stnlib.transforms import FAMILIES, apply, base_grid, invert

CLOSE = dict(rtol=1e-5, atol=1e-5)
D = torch.float64


@pytest.fixture
def page(show):
    return show("window")


def pick(page, group, text):
    legend = page.locator("fieldset", has=page.locator("legend", has_text=group))
    legend.get_by_label(text, exact=True).check(force=True)


def check_against_stnlib(found):
    family = FAMILIES[found["family"]]
    grid = family.grid(torch.tensor([found["theta"]], dtype=D), (40, 40))
    image = torch.tensor(found["image"], dtype=D).reshape(1, 1, 40, 40)
    wanted = sample_native(image, grid).flatten()
    torch.testing.assert_close(torch.tensor(found["grid"], dtype=D), grid.flatten(), **CLOSE)
    torch.testing.assert_close(torch.tensor(found["output"], dtype=D), wanted, **CLOSE)
    on_border = ((grid.abs() - 1).abs() < 1e-9).any(-1).double().mean().item()  # rounding decides
    assert found["coverage"] == pytest.approx(grid_coverage(grid).item(), abs=1e-5 + on_border)


@pytest.mark.parametrize("text", ["shift", "+ scale", "+ turn", "affine", "spline"])
def test_each_family_shows_what_stnlib_shows(page, text):
    pick(page, "Family", text)
    check_against_stnlib(state(page))
    before = state(page)["theta"]
    page.locator("canvas").first.focus()
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(key)
    found = state(page)
    assert max(abs(a - b) for a, b in zip(found["theta"], before, strict=True)) > 0.2
    check_against_stnlib(found)


def test_every_slider_of_the_affine_family_changes_theta_as_stnlib_has_it(page):
    pick(page, "Family", "affine")
    sliders = page.locator(".stn-sliders input:visible").all()
    assert len(sliders) == 6
    for slider in sliders:
        before = state(page)["theta"]
        slider.focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        assert state(page)["theta"] != before
        check_against_stnlib(state(page))


def test_the_window_is_dragged_by_the_mouse(page):
    box = page.locator("canvas").first.bounding_box()
    x, y, unit = box["x"] + box["width"] / 2, box["y"] + box["width"] / 2, box["width"] / 3.4
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 0.5 * unit, y - 0.25 * unit, steps=4)
    page.mouse.up()
    page.mouse.move(x, y)
    found = state(page)
    assert found["theta"] == pytest.approx([1, 0, 0.5, -0.25], abs=0.02)
    check_against_stnlib(found)


def test_the_corner_turns_and_scales_it(page):
    box = page.locator("canvas").first.bounding_box()
    x, y, unit = box["x"] + box["width"] / 2, box["y"] + box["width"] / 2, box["width"] / 3.4
    page.mouse.move(x + unit, y + unit)
    page.mouse.down()
    page.mouse.move(x, y + 0.5 * 2**0.5 * unit, steps=4)
    page.mouse.up()
    found = state(page)  # half as large, and turned by 45 degrees
    half = 0.5 * 0.5**0.5
    assert found["theta"] == pytest.approx([half, half, 0, 0], abs=0.02)
    check_against_stnlib(found)


def test_a_control_point_of_the_spline_is_dragged(page):
    pick(page, "Family", "spline")
    box = page.locator("canvas").first.bounding_box()
    x, y, unit = box["x"] + box["width"] / 2, box["y"] + box["width"] / 2, box["width"] / 3.4
    page.mouse.move(x - unit, y - unit)
    page.mouse.down()
    page.mouse.move(x - 0.5 * unit, y - unit, steps=3)
    page.mouse.up()
    found = state(page)
    assert found["point"] == 0
    assert found["theta"][:2] == pytest.approx([0.5, 0], abs=0.02)
    assert not any(found["theta"][2:])
    check_against_stnlib(found)


WARPS = {
    "shift": [[1, 0, 0.4], [0, 1, -0.3], [0, 0, 1]],
    "zoom": [[2, 0, 0], [0, 2, 0], [0, 0, 1]],
    "shear": [[1, 0.5, 0], [0, 1.25, 0], [0, 0, 1]],
    "mirror": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
}
NAMES = {"shift": "translation", "+ scale": "attention", "+ turn": "similarity", "affine": "affine"}


def test_a_family_undoes_a_warp_as_well_as_the_best_theta_that_stnlib_allows(page):
    for warp, text in itertools.product(WARPS, NAMES):
        pick(page, "Family", text)
        pick(page, "Image", warp)
        page.get_by_role("button", name="Undo").click()
        assert state(page)["distance"] == pytest.approx(least_distance(warp, text), abs=0.05)


def least_distance(warp, text):
    """From the points that undo a warp, in pixels, over every θ of a family."""
    points = base_grid((40, 40), dtype=D).reshape(-1, 2)
    inverse = invert(torch.tensor([WARPS[warp]], dtype=D))
    target = apply(inverse, points)[0]
    family = FAMILIES[NAMES[text]]
    zero = family.grid(torch.zeros(1, family.n_parameters, dtype=D), (40, 40)).reshape(-1)
    unit = family.grid(torch.eye(family.n_parameters, dtype=D), (40, 40)).flatten(1) - zero
    best = torch.linalg.lstsq(unit.T, (target.reshape(-1) - zero)[:, None]).solution
    rest = (unit.T @ best)[:, 0] + zero - target.reshape(-1)
    return 19.5 * rest.reshape(-1, 2).square().sum(1).mean().sqrt().item()


def test_the_best_similarity_of_a_mirrored_image_is_a_point(page):
    pick(page, "Image", "mirror")
    page.get_by_role("button", name="Undo").click()
    assert state(page)["theta"] == pytest.approx([0, 0, 0, 0], abs=0.02)


def test_reset_is_the_identity(page):
    page.locator("canvas").first.focus()
    page.keyboard.press("Shift+ArrowUp")
    assert state(page)["theta"] != [1, 0, 0, 0]
    page.get_by_role("button", name="Reset").click()
    assert state(page)["theta"] == [1, 0, 0, 0]


def test_another_digit_is_another_image(page):
    before = state(page)["image"]
    page.locator("select").select_option("7")
    assert state(page)["image"] != before
    check_against_stnlib(state(page))
