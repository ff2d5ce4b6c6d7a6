"""*Kill it yourself*: the training in the page is judged as stnlib judges, and has its cliff."""

import math
from collections import Counter

import pytest
import torch
from pages import ROOT, state

from stnlib.book import small
from stnlib.diagnostics import (
    black_share,
    corner_spread,
    coverage,
    object_coverage,
    view_corners,
    view_pixels,
)
from stnlib.records import observations, outcome
from stnlib.sampler import sample_native
from stnlib.transforms import FAMILIES

D = torch.float64
DONE = "() => document.querySelector('figure.interactive').stnState.{}"


@pytest.fixture
def page(show):
    page = show("train")
    page.wait_for_function(DONE.format("views"))
    return page


TRAIN = """([changes, seeds, steps]) => {
    const { digits, ...rest } = STN_DATA.train, data = { ...rest, digits: Widget.bytes(digits) };
    const usual = { rate: 0.01, factor: 1, warmup: 0, schedule: "constant", relu: true };
    const options = { ...usual, batch: 32, steps, ...changes };
    return seeds.map((seed) => {
        const training = smallTraining(STN, data, options, seed);
        while (training.done < steps) training.step();
        return training.measured;
    });
}"""


def train(page, seeds, steps=600, **changes):
    found = page.evaluate(TRAIN, [changes, list(range(seeds)), steps])
    return Counter(one["outcome"] for one in found)


def test_too_high_a_rate_loses_every_transformer_and_a_slow_localisation_network_saves_them(page):
    assert train(page, 4, rate=0.03)["looks"] == 0
    assert train(page, 4, rate=0.03, factor=0.1)["looks"] == 4


def test_a_recorded_training_of_the_page_is_what_its_code_gives(page):
    runs = small.table(observations.read_all(small.STUDY, [ROOT / "book" / "observations"]))
    stored = runs[(runs["row"] == "0.03, loc. × 0.1: page") & (runs["seed"] == 0)].iloc[0]
    (again,) = page.evaluate(TRAIN, [{"rate": 0.03, "factor": 0.1}, [0], 600])
    assert again["outcome"] == stored["outcome"]
    assert again["accuracy"] == pytest.approx(stored["accuracy"], abs=0.03)


def test_a_slow_localisation_network_at_a_low_rate_leaves_it_idle(page):
    assert train(page, 3, rate=1e-3, factor=0.03)["idle"] == 3


JUDGE = """(step) => {
    const { digits, ...rest } = STN_DATA.train, data = { ...rest, digits: Widget.bytes(digits) };
    const options = { rate: 0.02, factor: 1, warmup: 0, schedule: "constant", relu: true };
    const training = smallTraining(STN, data, { ...options, batch: 32, steps: step }, 0);
    while (training.done < step) training.step();
    const { images } = smallImages(data, STN.random(0), data.train, data.count, 300);
    return { measured: training.measured, images: [...images], thetas: training.thetas(300) };
}"""


@pytest.mark.parametrize("step", [5, 25, 120])
def test_what_is_measured_is_what_stnlib_measures(page, step):
    found = page.evaluate(JUDGE, step)
    images = torch.tensor(found["images"], dtype=D).reshape(300, 1, 16, 16)
    theta, measured = torch.tensor(found["thetas"], dtype=D), found["measured"]
    grid = FAMILIES["affine"].grid(theta, (16, 16))
    output = sample_native(images, grid)
    wanted = {
        "coverage": coverage(theta).mean(),
        "object": object_coverage(theta, mask=images).mean(),
        "black": black_share(output, images),
        "spread": corner_spread(view_corners(grid), (16, 16)),
        "side": view_pixels(grid, (16, 16)).sort().values[150],
    }
    for name, value in wanted.items():
        assert measured[name] == pytest.approx(float(value), abs=1e-5), name


def test_the_thresholds_are_those_of_the_records(page):
    """At each threshold another word, in the order of stnlib.records.outcome."""
    thresholds = page.evaluate("STN_DATA.train.thresholds")
    assert thresholds == {
        "black": outcome.BLACK,
        "seen": outcome.SEEN,
        "point": outcome.POINT,
        "blind": outcome.BLIND,
        "idle": outcome.IDLE,
        "chance": outcome.AT_CHANCE,
    }


def test_the_button_trains_twenty_and_stops_them(page):
    page.get_by_role("button", name="Train").click()
    page.wait_for_function(DONE.format("done >= 200"))
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(300)
    found = state(page)
    assert len(found["runs"]) == 20 and all(run["done"] > 0 for run in found["runs"])
    assert found["stepsPerSecond"] > 0
    page.wait_for_timeout(300)
    assert state(page)["done"] == found["done"] < 600
    for view in found["views"]:
        theta = torch.tensor([view["theta"]], dtype=D)
        image = torch.tensor(numbers(view["image"]), dtype=D).reshape(1, 1, 16, 16)
        wanted = sample_native(image, FAMILIES["affine"].grid(theta, (16, 16)))
        torch.testing.assert_close(
            torch.tensor(numbers(view["output"]), dtype=D), wanted.flatten(), rtol=1e-5, atol=1e-5
        )


def numbers(values):
    """A typed array as the browser hands it over."""
    return [values[str(k)] for k in range(len(values))] if isinstance(values, dict) else values


def test_nothing_trains_while_the_figure_is_off_screen(page):
    page.get_by_role("button", name="Train").click()
    page.wait_for_function(DONE.format("done >= 10"))
    page.evaluate("document.querySelector('figure.interactive').style.marginTop = '5000px'")
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_function(DONE.format("working === false"))
    page.wait_for_timeout(300)
    done = state(page)["done"]
    page.wait_for_timeout(500)
    assert state(page)["done"] == done
    page.locator(".stn-stage").scroll_into_view_if_needed()
    page.wait_for_function(DONE.format(f"done > {done}"))


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("× 0.1", "factor", 0.1),
        ("10 %", "warmup", 0.1),
        ("cosine", "schedule", "cosine"),
        ("128", "batch", 128),
    ],
)
def test_a_choice_begins_new_trainings_with_it(page, text, name, value):
    page.get_by_label(text, exact=True).check(force=True)
    page.wait_for_function(DONE.format("views"))
    found = state(page)
    assert found["options"][name] == value and found["done"] == 0


def test_the_keyboard_changes_rate_and_relu(page):
    page.get_by_label("Rate", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.get_by_label("ReLU").focus()
    page.keyboard.press("Space")
    page.wait_for_function(DONE.format("views"))
    found = state(page)["options"]
    assert math.isclose(found["rate"], 10**-1.95) and found["relu"] is False


def test_another_training_is_shown(page):
    first = state(page)["runs"]
    page.get_by_label("Show training").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(DONE.format("shown === 1"))
    assert len(first) == 20
