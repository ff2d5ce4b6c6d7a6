"""What tests in a real browser share."""

import shutil

MISSING = "needs Chromium and the Python package playwright: apt-get install chromium, make test"
PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# Without a GPU, Chromium would draw by emulating one, which takes longer than drawing at once.
OPTIONS = ["--no-sandbox", "--disable-gpu"]


def watched(page):
    """Errors of a page and addresses outside of its folder that it asks for, as they come."""
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    page.on("request", lambda request: wrong.append(request.url) if far(request.url) else None)
    return wrong


def far(address):
    return not address.startswith(("file:", "data:", "blob:"))
