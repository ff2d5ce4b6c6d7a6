"""*Flight recorder*: what it replays is what the traces hold."""

import math

import pytest
import torch
from pages import state

from stnlib.book import interactive
from stnlib.diagnostics import Trace
from stnlib.records import outcome, store
from stnlib.sampler import SAMPLERS
from stnlib.transforms import FAMILIES

D = torch.float64


@pytest.fixture
def page(show):
    return show("recorder")


def recorded(key):
    (path,) = store.paths(key=key, where=store.folders()[:1])
    return store.read(path), Trace.load(store.trace_path(path))


def check_against_the_trace(side):
    record, trace = recorded(side["key"])
    place = side["step"] - 1
    names = {"spread_x": "theta_std_2", "spread_y": "theta_std_5", "change": "step"}
    for name in ("coverage", "phi", "accuracy", *names):
        want = trace.columns[names.get(name, name)][place]
        want = 0.0 if math.isnan(want) else min(want, 65504.0)
        assert side[name] == pytest.approx(want, rel=1e-3, abs=1e-7)
    theta = [trace.columns[f"theta_mean_{k}"][place] for k in range(6)]
    assert side["theta"] == pytest.approx(theta, rel=1e-3, abs=1e-3)
    assert trace.columns["step_number"][place] == side["step"]
    assert side["outcome"] == str(outcome.in_a_word(record))
    assert [tuple(event) for event in side["events"]] == trace.events[:1]


def scrub(page):
    return page.get_by_label("Frame", exact=True)


def test_each_step_shows_what_was_recorded(page):
    for keys in ("Home", "ArrowRight", "PageUp", "PageUp", "End"):
        scrub(page).focus()
        page.keyboard.press(keys)
        for side in state(page)["sides"]:
            check_against_the_trace(side)


def test_the_output_is_the_image_in_the_mean_view(page):
    scrub(page).focus()
    page.keyboard.press("PageUp")
    data = interactive.recorder()
    for side in state(page)["sides"]:
        training = next(t for t in data["trainings"] if t["key"] == side["key"])
        scene = page.evaluate("(name) => STN_DATA.recorder.scenes[name]", training["data"])
        pixels = page.evaluate("(code) => [...Widget.bytes(code)]", scene["pixels"])
        n = scene["side"]
        image = torch.tensor(pixels, dtype=D).reshape(1, 1, n, n) / 255
        grid = FAMILIES["affine"].grid(torch.tensor([side["theta"]], dtype=D), (40, 40))
        wanted = SAMPLERS[training["sampler"]](image, grid).flatten()
        found = torch.tensor(side["output"], dtype=D)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_the_left_one_starts_with_a_training_that_was_accurate_and_ends_black(page):
    left, right = state(page)["sides"]
    assert left["outcome"] == "black" and right["outcome"] == "looks"
    record, trace = recorded(left["key"])
    accuracy = trace.columns["accuracy"]
    best = max(sum(accuracy[k : k + 100]) / 100 for k in range(len(accuracy) - 100))
    assert best > 0.4 > 0.15 > record.last["val_accuracy"]


def test_another_training_is_chosen_by_keyboard_on_either_side(page):
    for k, name in enumerate(("Left:", "Right:")):
        before = state(page)["sides"]
        page.get_by_label(name).focus()
        page.keyboard.press("ArrowDown")
        after = state(page)["sides"]
        assert after[k]["key"] != before[k]["key"]
        assert after[1 - k]["key"] == before[1 - k]["key"]
        check_against_the_trace(after[k])


def test_every_training_that_can_be_chosen_is_drawn(page):
    choices = page.get_by_label("Left:").locator("option")
    keys = choices.evaluate_all("(all) => all.map((each) => each.value)")
    assert len(keys) > 90
    for key in keys:
        page.get_by_label("Left:").select_option(key)
    scrub(page).focus()
    page.keyboard.press("End")
    check_against_the_trace(state(page)["sides"][0])


def test_it_plays_and_pauses_and_goes_step_by_step(page):
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelector('figure.interactive').stnState.frame >= 3")
    page.get_by_role("button", name="Pause").click()
    frame = state(page)["frame"]
    page.wait_for_timeout(300)
    assert state(page)["frame"] == frame
    page.get_by_role("button", name="One step on").click()
    assert state(page)["frame"] == frame + 1
    page.get_by_role("button", name="One step back").click()
    assert state(page)["frame"] == frame


def test_the_course_is_scrubbed_by_the_mouse(page):
    time = page.locator(".stn-tall").first.locator("canvas").last
    box = time.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    side = state(page)["sides"][0]
    _, trace = recorded(side["key"])
    assert side["step"] == pytest.approx(len(trace) / 2, rel=0.05)


@pytest.mark.parametrize(("motion", "plays"), [("no-preference", True), ("reduce", False)])
def test_it_begins_by_itself_only_where_motion_is_welcome(show, motion, plays):
    page = show("recorder", motion=motion)
    page.wait_for_timeout(800)
    assert state(page)["running"] is plays
    assert (state(page)["frame"] > 0) is plays


def test_off_screen_it_waits(show):
    page = show("recorder", motion="no-preference")
    page.wait_for_timeout(400)
    page.evaluate("document.querySelector('figure.interactive').style.marginTop = '6000px'")
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(300)
    frame = state(page)["frame"]
    page.wait_for_timeout(500)
    assert state(page)["frame"] == frame
    page.locator(".stn-player").scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    assert state(page)["frame"] > frame


def test_the_home_page_takes_at_most_300_kb():
    assert len(interactive.script("recorder-home").encode()) < 300_000
