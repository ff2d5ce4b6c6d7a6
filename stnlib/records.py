"""Records: what a training gave, with where it came from, one small JSON file a run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stnlib.config import ConfigError, RunConfig
from stnlib.errors import StnlibError
from stnlib.files import write_whole
from stnlib.paths import BOOK, own_records

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCHEMA",
    "RecordError",
    "dump",
    "examine",
    "find",
    "folders",
    "histories",
    "locate",
    "of_any_seed",
    "paths",
    "place",
    "read",
    "read_all",
    "state",
    "table",
    "trace_path",
    "weights_path",
    "write",
]

SCHEMA = 1
Record = dict[str, Any]
_PARTS = ("schema", "study", "key", "config", "history", "result", "provenance")


class RecordError(StnlibError, RuntimeError):
    """A record that cannot be trusted; one line that names the file and the reason."""


def folders() -> list[Path]:
    """Where records lie: the book's (in a checkout), then the reader's own.

    The reader's own folder, which new records go to: see `stnlib.paths.own_records`.
    """
    book = BOOK / "records"
    return [book, own_records()] if book.is_dir() else [own_records()]


def write(
    folder: Path,
    study: str,
    config: RunConfig,
    history: list[dict[str, Any]],
    result: dict[str, Any],
    origin: dict[str, Any],
) -> Path:
    """Write ``folder/study/<key>.json``, whole or not at all, and return its path."""
    values = (SCHEMA, study, config.key, config.to_dict(), history, result, origin)
    record = dict(zip(_PARTS, values, strict=True))
    path = place(folder, study, config)
    write_whole(path, _format(record).encode())
    return path


def place(folder: Path, study: str, config: RunConfig) -> Path:
    """Where in `folder` the record of a study's run belongs."""
    return folder / study / f"{config.key}.json"


def _format(record: Record) -> str:
    """JSON with one line an epoch, so that a person and a diff can read it."""
    lines = {part: dump(value) for part, value in record.items()}
    lines["config"] = json.dumps(record["config"])  # unrounded: its key is of every digit
    rows = ",\n  ".join(dump(row) for row in record["history"])
    lines["history"] = f"[\n  {rows}\n ]"
    return "{\n " + ",\n ".join(f'"{part}": {line}' for part, line in lines.items()) + "\n}\n"


def dump(value: Any) -> str:
    """A line of JSON, floats with the digits that float32 has."""
    return json.dumps(_rounded(value), allow_nan=False, ensure_ascii=False)


def _rounded(value: Any) -> Any:
    """Floats with 7 significant digits, which is what float32 has; null for nan and inf."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value


def read(path: Path) -> Record:
    """Read one record and check it against its schema and its key.

    Returns
    -------
    The file's contents, `config` as a `RunConfig`, and nan for what was not finite.

    Raises
    ------
    RecordError
        When it is no JSON, of another schema, lacks a part, or its configuration was
        edited so that the key no longer fits.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read: {error}") from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else None
        raise RecordError(f"{path} has schema {found!r}: this version reads {SCHEMA}")
    missing = [part for part in _PARTS if part not in record]
    missing += [part for part in ("history", "result") if record.get(part) in ([], {})]
    if missing:
        raise RecordError(f"{path} lacks {', '.join(missing)}")
    try:
        config = RunConfig.from_dict(record["config"])
    except (ConfigError, TypeError) as error:
        raise RecordError(f"{path} holds an impossible configuration: {error}") from None
    if not config.key == record["key"] == path.stem:
        raise RecordError(f"{path} was edited: its configuration has the key {config.key}")
    history = [_numbers(row) for row in record["history"]]
    return record | {"config": config, "history": history, "result": _numbers(record["result"])}


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    """A row with nan where JSON, which has none, holds null."""
    return {name: math.nan if value is None else value for name, value in row.items()}


def paths(study: str = "*", where: Iterable[Path] | None = None, key: str = "*") -> list[Path]:
    """Where the records of a study are, or of all, in the order of keys; the first folder's win."""
    found: dict[str, Path] = {}
    for folder in folders() if where is None else where:
        for path in sorted(folder.glob(f"{study}/{key}.json")):
            found.setdefault(path.stem, path)
    return [found[key] for key in sorted(found)]


def read_all(study: str = "*", where: Iterable[Path] | None = None) -> list[Record]:
    """The records of a study, or all, as `paths` finds them."""
    return [read(path) for path in paths(study, where)]


def locate(config: RunConfig, where: Iterable[Path] | None = None) -> Path | None:
    """Where the record of a configuration is, in whichever study it was made, or None."""
    return next(iter(paths(where=where, key=config.key)), None)


def find(config: RunConfig, where: Iterable[Path] | None = None) -> Record | None:
    """The record of a configuration, or None."""
    return read(path) if (path := locate(config, where)) else None


def of_any_seed(config: RunConfig, where: Iterable[Path] | None = None) -> list[Record]:
    """The records of a configuration with whatever seed, in the order of their seeds."""
    same = [r for r in read_all(where=where) if r["config"].replace(seed=config.seed) == config]
    return sorted(same, key=lambda record: record["config"].seed)


def examine(where: Iterable[Path] | None = None) -> tuple[int, list[str]]:
    """Number of readable records, and a line for each that is not."""
    count, problems = 0, []
    for folder in folders() if where is None else where:
        for path in sorted(folder.glob("*/*.json")):
            try:
                read(path)
                count += 1
            except RecordError as error:
                problems.append(str(error))
    return count, problems


def state(record: Record) -> str | None:
    """What became of an STN's transformer, by its last validation; None for other networks.

    Returns
    -------
    `diverged` where θ or the loss is not finite; `black` where at least 0.99 of the outputs
    are all black; `shrunken` where less than half of the sampling points lie within the
    image; else `alive`.
    """
    last = record["history"][-1]
    if not record["config"].has_transformer:
        return None
    if "black" not in last or record["result"].get("stopped") == "diverged":
        return "diverged"
    if last["black"] >= 0.99:
        return "black"
    return "shrunken" if last["coverage"] < 0.5 else "alive"


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Records as one tidy table: one row a run.

    Returns
    -------
    Columns: `study`, `key`, every field of the configuration, everything in the result,
    `val_accuracy` and `val_loss` after the last epoch, `state`, `data_fingerprint`, `threads`,
    `date`.
    """
    import pandas as pd  # late: half a second, for tables alone

    return pd.DataFrame([_row(record) for record in records])


def _row(record: Record) -> Record:
    return {
        **{name: record[name] for name in ("study", "key")},
        **record["config"].to_dict(),
        **record["result"],
        **{name: record["history"][-1][name] for name in ("val_accuracy", "val_loss")},
        "state": state(record),
        "data_fingerprint": record["provenance"]["data"],
        **{name: record["provenance"][name] for name in ("threads", "date")},
    }


def histories(records: Iterable[Record]) -> pd.DataFrame:
    """The course of records as one tidy table: one row a run and epoch.

    Returns
    -------
    Columns: `key`, every field of the configuration, and those of the history.
    """
    import pandas as pd

    rows = []
    for record in records:
        same = {"key": record["key"], **record["config"].to_dict()}
        rows += [same | row for row in record["history"]]
    return pd.DataFrame(rows)


def weights_path(record_path: Path) -> Path:
    """Where the transformer's weights lie, for the records that keep them."""
    return record_path.with_suffix(".safetensors")


def trace_path(record_path: Path) -> Path:
    """Where the trace of a run's steps lies, for the records that have one."""
    return record_path.with_suffix(".npz")
