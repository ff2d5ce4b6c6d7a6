"""Other people's cures at the edge of the map: the predictions of `cm-others.toml`, two claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stnlib.book.claims.facts import dates, ends, runs, share, waiting
from stnlib.book.claims.findings import Finding, Verdict, found, judged, on_shares
from stnlib.book.claims.recipe import CANDIDATE, OUT_OF_VIEW
from stnlib.book.stats import Share
from stnlib.records.outcome import in_a_word
from stnlib.records.store import Record

__all__ = [
    "area_does_not_feel_a_shift",
    "blur_changes_little",
    "four_warps_lose_more",
    "gradient_scale_changes_nothing",
    "identity_holds_the_view",
    "linearised_changes_little",
    "no_cure_keeps_them_looking",
    "none_is_more_accurate",
    "none_saves_half",
    "penalties_hold_a_view_that_stops",
    "shared_layers_do_not_save",
]

STUDY = "cm-others"
HIGH, LOW = 1e-2, 6e-3
LOST = (*OUT_OF_VIEW, "blind", "diverged")
UNCHANGED: dict[str, Any] = {
    **{"loc_grad_factor": 1.0, "area_penalty": 0.0, "blur": 0.0, "identity_penalty": 0.0},
    **{"locnet": "paper", "outside_penalty": 0.0, "sampler": "bilinear", "warps": 1},
}
CURES: tuple[dict[str, Any], ...] = (
    *({"loc_grad_factor": 0.1}, {"area_penalty": 1.0}, {"blur": 4.0}, {"identity_penalty": 1.0}),
    *({"locnet": "shared"}, {"outside_penalty": 1.0}, {"sampler": "linearised"}, {"warps": 4}),
)


def _cell(lr: float, **cure: Any) -> list[Record]:
    return runs(STUDY, lr=lr, **UNCHANGED | cure)


def _made() -> list[str]:
    """When the runs were made that were not known before: those of other studies were."""
    return dates(record for record in runs(STUDY) if record.study == STUDY)


def _share(lr: float, *words: str, **cure: Any) -> Share | None:
    """How many of a cell end so, lost where no words are given."""
    return share(_cell(lr, **cure), *(words or LOST))


def _verdict(so: Callable[..., bool], **shares: Share | None) -> Verdict:
    return on_shares(so, _made(), **shares)


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= 0.2 + 1e-9


def gradient_scale_changes_nothing() -> Verdict:
    """θ's gradient × 0.1: within 0.2 of the unchanged cell at 0.006, nine tenths lost at 0.01."""
    return _verdict(
        lambda low, unchanged, high: _near(low, unchanged) and high >= 0.9,
        low=_share(LOW, loc_grad_factor=0.1),
        unchanged=_share(LOW),
        high=_share(HIGH, loc_grad_factor=0.1),
    )


def four_warps_lose_more() -> Verdict:
    """Four warps lose more than half at 0.006, and nine tenths at 0.01."""
    return _verdict(
        lambda low, high: low > 0.5 and high >= 0.9,
        low=_share(LOW, warps=4),
        high=_share(HIGH, warps=4),
    )


def linearised_changes_little() -> Verdict:
    """It is within 0.2 of the unchanged cell at 0.006, and loses three quarters at 0.01."""
    return _little(sampler="linearised")


def blur_changes_little() -> Verdict:
    """It is within 0.2 of the unchanged cell at 0.006, and loses three quarters at 0.01."""
    return _little(blur=4.0)


def _little(**cure: Any) -> Verdict:
    return _verdict(
        lambda low, unchanged, high: _near(low, unchanged) and high >= 0.75,
        low=_share(LOW, **cure),
        unchanged=_share(LOW),
        high=_share(HIGH, **cure),
    )


def shared_layers_do_not_save() -> Verdict:
    """They lose half or more at 0.01, and no fewer than the unchanged cell at 0.006."""
    return _verdict(
        lambda low, unchanged, high: low >= unchanged and high >= 0.5,
        low=_share(LOW, locnet="shared"),
        unchanged=_share(LOW),
        high=_share(HIGH, locnet="shared"),
    )


def identity_holds_the_view() -> Verdict:
    """At most a tenth is out of view at 0.01, and at most a tenth is lost at 0.006."""
    return _verdict(
        lambda low, high: low <= 0.1 and high <= 0.1,
        low=_share(LOW, identity_penalty=1.0),
        high=_share(HIGH, *OUT_OF_VIEW, identity_penalty=1.0),
    )


def area_does_not_feel_a_shift() -> Verdict:
    """At 0.01 it loses half or more; leaving the image feels it: a tenth is out of view."""
    return _verdict(
        lambda area, outside: area >= 0.5 and outside <= 0.1,
        area=_share(HIGH, area_penalty=1.0),
        outside=_share(HIGH, *OUT_OF_VIEW, outside_penalty=1.0),
    )


def none_saves_half() -> Verdict:
    """At 0.01 none has more than half that look, the classifier above chance."""
    shares = {next(iter(cure)): _share(HIGH, "looks", **cure) for cure in CURES}
    return _verdict(lambda **found: max(found.values()) <= 0.5, **shares)


def none_is_more_accurate() -> Verdict:
    """At 0.006 none that looks is ahead of the unchanged cell by more than 0.01."""
    cells = [_cell(LOW), *(_cell(LOW, **cure) for cure in CURES)]
    made = _made()
    if waits := waiting(cells):
        return judged(waits, "", made)
    means = [_mean(cell) for cell in cells]
    lead = max(mean for mean in means[1:] if mean is not None) - (means[0] or 0)
    return judged(lead <= 0.01, f"the best is ahead by {lead:+.3f}", made)


def _mean(cell: list[Record]) -> float | None:
    """The mean validation accuracy of those that look; None where none does."""
    seen = [record.last["val_accuracy"] for record in cell if in_a_word(record) == "looks"]
    return sum(seen) / len(seen) if seen else None


PENALTIES = ("area_penalty", "identity_penalty", "outside_penalty")


def no_cure_keeps_them_looking() -> Finding:
    """At 0.01 no cure of others keeps a transformer looking, and the recipe does."""
    looks = {next(iter(cure)): ends(_cell(HIGH, **cure), "looks") for cure in CURES}
    recipe = ends(runs("recipe-judged", data="cm", lr=HIGH, **CANDIDATE), "looks")
    numbers: dict[str, object] = {"nothing changed": ends(_cell(HIGH), "looks")} | looks
    every = ends([r for cure in CURES for r in _cell(HIGH, **cure)], "looks")
    numbers["all eight"] = every
    numbers["recipe × 0.3"] = recipe
    return found(not every.k and recipe.low > every.high, numbers)


def penalties_hold_a_view_that_stops() -> Finding:
    """At 0.01 penalties keep the view on the image, and none of those transformers looks."""
    held = [r for cure in CURES if next(iter(cure)) in PENALTIES for r in _cell(HIGH, **cure)]
    out, free = ends(held, *OUT_OF_VIEW), ends(_cell(HIGH), *OUT_OF_VIEW)
    numbers = {"out of view with a penalty": out, "out of view with nothing changed": free}
    numbers["blind with a penalty"] = ends(held, "blind")
    numbers["look with a penalty"] = looks = ends(held, "looks")
    return found(out.high < free.low and looks.k == 0, numbers)
