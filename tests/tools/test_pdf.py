"""``make pdf``: pages of a built book become one PDF that leads where the pages do."""

import importlib.util
import re
from pathlib import Path

import pypdf
import pytest

TOOL = Path(__file__).parents[2] / "tools" / "pdf.py"
spec = importlib.util.spec_from_file_location("pdf", TOOL)
pdf = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pdf)

TOC = {
    "root": "home",
    "parts": [
        {"chapters": [{"file": "rescue"}]},
        {"caption": "I · Deep", "chapters": [{"file": "api/top", "sections": [{"file": "far"}]}]},
    ],
}
LONG = "A heading that is much too long for a single line of a page " * 2
PAGES = {
    "home": "<h1 id='start'>Home</h1><a href='api/top.html#start'>down</a>"
    "<a href='studies/cm.toml' download>a file</a> <a href='https://example.org/'>outside</a>",
    "rescue": "<h1>Rescue</h1><details class='hide'><summary>Show</summary>hidden code</details>"
    "<figure><figcaption><span class='caption-number'>Fig. 7 </span>A claim.</figcaption></figure>"
    "<a href='#x'><span class='std-numref'>Fig. 7</span></a>",
    "api/top": f"<h1 id='start'>Top</h1><h2>{LONG}</h2><a href='../home.html'>home</a>",
    "far": "<h1>Far</h1>",
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The folder of a built book of four pages."""
    folder = tmp_path_factory.mktemp("html")
    for name, text in PAGES.items():
        path = folder / f"{name}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<nav>sidebar</nav><article>{text}</article>", encoding="utf-8")
    return folder


def printed(browser, pages, listed):
    path = pages / "printed.pdf"
    pdf.print_pages(browser, pages, listed, path, cover="<header>The cover</header>")
    return pypdf.PdfReader(path)


@pytest.fixture(scope="module")
def book(chromium, pages):
    return printed(chromium, pages, pdf.outline(TOC))


def titles(entries):
    return [titles(entry) if isinstance(entry, list) else entry.title for entry in entries]


def sheet(book, text):
    """The first sheet that has a text."""
    return next(number for number, page in enumerate(book.pages) if text in page.extract_text())


def links(book):
    """Yield each link: the sheet that it is on, and the number of a sheet or an address."""
    for number, page in enumerate(book.pages):
        for link in page.get("/Annots", ()):
            link = link.get_object()
            if "/Dest" in link:
                there = book.named_destinations[link["/Dest"]]
                yield number, book.get_destination_page_number(there)
            else:
                yield number, link["/A"]["/URI"]


def test_the_cover_is_first_and_pages_are_in_the_order_of_the_contents(book):
    sheets = [sheet(book, text) for text in ("The cover", "Home", "Rescue", "Top", "Far")]
    assert sheets == sorted(set(sheets)) and sheets[0] == 0


def test_the_outline_has_parts_pages_and_sections_by_their_whole_names(book):
    expected = ["Home", "Rescue", "I · Deep", ["Top", [LONG.strip(), "Far"]]]
    assert titles(book.outline) == expected


def test_links_lead_to_pages_inside_of_the_document_or_into_the_web(book):
    home, rescue, top = (sheet(book, text) for text in ("down", "Rescue", "Top"))
    found = list(links(book))
    assert {(home, top), (top, home), (home, "https://example.org/")} <= set(found)
    assert {there for here, there in found if here != rescue} <= {home, top, "https://example.org/"}


def test_nothing_of_the_builders_machine_is_in_the_document(book, pages):
    data = (pages / "printed.pdf").read_bytes()
    assert b"file:" not in data and pages.name.encode() not in data
    assert "Linux" not in str(book.metadata)


def test_folded_code_and_the_sidebar_are_left_out(book):
    text = "".join(page.extract_text() for page in book.pages)
    assert "A claim." in text
    assert not re.search("hidden code|sidebar|Show", text)


def test_figures_are_numbered_from_1_on_and_named_so(book):
    text = book.pages[sheet(book, "Rescue")].extract_text()
    assert re.findall(r"Fig\. (\d)", text) == ["1", "1"]


def test_sheets_after_the_cover_have_numbers(book):
    cover, *others = (page.extract_text() for page in book.pages)
    assert not re.search(r"\d", cover)
    assert all(re.search(rf"\b{at}\b", text) for at, text in enumerate(others, start=2))


def test_without_chromium_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"^[^\n]*apt-get install chromium[^\n]*$"), pdf.chromium():
        pass
