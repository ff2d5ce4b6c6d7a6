"""The numbers of a training, step by step: kept, exported and drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import BinaryIO

from stnlib.diagnostics.measures import QUANTITIES

__all__ = ["Trace"]


class Trace:
    """Columns of numbers, one entry for each step that was looked at.

    Attributes
    ----------
    columns : name → list of float. `step_number` counts the monitor's steps from 1; then the
        QUANTITIES of `stnlib.diagnostics.measures`; then `theta_mean_0`, …, `theta_std_0`, …,
        mean and population spread over images of each entry of θ. NaN: not measured.
    events : (step, kind) of each collapse that was found.
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {}
        self.events: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def append(self, number: int, values: Sequence[float]) -> dict[str, float]:
        """Add a step's values, in the order of `measure`; return them by name."""
        row = dict(zip(_names(len(values)), (float(number), *values), strict=True))
        length = len(self)
        for name in row:
            if name not in self.columns:  # θ may be unknown at first
                self.columns[name] = [float("nan")] * length
        for name, column in self.columns.items():
            column.append(row.get(name, float("nan")))
        return row

    def row(self, index: int) -> dict[str, float]:
        """The numbers of one look, -1 for the last."""
        return {name: column[index] for name, column in self.columns.items()}

    def note(self, name: str, value: float) -> None:
        """Add a number of your own to the last look, such as the batch's accuracy."""
        self.columns.setdefault(name, [float("nan")] * len(self))[-1] = float(value)

    def to_frame(self):
        """A pandas DataFrame, a row a step, indexed by `step_number`."""
        import pandas as pd

        return pd.DataFrame(self.columns or {"step_number": []}).set_index("step_number")

    def save(self, path: str | os.PathLike) -> None:
        """Write everything as a compressed ``.npz``, whole or not at all."""
        import numpy as np

        events = np.array(self.events, dtype=[("step", "i8"), ("kind", "U16")])
        part = f"{os.fspath(path)}.part"
        with open(part, "wb") as file:  # a name would be given the ending .npz
            columns = {name: np.float32(column) for name, column in self.columns.items()}
            np.savez_compressed(file, events_=events, **columns)
        os.replace(part, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Trace:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError
            One line that names the file: it is not there, or is not what was written.
        """
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
            trace.events = [(int(step), str(kind)) for step, kind in found["events_"]]
            columns = {name: found[name] for name in found.files if name != "events_"}
        if any(column.dtype != np.float32 or column.ndim != 1 for column in columns.values()):
            raise ValueError("not every column is a row of numbers")
        if columns and {len(column) for column in columns.values()} != {
            len(columns["step_number"])
        }:
            raise ValueError("not every column has an entry for each step")
        trace.columns = {name: column.tolist() for name, column in columns.items()}
        return trace

    def state_dict(self) -> dict:
        columns = {name: list(column) for name, column in self.columns.items()}
        return {"columns": columns, "events": list(self.events)}

    def load_state_dict(self, state: Mapping) -> None:
        self.columns = {name: list(column) for name, column in state["columns"].items()}
        self.events = [tuple(event) for event in state["events"]]

    def plot(self):
        """Draw coverage, footprint, steps and gradients over the steps: a Matplotlib figure."""
        from stnlib.diagnostics.plot import draw

        return draw(self)


@cache
def _names(n: int) -> tuple[str, ...]:
    parameters = (n - len(QUANTITIES)) // 2
    names = [f"theta_{what}_{i}" for what in ("mean", "std") for i in range(parameters)]
    return ("step_number", *QUANTITIES, *names)
