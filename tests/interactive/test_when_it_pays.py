"""*When it pays*: the dots are the records, the pictures what a recorded transformer hands on."""

import statistics

import numpy as np
import pytest
import torch
from pages import state

from stnlib.data import digits
from stnlib.data.scattered import poses, warp
from stnlib.records import store, weights

STRENGTHS = (0, 0.25, 0.5, 0.75, 0.875, 1)
NAMES = {"oracle": "oracle", "stn": "transformer", "baseline": "no transformer"}


@pytest.fixture
def page(show):
    return show("when-it-pays")


@pytest.fixture(scope="module")
def records():
    return store.of_study("scattered")


def choose(page, strength):
    page.get_by_role("slider").fill(str(STRENGTHS.index(strength)))


def as_images(found, name, side):
    pictures = [picture[name] for picture in found["pictures"]]
    return torch.tensor(pictures).reshape(-1, 1, side, side)


def test_each_training_is_a_dot_at_its_accuracy(page, records):
    shown = {name: sorted(map(tuple, points)) for name, _, points in state(page)["lines"]}
    for model, name in NAMES.items():
        wanted = sorted(
            (r.config.distortion, r.result["test_accuracy"])
            for r in records
            if r.config.model == model
        )
        assert wanted and len(shown[name]) == len(wanted)
        np.testing.assert_allclose(shown[name], wanted, atol=1e-4)


def test_what_is_undone_is_that_of_the_records(page, records):
    page.get_by_label("what is undone", exact=True).check(force=True)
    shown = {name: sorted(map(tuple, points)) for name, _, points in state(page)["lines"]}
    made = [r for r in records if r.config.has_transformer and r.config.distortion > 0]
    for name, entries in {
        "shift": ("tx", "ty"),
        "size": ("scale",),
        "rotation": ("rotation",),
    }.items():
        wanted = sorted(
            (r.config.distortion, statistics.fmean(r.result[f"test_undone_{e}"] for e in entries))
            for r in made
        )
        np.testing.assert_allclose(shown[name], wanted, atol=1e-4)
    assert min(share for _, share in shown["shift"]) > 0.75
    assert max(share for _, share in shown["rotation"]) < 0.25


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_text_has_the_means_of_a_strength(page, records, strength):
    choose(page, strength)
    assert state(page)["strength"] == strength
    text = page.locator(".stn-live-text").text_content()
    for model in NAMES:
        made = [r for r in records if (r.config.model, r.config.distortion) == (model, strength)]
        assert f"{statistics.fmean(r.result['test_accuracy'] for r in made):.3f}" in text
        assert f"{len(made)} trainings" in text


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_view_is_what_the_recorded_transformer_hands_on(page, records, strength):
    choose(page, strength)
    found, number = state(page), torch.arange(5) * 500 + 250
    theta = poses(number, strength, 28, "shown")
    canvas = warp(torch.tensor(digits.embedded()[0])[number, None], theta).float() / 255
    torch.testing.assert_close(as_images(found, "canvas", 56), canvas, atol=0.01, rtol=0)
    made = [r for r in records if r.config.has_transformer and r.config.distortion == strength]
    config = min((r.config for r in made), key=lambda c: c.seed)
    with torch.no_grad():
        view = weights.transformer(config, 1, 56)(canvas)
    torch.testing.assert_close(as_images(found, "view", 28), view, atol=0.02, rtol=0)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_oracle_is_given_each_digit_as_it_was(page, strength):
    choose(page, strength)
    page.get_by_label("5 to 9", exact=True).check(force=True)
    plain = torch.tensor(digits.embedded()[0])[torch.arange(5, 10) * 500 + 250] / 255
    for given, digit in zip(as_images(state(page), "oracle", 28), plain, strict=True):
        assert np.corrcoef(given.flatten(), digit.flatten())[0, 1] > (0.9 if strength else 0.9999)


def test_the_keyboard_chooses_a_strength_by_slider_and_on_the_dots(page):
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    assert state(page)["strength"] == 1
    page.locator("canvas").nth(1).focus()
    page.keyboard.press("ArrowLeft")
    assert state(page)["strength"] == 0.875
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "0.875"
    page.get_by_label("0 to 4", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert state(page)["first"] == 5


def test_the_mouse_chooses_the_nearest_strength(page):
    box = page.locator("canvas").nth(1).bounding_box()
    page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + 90)
    page.mouse.down()
    assert state(page)["strength"] == 0.5
    page.mouse.move(box["x"] + 0.98 * box["width"], box["y"] + 90, steps=3)
    page.mouse.up()
    assert state(page)["strength"] == 1
