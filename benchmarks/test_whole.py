"""The whole: its tests, its book, and the memory that its largest training takes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python(*arguments):
    """Run Python in a process of its own and return what it printed."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False).stdout


def test_building_the_book(measure, benchmark, tiny):
    if tiny:
        pytest.skip("takes a minute")
    build = [Path(sys.executable).with_name("jupyter-book"), "build", "--all", "book/"]
    run = lambda: subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, check=True)  # noqa: E731
    measure("the book", "stnlib", run, rounds=1)
    size = sum(p.stat().st_size for p in (ROOT / "_build" / "html").rglob("*") if p.is_file())
    benchmark.extra_info["megabytes"] = round(size / 1e6, 1)


def test_the_tests(measure, benchmark, tiny):
    """What `make test` runs after the lint; how many failed stands beside the time."""
    if tiny:
        pytest.skip("takes minutes")
    printed = []
    run = ("-m", "pytest", "--nbval", "-q")
    measure("make test", "stnlib", lambda: printed.append(python(*run)), rounds=1)
    counts = re.findall(r"(\d+) (passed|failed|skipped|error)", printed[0].splitlines()[-1])
    benchmark.extra_info |= {outcome: int(count) for count, outcome in counts}


def test_memory_of_c10d(measure, benchmark, tiny, tmp_path):
    """Decoding as many images as CIFAR-10 has, then training the STN on their distortion."""
    printed, program = [], Path(__file__).with_name("c10d_memory.py")
    run = (program, tmp_path, 1200 if tiny else 60000)
    measure("decoding C10D and 5 steps", "stnlib", lambda: printed.append(python(*run)), rounds=1)
    benchmark.extra_info |= json.loads(printed[0])
    shutil.rmtree(tmp_path)
