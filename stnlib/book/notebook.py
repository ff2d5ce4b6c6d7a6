"""What a chapter says and checks: its parameters, what they would train, numbers in its prose.

papermill only logs a parameter that the chapter does not have, and takes any value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from operator import attrgetter
from statistics import median
from typing import Any

from stnlib.checks.values import Rule, number
from stnlib.errors import ConfigError
from stnlib.records import store
from stnlib.records.weights import kept
from stnlib.training.config import RunConfig, check, defaults
from stnlib.training.device import pick_device

__all__ = ["announce", "check_parameters", "tell"]

_INJECTED = "# Parameters\n"  # the first line of the cell that papermill adds
_TYPES = {"bool": bool, "int": int, "float": (int, float), "str": str}
# Narrower than a run's own rules: beyond, numbers overflow and nothing is learned.
_READER = {"lr": number(above=0, most=1), "seed": number(least=0, most=1e9)}
# Images to train on where `n_train` does not say.
_IMAGES = {"cm": 10_000, "digits": 4_000, "mnist": 59_000, "c10": 45_000, "c10d": 45_000}
_IMAGES |= {"fashion": 59_000, "shapes10": 5_000, "shapes10d": 5_000}
# What must be alike for two trainings to take as long for an image: the first that finds any.
_ALIKE = (("data", "model", "output_size"), ("data", "model"), ("classifier", "distorted"))


def check_parameters(cells: Sequence[str], values: dict[str, Any], **rules: Rule) -> None:
    """Check the names and values of a chapter's parameters.

    Call it right after the parameters: ``check_parameters(In, globals())``.

    Parameters
    ----------
    cells : Sequence[str]
        Sources of the cells run so far; the first with annotated assignments
        (``lr: float = 1e-3``) declares the parameters.
    values : dict[str, Any]
        What the names stand for now.
    **rules : Rule
        For parameters that are no field of `RunConfig`, of which the annotated type counts, too,
        and narrower ones for its fields, whose own rules hold as well.

    Raises
    ------
    ConfigError
        One line: an unknown name, a wrong type or a value out of range.
    """
    declared: dict[str, str] = next(filter(None, map(_annotated, cells)), {})
    for cell in cells:
        if cell.startswith(_INJECTED):
            for name in sorted(_assigned(cell) - set(declared)):
                raise ConfigError(f"unknown parameter {name!r}: allowed are {', '.join(declared)}")
    for name, annotation in declared.items():
        value = values[name]
        if name not in defaults() and not _is(value, annotation):
            raise ConfigError(f"{name} must be of type {annotation}, not {value!r}")
        rule = rules.get(name) or _READER.get(name)
        if rule and (allowed := rule(value)):
            raise ConfigError(f"{name} must be {allowed}, not {value!r}")
        if name in defaults():
            check(name, value)


def announce(configs: Iterable[RunConfig], weights: bool = False) -> None:
    """Print, before anything is trained, how many networks will be, and about how long it takes.

    Nothing is printed where every configuration has its record. The time is an estimate: the
    median pace of recorded runs of the same kind, on a processor or on a GPU as this machine has.

    Parameters
    ----------
    configs : Iterable[RunConfig]
        Every configuration whose record the chapter is going to ask for.
    weights : bool
        Whether an STN of which only the record was kept is trained, too; see
        `stnlib.study.runs.result`.
    """
    missing = [
        config
        for config in dict.fromkeys(configs)
        if not store.locate(config) or (weights and config.has_transformer and not kept(config))
    ]
    if not missing:
        return
    made = store.read_all()
    seconds = [_seconds(config, made) for config in missing]
    networks = "1 network is" if len(missing) == 1 else f"{len(missing)} networks are"
    if None in seconds:
        print(f"{networks} not recorded and trained now, for how long no record of the kind tells")
    else:
        time = _rough(sum(seconds))
        print(f"{networks} not recorded and trained now: about {time} at the recorded pace")


def tell(name: str, value: Any) -> None:
    """Hand a number or a text to a chapter's prose, without showing it where it is computed.

    Parameters
    ----------
    name : str
        What the prose calls it: ``{glue:text}`name` ``.
    value : Any
        A text, or a number that the prose may format: ``{glue:text}`name:.2f` ``.
    """
    from myst_nb import glue  # chapters alone need it, and they have it

    glue(name, value, display=False)


def _seconds(config: RunConfig, made: list[store.Record]) -> float | None:
    """Estimated seconds of a training, from the median pace of those most like it."""
    on_processor = pick_device("auto").type == "cpu"
    for names in _ALIKE:
        kind = attrgetter(*names)
        alike = [r for r in made if kind(r.config) == kind(config)]
        here = [r for r in alike if r.provenance["device"].startswith("cpu") == on_processor]
        if paces := [_pace(record) for record in here or alike]:
            return median(paces) * config.epochs * _images(config)
    return None


def _pace(record: store.Record) -> float:
    """Seconds an image and epoch, of which a run that ended early has fewer."""
    history = record.history
    return sum(row["seconds"] for row in history) / len(history) / _images(record.config)


def _images(config: RunConfig) -> int:
    return config.n_train or _IMAGES[config.data]


def _rough(seconds: float) -> str:
    """A time of two digits and one unit."""
    units = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
    unit = next((name for name, size in units.items() if seconds >= 1.5 * size), "seconds")
    return f"{float(f'{seconds / units[unit]:.2g}'):,g} {unit}"


def _annotated(cell: str) -> dict[str, str]:
    nodes = [n for n in _statements(cell) if isinstance(n, ast.AnnAssign) and n.value]
    return {n.target.id: ast.unparse(n.annotation) for n in nodes if isinstance(n.target, ast.Name)}


def _assigned(cell: str) -> set[str]:
    nodes = [n for n in _statements(cell) if isinstance(n, ast.Assign)]
    return {t.id for n in nodes for t in n.targets if isinstance(t, ast.Name)}


def _statements(cell: str) -> list[ast.stmt]:
    try:
        return ast.parse(cell).body
    except SyntaxError:  # a cell with %magic declares nothing
        return []


def _is(value: Any, annotation: str) -> bool:
    kind = _TYPES.get(annotation, object)
    return isinstance(value, kind) and (kind in (bool, object) or not isinstance(value, bool))
