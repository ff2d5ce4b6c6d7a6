"""Cures for blindness on Cluttered MNIST: the predictions of `cm-sight.toml`, and two claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stnlib.book.claims.facts import dates, ends, runs, share, validation, waiting
from stnlib.book.claims.findings import Finding, Verdict, found, judged, on_shares
from stnlib.book.claims.others import LOST
from stnlib.book.claims.recipe import CANDIDATE
from stnlib.book.stats import Share, paired_difference
from stnlib.records.outcome import in_a_word
from stnlib.records.store import Record

__all__ = [
    "a_penalty_keeps_features_on",
    "memory_does_not_cure",
    "none_is_ahead_of_the_recipe",
    "normalisation_cures",
    "normalised_before_the_relu",
    "others_do_not_cure",
]

STUDY = "cm-sight"
RATE = 1e-2
CELLS: dict[str, dict[str, Any]] = {
    "normalised before the ReLU": {"locnet": "centred"},
    "penalty 0.1": {"phi_penalty": 0.1},
    "penalty 0.01": {"phi_penalty": 0.01},
    "β₂ 0.9": {"loc_beta2": 0.9},
    "β₂ 0.99": {"loc_beta2": 0.99},
}


def _cell(name: str) -> list[Record]:
    return runs(STUDY, **CELLS[name])


def _verdict(so: Callable[..., bool], **shares: Share | None) -> Verdict:
    return on_shares(so, dates(runs(STUDY)), **shares)


def normalised_before_the_relu() -> Verdict:
    """None is blind, and at least four of five look."""
    cell = _cell("normalised before the ReLU")
    return _verdict(
        lambda blind, look: blind == 0 and look >= 0.8,
        blind=share(cell, "blind"),
        look=share(cell, "looks"),
    )


def a_penalty_keeps_features_on() -> Verdict:
    """At 0.1 at most one of five is blind; at 0.01 at least three of five are lost."""
    return _verdict(
        lambda blind, lost: blind <= 0.2 and lost >= 0.6,
        blind=share(_cell("penalty 0.1"), "blind"),
        lost=share(_cell("penalty 0.01"), *LOST),
    )


def memory_does_not_cure() -> Verdict:
    """With β₂ of 0.9 and of 0.99 at least four of five are lost."""
    return _verdict(
        lambda short, medium: min(short, medium) >= 0.8,
        short=share(_cell("β₂ 0.9"), *LOST),
        medium=share(_cell("β₂ 0.99"), *LOST),
    )


def none_is_ahead_of_the_recipe() -> Verdict:
    """None is ahead of the recipe at this rate, in the mean accuracy of those that look."""
    made = dates(runs(STUDY))
    if waits := waiting([_cell(name) for name in CELLS]):
        return judged(waits, "", made)
    recipe = _accuracy(runs("recipe-judged", data="cm", lr=RATE, **CANDIDATE))
    leads = {name: _accuracy(_cell(name)) - recipe for name in CELLS}
    said = "; ".join(f"{name}: {lead:+.3f}" for name, lead in leads.items() if lead == lead)
    return judged(not any(lead > 0 for lead in leads.values()), said, made)


def _accuracy(some: list[Record]) -> float:
    """Mean validation accuracy of those that look, NaN where none does."""
    return validation([r for r in some if in_a_word(r) == "looks"]).mean()


def _with_a_warm_up(model: str) -> list[Record]:
    """What cm-cures has at this rate with this warm-up and nothing else."""
    fields = {"lr": RATE, "warmup": 0.1, "schedule": "constant", "locnet": "paper"}
    return runs("cm-cures", model=model, **fields)


def normalisation_cures() -> Finding:
    """With a normalisation before the last ReLU all look, and the network is no worse."""
    cell = _cell("normalised before the ReLU")
    before, after = (ends(some, "blind") for some in (_with_a_warm_up("stn"), cell))
    lead = paired_difference(validation(cell), validation(_with_a_warm_up("baseline")))
    looks = ends(cell, "looks")
    numbers = {"blind with a plain ReLU": before, "blind": after, "look": looks}
    numbers |= {"validation": f"{validation(cell).mean():.3f}", "minus no transformer": lead}
    cured = after.high < before.low and looks.k == looks.n
    return found(cured and lead.low > -0.01, numbers)


def others_do_not_cure() -> Finding:
    """With a penalty on φ or a shorter memory most are lost."""
    cells = {name: _cell(name) for name in list(CELLS)[1:]}
    numbers = {f"{name}, look": ends(cell, "looks") for name, cell in cells.items()}
    both = [record for cell in cells.values() for record in cell]
    lost = ends(both, *LOST)
    return found(lost.low > 0.5, numbers | {"all four": ends(both, "looks"), "lost": lost})
