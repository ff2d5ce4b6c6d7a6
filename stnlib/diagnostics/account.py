"""What a monitor has recorded: its summary, its report, its numbers for other tools."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from stnlib.checks.values import shown
from stnlib.diagnostics.album import Album
from stnlib.diagnostics.looks import Logger, Looks, distinct
from stnlib.diagnostics.report import write_report
from stnlib.diagnostics.summary import summary
from stnlib.diagnostics.trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Account"]


class Account(ABC):
    """The part of a monitor that tells what it saw; see `CollapseMonitor`."""

    def __init__(self, looks: Looks, album: Album | None) -> None:
        self._looks, self._album = looks, album

    @property
    def trace(self) -> Trace:
        """The numbers of each look at the first sampler."""
        return self.traces[0]

    @property
    def traces(self) -> list[Trace]:
        """Those of all samplers, in the order in which they run."""
        return self._looks.traces

    @abstractmethod
    def _catch_up(self) -> None:
        """Judge what was recorded, where no other process has to take part."""

    @abstractmethod
    def _names(self) -> list[str]:
        """Of the transformers that have a trace, as far as they are known."""

    @abstractmethod
    def _remedy(self, place: int = 0) -> str:
        """What to do about a collapse of the transformer of that number."""

    def _named(self) -> dict[str, Trace]:
        return dict(zip(distinct(self._names(), len(self.traces)), self.traces, strict=True))

    def log_to(self, logger: Logger) -> None:
        """Hand the numbers of each look to a function, once they are judged.

        ``monitor.log_to(wandb.log)`` is all that Weights & Biases needs. For TensorBoard::

            def log(scalars):
                for name, value in scalars.items():
                    writer.add_scalar(name, value, scalars["step"])

            monitor.log_to(log)

        Parameters
        ----------
        logger : Logger
            Called with a dict: `step`, the monitor's, from 1; `stn/loss`; and, for each
            transformer, ``stn/NAME/QUANTITY``, the QUANTITIES of `stnlib.diagnostics.measures` and
            θ's means and spreads. NAME is that of a `SpatialTransformer` in the model, or
            `sampler_0`, and so on. NaN: not measured. An error of its own goes through.

        Raises
        ------
        TypeError
            One line, where it is no function.
        """
        if not callable(logger):
            raise TypeError(f"logger must be a function, not {shown(logger)}")
        self._looks.loggers.append(logger)

    def summary(self) -> str:
        """What each transformer does now, in a line each: it looks, idles, or is lost.

        *Idle*, for which there is no warning, is a view that differs by less than half a pixel
        between images. The other thresholds are those of `criteria`, for means over its window.
        """
        self._catch_up()
        return summary(self._named(), self._looks.criteria)

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write what was seen as one HTML file that needs no network, whole or not at all.

        It says what each transformer does, what to do about it, and shows all traces, the last
        numbers and, with `pictures`, the views at the steps that matter.

        Parameters
        ----------
        path : str | os.PathLike[str]
            Of the file.

        Raises
        ------
        OSError, TypeError
            One line, where the file cannot be written, or `path` is none.
        """
        self._catch_up()
        write_report(path, self._named(), self._looks.criteria, self._remedy(), self._album)

    def plot(self) -> Figure:
        """Draw the trace: a Matplotlib figure."""
        self._catch_up()
        return self.trace.plot()

    def to_frame(self) -> pd.DataFrame:
        """The trace as a pandas DataFrame, a row a look."""
        self._catch_up()
        return self.trace.to_frame()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace as a compressed ``.npz``, for `Trace.load`.

        Parameters
        ----------
        path : str | os.PathLike[str]
            Of the file.
        """
        self._catch_up()
        self.trace.save(path)
