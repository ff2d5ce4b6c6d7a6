"""Study files: the experiments of the book as data.

A study file (TOML, `book/studies/`) has a `title`, a `[base]` configuration, one or more
`[[cells]]` whose lists are multiplied out, and `seeds`, which vary slowest. Lists of a cell that
its `zip` names, as in ``zip = ["n_train", "epochs"]``, go together, value by value. `test = false`
keeps the runs from the test images, `keep_weights = true` stores their transformers, and
`trace = true` what these did at each step.
"""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from pathlib import Path
from typing import Any

from stnlib.atomic import regular
from stnlib.errors import ConfigError
from stnlib.training.config import RunConfig

__all__ = ["branches", "check_name", "configurations", "options"]

MOST_RUNS = 100_000  # of one file: more are a slip, and would fill the memory


def configurations(path: Path) -> list[RunConfig]:
    """The runs of a study file, seeds slowest.

    So an interrupted study has every cell once before it has any cell twice.

    Raises
    ------
    ConfigError
        One line, naming the file, for a part, name or value that is not allowed; or where
        the file names no runs.
    """
    parts = _read_study(path)
    base, cells, seeds = parts.get("base", {}), parts.get("cells", [{}]), parts.get("seeds", [0])
    if not base and not any(cells):
        raise ConfigError(f"{path} names no runs: it needs a table [base], or [[cells]]")
    try:
        n = len(seeds) * sum(map(_count, cells))
        if not 1 <= n <= MOST_RUNS:
            many = f"{n}, more than {MOST_RUNS}," if n else "no"
            raise ConfigError(f"names {many} runs, by its seeds and the lists of its cells")
        cells = [c for cell in cells for c in _multiplied(cell)]
        return [RunConfig.from_dict({**base, **c, "seed": s}) for s in seeds for c in cells]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def options(path: Path) -> dict[str, bool]:
    """What a study file asks of `run` for each of its runs: `test`, `keep_weights`, `trace`."""
    return {name: v for name, v in _read_study(path).items() if name in _OPTIONS}


def branches(path: Path) -> dict[str, Any]:
    """The plan for branches that a study file has as ``[forks]``, empty where it has none."""
    return _read_study(path).get("forks", {})


_OPTIONS = ("test", "keep_weights", "trace")
_PARTS = dict(title=str, forks=dict, base=dict, cells=list, seeds=list) | dict.fromkeys(
    _OPTIONS, bool
)


def _read_study(path: Path) -> dict[str, Any]:
    try:
        parts = tomllib.loads(regular(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path} cannot be read: its values are nested too deeply") from None
    for name, value in parts.items():
        if name not in _PARTS:
            raise ConfigError(f"{path}: unknown part {name}: allowed are {', '.join(_PARTS)}")
        if not isinstance(value, _PARTS[name]):
            kind = _PARTS[name].__name__
            raise ConfigError(f"{path}: {name} must be of type {kind}, not {value!r}")
    for table in (parts.get("base", {}), *parts.get("cells", [])):
        if not isinstance(table, dict) or "seed" in table:
            raise ConfigError(f"{path}: base and [[cells]] must be tables without seed: {table!r}")
    return parts


def check_name(study: str) -> None:
    """Raise `ConfigError` unless a study may have this name, which is a folder's, too."""
    if not re.fullmatch(r"\w[\w.-]*", study):
        raise ConfigError(
            "study must be a name of letters, digits, '_', '.' and '-', the last two not at its "
            f"beginning, not {study!r}"
        )


def _count(cell: dict[str, Any]) -> int:
    """How many runs a cell's lists come to, without making them."""
    together = _zipped(cell)
    lists = {name: v for name, v in cell.items() if isinstance(v, list) and name != "zip"}
    n = math.prod(len(values) for name, values in lists.items() if name not in together)
    return n * (len(lists[together[0]]) if together else 1)


def _multiplied(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination of a cell's lists, those that `zip` names moving as one."""
    lists = {name: v if isinstance(v, list) else [v] for name, v in cell.items() if name != "zip"}
    together = _zipped(cell)
    axes = [[{name: v} for v in values] for name, values in lists.items() if name not in together]
    if together:
        rows = zip(*(lists[name] for name in together), strict=True)
        axes.insert(0, [dict(zip(together, row, strict=True)) for row in rows])
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*axes)]


def _zipped(cell: dict[str, Any]) -> list[str]:
    names = cell.get("zip", [])
    lists = [name for name, value in cell.items() if isinstance(value, list) and name != "zip"]
    if not isinstance(names, list) or any(name not in lists for name in names):
        raise ConfigError(f"zip must be a list of names of the cell's lists, not {names!r}")
    lengths = {name: len(cell[name]) for name in names}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"zip needs lists of one length, not of {lengths}")
    return names
