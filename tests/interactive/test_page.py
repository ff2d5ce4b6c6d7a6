"""What holds for every interactive figure: both themes, three widths, keyboard, no script."""

import re

import pytest
from matplotlib.colors import to_hex
from pages import ROOT, state, tools

from stnlib.book.figures.style import STATES
from stnlib.book.interactive import FIGURES, script

NAMES = tools.figures()
NO_SLIDER = ("switches", "remedies", "branches")


def test_there_are_figures():
    assert "window" in NAMES


@pytest.mark.parametrize("name", FIGURES)
def test_the_data_of_a_figure_are_what_the_records_say(name):
    path = ROOT / "book" / "interactive" / "data" / f"{name}.js"
    assert path.read_text(encoding="utf-8") == script(name), "make interactive"


def test_no_file_of_data_is_left_over():
    folder = ROOT / "book" / "interactive" / "data"
    assert {path.stem for path in folder.iterdir()} == set(FIGURES)


def test_an_outcome_has_the_colour_of_the_other_figures():
    style = (ROOT / "book" / "interactive" / "widget.css").read_text(encoding="utf-8")
    light = dict(re.findall(r"--stn-(\w+): (#\w+);", style.partition("}")[0]))
    for word in ("looks", "idle", "shrunken", "point", "blind", "black", "at chance"):
        assert to_hex(light[word.rpartition(" ")[2]]) == to_hex(STATES[word])


def test_a_figure_has_its_room_before_it_is_drawn(show):
    page = show("window")  # whose panels are square
    page.set_viewport_size({"width": 1000, "height": 50})
    page.goto(page.url)  # the figure is below what is seen
    page.wait_for_timeout(300)
    sides = "(canvas) => [canvas.width, canvas.clientWidth, canvas.clientHeight]"
    drawn, width, height = page.locator(".stn-stage canvas").first.evaluate(sides)
    assert drawn == 300  # as a canvas is born
    assert width == height


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("width", "theme"),
    [(390, "light"), pytest.param(768, "dark", marks=pytest.mark.slow), (1400, "dark")],
)
def test_a_figure_fits_its_page_and_is_drawn(show, name, width, theme):
    page = show(name, width=width, theme=theme)
    for canvas in page.locator(".stn-stage canvas").all():
        canvas.scroll_into_view_if_needed()
        page.wait_for_timeout(150)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        """() => [...document.querySelectorAll(".stn-stage *")].filter(
            (node) => !node.closest(".stn-spoken")
                && node.offsetWidth > node.closest(".stn-stage").clientWidth
        ).length"""
    )
    assert wide == 0
    shades = page.evaluate(
        """() => [...document.querySelectorAll(".stn-stage canvas")].map((canvas) => {
            const context = canvas.getContext("2d");
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size;
        })"""
    )
    assert shades and min(shades) > 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_another_theme_draws_a_figure_anew(show, name):
    page = show(name)
    page.wait_for_timeout(300)
    shot = "() => [...document.querySelectorAll('.stn-stage canvas')].map((c) => c.toDataURL())"
    light = page.evaluate(shot)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(300)
    assert page.evaluate(shot) != light


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_without_scripts_alone_a_page_has_the_picture_with_its_text(show, name):
    page = show(name, scripts=False)
    picture = page.locator("figure.interactive img")
    assert picture.is_visible() and picture.get_attribute("alt")
    assert page.locator("figure.interactive figcaption").is_visible()
    assert not show(name).locator("figure.interactive img").is_visible()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NO_SLIDER])
def test_every_slider_that_is_shown_moves_by_keyboard(show, name):
    page = show(name)
    before = state(page)
    assert page.locator(".stn-stage input[type=range]").count()
    for slider in page.locator(".stn-stage input[type=range]:visible").all():
        value = slider.input_value()
        slider.focus()
        page.keyboard.press("ArrowRight")
        if slider.input_value() == value:  # it stood at its end
            page.keyboard.press("ArrowLeft")
        assert slider.input_value() != value
    assert state(page) != before


@pytest.mark.parametrize("name", NAMES)
def test_every_canvas_and_control_has_a_name_and_numbers_are_said_at_rest(show, name):
    page = show(name)
    for canvas in page.locator(".stn-stage canvas").all():
        assert canvas.get_attribute("role") == "img" and canvas.get_attribute("aria-label")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll(".stn-stage :is(input, select, button)")].filter(
            (node) => !(node.labels?.[0]?.textContent || node.textContent || node.ariaLabel)
        ).length"""
    )
    assert unnamed == 0
    assert page.locator(".stn-stage [role=status][aria-live=polite]").count() >= 1
    page.wait_for_timeout(1000)
    spoken = page.locator(".stn-stage [role=status]").first.text_content()
    assert re.search(r"\d", spoken)
    assert spoken == page.locator(".stn-live-text").first.text_content()


def test_only_pages_with_a_figure_load_its_scripts(small_book, show):
    plain = (small_book / "index.html").read_text(encoding="utf-8")
    assert "widget.js" not in plain and "stn.js" not in plain
    for name in NAMES:
        text = (small_book / f"{name}.html").read_text(encoding="utf-8")
        found = re.findall(r'<script defer="defer" src="_static/([\w/-]+\.js)', text)
        own = {other for other in NAMES if f"{other}.js" in found}
        assert own == {name}
        assert found.index("stn.js") < found.index("widget.js") < found.index(f"{name}.js")


@pytest.mark.parametrize("name", FIGURES)
def test_the_data_of_a_page_are_small(name):
    path = ROOT / "book" / "interactive" / "data" / f"{name}.js"
    assert path.stat().st_size < 1_500_000
