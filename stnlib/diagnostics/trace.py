"""The numbers of a training, step by step: kept, exported and drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Any, BinaryIO

from stnlib.checks.values import shown
from stnlib.diagnostics.files import check_path, whole_file
from stnlib.diagnostics.measures import QUANTITIES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Trace"]

EVENTS, NAMES = "events_", "names_"  # what the file of a trace calls its events and columns


class Trace:
    """Columns of numbers, one entry for each step that was looked at.

    Parameters
    ----------
    keep : int | None
        Looks to keep, the last; None for all.

    Attributes
    ----------
    columns : dict[str, list[float]]
        `step_number` counts the monitor's steps from 1; then the QUANTITIES of
        `stnlib.diagnostics.measures`; then `theta_mean_0`, …, `theta_std_0`, …, mean and population
        spread over images of each entry of θ. NaN: not measured.
    events : list[tuple[int, str]]
        Step and kind of each collapse that was found.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self.columns: dict[str, list[float]] = {}
        self.events: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def append(self, number: int, values: Sequence[float]) -> dict[str, float]:
        """Add a step's values.

        Parameters
        ----------
        number : int
            The monitor's step, from 1.
        values : Sequence[float]
            In the order of `stnlib.diagnostics.measures.measure`.

        Returns
        -------
        dict[str, float]
            The values by name, and `step_number`.

        Raises
        ------
        ValueError
            One line, where they are not as many as they should be, or no numbers.
        """
        more = len(values) - len(QUANTITIES) if isinstance(values, Sequence) else -1
        if (
            more < 0
            or more % 2
            or not all(type(value) is float or isinstance(value, Real) for value in values)
        ):
            raise ValueError(
                f"values must be {len(QUANTITIES)} numbers and two for each entry of θ, "
                f"not {shown(values)}"
            )
        row = dict(zip(_names(len(values)), (float(number), *values), strict=True))
        length = len(self)
        for name in row:
            if name not in self.columns:  # θ may be unknown at first
                self.columns[name] = [float("nan")] * length
        for name, column in self.columns.items():
            column.append(row.get(name, float("nan")))
            if self._keep:
                del column[: -self._keep]
        return row

    def row(self, index: int) -> dict[str, float]:
        """The numbers of one look.

        Parameters
        ----------
        index : int
            From 0; -1 is the last.

        Returns
        -------
        dict[str, float]
            By name, as `columns` has them.

        Raises
        ------
        ValueError
            One line, where there is no such look.
        """
        if not isinstance(index, int) or not -len(self) <= index < len(self):
            raise ValueError(
                f"index must be a whole number from {-len(self)} to {len(self) - 1}, "
                f"not {shown(index)}"
            )
        return {name: column[index] for name, column in self.columns.items()}

    def note(self, name: str, value: float) -> None:
        """Add a number of your own to the last look, such as the batch's accuracy.

        Parameters
        ----------
        name : str
            Of the column.
        value : float
            Or what `float` makes one of.

        Raises
        ------
        ValueError
            One line, where nothing was looked at yet, `name` is no name or `value` no number.
        """
        if not isinstance(name, str) or name in (EVENTS, NAMES):
            allowed = f"a string other than {EVENTS} and {NAMES}"
            raise ValueError(f"name must be {allowed}, not {shown(name)}")
        if not len(self):
            raise ValueError(f"there is no look yet that {name} could be noted for")
        try:
            value = float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise ValueError(f"{name} must be a number, not {shown(value)}") from None
        self.columns.setdefault(name, [float("nan")] * len(self))[-1] = value

    def to_frame(self) -> pd.DataFrame:
        """A pandas DataFrame, a row a step, indexed by `step_number`."""
        import pandas as pd

        return pd.DataFrame(self.columns or {"step_number": []}).set_index("step_number")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything as a compressed ``.npz``, whole or not at all; float32.

        Parameters
        ----------
        path : str | os.PathLike[str]
            Of the file.
        """
        import numpy as np

        events = np.array(self.events, dtype=[("step", "i8"), ("kind", "U16")])
        content: dict[str, Any] = {EVENTS: events, NAMES: np.array([*self.columns], "U")}
        content |= {name: np.array(c, dtype=np.float32) for name, c in self.columns.items()}
        with whole_file(path) as file:  # a name would be given the ending .npz
            np.savez_compressed(file, **content)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str | os.PathLike[str]
            Of the file.

        Returns
        -------
        Trace
            A new one.

        Raises
        ------
        OSError, ValueError
            One line that names the file: it is not there, or is not what was written.
        """
        check_path(path)
        if os.path.exists(path) and not os.path.isfile(path):
            raise ValueError(f"{os.fspath(path)} is no regular file")
        with open(path, "rb") as file:
            try:
                return cls._read(file)
            except Exception as error:  # of many kinds: NumPy's, zipfile's and zlib's
                name, reason = os.fspath(path), str(error).partition("\n")[0]
                raise ValueError(f"{name} is not a trace of CollapseMonitor: {reason}") from None

    @classmethod
    def _read(cls, file: BinaryIO) -> Trace:
        import numpy as np

        trace = cls()
        with np.load(file, allow_pickle=False) as found:
            trace.events = [(int(step), str(kind)) for step, kind in found[EVENTS]]
            columns = {name: found[name] for name in found.files if name not in (EVENTS, NAMES)}
            listed = found[NAMES].tolist() if NAMES in found.files else list(columns)
        if listed != list(columns):
            raise ValueError("it lacks columns")
        if any(column.dtype != np.float32 or column.ndim != 1 for column in columns.values()):
            raise ValueError("not every column is a row of numbers")
        if columns and {len(column) for column in columns.values()} != {
            len(columns["step_number"])
        }:
            raise ValueError("not every column has an entry for each step")
        trace.columns = {name: column.tolist() for name, column in columns.items()}
        return trace

    def state_dict(self) -> dict[str, Any]:
        """Everything, as plain lists and dicts."""
        columns = {name: list(column) for name, column in self.columns.items()}
        return {"columns": columns, "events": list(self.events)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what another trace has.

        Parameters
        ----------
        state : Mapping[str, Any]
            What `state_dict` returned.

        Raises
        ------
        ValueError
            One line, with nothing changed, where `state` is anything else.
        """
        try:
            columns = {str(name): [*map(float, c)] for name, c in state["columns"].items()}
            events = [(int(step), str(kind)) for step, kind in state["events"]]
            whole = len({len(column) for column in columns.values()}) <= 1
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError):
            whole = False
        if not whole:
            raise ValueError(f"state must be what state_dict() returned, not {shown(state)}")
        self.columns, self.events = columns, events

    def plot(self) -> Figure:
        """Draw coverage, footprint, steps and gradients over the steps: a Matplotlib figure."""
        from stnlib.diagnostics.plot import draw

        return draw(self)


@cache
def _names(n: int) -> tuple[str, ...]:
    parameters = (n - len(QUANTITIES)) // 2
    names = [f"theta_{what}_{i}" for what in ("mean", "std") for i in range(parameters)]
    return ("step_number", *QUANTITIES, *names)
