"""Every interactive figure on a phone: a finger drags what a mouse drags, and scrolls the page."""

import json

import pytest
from pages import ROOT, state, tools

pytestmark = pytest.mark.slow
NAMES = tools.figures()
FOLDER = ROOT / "book" / "interactive"
SOURCES = {name: (FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in NAMES}
DRAGGED = [name for name in NAMES if "Widget.drag(" in SOURCES[name]]
ALONG = [name for name in DRAGGED if "along: true" in SOURCES[name]]


@pytest.fixture
def phone(show):
    return lambda name: show(name, width=390, touch=True)


class Finger:
    """One finger on the screen, by the browser's protocol for its developers."""

    def __init__(self, page):
        self.session = page.context.new_cdp_session(page)

    def send(self, kind, *places):
        points = [{"x": x, "y": y} for x, y in places]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def swipe(self, path):
        self.send("touchStart", path[0])
        for place in path[1:]:
            self.send("touchMove", place)
        self.send("touchEnd")


def path_over(page, down=0.0):
    """Places from the middle of the dragged canvas, a third of its width to the right."""
    canvas = page.locator(".stn-drag").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    box = canvas.bounding_box()
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"]
    return [(x + k / 30 * box["width"], y + down * k) for k in range(11)]


def by_mouse(page, path):
    page.mouse.move(*path[0])
    page.mouse.down()
    for place in path[1:]:
        page.mouse.move(*place)
    page.mouse.up()


def scrolled(page):
    page.wait_for_timeout(300)
    return page.evaluate("window.scrollY")


def told(page):
    return json.dumps(state(page), sort_keys=True)


@pytest.mark.parametrize("name", DRAGGED)
def test_a_finger_drags_what_a_mouse_drags_and_the_page_stays(show, phone, name):
    page, other = phone(name), show(name, width=390)
    start, path = told(page), path_over(page, down=0 if name in ALONG else 1.5)
    before = page.locator(".stn-drag").first.bounding_box()["y"]
    Finger(page).swipe(path)
    page.wait_for_timeout(300)
    assert page.locator(".stn-drag").first.bounding_box()["y"] == pytest.approx(before, abs=1)
    by_mouse(other, path_over(other, down=0 if name in ALONG else 1.5))
    assert told(page) == told(other) != start


def upwards(page, target):
    """A finger on a thing goes up by 300 pixels; how far the page has scrolled."""
    page.evaluate("document.querySelector('article').style.paddingBottom = '3000px'")
    target.evaluate("(node) => node.scrollIntoView({ block: 'center' })")
    before, box = scrolled(page), target.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    Finger(page).swipe([(x, y - 20 * k) for k in range(16)])
    return scrolled(page) - before


@pytest.mark.parametrize("name", NAMES)
def test_a_finger_on_anything_but_what_is_dragged_both_ways_scrolls_the_page(phone, name):
    page = phone(name)
    canvases = page.locator(".stn-stage canvas").all()
    free = [c for c in canvases if name in ALONG or "stn-drag" not in c.get_attribute("class")]
    for target in [*free, page.locator(".stn-live-text"), page.locator("figcaption")]:
        assert upwards(page, target) > 150


@pytest.mark.parametrize("name", sorted({*DRAGGED} - {*ALONG}))
def test_a_finger_on_what_is_dragged_both_ways_does_not_scroll_the_page(phone, name):
    page = phone(name)
    assert upwards(page, page.locator(".stn-drag")) == 0


def test_a_tap_on_a_dot_shows_its_training(phone):
    page = phone("train")
    page.get_by_role("button", name="Train").tap()
    judged = """document.querySelector("figure.interactive").stnState.runs.filter(
        (run) => run.outcome !== "untrained").length > 5"""
    page.wait_for_function(judged, timeout=120_000)
    page.get_by_role("button", name="Pause").tap()
    dots = page.locator(".stn-stage canvas").last
    dots.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    box, chosen = dots.bounding_box(), {state(page)["shown"]}
    for k in range(1, 60):
        across, down = k % 15 / 15, 0.2 + 0.2 * (k // 15)
        page.touchscreen.tap(box["x"] + across * box["width"], box["y"] + down * box["height"])
        page.wait_for_timeout(30)
        chosen.add(state(page)["shown"])
    assert len(chosen) > 2


def test_there_are_figures_to_drag():
    assert {"window", "digit", "landscape"} <= {*DRAGGED} - {*ALONG}
    assert {"point", "push", "recorder", "switches"} <= {*ALONG}
