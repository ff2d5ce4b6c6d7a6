"""The built book, for all tests that read its pages."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from once import made_once

from stnlib.book.claims import facts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """Build the book anew, as a reader would, with warnings as errors; return the pages' folder."""
    # Elsewhere than in _build: a build on top of an old one repeats no warning of unchanged pages.
    return made_once(tmp_path_factory, "book", build)


def build(out):
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


@pytest.fixture
def study(monkeypatch):
    """Puts made-up runs in the place of a study, all that it plans, or of several by name."""

    def put(records, missing=0, **named):
        named = {name.replace("_", "-"): some for name, some in named.items()}

        def some(name):
            return tuple(named.get(name, records))

        monkeypatch.setattr(facts, "_study", some)
        planned = [one.config for one in records]
        monkeypatch.setattr(
            facts,
            "_planned",
            lambda name: (*(one.config for one in some(name)), *planned[:missing]),
        )

    return put
