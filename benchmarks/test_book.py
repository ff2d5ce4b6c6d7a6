"""Size of the built book, and the time that building takes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_building_the_book(measure, benchmark, tiny):
    if tiny:
        pytest.skip("takes a minute")
    command = [sys.executable, "-m", "jupyter_book", "build", "--all", "book/"]
    measure("the book", "stnlib", lambda: subprocess.run(command, cwd=ROOT, check=True), rounds=1)
    size = sum(p.stat().st_size for p in (ROOT / "_build" / "html").rglob("*") if p.is_file())
    benchmark.extra_info["megabytes"] = round(size / 1e6, 1)
