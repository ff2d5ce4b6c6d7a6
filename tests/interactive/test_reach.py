"""*Reach*: σ and ρ are those of stnlib's networks, and the marks are the records."""

import pytest
import torch
from pages import state

from stnlib.book import reaches
from stnlib.book.deaths import traces
from stnlib.data.catalogue import load
from stnlib.diagnostics import step_bound
from stnlib.models import LocNet
from stnlib.records import outcome, store

SIDES = [28, 32, 40, 48, 64, 96]


@pytest.fixture
def page(show):
    return show("reach")


@pytest.fixture(scope="module")
def records():
    """The records of the figure's studies, by key."""
    return {r.key: r for study in reaches.STUDIES for r in store.of_study(study)}


def slider(page, name):
    return page.get_by_role("slider", name=name, exact=True)


def bounds(side, channels, features, rate):
    """σ and ρ of other networks than the figure's, on other images."""
    images = load("shapes10", n_train=500).val.images[100:120].float() / 255
    images = torch.nn.functional.interpolate(images, (side, side), mode="bilinear")
    images = images if channels == 3 else images.mean(dim=1, keepdim=True)
    found = []
    for seed in range(100, 105):
        torch.manual_seed(seed)
        kind = {50: "paper", 100: "x4"}[features]
        found.append(step_bound(LocNet(channels, side, kind=kind), images, rate))
    return [sum(each[name] for each in found) / 5 for name in ("theta", "phi")]


@pytest.mark.parametrize(("side", "channels", "features"), [(40, 1, 50), (64, 3, 50), (96, 3, 100)])
def test_sigma_and_rho_are_about_those_of_any_network_of_that_size(page, side, channels, features):
    slider(page, "Canvas").fill(str(SIDES.index(side)))
    page.get_by_label(str(channels), exact=True).check(force=True)
    page.get_by_label(str(features), exact=True).check(force=True)
    found = state(page)
    assert (found["side"], found["channels"], found["features"]) == (side, channels, features)
    sigma, rho = bounds(side, channels, features, found["own"])
    assert found["sigma"] == pytest.approx(sigma, rel=0.5)
    assert found["rho"] == pytest.approx(rho, rel=0.3)


def test_a_larger_canvas_raises_rho_and_hardly_sigma(page):
    slider(page, "Canvas").fill("2")
    small = state(page)
    slider(page, "Canvas").fill("4")
    large = state(page)
    assert large["sigma"] < 2 * small["sigma"] and large["rho"] > 5 * small["rho"]


def test_both_are_proportional_to_the_localisation_networks_rate(page):
    before = state(page)
    slider(page, "Rate").focus()
    page.keyboard.press("ArrowLeft")
    slider(page, "Localisation network ×").focus()
    page.keyboard.press("ArrowRight")
    found = state(page)
    assert (found["rate"], found["factor"]) == (0.002, 3)
    for name in ("sigma", "rho"):
        assert found[name] == pytest.approx(2 * before[name])
    text = page.locator(".stn-live-text").text_content()
    assert f"{found['sigma']:.2g}" in text and f"{found['rho']:.2g}" in text


def test_the_marks_are_records_of_the_papers_network_with_their_outcome(page, records):
    cases = state(page)["cases"]
    assert len({case["key"] for case in cases}) == len(cases) > 300
    for case in cases:
        record = records[case["key"]]
        assert case["outcome"] == str(outcome.in_a_word(record))
        assert case["lost"] == outcome.lost(record)
        assert case["data"] == record.config.data.upper()
        assert (case["rate"], case["factor"]) == (record.config.lr, record.config.loc_lr_factor)
        assert record.config.locnet == "paper" and record.config.schedule == "constant"


def test_sigma_of_a_mark_is_about_what_its_trace_recorded(page):
    cases = {case["key"]: case for case in state(page)["cases"]}
    seen = 0
    for record, trace in traces("c10-probe", "c10d-probe", "cm-edge"):
        if case := cases.get(record.key):
            recorded = case["rate"] * case["factor"] * (1 + trace.columns["phi"][0])
            assert case["sigma"] == pytest.approx(recorded, rel=0.25)
            seen += 1
    assert seen > 50


@pytest.mark.parametrize("rate", [0.0003, 0.001, 0.003])
def test_what_is_recorded_at_two_rates_is_counted(page, records, rate):
    slider(page, "Rate").fill(str([0.0003, 0.0006, 0.001, 0.002, 0.003].index(rate) + 1))
    found = state(page)
    assert found["rate"] == rate
    shown = {case["key"] for case in found["cases"] if case["hidden"] == 1}
    for data, (lost, n) in found["recorded"].items():
        here = [r for r in records.values() if r.key in shown and r.config.lr == rate]
        here = [r for r in here if r.config.loc_lr_factor == 1 and r.config.data == data.lower()]
        assert (lost, n) == (sum(map(outcome.lost, here)), len(here))
        assert f"{data} {lost} of {n}" in page.locator(".stn-live-text").text_content()


def test_the_rate_is_chosen_on_the_plane_by_keyboard_and_mouse(page):
    plane = page.locator("canvas")
    plane.focus()
    page.keyboard.press("ArrowRight")
    assert state(page)["rate"] == 0.006
    page.keyboard.press("ArrowDown")
    assert state(page)["rate"] == 0.003
    box = plane.bounding_box()
    page.mouse.click(box["x"] + 0.98 * box["width"], box["y"] + 100)
    assert state(page)["rate"] == 0.03
    assert slider(page, "Rate").get_attribute("aria-valuetext") == "0.03"


def test_neither_number_alone_tells_who_is_lost(page):
    slider(page, "Rate").fill("3")
    found = state(page)
    assert found["rate"] == 0.001
    assert found["recorded"]["CM"][0] == 0
    assert len(set(found["recorded"]["C10D"])) == 1
    changed = [case for case in found["cases"] if case["hidden"] != 1]
    raised = [case["lost"] for case in changed if case["hidden"] > 1]
    lowered = [case["lost"] for case in changed if case["data"] == "C10D"]
    assert len(raised) == 20 and not any(raised)
    assert len(lowered) == 3 and not any(lowered)
    rest = [case["lost"] for case in changed if case["hidden"] < 1 and case["data"] == "CM"]
    assert sum(rest) > len(rest) / 2
