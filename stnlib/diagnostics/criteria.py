"""When a transformer is judged to collapse, and what is said then."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stnlib.checks.values import number, require, whole

__all__ = ["Collapse", "CollapseError", "CollapseWarning", "Criteria", "Judge", "is_outside"]


class CollapseWarning(UserWarning):
    """A spatial transformer is about to show nothing of its input."""


class CollapseError(RuntimeError):
    """A collapse was found where ``on_collapse="stop"``."""


@dataclass(frozen=True)
class Criteria:
    """What counts as a collapse; each is judged on the mean of the last `window` looks.

    θ that is not finite counts at once. A transformer is blind where its views have differed
    between images and no longer do: then θ is the same for every image of these batches. One whose
    views never differed is not judged. `coverage_drop` 0, `black` 1, `point` 0, `blind` 0 or a huge
    `step` leave out their kind.

    Parameters
    ----------
    window : int
        Looks, at least 1; at the start there are fewer.
    coverage_drop : float
        Coverage, or the object's, below this share of its highest mean so far; in [0, 1]. Or a
        view whose centre is outside of the image and whose coverage is below 0.01, from the start.
    black : float
        Share of black output images above this; in [0, 1].
    step : float
        θ moves by more than this a step, in half image sides; above 0. Nothing can be learned
        about where to look while the view jumps about by so much.
    point : float
        The larger side of the view is below this, in input pixels, for half of the images; 0 or
        more. Each output is then one flat colour, as no magnification is that shows anything.
    blind : float
        The corner spread is below this, in input pixels, and was not before; 0 or more.

    Raises
    ------
    ValueError
        One line, where a number is out of its range.
    """

    window: int = 3
    coverage_drop: float = 0.5
    black: float = 0.5
    step: float = 0.1
    point: float = 1.0
    blind: float = 0.01

    def __post_init__(self) -> None:
        require("window", self.window, whole(1))
        require("coverage_drop", self.coverage_drop, number(least=0, most=1))
        require("black", self.black, number(least=0, most=1))
        require("step", self.step, number(above=0))
        require("point", self.point, number(least=0))
        require("blind", self.blind, number(least=0))


@dataclass(frozen=True)
class Collapse:
    """A verdict.

    Parameters
    ----------
    kind : str
        `nan`, `black`, `leaving`, `shrinking`, `point`, `blind` or `runaway`.
    step : int
        The monitor's step at which it was found, from 1.
    numbers : Mapping[str, float]
        Some of the QUANTITIES of `stnlib.diagnostics.measures`, means over the window.
    message : str
        One line.
    """

    kind: str
    step: int
    numbers: Mapping[str, float]
    message: str


class Judge:
    """Applies `Criteria` to rows of numbers, one a step; its state is plain numbers."""

    def __init__(self, criteria: Criteria) -> None:
        self.criteria = criteria
        self.forgive()
        self._wait = 0

    def forgive(self) -> None:
        """Forget what was: after an action a whole window is awaited, and judged anew."""
        self._rows: deque[dict[str, float]] = deque(maxlen=self.criteria.window)
        self._best = {"coverage": 0.0, "object_coverage": 0.0, "corner_spread": 0.0}
        self._wait = self.criteria.window

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, as plain numbers, lists and dicts."""
        rows = [dict(row) for row in self._rows]
        return {"rows": rows, "best": dict(self._best), "wait": self._wait}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        rows = ({name: float(row.get(name, math.nan)) for name in _JUDGED} for row in state["rows"])
        self._rows = deque(rows, maxlen=self.criteria.window)
        self._best = {name: float(state["best"][name]) for name in self._best}
        self._wait = int(state["wait"])

    def judge(self, step: int, row: Mapping[str, float]) -> Collapse | None:
        """The verdict on a step: usually None."""
        self._rows.append({name: row[name] for name in _JUDGED})
        self._wait -= 1
        if self._wait > 0:
            return None
        if row["finite"] < 1:
            share = 1 - row["finite"]
            return _verdict("nan", step, row, f"θ is not finite for {share:.0%} of the images")
        mean = {name: sum(r[name] for r in self._rows) / len(self._rows) for name in _JUDGED}
        for name in self._best:
            self._best[name] = max(self._best[name], _number(mean[name]))
        for kind, what in self._found(mean, row):
            return _verdict(kind, step, {**row, **mean}, what)
        return None

    def _found(
        self, mean: Mapping[str, float], row: Mapping[str, float]
    ) -> Iterator[tuple[str, str]]:
        """Kinds of collapse and their description, the surest first."""
        if mean["black"] > self.criteria.black:
            yield "black", f"{mean['black']:.0%} of the output images are black"
        for name in ("coverage", "object_coverage"):
            best = self._best[name]
            if mean[name] < self.criteria.coverage_drop * best:
                what = "the image" if name == "coverage" else "the object"
                kind, way = ("leaving", "leaves") if row["centre"] > 1 else ("shrinking", "loses")
                yield (
                    kind,
                    (
                        f"the view {way} {what}: coverage {mean[name]:.2f}, at best {best:.2f}"
                        f"{', zooming out' if kind == 'shrinking' and row['extent'] > 1 else ''}"
                    ),
                )
        if self.criteria.coverage_drop and is_outside(mean["coverage"], row["centre"]):
            yield "leaving", f"the view is outside of the image: coverage {mean['coverage']:.2f}"
        if mean["extent_pixels"] < self.criteria.point:
            yield (
                "point",
                "the view is a point: every output is one flat colour, its view "
                f"{mean['extent_pixels']:.2g} input pixels large",
            )
        whole = len(self._rows) == self.criteria.window and not math.isnan(mean["corner_spread"])
        widest = max(r["corner_spread"] for r in self._rows)
        if whole and widest < self.criteria.blind <= self._best["corner_spread"]:
            why = ": all features that it is made of are zero" if mean["phi"] == 0 else ""
            yield "blind", f"θ is the same for every image{why}"
        if mean["step"] > self.criteria.step:
            yield "runaway", f"θ moves by {mean['step']:.2g} a step, half image sides"


def is_outside(coverage: float, centre: float) -> bool:
    """Whether next to nothing of the image is seen, as where a view begins outside of it."""
    return coverage < 0.01 and centre > 1


_JUDGED = (
    *("coverage", "object_coverage", "black", "step", "phi", "extent_pixels"),
    "corner_spread",
)


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _verdict(kind: str, step: int, row: Mapping[str, float], what: str) -> Collapse:
    names = ("coverage", "black", "extent", "centre", "phi", "step", "step_ratio")
    numbers = {n: row[n] for n in names if not math.isnan(row[n])}
    told = ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())
    told = f" ({told})" if told else ""
    return Collapse(kind, step, numbers, f"step {step}: {what}{told}.")
