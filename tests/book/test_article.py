"""The article: four sheets, and every number from the ledger."""

import importlib.util
import re
from html import unescape
from pathlib import Path

import nbformat
import pypdf
import pytest

from stnlib.book.claims import ledger

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("pdf", ROOT / "tools" / "pdf.py")
pdf = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pdf)


@pytest.fixture(scope="module")
def source():
    cells = nbformat.read(ROOT / "book" / "article.ipynb", as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.fixture(scope="module")
def text(html):
    """The article's text as it is built, without spaces."""
    page = (html / "article.html").read_text(encoding="utf-8")
    article = page[page.index("<article") : page.index("</article>")]
    return "".join(unescape(re.sub("<[^>]*>", "", article)).split())


def test_a_number_of_the_article_is_what_the_ledger_has(source, text):
    numbers = {claim["id"]: claim["numbers"] for claim in ledger.claims()}
    cited = re.findall(r"\{glue:text\}`([\w-]+), ([^`]+)`", source)
    published = [numbers[claim][name] for claim, name in cited]
    assert len(published) > 40
    assert [number for number in published if "".join(number.split()) not in text] == []


def test_no_result_is_typed(source):
    typed = re.sub(r"\{[\w:]+\}`[^`]*`", "", source)
    assert re.findall(r"\d of \d|± ?\d|n ?= ?\d|[+-]\d\.\d|p ?[=<] ?\d", typed) == []


def test_every_claim_of_the_paper_has_its_verdict(text):
    judged = [claim for claim in ledger.claims() if "paper" in claim]
    rows = ["".join((claim["paper"] + claim["verdict"]).split()) for claim in judged]
    assert len(rows) > 10 and [row for row in rows if row not in text] == []


def test_the_article_has_four_sheets_at_most_and_nothing_unfilled(chromium, html, tmp_path):
    pdf.print_article(chromium, html, tmp_path / "article.pdf")
    pages = pypdf.PdfReader(tmp_path / "article.pdf").pages
    words = "".join(page.extract_text() for page in pages)
    assert len(pages) <= 4 and "References" in words
    assert not re.search(r"glue:|\{[a-z:]+\}|`|undefined|\bnan\b|\?\?", words)
