"""The arithmetic of the interactive figures, and a small book that has each of them on a page."""

import pytest
from browser import watched
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
    return tools.build_small_book(tmp_path_factory.mktemp("figures") / "book")


@pytest.fixture
def show(chromium, small_book):
    """Open the page of a figure; in the end no page may have had an error or asked a network."""
    pages, wrong = [], []

    def open_page(name, *, width=1000, theme="light", motion="reduce", scripts=True, touch=False):
        page = chromium.new_page(
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            reduced_motion=motion,
            java_script_enabled=scripts,
            has_touch=touch,
            is_mobile=touch,
        )
        pages.append(page)
        wrong.append(watched(page))
        page.goto((small_book / f"{name}.html").as_uri())
        if scripts:
            page.locator(".stn-stage").scroll_into_view_if_needed()
            page.wait_for_function("document.querySelector('.stn-live-text')?.textContent")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not any(wrong), wrong
