"""A chapter's parameters, checked before anything runs.

papermill only logs a parameter that the chapter does not have, and takes any value.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from stnlib.config import ConfigError, Rule, check, defaults

__all__ = ["check_parameters"]

_INJECTED = "# Parameters\n"  # the first line of the cell that papermill adds
_TYPES = {"bool": bool, "int": int, "float": (int, float), "str": str}


def check_parameters(cells: Sequence[str], values: dict[str, Any], **rules: Rule) -> None:
    """Check the names and values of a chapter's parameters.

    Call it right after the parameters: ``check_parameters(In, globals())``.

    Parameters
    ----------
    cells : sources of the cells run so far; the first with annotated assignments
        (``lr: float = 1e-3``) declares the parameters.
    values : what the names stand for now.
    rules : for parameters that are no field of `RunConfig`, whose own rules hold for the
        rest; without any rule the annotated type is what counts.

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
        if name in rules:
            allowed = rules[name](value)
            if allowed:
                raise ConfigError(f"{name} must be {allowed}, not {value!r}")
        elif name in defaults():
            check(name, value)
        elif not _is(value, annotation):
            raise ConfigError(f"{name} must be of type {annotation}, not {value!r}")


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
