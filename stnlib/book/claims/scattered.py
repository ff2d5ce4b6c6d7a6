"""The recipe on scattered digits and clothes: the four predictions of `scattered-judged.toml`."""

from __future__ import annotations

from stnlib.book.claims.facts import dates, runs, share, waiting
from stnlib.book.claims.findings import Verdict, judged, on_shares
from stnlib.book.claims.recipe import ALONE, CANDIDATE, CONSTANT, OUT_OF_VIEW, at_risk, best

__all__ = ["ahead_of_none", "better_than_constant", "looks", "none_out_of_view_at_risk"]

STUDY = "scattered-judged"
LEADS = {"mnist": 0.03, "fashion": 0.02}
RATES = (1e-3, 3e-3, 1e-2)


def _missing() -> str | None:
    cells = [
        runs(STUDY, data=data, lr=lr, **fields)
        for data in LEADS
        for lr in RATES
        for fields in (CANDIDATE, ALONE, CONSTANT)
    ]
    return waiting(cells)


def none_out_of_view_at_risk() -> Verdict:
    """At no rate at risk is a transformer black, shrunken or a point with the candidate."""
    places = at_risk(STUDY)
    cells = [runs(STUDY, data=data, lr=lr, **CANDIDATE) for data, lr in places]
    risky = share([record for cell in cells for record in cell], *OUT_OF_VIEW)
    said = f"{risky} out of view, at {len(places)} rates at risk" if risky else "no rate at risk"
    return judged(_missing() or not (risky and risky.k), said, dates(runs(STUDY)))


def looks() -> Verdict:
    """At 0.001 and at 0.003 at least nine of ten look with the candidate, on either data set."""
    cells = {
        f"{data} {lr:g}": share(runs(STUDY, data=data, lr=lr, **CANDIDATE), "looks")
        for data in LEADS
        for lr in RATES[:2]
    }
    return on_shares(lambda **looking: min(looking.values()) >= 0.9, dates(runs(STUDY)), **cells)


def ahead_of_none() -> Verdict:
    """Each at its best rate, it is ahead of no transformer: by 0.03 on digits, 0.02 on clothes."""
    return _ahead(ALONE, LEADS)


def better_than_constant() -> Verdict:
    """Its best rate is no lower than the best constant one, and its accuracy there higher."""
    return _ahead(CONSTANT, dict.fromkeys(LEADS, 0.0), no_lower=True)


def _ahead(other: dict[str, object], least: dict[str, float], no_lower: bool = False) -> Verdict:
    made = dates(runs(STUDY))
    if waits := _missing():
        return judged(waits, "", made)
    so, said = True, []
    for data, bar in least.items():
        (rate, mine), (its, theirs) = (best(data, f, STUDY) for f in (CANDIDATE, other))
        lead = mine.mean() - theirs.mean()
        said.append(f"{data}: {lead:+.3f} (at {rate:g} and {its:g})")
        so &= lead > 0 and lead >= bar and (rate >= its or not no_lower)
    return judged(so, "; ".join(said), made)
