"""What every page of the book keeps to."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

BOOK = Path(__file__).parents[2] / "book"
API = {"api/sampler", "api/transforms", "api/models", "api/diagnostics", "api/optim"}
PAGES = {
    path.relative_to(BOOK).with_suffix("").as_posix(): path
    for folder in (BOOK, BOOK / "api", BOOK / "appendix")
    for path in sorted(folder.iterdir())
    if path.suffix in {".md", ".ipynb"}
}

# Phrases of a page that is not finished: what is not done is on a page of its own.
UNFINISHED = (
    *("so far", "as far as it is recorded", "as far as they are recorded", "not recorded yet"),
    *(
        "still owes",
        "complete or not",
        "is not recorded",
        "not followed up",
        "not tested it further",
    ),
    *("no explanation", "have not settled", "could not be had", "what is open", "why is open"),
    *("not tried it", "has not been tried", "would try next", "was not run", "are untested"),
    *("we have not tried", "stays open", "is open"),
)
# Other words for what has a term.
VARIED = r"\b(?:died|dies|dying|dead|alive|is gone|was gone|went out|to be had|one sees)\b"


def cells(path):
    return nbformat.read(path, as_version=4).cells if path.suffix == ".ipynb" else []


def prose(path):
    """Return a page's text without code, directives' options, formulas and addresses."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n\n".join(c.source for c in cells(path) if c.cell_type == "markdown")
    text = re.sub(r"^```(?:bash|python|bat|\{index\}).*?^```", "", text, flags=re.M | re.S)
    text = re.sub(r"^(?:`{3,}|:{3,}|:[\w-]+:|%).*$", "", text, flags=re.M)
    text = re.sub(r"\$\$.*?\$\$|!\[[^]]*\]\([^)]*\)", "", text, flags=re.S)
    return re.sub(r"\]\([^)]*\)|\{[\w:]+\}`[^`]*`", "]", text)


def prose_with_pictures(path):
    """Return a page's text as it is written."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n".join(cell.source for cell in cells(path) if cell.cell_type == "markdown")


def too_long(path):
    return len(prose(path).split()) > (2500 if path.parent.name == "appendix" else 2000)


def unfinished(path):
    return [phrase for phrase in UNFINISHED if phrase in prose(path).lower()]


def varied(path):
    return re.findall(VARIED, prose(path).lower())


def badly_begun(path):
    """Sentences that begin as none should."""
    return re.findall(r"(?:^|[.:?] )((?:And|So|But|For) [a-z]\w*)", prose(path), re.M)


def bare_figures(path):
    """Cells that show a picture without a caption that begins with a claim, or without words."""
    found = []
    for cell in cells(path):
        shown = any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        told = cell.metadata.get("mystnb", {})
        caption = told.get("figure", {}).get("caption", "")
        claims = re.match(r"\*\*[^*]+\.\*\*", caption) and "ade" in caption
        if shown and not (claims and told.get("image", {}).get("alt")):
            found.append(cell.id)
    return found


def those_that(broken):
    return [name for name, path in PAGES.items() if broken(path)]


def test_a_page_has_at_most_2000_words_and_one_of_the_appendix_2500():
    assert those_that(too_long) == []


def test_a_page_reads_as_finished():
    assert those_that(unfinished) == []


def test_a_page_does_not_vary_the_words_for_what_becomes_of_a_transformer():
    assert those_that(varied) == []


def test_no_sentence_begins_with_and_so_but_or_for():
    assert those_that(badly_begun) == []


def test_a_figure_has_a_claim_its_origin_and_a_text_alternative():
    assert those_that(bare_figures) == []


def test_no_line_of_code_is_wider_than_80_columns():
    wide = [
        f"{name}: {line}"
        for name, path in PAGES.items()
        for cell in cells(path)
        if cell.cell_type == "code"
        for line in cell.source.splitlines()
        if len(line) > 80
    ]
    assert wide == []


@pytest.mark.parametrize("text", ["stn is so far so good.", "It works. But then", "It died."])
def test_the_bounds_see_what_they_are_for(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert unfinished(page) or badly_begun(page) or varied(page)


def test_a_long_page_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("word " * 2001, encoding="utf-8")
    assert too_long(page)


def test_every_picture_of_the_book_is_shown_and_drawn_by_a_tool():
    shown = "\n".join(prose_with_pictures(path) for path in PAGES.values())
    tools = "\n".join(p.read_text(encoding="utf-8") for p in (BOOK.parent / "tools").glob("*.py"))
    interactive = {script.stem for script in (BOOK / "interactive").glob("*.js")}
    for picture in (BOOK / "images").glob("*.png"):
        assert f"images/{picture.name}" in shown
        named = f'"{picture.stem}"' in tools or f'"{picture.name}"' in tools
        assert named or picture.stem in interactive  # of which tools/interactive.py takes it


# What people look for


ASKED = (
    "black",
    "stn is black",
    "my stn is black",
    "all zeros",
    "does not learn",
    "output is black",
)


def index(html):
    text = (html / "searchindex.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))


@pytest.mark.parametrize("query", ASKED)
def test_the_index_leads_from_a_symptom_to_the_page_for_it(html, query):
    """The search shows main entries of the index first, where they are the query itself."""
    found = index(html)
    entries = [found["docnames"][page] for page, _, main in found["indexentries"][query] if main]
    # The glossary has a term of the same name, and a title that comes later.
    assert set(entries) - {"glossary"} == {"rescue"}


@pytest.mark.skipif(not shutil.which("node"), reason="the book's own search needs node to run here")
def test_the_books_search_shows_the_page_for_a_black_transformer_first(html):
    command = ["node", str(Path(__file__).with_name("search.js")), str(html), *ASKED]
    done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
    assert [pages[0] for pages in json.loads(done.stdout)] == ["rescue"] * len(ASKED)


def test_home_with_its_pictures_has_less_than_400_kilobytes(html):
    text = (html / "intro.html").read_text(encoding="utf-8")
    pictures = {html / source for source in re.findall(r'<img[^>]*src="([^":]+)"', text)}
    assert pictures
    assert len(text.encode()) + sum(path.stat().st_size for path in pictures) < 400_000


@pytest.mark.parametrize("name", sorted(API))
def test_a_page_of_the_api_has_every_name_that_its_module_offers(html, name):
    import importlib

    module = importlib.import_module(f"stnlib.{name.removeprefix('api/')}")
    text = (html / f"{name}.html").read_text(encoding="utf-8")
    missing = [one for one in module.__all__ if f'id="{module.__name__}.{one}"' not in text]
    assert missing == []
