"""A real browser for the interactive figures, and a small book that has each of them on a page."""

import shutil
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"
PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
MISSING = "needs Chromium and the Python package playwright: apt-get install chromium, make test"


@pytest.fixture(scope="session")
def chromium():
    """The installed browser, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason=MISSING)
    if PROGRAM is None:
        pytest.skip(MISSING)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def numerics(chromium):
    """An empty page that has the book's arithmetic as `STN`."""
    page = chromium.new_page()
    page.add_script_tag(path=BOOK / "interactive" / "stn.js")
    yield page
    page.close()
