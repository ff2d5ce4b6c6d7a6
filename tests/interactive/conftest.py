"""The arithmetic of the interactive figures, and a small book that has each of them on a page."""

import collections

import pytest
from browser import watched
from once import made_once
from pages import ROOT, tools


@pytest.fixture(scope="session")
def numerics(chromium):
    """An empty page that has the book's arithmetic as `STN`."""
    page = chromium.new_page()
    page.add_script_tag(path=ROOT / "book" / "interactive" / "stn.js")
    yield page
    page.close()


@pytest.fixture(scope="session")
def small_book(chromium, tmp_path_factory):
    """The folder of a built book that has each figure on a page of its own."""
    return made_once(tmp_path_factory, "figures", tools.build_small_book)


@pytest.fixture(scope="session")
def tabs(chromium):
    """Tabs by what they were opened with, used by one test after another: a new one costs more."""
    return collections.defaultdict(list)


@pytest.fixture
def show(chromium, small_book, tabs):
    """Open the page of a figure; in the end no page may have had an error or asked a network."""
    shown = []

    def open_page(name, *, width=1000, theme="light", motion="reduce", scripts=True, touch=False):
        kind = {"color_scheme": theme, "reduced_motion": motion, "java_script_enabled": scripts}
        kind |= {"has_touch": touch, "is_mobile": touch}
        size = {"width": width, "height": 900}
        free = tabs[tuple(kind.values())]
        if not free:
            page = chromium.new_page(viewport=size, **kind)
            free.append((page, watched(page)))
        page, wrong = free.pop()
        shown.append((free, page, wrong))
        page.set_viewport_size(size)
        page.mouse.move(0, 0)
        page.goto((small_book / f"{name}.html").as_uri())
        if scripts:
            page.locator(".stn-stage").scroll_into_view_if_needed()
            page.wait_for_function("document.querySelector('.stn-live-text')?.textContent")
        return page

    yield open_page
    told = [line for _, _, wrong in shown for line in wrong]
    for free, page, wrong in shown:
        page.goto("about:blank")  # nothing of the figure goes on
        wrong.clear()
        free.append((page, wrong))
    assert told == []
