"""The built book: every warning is an error, and reading it needs no network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(entry["file"] for entry in TOC["chapters"])]


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


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """Build the book anew, as a reader would, with warnings as errors; return the pages' folder."""
    out = tmp_path_factory.mktemp("book")
    # Elsewhere than in _build: a build on top of an old one repeats no warning of unchanged pages.
    command = "build book/ -W -n --keep-going --path-output"
    program = Path(sys.executable).with_name("jupyter-book")
    done = subprocess.run(
        [str(program), *command.split(), str(out)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    report = done.stdout + done.stderr
    warnings = [line for line in report.splitlines() if re.search(r"WARNING: |ERROR: ", line)]
    assert done.returncode == 0, "\n".join(warnings) or report[-3000:]
    return out / "_build" / "html"


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
    assert not [address for address in local if not (html / address).is_file()]


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
        assert any(source.startswith("_static/tex-svg.js") for source in scripts)
    assert (html / "_static" / "tex-svg.js").stat().st_size > 1_000_000


@pytest.mark.parametrize("page", ["evidence", "evidence_causes", "predictions"])
def test_a_ledger_is_a_table_whose_rows_lead_to_studies(html, page):
    found = elements(html, page)
    assert sum(tag == "tr" for tag, _ in found) > 30
    studies = {a["href"] for tag, a in found if tag == "a" and "download" in a}
    assert len([link for link in studies if link.endswith(".toml")]) > 5
