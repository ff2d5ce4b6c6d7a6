"""``make chapters``: two runs of a chapter store the same bytes."""

import importlib.util
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from stnlib.book.figures.cm import accuracy_dots

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("chapters", ROOT / "tools" / "chapters.py")
chapters = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chapters)

CLOCK = "import time\ntime.perf_counter_ns()"


@pytest.fixture
def chapter(tmp_path):
    """A chapter of three cells, two of which read the clock; only the first has the tag."""
    cells = [nbformat.v4.new_code_cell(source) for source in (CLOCK, CLOCK, "print('the same')")]
    cells[0].metadata["tags"] = ["nbval-ignore-output", "timing"]
    path = tmp_path / "chapter.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def outputs(path):
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells]


def test_a_stored_time_stays_and_every_other_output_is_renewed(chapter):
    chapters.run(chapter)
    first = outputs(chapter)
    chapters.run(chapter)
    second = outputs(chapter)
    assert first[0] and second[0] == first[0]
    assert second[1] != first[1]
    assert second[2] == first[2]


def test_a_time_whose_output_was_cleared_is_measured_anew(chapter):
    chapters.run(chapter)
    first = outputs(chapter)[0]
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[0].outputs = []
    nbformat.write(notebook, chapter)
    chapters.run(chapter)
    assert outputs(chapter)[0] and outputs(chapter)[0] != first


def test_dots_that_are_moved_aside_are_drawn_in_the_same_places_each_time():
    runs = pd.DataFrame({"model": ["baseline", "stn"] * 5, "test_accuracy": [0.9, 0.95] * 5})
    drawn = []
    for _ in range(2):
        figure = accuracy_dots(runs, {})
        figure.canvas.draw()
        drawn.append(np.asarray(figure.canvas.buffer_rgba()))
    assert np.array_equal(*drawn)


@pytest.mark.parametrize("path", sorted((ROOT / "book").glob("**/*.ipynb")), ids=lambda p: p.stem)
def test_a_cell_that_reads_the_clock_has_the_tag_of_a_measured_time(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and any(w in cell.source for w in ("timeit", "perf_counter(")):
            assert {"timing", "nbval-ignore-output"} <= set(cell.metadata.get("tags", []))
