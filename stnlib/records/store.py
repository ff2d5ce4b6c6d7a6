"""Records: what a training gave, with where it came from, one small JSON file a run."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stnlib.atomic import write_whole
from stnlib.errors import ConfigError
from stnlib.paths import BOOK, own_records
from stnlib.records import outcome
from stnlib.records.schema import check_history, check_origin, check_result
from stnlib.records.sealed import RecordError, check_parts, seal, unseal
from stnlib.records.studyfile import check_name, configurations
from stnlib.training.config import RunConfig

__all__ = [
    "SCHEMA",
    "Record",
    "check",
    "examine",
    "find",
    "folders",
    "locate",
    "of_any_seed",
    "of_study",
    "paths",
    "paths_of_study",
    "place",
    "read",
    "read_all",
    "read_each",
    "trace_path",
    "weights_path",
    "write",
]

SCHEMA = 2
_PARTS = ("schema", "study", "key", "config", "history", "result", "provenance")
_ORIGIN = ("data", "device", "threads", "versions", "system", "source", "date")


@dataclass(frozen=True)
class Record:
    """What one training gave.

    Attributes
    ----------
    path : Path
        Its file; the folder is that of `study`, which made it.
    history : list[dict[str, Any]]
        One row an epoch.
    result : dict[str, Any]
        What was measured once, at the end.
    provenance : dict[str, Any]
        Where it came from: data, device, versions, source, date.
    """

    path: Path
    study: str
    config: RunConfig
    history: list[dict[str, Any]]
    result: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def key(self) -> str:
        return self.config.key

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def last(self) -> dict[str, Any]:
        """The row of the last epoch."""
        return self.history[-1]

    @property
    def outcome(self) -> outcome.Outcome | None:
        """What became of its transformer: see `stnlib.records.outcome`."""
        return outcome.outcome(self)


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
    path = place(folder, study, config)
    parts = dict(zip(_PARTS, values, strict=True))
    write_whole(path, seal(parts, exact="config", rows="history"))
    return path


def place(folder: Path, study: str, config: RunConfig) -> Path:
    """Where in `folder` the record of a study's run belongs."""
    return folder / study / f"{config.key}.json"


def read(path: Path) -> Record:
    """Read one record; for what is returned see `check`.

    Raises
    ------
    RecordError
        When it is no JSON, of another schema, was edited so that its digest no longer fits,
        or does not stand `check`.
    """
    return check(unseal(path, SCHEMA), path)


def check(found: dict[str, Any], path: Path) -> Record:
    """The record that a file holds, with nan for what was not finite, once all parts are sound.

    Raises
    ------
    RecordError
        One line: a part that is missing, an impossible configuration, a key that does not fit
        it, or a type, name or range of a value that no training gives.
    """
    check_parts(found, _PARTS, path)
    try:
        config = RunConfig.from_dict(found["config"])
    except (ConfigError, TypeError, RecursionError) as error:
        raise RecordError(f"{path} holds an impossible configuration: {error}") from None
    if not config.key == found["key"] == path.stem:
        raise RecordError(f"{path} was edited: its configuration has the key {config.key}")
    try:
        check_name(found["study"])
        check_history(found["history"], config.epochs, config.has_transformer)
        check_result(found["result"])
        check_origin(found["provenance"], _ORIGIN)
    except ValueError as error:
        raise RecordError(f"{path} cannot be true: {error}") from None
    history, result = (_numbers(found[part]) for part in ("history", "result"))
    return Record(path, found["study"], config, history, result, found["provenance"])


def _numbers(value: Any) -> Any:
    """The same with nan where JSON, which has none, holds null."""
    if isinstance(value, dict):
        return {n: one if type(one) is float else _numbers(one) for n, one in value.items()}
    if isinstance(value, list):
        return [one if type(one) is float else _numbers(one) for one in value]
    return math.nan if value is None else value


def paths(study: str = "*", where: Iterable[Path] | None = None, key: str = "*") -> list[Path]:
    """The records in a study's folder, or in all, in the order of keys; the first folder's win.

    A training may belong to several studies, and its record lies in the folder of one: for all
    runs of a study see `of_study`.
    """
    found: dict[str, Path] = {}
    for folder in folders() if where is None else where:
        for path in sorted(folder.glob(f"{study}/{key}.json")):
            found.setdefault(path.stem, path)
    return [found[key] for key in sorted(found)]


def read_all(where: Iterable[Path] | None = None) -> list[Record]:
    """All records, in the order of keys.

    Raises
    ------
    RecordError
        For the first that cannot be read; `read_each` leaves such out and says so.
    """
    return [read(path) for path in paths(where=where)]


def paths_of_study(study: str, where: Sequence[Path] | None = None) -> list[Path]:
    """Where the records of a study's runs are.

    The book's study file says which runs these are, and in which order; a record counts in
    whichever study it was made, for one training may belong to several. A study that the book
    has no file of has the records in its folder, in the order of keys.

    Parameters
    ----------
    study : str
        Name of the file in the book's `studies`, without its ending, or of a folder.
    where : Sequence[Path] | None
        Folders of records; None for the book's and the reader's own.

    Raises
    ------
    ConfigError
        One line, where there is no such study or its file is not sound.
    """
    where = folders() if where is None else where
    file = where[0].parent / "studies" / f"{study}.toml"
    if not file.is_file():
        known = {path.parent.name for folder in where for path in folder.glob("*/*.json")}
        if study not in known:
            names = ", ".join(sorted(known)) or "none"
            raise ConfigError(f"there are no records of a study {study!r}: there are {names}")
        return paths(study, where)
    made = {path.stem: path for path in paths(where=where)}
    wanted = dict.fromkeys(config.key for config in configurations(file))
    return [made[key] for key in wanted if key in made]


def of_study(study: str, where: Sequence[Path] | None = None) -> list[Record]:
    """The records of a study's runs; see `paths_of_study`."""
    return [read(path) for path in paths_of_study(study, where)]


def locate(config: RunConfig, where: Iterable[Path] | None = None) -> Path | None:
    """Where the record of a configuration is, in whichever study it was made, or None."""
    return next(iter(paths(where=where, key=config.key)), None)


def find(config: RunConfig, where: Iterable[Path] | None = None) -> Record | None:
    """The record of a configuration, or None."""
    return read(path) if (path := locate(config, where)) else None


def of_any_seed(config: RunConfig, where: Iterable[Path] | None = None) -> list[Record]:
    """The records of a configuration with whatever seed, in the order of their seeds."""
    wanted = _but_seed(config)
    same = [read(path) for path in paths(where=where) if _asked(path, _stamp(path)) == wanted]
    return sorted(same, key=lambda record: record.seed)


def _but_seed(config: RunConfig) -> dict[str, Any]:
    return {**vars(config), "seed": None}


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@functools.cache
def _asked(path: Path, stamp: tuple[int, int]) -> dict[str, Any]:
    """A record's configuration but for its seed: to read all records takes seconds."""
    return _but_seed(read(path).config)


def read_each(
    study: str | None = None, where: Sequence[Path] | None = None
) -> tuple[list[Record], list[str]]:
    """The records of a study, or all, that can be read, and a line for each that cannot."""
    found, problems = [], []
    for path in paths_of_study(study, where) if study else paths(where=where):
        try:
            found.append(read(path))
        except RecordError as error:
            problems.append(str(error))
    return found, problems


def examine(where: Iterable[Path] | None = None, values: bool = True) -> tuple[int, list[str]]:
    """Number of readable records, and a line for each that is not.

    Without `values` only that nothing has changed since a record was written, not what each part
    holds: that takes half of the time.
    """
    every = folders() if where is None else where
    count, problems = 0, []
    for path in (path for folder in every for path in sorted(folder.glob("*/*.json"))):
        try:
            # What is read is forgotten: together they fill 100 MB.
            read(path) if values else unseal(path, SCHEMA)
            count += 1
        except RecordError as error:
            problems.append(str(error))
    return count, problems


def weights_path(record_path: Path) -> Path:
    """Where the transformer's weights lie, for the records that keep them."""
    return record_path.with_suffix(".safetensors")


def trace_path(record_path: Path) -> Path:
    """Where the trace of a run's steps lies, for the records that have one."""
    return record_path.with_suffix(".npz")
