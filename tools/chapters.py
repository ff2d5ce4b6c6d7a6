"""Run chapters and store their outputs, so that two runs give the same bytes.

python tools/chapters.py            every chapter
python tools/chapters.py cm theory  these
python tools/chapters.py --strip book/cm.ipynb   run nothing, only remove volatile metadata
"""

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbstripout import strip_output

BOOK = Path(__file__).resolve().parents[1] / "book"

# What changes from run to run, or from editor to editor, and means nothing to a reader.
VOLATILE = [
    "metadata.language_info.version",
    "metadata.widgets",
    "metadata.papermill",
    "metadata.vscode",
    "cell.metadata.execution",
    "cell.metadata.papermill",
    "cell.metadata.collapsed",
    "cell.metadata.scrolled",
    "cell.metadata.ExecuteTime",
    "cell.metadata.vscode",
]
TIMING = "timing"  # tag of a cell whose output is a measured time
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def strip(path):
    """Remove the volatile metadata of the notebook at ``path``; outputs, counts and ids stay."""
    notebook = nbformat.read(path, as_version=4)
    notebook = strip_output(
        notebook, keep_output=True, keep_count=True, keep_id=True, extra_keys=VOLATILE
    )
    notebook.metadata["kernelspec"] = dict(KERNEL)
    for output in (o for cell in notebook.cells for o in cell.get("outputs", [])):
        # A progress bar is drawn by a running kernel only; its random name is all that is stored.
        if WIDGET in output.get("data", {}):
            output["data"][WIDGET]["model_id"] = "0" * 32
    text = nbformat.writes(notebook) + "\n"
    if text != path.read_text(encoding="utf-8"):
        path.write_text(text, encoding="utf-8", newline="\n")


def run(path):
    """Execute the notebook at ``path`` from the first cell on and store its outputs.

    A measured time is another one in each run, so the stored one stays. To measure anew, clear
    the cell's output.
    """
    notebook = nbformat.read(path, as_version=4)
    timed = [cell for cell in notebook.cells if TIMING in cell.metadata.get("tags", [])]
    stored = {cell.id: list(cell.outputs) for cell in timed if cell.outputs}
    # As in a test run, the kernel starts beside the chapter and uses this very environment.
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        coalesce_streams=True,  # or prints are split wherever the kernel happened to pause
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    for cell in timed:
        cell.outputs = stored.get(cell.id, cell.outputs)
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
    nbformat.write(notebook, path)
    strip(path)


def chapter(name):
    """Return the path of the chapter called ``name`` (``cm``), or raise ``ValueError``."""
    found = {path.stem: path for path in chapters()}
    stem = Path(name).stem
    if stem not in found:
        raise ValueError(f"no chapter {name!r}: chapters are {', '.join(sorted(found))}")
    return found[stem]


def chapters():
    """Return the paths of all chapters, the appendix's at the end."""
    return sorted(BOOK.glob("*.ipynb")) + sorted(BOOK.glob("appendix/*.ipynb"))


def main(arguments=None):
    """Run or strip what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strip", action="store_true", help="run nothing, take paths")
    parser.add_argument("names", nargs="*", help="chapters (default: all)")
    options = parser.parse_args(arguments)
    if options.strip:
        for name in options.names:
            strip(Path(name))
        return
    try:
        paths = [chapter(name) for name in options.names] or chapters()
    except ValueError as error:
        sys.exit(str(error))
    os.environ["OMP_NUM_THREADS"] = "1"  # sums are rounded as in the tests, on any machine
    for path in paths:
        start = time.perf_counter()
        run(path)
        print(f"{path.name}: {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
