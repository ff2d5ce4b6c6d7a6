"""The looks of a training at its transformers: awaited, judged, kept in traces, and logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from stnlib.diagnostics.criteria import Collapse, Criteria, Judge
from stnlib.diagnostics.graph import shared
from stnlib.diagnostics.trace import Trace

__all__ = ["Logger", "Looks", "distinct"]

Logger = Callable[[dict[str, float]], object]

STILL = 0.01  # half image sides a step: while θ moves by no more,
UNHURRIED = 4  # there are so many passes from one look to the next


class Looks:
    """A trace and a judge for each transformer, and the looks that are not judged yet.

    Parameters
    ----------
    criteria : Criteria
        Of the judges.
    keep : int | None
        Looks that a trace keeps.

    Attributes
    ----------
    traces : list[Trace]
        One a transformer; one before anything is known.
    judges : list[Judge]
        As many.
    waiting : list[tuple[int, dict[int, Tensor]]]
        Steps, and for each transformer that ran, by its number, what
        `stnlib.diagnostics.measures.measure` returned.
    loggers : list[Logger]
        Called with the numbers of each look.
    still : bool
        Whether the last step that was judged moved no θ by more than `STILL`.
    """

    def __init__(self, criteria: Criteria, keep: int | None) -> None:
        self.criteria, self._keep = criteria, keep
        self.traces, self.judges = [Trace(keep)], [Judge(criteria)]
        self.waiting: list[tuple[int, dict[int, Tensor]]] = []
        self.loggers: list[Logger] = []
        self.still = False

    def settle(self, model: nn.Module, names: Sequence[str]) -> tuple[Collapse, int] | None:
        """Judge what waits: the first collapse and the number of its transformer, usually None."""
        waiting, self.waiting = self.waiting, []
        found, logged = None, []
        for step, looks in waiting:
            rows = {}
            for place, values in looks.items():
                while place >= len(self.traces):
                    self.traces.append(Trace(self._keep))
                    self.judges.append(Judge(self.criteria))
                rows[place] = self.traces[place].append(step, shared(values, model).tolist())
                verdict = self.judges[place].judge(step, rows[place])
                if verdict and not found:
                    found = verdict, place
            logged.append((step, rows))
            self.still = all(row["step"] <= STILL for row in rows.values())
        told = distinct(names, len(self.traces))
        for step, rows in logged if self.loggers else ():
            scalars = _scalars(step, {told[place]: row for place, row in rows.items()})
            for logger in self.loggers:
                logger(dict(scalars))
        return found

    def forgive(self) -> None:
        """Judge anew, after an action."""
        for judge in self.judges:
            judge.forgive()

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, as plain numbers, lists and dicts."""
        return {
            "traces": [trace.state_dict() for trace in self.traces],
            "judges": [judge.state_dict() for judge in self.judges],
        }

    def resumed(self, state: Mapping[str, Any]) -> Looks:
        """Others, that go on from `state_dict`; an error of any kind where it is none."""
        looks = Looks(self.criteria, self._keep)
        looks.traces = [Trace(self._keep) for _ in state["traces"]]
        looks.judges = [Judge(self.criteria) for _ in looks.traces]
        looks.loggers = self.loggers
        if not looks.traces:
            raise ValueError("no trace")
        for trace, found in zip(looks.traces, state["traces"], strict=True):
            trace.load_state_dict(found)
        for judge, found in zip(looks.judges, state["judges"], strict=True):
            judge.load_state_dict(found)
        return looks


def distinct(names: Sequence[str], n: int) -> list[str]:
    """A name for each of n transformers, with its number where several have one name."""
    told = [names[i] if i < len(names) else f"sampler {i}" for i in range(n)]
    return [f"{name} {i}" if told.count(name) > 1 else name for i, name in enumerate(told)]


def _scalars(step: int, rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The numbers of one look under one name each."""
    scalars: dict[str, float] = {"step": step}
    for name, row in rows.items():
        scalars["stn/loss"] = row["loss"]
        start = f"stn/{name.replace(' ', '_')}"
        scalars |= {
            f"{start}/{quantity}": value
            for quantity, value in row.items()
            if quantity not in ("step_number", "loss")
        }
    return scalars
