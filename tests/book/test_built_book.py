"""The built book: every warning is an error, and reading it needs no network."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from browser import watched

ROOT = Path(__file__).parents[2]
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))


def files(entries):
    """Yield the pages of a table of contents, those below a page after it."""
    for entry in entries:
        yield entry["file"]
        yield from files(entry.get("sections", []))


SCREEN = 900  # pixels
LONGER = ("appendix/", "api/")  # to look things up in, not to be read through
PAGES = [TOC["root"], *(page for part in TOC["parts"] for page in files(part["chapters"]))]


class Elements(HTMLParser):
    """Collect (tag, attributes) of everything in a page, and the text of its inline scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.inside = tag == "script" and not dict(attributes).get("type")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, text):
        if self.inside:
            self.scripts.append(text)


def elements(html, page):
    return Elements((html / f"{page}.html").read_text(encoding="utf-8")).found


@pytest.mark.parametrize("page", PAGES)
def test_the_book_builds_without_a_warning_and_has_the_page(html, page):
    assert (html / f"{page}.html").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_nothing_from_the_network(html, page):
    loaded = [a.get("src") for tag, a in elements(html, page) if tag != "a" and a.get("src")]
    loaded += [a["href"] for tag, a in elements(html, page) if tag == "link" and a.get("href")]
    assert not [address for address in loaded if re.match(r"(https?:)?//", address)]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_only_files_that_were_built(html, page):
    loaded = [
        a["src"] for tag, a in elements(html, page) if tag in {"script", "img"} and "src" in a
    ]
    local = [address.split("?")[0] for address in loaded if not address.startswith("data:")]
    home = (html / page).parent
    assert not [address for address in local if not (home / address).is_file()]


@pytest.mark.parametrize("page", [*PAGES, "search", "genindex"])
def test_no_two_scripts_of_a_page_declare_the_same_constant(html, page):
    # The second would be a script error.
    script = "\n".join(Elements((html / f"{page}.html").read_text(encoding="utf-8")).scripts)
    while (outer := re.sub(r"\{[^{}]*\}", "", script)) != script:
        script = outer  # what a block or a function declares is its own
    declared = re.findall(r"\b(?:const|let|class) (\w+)", script)
    assert declared
    assert len(declared) == len(set(declared))


@pytest.mark.parametrize("page", PAGES)
def test_every_table_is_shown_whole(html, page):
    # pandas puts dots in the place of the rows and columns that it leaves out.
    text = (html / f"{page}.html").read_text(encoding="utf-8")
    assert not re.findall(r"<t[dh][^>]*>(?:\s|<p>)*(?:\.\.\.|…|⋮)(?:\s|</p>)*</t[dh]>", text)


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_has_a_text_alternative(html, page):
    pictures = [a for tag, a in elements(html, page) if tag == "img"]
    # Without a text of its own, a picture is given the name of its file.
    nameless = re.compile(r"(\.\./)*_images/.*|")
    assert not [a["src"][:60] for a in pictures if nameless.fullmatch(a.get("alt") or "")]


def test_formulas_are_drawn_by_a_script_inside_the_book(html):
    pages = [
        page for page in PAGES if "math notranslate" in (html / f"{page}.html").read_text("utf-8")
    ]
    for page in pages:
        scripts = [a.get("src", "") for tag, a in elements(html, page) if tag == "script"]
        assert any("_static/tex-svg.js" in source for source in scripts)
    assert (html / "_static" / "tex-svg.js").stat().st_size > 1_000_000


@pytest.mark.parametrize("page", ["evidence", "evidence_causes", "predictions"])
def test_a_ledger_is_a_table_whose_rows_lead_to_studies(html, page):
    found = elements(html, page)
    assert sum(tag == "tr" for tag, _ in found) > 30
    studies = {a["href"] for tag, a in found if tag == "a" and "download" in a}
    assert len([link for link in studies if link.endswith(".toml")]) > 5


@pytest.fixture(scope="module")
def tab(chromium):
    """A tab of the browser for all pages, and what goes wrong in it: each new one takes seconds."""
    page = chromium.new_page(viewport={"width": 1400, "height": SCREEN})
    yield page, watched(page)
    page.close()


@pytest.fixture(scope="module", params=PAGES)
def seen(html, tab, request):
    """A page as a reader saw it: its name, its height in pixels, and what went wrong."""
    opened, wrong = tab
    wrong.clear()
    opened.emulate_media(color_scheme="light")
    opened.goto((html / f"{request.param}.html").as_uri())
    opened.mouse.wheel(0, 20_000)
    for theme in ("light", "dark"):
        opened.emulate_media(color_scheme=theme)
        opened.wait_for_timeout(300)
    height = opened.locator("article").first.bounding_box()["height"]
    return request.param, height, list(wrong)


def test_a_page_in_a_browser_has_no_error_in_either_theme_and_asks_no_network(seen):
    _, _, wrong = seen
    assert wrong == []


def test_a_page_has_at_most_ten_screens(seen):
    page, height, _ = seen
    if not page.startswith(LONGER):
        assert height <= 10 * SCREEN
