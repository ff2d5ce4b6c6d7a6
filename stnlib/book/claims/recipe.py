"""A candidate for the recipe, judged: the predictions of two studies, and their claims."""

from __future__ import annotations

import pandas as pd

from stnlib.book.claims.facts import dates, missing, planned, runs, validation
from stnlib.book.claims.findings import Finding, Verdict, found, judged, settled
from stnlib.book.stats import Share, paired_difference, tally
from stnlib.records.outcome import at_chance, in_a_word
from stnlib.records.store import Record

__all__ = [
    "OUT_OF_VIEW",
    "ahead_of_none",
    "at_risk",
    "best",
    "better_than_constant",
    "fewer_look_at_a_tenth",
    "looks_from_three_thousandths",
    "looks_on_fresh_seeds",
    "none_out_of_view_at_risk",
    "shapes_above_its_rates",
    "shapes_ahead",
    "shapes_at_risk",
    "shapes_look",
]

STUDY = "recipe-judged"
SHAPES = "shapes-judged"
SETS = ("cm", "digits")
OUT_OF_VIEW = ("black", "shrunken", "point")
CANDIDATE = {"model": "stn", "schedule": "cosine", "loc_lr_factor": 0.3}
TENTH = CANDIDATE | {"loc_lr_factor": 0.1}
CONSTANT = {"model": "stn", "schedule": "constant"}
ALONE = {"model": "baseline"}


def _lost(record: Record) -> bool:
    return in_a_word(record) in (*OUT_OF_VIEW, "blind")


def at_risk(study: str = STUDY) -> list[tuple[str, float]]:
    """Data and rates at which three tenths of the transformers are lost, constant and at one rate.

    Parameters
    ----------
    study : str
        One with a cell of such transformers for each of its rates.

    Returns
    -------
    list[tuple[str, float]]
        In the order of the records.
    """
    cells: dict[tuple[str, float], list[bool]] = {}
    for record in runs(study, **CONSTANT):
        cells.setdefault((record.config.data, record.config.lr), []).append(_lost(record))
    return [place for place, lost in cells.items() if sum(lost) >= 0.3 * len(lost)]


def _candidates(places: list[tuple[str, float]]) -> tuple[list[Record], int]:
    """The candidate's records there, and how many are planned."""
    cells = [CANDIDATE | {"data": data, "lr": lr} for data, lr in places]
    made = [record for fields in cells for record in runs(STUDY, **fields)]
    return made, sum(planned(STUDY, **fields) for fields in cells)


def best(data: str, fields: dict[str, object], study: str = STUDY) -> tuple[float, pd.Series]:
    """The rate of the highest mean validation accuracy, and the accuracies there.

    Parameters
    ----------
    data : str
        A data set of the study.
    fields : dict[str, object]
        Of the configurations: one cell a rate.
    study : str
        Its name.

    Returns
    -------
    tuple[float, pd.Series]
        The rate, and the runs' accuracies by seed.
    """
    every = {record.config.lr for record in runs(study, data=data, **fields)}
    found = {lr: validation(runs(study, data=data, lr=lr, **fields)) for lr in sorted(every)}
    return max(found.items(), key=lambda cell: cell[1].mean())


def _dates() -> tuple[str, ...]:
    return tuple(dates(runs(STUDY)))


def none_out_of_view_at_risk() -> Verdict:
    """At no rate at risk is a transformer black, shrunken or a point with the candidate."""
    made, n = _candidates(at_risk())
    kept = [in_a_word(record) not in OUT_OF_VIEW for record in made]
    word = settled(kept, n) if not all(kept) else missing(STUDY) or "held"
    return judged(word, f"{len(kept) - sum(kept)} of {len(kept)} at risk are out of view", _dates())


def looks_from_three_thousandths() -> Verdict:
    """At 0.003 and above at least nine of ten look with the candidate, on either data set."""
    cells = {data: _looking(CANDIDATE, data, least=3e-3) for data in SETS}
    said = "; ".join(f"{data}: {so.k} of {so.n} look" for data, so in cells.items())
    return judged(
        missing(STUDY) or all(so.k >= 0.9 * so.n for so in cells.values()), said, _dates()
    )


def _looking(fields: dict[str, object], data: str, least: float = 0, most: float = 1) -> Share:
    some = [r for r in runs(STUDY, data=data, **fields) if least <= r.config.lr <= most]
    return tally([in_a_word(record) == "looks" for record in some])


def fewer_look_at_a_tenth() -> Verdict:
    """With 0.1 in place of 0.3 fewer look: on digits at 0.003 and below at most two of ten do."""
    tenth = {data: _looking(TENTH, data) for data in SETS}
    third = {data: _looking(CANDIDATE, data) for data in SETS}
    low = _looking(TENTH, "digits", most=3e-3)
    fewer = sum(so.k for so in tenth.values()) < sum(so.k for so in third.values())
    said = f"digits at 0.003 and below: {low.k} of {low.n} look with 0.1"
    return judged(missing(STUDY) or (fewer and low.k <= 0.2 * low.n), said, _dates())


def ahead_of_none() -> Verdict:
    """Each at its best rate, it is ahead of no transformer by at least 0.01 on either data set."""
    return _leads(ALONE, least=0.01)


def better_than_constant() -> Verdict:
    """Its best rate is above the best constant one, and its accuracy there higher, on either."""
    higher = all(best(data, CANDIDATE)[0] > best(data, CONSTANT)[0] for data in SETS)
    return _leads(CONSTANT, least=0, also=higher)


def _leads(other: dict[str, object], least: float, also: bool = True) -> Verdict:
    leads = {}
    for data in SETS:
        (rate, mine), (its, theirs) = best(data, CANDIDATE), best(data, other)
        leads[f"{data} ({rate:g} and {its:g})"] = mine.mean() - theirs.mean()
    said = "; ".join(f"{data}: {lead:+.3f}" for data, lead in leads.items())
    so = also and all(lead > 0 and lead >= least for lead in leads.values())
    return judged(missing(STUDY) or so, said, _dates())


def looks_on_fresh_seeds() -> Finding:
    """Whether the candidate looks at every rate, loses none at risk, and leads at its best."""
    risky, _ = _candidates(at_risk())
    out = tally([in_a_word(record) in OUT_OF_VIEW for record in risky])
    looks = tally([in_a_word(record) == "looks" for record in runs(STUDY, **CANDIDATE)])
    numbers: dict[str, object] = {"looks": looks, "out of view at risk": out}
    leads = []
    for data in SETS:
        for name, other in (("no transformer", ALONE), ("constant", CONSTANT)):
            pairs = best(data, CANDIDATE)[1].align(best(data, other)[1], join="inner")
            lead = paired_difference(*pairs)
            numbers[f"{data}, best rates, minus {name}"] = lead
            leads.append(lead.mean)
    return found(looks.k >= 0.9 * looks.n and not out.k and min(leads) > 0, numbers)


def _shapes(fields: dict[str, object], least: float = 0) -> list[Record]:
    return [record for record in runs(SHAPES, **fields) if record.config.lr >= least]


def _out(record: Record) -> bool:
    return in_a_word(record) in OUT_OF_VIEW


def shapes_at_risk() -> Verdict:
    """On shapes none is out of view with the candidate at rates at which two of five are."""
    lost = pd.Series([r.config.lr for r in _shapes(CONSTANT) if _out(r)]).value_counts()
    risky = [r for r in _shapes(CANDIDATE) if lost.get(r.config.lr, 0) >= 2]
    out = sum(map(_out, risky))
    said = f"{out} of {len(risky)} at risk are out of view"
    return judged(not out, said, dates(runs(SHAPES)))


def shapes_look() -> Verdict:
    """On shapes at 0.001 and above at least four of five look with the candidate."""
    so = pd.DataFrame([(r.config.lr, in_a_word(r) == "looks") for r in _shapes(CANDIDATE, 1e-3)])
    looks = so.groupby(0)[1].sum()
    said = "; ".join(f"{lr:g}: {n} of 5" for lr, n in looks.items())
    return judged(looks.min() >= 4, said, dates(runs(SHAPES)))


def shapes_ahead() -> Verdict:
    """On shapes, each at its best rate, it is ahead of no transformer by at least 0.01."""
    (rate, mine), (its, theirs) = (best("shapes10d", f, SHAPES) for f in (CANDIDATE, ALONE))
    lead = mine.mean() - theirs.mean()
    return judged(lead >= 0.01, f"{lead:+.3f} ({rate:g} and {its:g})", dates(runs(SHAPES)))


def shapes_above_its_rates() -> Finding:
    """Whether the candidate fails on shapes where the network without a transformer fails too."""
    numbers: dict[str, object] = {}
    counts = []
    for name, fields in (("candidate", CANDIDATE), ("no transformer", ALONE)):
        low, high = (
            [r for r in _shapes(fields) if (r.config.lr < 1e-3) is so] for so in (True, False)
        )
        learns = tally([not at_chance(record) for record in high])
        numbers[f"{name} learns at 0.001 and above"] = learns
        counts.append((tally([not at_chance(record) for record in low]), learns))
    looks = tally([in_a_word(r) == "looks" for r in _shapes(CANDIDATE) if r.config.lr < 1e-3])
    numbers["candidate looks at 0.0003"] = looks
    mine, one, alone = (
        validation([r for r in _shapes(f) if r.config.lr == 3e-4])
        for f in (CANDIDATE, CONSTANT, ALONE)
    )
    numbers["at 0.0003, minus no transformer"] = lead = paired_difference(mine, alone)
    numbers["at 0.0003, minus constant"] = paired_difference(mine, one)
    fails = all(high.k <= high.n / 2 and low.k == low.n for low, high in counts)
    return found(fails and lead.low > 0 and looks.k == looks.n, numbers)
