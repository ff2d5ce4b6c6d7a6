"""Bring records and observations of schema 1 up to date: give each a digest over its content.

python tools/add_digests.py book/records book/observations

A folder has records or observations as `stn` writes them, FOLDER/STUDY/KEY.json. Nothing else in a
file changes, not a digit. A file that cannot be read, or whose key does not fit, is left as it is
and named, and the exit status is 1. What has a digest already is only checked.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from stnlib.atomic import write_whole
from stnlib.records import observations, store
from stnlib.records.sealed import RecordError, digest, load


def sealed(text: str, path: Path) -> str:
    """The text of a file of schema 1 as one of schema 2."""
    text = re.sub(r'"schema":\s*1\b', '"schema": 2', text, count=1)
    content = json.loads(text)
    if content != load(path)[0] | {"schema": 2}:
        raise RecordError(f"{path} is not written as stn writes it")
    return f'{text.rstrip().removesuffix("}").rstrip()},\n "digest": "{digest(content)}"\n}}\n'


def migrate(path: Path) -> bool:
    """Whether there was something to do, and it is done."""
    content, _ = load(path)
    kind = observations if "what" in content else store
    if content.get("schema") != 1:
        kind.read(path)
        return False
    kind.check(content, path)
    write_whole(path, sealed(path.read_bytes().decode(), path).encode())
    return True


def main(folders: list[str]) -> int:
    done, there, refused = 0, 0, 0
    for path in sorted(path for folder in folders for path in Path(folder).glob("*/*.json")):
        try:
            if migrate(path):
                done += 1
            else:
                there += 1
        except (RecordError, OSError) as error:
            refused += 1
            print(f"refused: {error}", file=sys.stderr)
    print(f"{done} files have a digest now, {there} had one, {refused} were refused")
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else f"usage: {__doc__.splitlines()[2]}")
