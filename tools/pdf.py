"""Print the built book as one PDF.

python tools/pdf.py    makes _build/stn.pdf from the pages in _build/html

All pages go into one document, and Chromium prints it: so it makes the links between pages, the
outline and the page numbers.
"""

import shutil
import sys
import tempfile
from contextlib import contextmanager
from html import escape
from io import BytesIO
from pathlib import Path

import yaml
from pypdf import PdfWriter
from pypdf.generic import NameObject, TextStringObject

from stnlib.progress import bar

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "tools"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
MISSING = "There is no Chromium to print with: apt-get install chromium, or install Google Chrome."
COVER = """<!doctype html>
<html lang="en" data-theme="light" data-mode="light">
<meta charset="utf-8"><title>{title}</title>
<script>MathJax = {{startup: {{typeset: false}}, options: {{processHtmlClass: "math"}}}}</script>
<script src="_static/tex-svg.js"></script>
<header><p class="title">{title}</p><p>{author}</p><p>{html[extra_footer]}</p></header>
</html>"""


def outline(toc):
    """List what a table of contents has, each with its depth: parts 0, their pages 1.

    Parameters
    ----------
    toc : dict
        As in `book/_toc.yml`.

    Returns
    -------
    list[tuple[str, int, bool]]
        The caption of a part or the name of a page, its depth, and whether it is a page.
    """
    listed = [(toc["root"], 0, True)]
    for part in toc["parts"]:
        if "caption" in part:
            listed.append((part["caption"], 0, False))
        listed += _below(part["chapters"], int("caption" in part))
    return listed


def _below(entries, depth):
    for entry in entries:
        yield entry["file"], depth, True
        yield from _below(entry.get("sections", []), depth + 1)


@contextmanager
def chromium():
    """Start the installed browser; end with one line where there is none."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit(MISSING)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def gather(tab, html, toc):
    """Put all pages of a built book into a document.

    Parameters
    ----------
    tab : playwright.sync_api.Page
        With a document that lies in the folder of the pages.
    html : Path
        That folder.
    toc : dict
        As in `book/_toc.yml`.
    """
    add, listed = (TOOLS / "pdf.js").read_text("utf-8"), outline(toc)
    pages = [name for name, _, page in listed if page]
    with bar(total=len(listed) + 1, unit="page", leave=False) as shown:
        for name, depth, page in listed:
            if page:
                text = (html / f"{name}.html").read_text("utf-8")
                tab.evaluate(add, {"name": name, "depth": depth, "html": text, "pages": pages})
            else:
                heading = f"<h1 class='part'>{escape(name)}</h1>"
                tab.evaluate("part => document.body.insertAdjacentHTML('beforeend', part)", heading)
            shown.update()


def print_book(browser, html, toc, cover, path):
    """Print a built book.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
        Of `chromium`.
    html : Path
        The folder of the built pages.
    toc : dict
        As in `book/_toc.yml`.
    cover : str
        A document in HTML, which the pages are added to.
    path : Path
        The PDF to write.
    """
    with tempfile.NamedTemporaryFile("w", dir=html, suffix=".html", encoding="utf-8") as file:
        file.write(cover)
        file.flush()
        tab = browser.new_page(color_scheme="light")
        tab.goto(Path(file.name).as_uri())
        gather(tab, html, toc)
        tab.add_style_tag(path=TOOLS / "pdf.css")
        print_tab(tab, path)
        tab.close()


def print_tab(tab, path):
    """Print a document, with an outline of its headings.

    Parameters
    ----------
    tab : playwright.sync_api.Page
        With the document.
    path : Path
        The PDF to write.
    """
    headings = "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => h.textContent)"
    how = {"prefer_css_page_size": True, "print_background": True, "outline": True, "tagged": True}
    writer = PdfWriter(BytesIO(tab.pdf(**how)))
    # Chromium puts the lines of a long heading together without a space.
    for entry, title in zip(entries(writer.outline), tab.evaluate(headings), strict=True):
        entry.node[NameObject("/Title")] = TextStringObject(" ".join(title.split()))
    writer.page_mode = "/UseOutlines"
    writer.metadata = {"/Title": tab.title()}
    writer.write(path)


def entries(outline):
    """Yield the entries of an outline of pypdf's, those below one after it."""
    for entry in outline:
        yield from entries(entry) if isinstance(entry, list) else [entry]


def main():
    """Print the book that `make book` built."""
    configuration = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))
    with chromium() as browser:
        path = ROOT / "_build" / "stn.pdf"
        print_book(browser, ROOT / "_build" / "html", toc, COVER.format(**configuration), path)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
