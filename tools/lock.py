"""Write the two locks: exact versions of everything, for every system and Python from 3.11 on.

`requirements.lock` is what the book and its tests need; `frameworks.lock` is what is installed
beside it for the tests with Lightning, Transformers and ONNX. Versions already in a lock stay
unless pyproject.toml no longer allows them; to take the newest of a package, delete its line first.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK, MORE = ROOT / "requirements.lock", ROOT / "frameworks.lock"
ORIGIN = "for Linux, macOS and Windows. Made by `make lock`; do not edit."
GROUPS = ("book", "test", "dev")
FRAMEWORKS = ("interop", "frameworks")


def resolved(lock, *options):
    """Resolve with uv into a file, and return its lines."""
    plain = ["--quiet", "--no-emit-index-url", "--no-annotate", "--no-header"]
    reach = ["--universal", "--python-version", "3.11"]
    resolve = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *plain, *reach]
    subprocess.run([*resolve, *options, "--output-file", lock.name], cwd=ROOT, check=True)
    return lock.read_text(encoding="utf-8").splitlines()


def write(lock, header, lines):
    """Put the header on top."""
    lock.write_text("\n".join([f"# {header}", *lines, ""]), encoding="utf-8", newline="\n")


def main():
    """What both need stands in the first alone."""
    groups = [option for group in GROUPS for option in ("--group", group)]
    lines = resolved(LOCK, "--all-extras", *groups)
    write(LOCK, f"Exact versions of everything, {ORIGIN}", lines)
    groups = [option for group in FRAMEWORKS for option in ("--group", group)]
    more = [x for x in resolved(MORE, "--constraint", LOCK.name, *groups) if x not in lines]
    write(MORE, f"Exact versions of what is beside requirements.lock, {ORIGIN}", more)


if __name__ == "__main__":
    main()
