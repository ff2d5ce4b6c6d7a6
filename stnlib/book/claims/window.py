"""The five predictions of `book/studies/c10d-window.toml`, and a claim."""

from __future__ import annotations

from stnlib.book.claims.facts import dates, ends, planned, runs, validation
from stnlib.book.claims.findings import Finding, Verdict, found, judged, settled
from stnlib.book.stats import paired_difference
from stnlib.records.outcome import in_a_word
from stnlib.records.store import Record

__all__ = [
    "idle_without_a_third_of_the_rate",
    "its_own_warm_up",
    "lead_after_six_epochs",
    "nothing_lost",
    "six_epochs",
    "warm_up_makes_idle",
]

STUDY = "c10d-window"
WARM = 0.05
LENGTHS = (WARM, 0.16666667, 0.33333333)  # of the six epochs


def _cell(**fields: object) -> tuple[list[Record], int]:
    """A cell's recorded transformers, and how many are planned."""
    return runs(STUDY, model="stn", **fields), planned(STUDY, model="stn", **fields)


def _clauses(*clauses: tuple[dict, str]) -> tuple[list[bool], int, list[Record]]:
    """Of cells that are to end so with every seed: who does, how many are planned, the records."""
    so, total, judging = [], 0, []
    for fields, word in clauses:
        made, n = _cell(**fields)
        so += [in_a_word(record) == word for record in made]
        total, judging = total + n, judging + made
    return so, total, judging


def _scheduled(lr: float, factor: float, **fields: object) -> dict:
    usual = {"schedule": "cosine", "warmup": WARM, "warmup_of": "both"}
    return {"lr": lr, "loc_lr_factor": factor} | usual | fields


def idle_without_a_third_of_the_rate() -> Verdict:
    """With warm-up and cosine it looks at 1 and 0.3, is idle at 0.1; at 0.0003 it looks at 1."""
    so, total, made = _clauses(
        (_scheduled(1e-3, 1.0), "looks"),
        (_scheduled(1e-3, 0.3), "looks"),
        (_scheduled(1e-3, 0.1), "idle"),
        (_scheduled(3e-4, 1.0), "looks"),
    )
    slow = [in_a_word(record) for record in _cell(**_scheduled(1e-3, 0.1))[0]]
    said = f"{sum(so)} of {len(so)} recorded runs as foretold; "
    said += f"at factor 0.1: {', '.join(slow) or 'none'}"
    return judged(settled(so, total), said, dates(made))


def warm_up_makes_idle() -> Verdict:
    """Without a warm-up it looks at factor 0.1 with every seed, constant or on a cosine."""
    so, total, made = _clauses(
        (_scheduled(1e-3, 0.1, warmup=0.0), "looks"),
        (_scheduled(1e-3, 0.1, warmup=0.0, schedule="constant"), "looks"),
    )
    warm = ends(_cell(**_scheduled(1e-3, 0.1))[0], "looks")
    said = f"{sum(so)} of {len(so)} look without a warm-up, {warm.k} of {warm.n} with one"
    return judged(settled(so, total), said, dates(made))


def its_own_warm_up() -> Verdict:
    """One of the localisation network alone idles as one of both; of the classifier's it looks.

    The longer the warm-up, the more are idle.
    """
    cells = {
        (whose, length): _cell(**_scheduled(1e-3, 0.1, warmup=length, warmup_of=whose))
        for whose in ("both", "localisation", "classifier")
        for length in LENGTHS
    }
    made = [record for some, _ in cells.values() for record in some]
    idle = {cell: ends(some, "idle", "blind").k for cell, (some, _) in cells.items() if some}
    counts = {
        whose: [idle.get((whose, length), 0) for length in LENGTHS]
        for whose in ("both", "localisation", "classifier")
    }
    word = settled([not sum(counts["classifier"])], 1)
    if word == "held" and len(made) < (total := sum(n for _, n in cells.values())):
        word = f"open: {len(made)} of {total} recorded"
    elif word == "held":
        both = counts["both"]
        word = "held" if both == counts["localisation"] == sorted(both) else "failed"
    said = "; ".join(f"{whose}: {sum(idle)} idle" for whose, idle in counts.items())
    return judged(word, said, dates(made))


def lead_after_six_epochs() -> Verdict:
    """At factor 0.3 the mean paired lead in validation after six epochs is at least 0.02."""
    made, n = _cell(**_scheduled(1e-3, 0.3))
    without = runs(STUDY, model="baseline", lr=1e-3, schedule="cosine", warmup=WARM)
    lead = (validation(made) - validation(without)).dropna()
    said = "leads " + (", ".join(f"{one:+.3f}" for one in lead) or "none yet")
    if len(lead) < n:
        return judged(f"open: {len(lead)} of {n} recorded", said, dates(made))
    return judged(lead.mean() >= 0.02, said, dates(made))


def nothing_lost() -> Verdict:
    """No transformer of the file is black, shrunken or a point."""
    made, n = _cell()
    kept = [in_a_word(record) not in ("black", "shrunken", "point") for record in made]
    return judged(
        settled(kept, n), f"none of {sum(kept)} is" if all(kept) else "some are", dates(made)
    )


def six_epochs() -> Finding:
    """Whether transformers look at factors 1 and 0.3, ahead of no transformer, and not all at 0.1.

    At 0.001 with warm-up and cosine.
    """
    without = validation(runs(STUDY, model="baseline", lr=1e-3, schedule="cosine", warmup=WARM))
    numbers, every, ahead = {}, {}, []
    for factor in (1.0, 0.3, 0.1):
        made, _ = _cell(**_scheduled(1e-3, factor))
        looks, lead = ends(made, "looks"), validation(made) - without
        numbers[f"factor {factor:g}"] = (
            f"{looks.k} of {looks.n} look, {paired_difference(lead, 0 * lead)}"
        )
        every[factor] = looks.k == looks.n
        ahead.append(lead.mean() > 0)
    return found(every[1.0] and every[0.3] and not every[0.1] and all(ahead), numbers)
