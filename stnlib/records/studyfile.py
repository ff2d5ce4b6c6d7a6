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
from collections import ChainMap
from pathlib import Path
from typing import Any

from stnlib.atomic import regular
from stnlib.checks.values import shown
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
        axes = [_axes(cell) for cell in cells]
        n = len(seeds) * sum(math.prod(map(len, one)) for one in axes)
        if not 1 <= n <= MOST_RUNS:
            many = f"{n}, more than {MOST_RUNS}," if n else "no"
            raise ConfigError(f"names {many} runs, by its seeds and the lists of its cells")
        cells = [dict(ChainMap(*parts)) for one in axes for parts in itertools.product(*one)]
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


def check_name(study: Any) -> None:
    """Raise `ConfigError` unless a study may have this name, which is a folder's, too."""
    if not isinstance(study, str) or not re.fullmatch(r"\w[\w.-]*", study, re.ASCII):
        raise ConfigError(
            "study must be a name of letters, digits, '_', '.' and '-', the last two not at its "
            f"beginning, not {shown(study)}"
        )


def _axes(cell: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """What a cell multiplies out: the values of each list, those that `zip` names moving as one."""
    together = cell.get("zip", [])
    lists = [name for name, value in cell.items() if isinstance(value, list) and name != "zip"]
    if not isinstance(together, list) or any(name not in lists for name in together):
        raise ConfigError(f"zip must be a list of names of the cell's lists, not {together!r}")
    lengths = {name: len(cell[name]) for name in together}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"zip needs lists of one length, not of {lengths}")
    rows = zip(*(cell[name] for name in together), strict=True)
    axes = [[dict(zip(together, row, strict=True)) for row in rows]] if together else []
    alone = {name: value for name, value in cell.items() if name not in [*together, "zip"]}
    axes += [[{n: v} for v in (value if n in lists else [value])] for n, value in alone.items()]
    return axes
