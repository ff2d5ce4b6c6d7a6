"""The claims about what foretells a loss, and about the monitor's warnings."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from stnlib.book.alarms import TRACED, measured
from stnlib.book.claims import edge
from stnlib.book.claims.facts import dates, observed, runs, traced
from stnlib.book.claims.findings import Finding, Verdict, found, judged
from stnlib.book.stats import tally
from stnlib.book.third_party import recording

__all__ = [
    "before_the_accuracy",
    "concordances",
    "false_alarms",
    "one_step_before",
    "others_networks",
    "steps_and_rates",
    "tanh_by_its_slope",
    "three_steps_before",
    "warned_before_onset",
    "warned_on_optical_digits",
    "warned_on_optical_digits_alive",
    "warned_on_optical_digits_lowest",
    "wild_alive",
    "wild_dying",
]


def _told_right(row: pd.Series) -> str:
    return f"{row['judged']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def steps_and_rates() -> Finding:
    """Balanced accuracy one step before the onset, by predictor."""
    told = edge.forecast(1, "step", "reach", "lr")
    names = {"step": "largest step of θ", "reach": "σ at first", "lr": "learning rate"}
    numbers = {word: _told_right(told.loc[name]) for name, word in names.items()}
    guess = told["low"] < 0.5
    return found(guess.to_dict() == {"step": False, "reach": True, "lr": True}, numbers)


def concordances() -> Finding:
    """How often a run about to die has larger features than one still alive at that step."""
    numbers, lows = {}, []
    for lead in (1, 2, 3, 5):
        share = edge.concordance("phi", lead)
        words = f"{lead} step{'s' if lead > 1 else ''} before"
        numbers[words] = f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"
        lows.append(share.low)
    return found(min(lows[:3]) > 0.5, numbers)


def warned_before_onset() -> Finding:
    """The monitor's lead before the loss begins."""
    told = measured(traced(*TRACED))
    numbers = {"warned before": told.ahead, "median lead": f"{told.lead:.0f} steps"}
    numbers["at most 3 steps"] = f"{told.soon.k / told.soon.n:.0%}"
    return found(told.ahead.low > 0.8 and told.lead < 10, numbers)


def before_the_accuracy() -> Finding:
    """Warnings before the accuracy falls for good."""
    fell = traced(*TRACED).dropna(subset="fall")
    before = tally(fell.eval("warning < fall"))
    return found(before.low > 0.8, {"warned before": before})


def false_alarms() -> Finding:
    """Warnings in runs that stay alive, by whether others die at the same rates."""
    told = measured(traced(*TRACED))
    numbers = {"where some are lost": told.where_lost, "where none is": told.where_none}
    return found(told.where_none.high < told.where_lost.low, numbers)


def _wild(monitor: int) -> pd.DataFrame:
    """The runs with one state of the monitor, and those for which it makes no difference."""
    table = recording.runs(observed(recording.EARLIER))
    return table[table["monitor"] != 3 - monitor]


def _told(data: str, monitor: int = 1) -> dict[str, object]:
    table = _wild(monitor)
    return recording.verdicts(table[table["data"] == data])


DIED, ALIVE = "died, and warned before the first sign", "alive, and warned"
SHRANK, LOWEST = "shrank, and warned before it", "alive at the lowest rate, and warned"
CONTROLS = "controls, and warned"


def others_networks() -> Finding:
    """Warnings before the first sign in networks that are not ours."""
    numbers = {}
    for data, word in (("mnist", "MNIST"), ("optical", "optical digits")):
        told = _told(data)
        numbers |= {f"{word}, lost": told[DIED], f"{word}, shrank": told[SHRANK]}
        numbers[f"{word}, kept, and warned"] = told[ALIVE]
    most = all(one.k >= one.n - 1 for name, one in numbers.items() if "kept" not in name)
    return found(most, numbers)


def _wild_dates(data: str, monitor: int | None = None) -> list[str]:
    return [
        one["provenance"]["date"]
        for one in observed(recording.EARLIER)
        if one["what"]["data"] == data and one["what"].get("monitor") == monitor
    ]


def wild_dying() -> Verdict:
    """Warned before the accuracy falls, in at least nine of ten that die."""
    fell = _told("mnist")["fell, and warned before"]
    said = f"{fell} of those whose accuracy could fall"
    return judged(fell.k >= 0.9 * fell.n, said, _wild_dates("mnist"))


def wild_alive() -> Verdict:
    """Warned in at most one of twenty that stay alive."""
    alive = _told("mnist")[ALIVE]
    return judged(alive.k <= alive.n / 20, str(alive), _wild_dates("mnist"))


def warned_on_optical_digits() -> Verdict:
    """Every network that dies or shrinks is warned of before the first sign."""
    told = _told("optical")
    every = all(told[what].k == told[what].n for what in (DIED, SHRANK))
    said = f"lost {told[DIED]}, shrunken {told[SHRANK]}"
    return judged(every, said, _wild_dates("optical"))


def warned_on_optical_digits_lowest() -> Verdict:
    """No warning at the lowest rates, and none in the controls."""
    told = _told("optical")
    none = all(told[what].k == 0 for what in (LOWEST, CONTROLS))
    said = f"lowest rates {told[LOWEST]}, controls {told[CONTROLS]}"
    return judged(none, said, _wild_dates("optical"))


def warned_on_optical_digits_alive() -> Verdict:
    """More than one in twenty of those that stay alive is warned of."""
    alive = _told("optical")[ALIVE]
    return judged(alive.k > alive.n / 20, str(alive), _wild_dates("optical"))


def tanh_by_its_slope() -> Verdict:
    """A tanh counted by its slope: no warning at the lowest rates, and all lost are warned of."""
    table = _wild(2)
    table = table[table["network"].str.startswith("tanh")]
    told = [recording.verdicts(part) for _, part in table.groupby("data")]
    quiet = all(one[LOWEST].k == 0 for one in told)
    every = all(one[what].k == one[what].n for one in told for what in (DIED, SHRANK))
    lowest = ", ".join(f"{one[LOWEST].k} of {one[LOWEST].n}" for one in told)
    said = f"warned at the lowest rates: {lowest}; all lost warned of: {'yes' if every else 'no'}"
    when = [date for data in ("mnist", "optical") for date in _wild_dates(data, 2)]
    return judged(quiet and every, said, when)


def _before(lead: int, holds: Callable[[float], bool]) -> Verdict:
    told = edge.forecast(lead, "step").loc["step"]
    said = f"balanced accuracy {_told_right(told)}"
    return judged(holds(told["judged"]), said, dates(runs("cm-edge")))


def one_step_before() -> Verdict:
    """A balanced accuracy of at least 0.9 one step before the onset."""
    return _before(1, lambda accuracy: accuracy >= 0.9)


def three_steps_before() -> Verdict:
    """A balanced accuracy below 0.8 three steps before the onset."""
    return _before(3, lambda accuracy: accuracy < 0.8)
