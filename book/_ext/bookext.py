"""What ``_config.yml`` cannot say: absolute paths, formulas without a network, no live kernel."""

from importlib.metadata import distribution
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]


def configure(app, config):
    """Make the bibliography's path absolute and take MathJax from the built book itself.

    The paths in ``bibtex_bibfiles`` resolve against the source folder, which is ``book/`` for
    ``jupyter-book build book/`` and the folder above for ``jupyter-book build .``.
    """
    config.bibtex_bibfiles = [str(BOOK / "references.bib")]
    # Of the 24 MB that the package holds, this one file draws every formula, fonts included.
    mathjax = distribution("sphinx-mathjax-offline").locate_file(
        "sphinx-mathjax-offline/static/mathjax/tex-svg.js"
    )
    config.html_static_path += [str(mathjax), str(Path(__file__).with_name("book.css"))]
    config.mathjax_path = "tex-svg.js"


def leave_out_thebe(app, page, template, context, doctree):
    """Load no script for live cells, which this book has not.

    jupyter-book always loads the extension, and Sphinx writes its constants twice into each
    page, which is a script error.
    """
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script.filename} {script.attributes.get('body')}"
    ]


def setup(app):
    """Register the extension."""
    # Early: sphinxcontrib-bibtex reads its setting on the same event.
    app.connect("config-inited", configure, priority=100)
    app.connect("html-page-context", leave_out_thebe)
    app.add_css_file("book.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
