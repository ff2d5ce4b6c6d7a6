"""Print the built book as one PDF, and its article as another.

python tools/pdf.py    makes _build/stn.pdf and _build/article.pdf from the pages in _build/html

All pages of one go into one document, and Chromium prints it: so it makes the links between pages,
the outline and the page numbers.
"""

import shutil
import sys
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
EMPTY = """<!doctype html>
<html lang="en" data-theme="light" data-mode="light"><meta charset="utf-8">
<script>MathJax = {startup: {typeset: false}, options: {processHtmlClass: "math"}}</script>
<script src="_static/tex-svg.js"></script>
"""
COVER = """<header>
<p class="title">{title}</p><p>{author}</p><p>{html[extra_footer]}</p>
</header>"""
NUMBER = """() => {
  const numbers = {};
  document.querySelectorAll("figure .caption-number").forEach((label, index) => {
    const old = label.textContent.trim();
    label.textContent = `${(numbers[old] = `Fig. ${index + 1}`)} `;
  });
  document.querySelectorAll(".std-numref").forEach((name) => {
    name.textContent = numbers[name.textContent] ?? name.textContent;
  });
}"""  # figures from 1 on, also where these are not all pages of the book


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


def gather(tab, html, listed):
    """Put pages of a built book into a document.

    Parameters
    ----------
    tab : playwright.sync_api.Page
        With a document that lies in the folder of the pages.
    html : Path
        That folder.
    listed : list[tuple[str, int, bool]]
        As from `outline`.
    """
    add = (TOOLS / "pdf.js").read_text("utf-8")
    pages = [name for name, _, page in listed if page]
    for name, depth, page in bar(iterable=listed, unit="page", leave=False):
        if page:
            text = (html / f"{name}.html").read_text("utf-8")
            tab.evaluate(add, {"name": name, "depth": depth, "html": text, "pages": pages})
        else:
            heading = f"<h1 class='part'>{escape(name)}</h1>"
            tab.evaluate("part => document.body.insertAdjacentHTML('beforeend', part)", heading)


def print_pages(browser, html, listed, path, cover="", styles=("pdf.css",)):
    """Print pages of a built book as one PDF.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
        Of `chromium`.
    html : Path
        The folder of the built pages.
    listed : list[tuple[str, int, bool]]
        As from `outline`.
    path : Path
        The PDF to write.
    cover : str
        HTML that goes before them.
    styles : Iterable[str]
        Files beside this one.
    """
    start = html / "printed.html"  # beside the pages, or their pictures could not be loaded
    start.write_text(EMPTY + cover, encoding="utf-8")
    tab = browser.new_page(color_scheme="light")
    try:
        tab.goto(start.as_uri())
        gather(tab, html, listed)
        tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        tab.evaluate(NUMBER)
        for style in styles:
            tab.add_style_tag(path=TOOLS / style)
        print_tab(tab, path)
    finally:
        tab.close()
        start.unlink()


def print_article(browser, html, path):
    """Print the article.

    Parameters
    ----------
    browser, html, path
        As of `print_pages`.
    """
    print_pages(browser, html, [("article", 0, True)], path, styles=("pdf.css", "article.css"))


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
    writer, titles = PdfWriter(BytesIO(tab.pdf(**how)), full=True), tab.evaluate(headings)
    # Chromium puts the lines of a long heading together without a space.
    for entry, title in zip(entries(writer.outline), titles, strict=True):
        entry.node[NameObject("/Title")] = TextStringObject(" ".join(title.split()))
    writer.page_mode = "/UseOutlines"
    writer.metadata = {"/Title": titles[0]}
    writer.write(path)


def entries(outline):
    """Yield the entries of an outline of pypdf's, those below one after it."""
    for entry in outline:
        yield from entries(entry) if isinstance(entry, list) else [entry]


def main():
    """Print the book that `make book` built, and its article."""
    build = ROOT / "_build"
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))
    cover = COVER.format(**yaml.safe_load((ROOT / "_config.yml").read_text("utf-8")))
    with chromium() as browser:
        print_pages(browser, build / "html", outline(toc), build / "stn.pdf", cover)
        print_article(browser, build / "html", build / "article.pdf")
    print("_build/stn.pdf and _build/article.pdf are made.")


if __name__ == "__main__":
    main()
