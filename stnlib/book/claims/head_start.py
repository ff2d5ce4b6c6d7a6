"""Who learns first at full size: what c10d-window and c10d-judged found, and their predictions."""

from __future__ import annotations

import pandas as pd

from stnlib.book.claims.facts import dates, ends, missing, planned, runs, validation
from stnlib.book.claims.findings import Finding, Verdict, found, judged, settled
from stnlib.book.claims.recipe import OUT_OF_VIEW, at_risk
from stnlib.book.stats import paired_difference, tally
from stnlib.records.outcome import IDLE, in_a_word
from stnlib.records.store import Record

__all__ = [
    "ahead_at_the_end",
    "ahead_of_one_rate",
    "classifier_alone_ahead",
    "classifier_alone_looks",
    "fewer_stop",
    "first_epoch",
    "lead_over_twenty_epochs",
    "looks_to_the_end",
    "nothing_lost_at_the_start",
    "small_networks",
    "some_lost_without_protection",
    "twenty_epochs",
    "whose_warm_up",
]

WINDOW = "c10d-window"
JUDGED = "c10d-judged"
SMALL = "head-start"
START = "c10d-start"
SETS = ("cm", "digits")
WHOSE = ("classifier", "both", "localisation")


def _transformers(study: str, **fields: object) -> list[Record]:
    return runs(study, model="stn", **fields)


def _lead(study: str, factor: float, epoch: int = -1) -> pd.Series:
    """Validation accuracy after an epoch, minus that of no transformer, by seed."""
    alone = _after(runs(study, model="baseline"), epoch)
    return (_after(_transformers(study, loc_lr_factor=factor), epoch) - alone).dropna()


def _after(some: list[Record], epoch: int) -> pd.Series:
    accuracy = {r.config.seed: r.history[epoch]["val_accuracy"] for r in some if _lasts(r, epoch)}
    return pd.Series(accuracy, dtype=float)


def _lasts(record: Record, epoch: int) -> bool:
    return epoch < len(record.history)


def _count(some: list[Record], *words: str) -> int:
    return sum(in_a_word(record) in words for record in some)


def _told(lead: float) -> str:
    return "none yet" if pd.isna(lead) else f"{lead:+.3f}"


def _of_whom(whose: str) -> list[Record]:
    """Trainings at 0.001 × 0.1 on a cosine whose warm-up, of any length, is of that network."""
    some = _transformers(WINDOW, lr=1e-3, loc_lr_factor=0.1, schedule="cosine", warmup_of=whose)
    return [record for record in some if record.config.warmup]


def whose_warm_up() -> Finding:
    """Whether more look with a warm-up of the classifier than with one of the transformer."""
    looks = {whose: ends(_of_whom(whose), "looks") for whose in WHOSE}
    none = _transformers(WINDOW, lr=1e-3, loc_lr_factor=0.1, schedule="cosine", warmup=0.0)
    numbers = {f"warm-up of {whose}": share for whose, share in looks.items()}
    numbers |= {"no warm-up": ends(none, "looks")}
    return found(looks["classifier"].low > looks["localisation"].high, numbers)


def first_epoch() -> Finding:
    """Whether the view's movement after one of six epochs tells who looks after the last."""
    some = _transformers(WINDOW)
    moved = [record.history[0]["corner_spread"] >= IDLE for record in some]
    looks = [in_a_word(record) == "looks" for record in some]
    yes, no = (
        [end for end, so in zip(looks, moved, strict=True) if so is b] for b in (True, False)
    )
    numbers = {"look, of those that moved": tally(yes), "of those that had not": tally(no)}
    return found(all(yes) and not any(no), numbers)


def twenty_epochs() -> Finding:
    """Whether the candidate's transformers look over twenty epochs, or leave a lead."""
    numbers: dict[str, object] = {}
    for factor in (0.3, 1.0):
        some = _transformers(JUDGED, loc_lr_factor=factor)
        numbers[f"look, factor {factor:g}"] = ends(some, "looks")
        numbers[f"blind, factor {factor:g}"] = ends(some, "blind")
    lead = _lead(JUDGED, 0.3)
    numbers["lead at the end, factor 0.3"] = at_the_end = paired_difference(lead, 0 * lead)
    none_looks = not all(in_a_word(r) == "looks" for r in _transformers(JUDGED, loc_lr_factor=0.3))
    return found(none_looks and at_the_end.low < 0 < at_the_end.high, numbers)


def looks_to_the_end() -> Verdict:
    """With either factor the transformer looks with every seed, to the last of twenty epochs."""
    some = _transformers(JUDGED)
    looks = [in_a_word(record) == "looks" for record in some]
    said = f"{sum(looks)} of {len(looks)} look"
    return judged(settled(looks, planned(JUDGED, model="stn")), said, dates(some))


def lead_over_twenty_epochs() -> Verdict:
    """At 0.3 the mean paired lead is at least 0.02 after six epochs, not below 0 at the end."""
    early, late = _lead(JUDGED, 0.3, epoch=5).mean(), _lead(JUDGED, 0.3).mean()
    said = f"{early:+.3f} after six epochs, {late:+.3f} at the end"
    return judged(missing(JUDGED) or (early >= 0.02 and late >= 0), said, dates(runs(JUDGED)))


def ahead_of_one_rate() -> Verdict:
    """At the end the candidate is ahead of one rate for both networks, in the mean of pairs."""
    third, one = (validation(_transformers(JUDGED, loc_lr_factor=f)) for f in (0.3, 1.0))
    ahead = (third - one).mean()
    black = _count(_transformers(JUDGED, loc_lr_factor=1.0), "black")
    said = f"{ahead:+.3f}, with {black} black at one rate"
    return judged(missing(JUDGED) or ahead > 0, said, dates(runs(JUDGED)))


def _pairs(data: str, factor: float) -> tuple[list[Record], list[Record]]:
    """The small networks' trainings with the classifier's warm-up alone, and with that of both."""
    fields = {"data": data, "loc_lr_factor": factor}
    both = _transformers("recipe-judged", schedule="cosine", **fields)
    return _transformers(SMALL, **fields), both


def fewer_stop() -> Verdict:
    """At 0.1 fewer are idle or blind with the classifier's warm-up alone, on either data set."""
    stopped = {data: [_count(some, "idle", "blind") for some in _pairs(data, 0.1)] for data in SETS}
    said = "; ".join(f"{data}: {one} against {both}" for data, (one, both) in stopped.items())
    fewer = all(one < both for one, both in stopped.values())
    return judged(missing(SMALL) or fewer, said, dates(runs(SMALL)))


def small_networks() -> Finding:
    """Whether a head start leaves as many idle on small networks, and loses some at risk."""
    risky = _risky()
    numbers = {"out of view at risk, × 0.3": tally([in_a_word(r) in OUT_OF_VIEW for r in risky])}
    stopped = []
    for name, place in (("classifier's warm-up", 0), ("both", 1)):
        some = [record for data in SETS for record in _pairs(data, 0.1)[place]]
        numbers[f"idle, × 0.1, {name}"] = share = ends(some, "idle", "blind")
        stopped.append(share)
    alike = stopped[0].low < stopped[1].high and stopped[1].low < stopped[0].high
    return found(alike and _count(risky, *OUT_OF_VIEW) > 0, numbers)


def _risky() -> list[Record]:
    """The trainings with a head start at 0.3 and the rates at risk."""
    places = at_risk()
    some = _transformers(SMALL, loc_lr_factor=0.3)
    return [r for r in some if (r.config.data, r.config.lr) in places]


def some_lost_without_protection() -> Verdict:
    """At 0.3 and the rates at risk some leave the view with the classifier's warm-up alone."""
    some = _risky()
    out = _count(some, *OUT_OF_VIEW)
    said = f"{out} of {len(some)} at risk are out of view"
    return judged("held" if out else missing(SMALL) or "failed", said, dates(some))


def classifier_alone_ahead() -> Verdict:
    """At 0.3 and its best rate the classifier's warm-up alone is ahead of both, on either."""
    leads = {}
    for data in SETS:
        best = [_best(some) for some in _pairs(data, 0.3)]
        leads[data] = (best[0] - best[1]).mean()
    said = "; ".join(f"{data}: {_told(lead)}" for data, lead in leads.items())
    ahead = all(lead > 0 for lead in leads.values())
    return judged(missing(SMALL) or ahead, said, dates(runs(SMALL)))


def _best(some: list[Record]) -> pd.Series:
    """Validation accuracy by seed at the rate of the highest mean."""
    rates = {record.config.lr for record in some}
    cells = [validation([r for r in some if r.config.lr == lr]) for lr in sorted(rates)]
    return max(cells, key=lambda cell: cell.mean(), default=pd.Series(dtype=float))


def classifier_alone_looks() -> Verdict:
    """At full size every transformer looks with the classifier's warm-up alone, at 0.3 and 0.1."""
    some = _transformers(START)
    looks = [in_a_word(record) == "looks" for record in some]
    said = f"{sum(looks)} of {len(looks)} look"
    return judged(settled(looks, planned(START, model="stn")), said, dates(some))


def ahead_at_the_end() -> Verdict:
    """After twenty epochs the better factor is ahead of no transformer by at least 0.01."""
    leads = {factor: _lead(START, factor).mean() for factor in (0.3, 0.1)}
    said = "; ".join(f"factor {factor:g}: {_told(lead)}" for factor, lead in leads.items())
    return judged(missing(START) or max(leads.values()) >= 0.01, said, dates(runs(START)))


def nothing_lost_at_the_start() -> Verdict:
    """None of the full-size trainings with a head start is black, shrunken or a point."""
    some = _transformers(START)
    kept = [in_a_word(record) not in OUT_OF_VIEW for record in some]
    said = f"{len(kept) - sum(kept)} of {len(kept)} out of view"
    return judged(settled(kept, planned(START, model="stn")), said, dates(some))
