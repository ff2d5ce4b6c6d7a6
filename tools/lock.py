"""Write requirements.lock: exact versions of everything, for every system and Python from 3.11 on.

Versions already in the lock stay unless pyproject.toml no longer allows them; to take the newest
of a package, delete its line first.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
HEADER = (
    "# Exact versions of everything, for Linux, macOS and Windows."
    " Made by `make lock`; do not edit.\n"
)
GROUPS = ("book", "test", "dev")


def main():
    """Resolve with uv and put the header on top."""
    groups = [option for group in GROUPS for option in ("--group", group)]
    plain = ["--quiet", "--no-emit-index-url", "--no-annotate", "--no-header"]
    reach = ["--universal", "--python-version", "3.11"]
    resolve = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--all-extras"]
    output = ["--output-file", LOCK.name]
    subprocess.run([*resolve, *groups, *plain, *reach, *output], cwd=ROOT, check=True)
    LOCK.write_text(HEADER + LOCK.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
