"""Record the study, from where it was: `python -m stnlib.book.third_party --folder FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from stnlib.book.third_party.images import DATA
from stnlib.book.third_party.recording import plan, record
from stnlib.data.sets import DataError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stnlib.book.third_party", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of all observations")
    parser.add_argument("--data", choices=DATA, nargs="+", default=DATA)
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    for data in chosen.data:
        try:
            for what in tqdm(plan(data, chosen.seeds), desc=data, unit="run"):
                record(what, chosen.folder)
        except DataError as error:
            print(f"skipped: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
