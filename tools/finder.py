"""Judge the finder of rates where it was not fitted: book/observations/finder.

python tools/finder.py          what is not there yet, some forty minutes of a core
"""

from pathlib import Path

from stnlib.book import finder

FOLDER = Path(__file__).resolve().parents[1] / "book" / "observations"

if __name__ == "__main__":
    for what in finder.plan():
        print(what, finder.record(what, FOLDER).name, flush=True)
