"""JSON files that carry a digest over their content, so that an edit of any part is noticed."""

from __future__ import annotations

import hashlib
import json
import math
import stat
from pathlib import Path
from typing import Any

from stnlib.errors import StnlibError

__all__ = ["RecordError", "check_parts", "digest", "load", "seal", "unseal"]


class RecordError(StnlibError, RuntimeError):
    """A record that cannot be trusted; one line that names the file and the reason."""


def digest(content: dict[str, Any]) -> str:
    """16 hex digits of SHA-256 over `content`, but for its `digest`, as canonical JSON.

    Raises
    ------
    ValueError
        For nan and infinity, which JSON does not have.
    """
    rest = {name: value for name, value in content.items() if name != "digest"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _dump(value: Any) -> str:
    """A line of JSON, floats with the digits that float32 has."""
    return json.dumps(_rounded(value), allow_nan=False, ensure_ascii=False)


def _rounded(value: Any) -> Any:
    """Floats with 7 significant digits, which is what float32 has; null for nan and inf."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value


def seal(content: dict[str, Any], exact: str, rows: str) -> bytes:
    """A file's content: one JSON object and its digest, a line a part, for people and diffs.

    The part `exact`, of which a key is made, keeps every digit; the part `rows` gets a line a row.
    """
    parts = {name: _dump(part) for name, part in content.items()}
    parts[exact] = json.dumps(content[exact])
    parts[rows] = "[\n  " + ",\n  ".join(map(_dump, content[rows])) + "\n ]"
    written = {name: json.loads(part) for name, part in parts.items()}
    parts["digest"] = _dump(digest(written))
    lines = ",\n ".join(f'"{name}": {part}' for name, part in parts.items())
    return ("{\n " + lines + "\n}\n").encode()


def load(path: Path) -> tuple[dict[str, Any], str]:
    """The JSON object in a regular file, and its digest; a name may stand but once in each object.

    Raises
    ------
    RecordError
        One line that names the file, also where nan or infinity stands in it at any depth.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for without end
            raise OSError("it is no regular file")
        found = json.loads(path.read_bytes().decode(), object_pairs_hook=_named_once)
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
        return found, digest(found)
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} cannot be read: {error}") from None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def unseal(path: Path, schema: int) -> dict[str, Any]:
    """The content of a file that `seal` made, without its digest.

    Raises
    ------
    RecordError
        One line that names the file: it is not JSON, of another schema, or its content does
        not have its digest.
    """
    found, printed = load(path)
    has = found.get("schema")
    if type(has) is not int or has != schema:
        update = " (tools/add_digests.py makes it of 1)" if has == 1 else ""
        raise RecordError(f"{path} has schema {has!r:.50}: this version reads {schema}{update}")
    if found.pop("digest", None) != printed:
        raise RecordError(f"{path} was edited: its content has the digest {printed}")
    return found


def check_parts(found: dict[str, Any], parts: tuple[str, ...], path: Path) -> None:
    """Raise `RecordError`, one line, unless just these parts are there."""
    if missing := [part for part in parts if part not in found]:
        raise RecordError(f"{path} lacks {', '.join(missing)}")
    if strange := sorted(set(found) - set(parts)):
        raise RecordError(f"{path} has a part that is not known: {strange[0]!r:.50}")
