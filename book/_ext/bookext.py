"""What ``_config.yml`` cannot say: absolute paths, formulas without a network, no live kernel,
and figures that one can touch."""

from importlib.metadata import distribution
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

BOOK = Path(__file__).resolve().parents[1]
INTERACTIVE = BOOK / "interactive"


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
    style = Path(__file__).with_name("book.css")
    config.html_static_path += [str(mathjax), str(style), str(INTERACTIVE)]
    config.mathjax_path = "tex-svg.js"
    config.html_context.setdefault("default_mode", "auto")  # else the theme reports an error


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


class Interactive(SphinxDirective):
    """A figure that one can touch: ``:::{interactive} name``, then a picture and a caption.

    ``book/interactive/name.js`` draws it. The picture, a Markdown image with a text alternative,
    is what JupyterLab, print and readers without scripts see. The first paragraph after it is the
    caption. ``:data: other`` takes ``data/other.js`` instead of the figure's own data.
    """

    has_content = True
    required_arguments = 1
    option_spec = {"data": directives.unchanged_required}  # noqa: RUF012

    def run(self):
        name = self.arguments[0]
        given = self.options.get("data", name)
        scripts = [INTERACTIVE / f"{name}.js"]
        data = INTERACTIVE / "data" / f"{given}.js"
        if "data" in self.options or data.is_file():
            scripts.insert(0, data)
        if absent := [script.name for script in scripts if not script.is_file()]:
            raise self.error(f"book/interactive has no {', '.join(absent)}")
        picture, *words = self.parse_content_to_nodes()
        image = next(picture.findall(nodes.image), None)
        if image is None or not image.get("alt") or not words:
            raise self.error("an interactive figure needs a picture with alt text, and a caption")
        caption = nodes.caption("", "", *words[0].children)
        figure = nodes.figure("", image, caption)
        figure["classes"] = ["interactive", f"interactive-{name}", f"interactive-data-{given}"]
        figure += [nodes.legend("", *words[1:])] if words[1:] else []
        figure["scripts"] = [script.relative_to(INTERACTIVE).as_posix() for script in scripts]
        self.set_source_info(figure)
        return [figure]


def add_interactive(app, page, template, context, doctree):
    """Load the scripts of a page's interactive figures, on that page alone."""
    figures = [f for f in doctree.findall(nodes.figure) if "scripts" in f] if doctree else []
    if figures:
        app.add_css_file("widget.css")
        wanted = ["stn.js", "widget.js", *(script for f in figures for script in f["scripts"])]
        for script in dict.fromkeys(wanted):
            app.add_js_file(script, loading_method="defer")


def setup(app):
    """Register the extension."""
    # Early: sphinxcontrib-bibtex reads its setting on the same event.
    app.connect("config-inited", configure, priority=100)
    app.connect("html-page-context", add_interactive)  # before the list of scripts is another
    app.connect("html-page-context", leave_out_thebe)
    app.add_directive("interactive", Interactive)
    app.add_css_file("book.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
