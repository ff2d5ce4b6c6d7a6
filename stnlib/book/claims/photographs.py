"""The claims about CIFAR-10, plain and distorted, at the paper's settings and lower rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from stnlib.book import paper
from stnlib.book.claims.facts import dates, ends, planned, runs, test, validation
from stnlib.book.claims.findings import Finding, Verdict, found, judged
from stnlib.book.stats import paired_difference, stratified_p, summarize, tally
from stnlib.records import tables
from stnlib.records.outcome import LIVING, at_chance, in_a_word
from stnlib.records.store import Record

__all__ = [
    "authors_mode",
    "backs_away",
    "c10_clipped",
    "c10_correct",
    "c10_recipe",
    "c10_without",
    "c10d_clipped",
    "c10d_correct",
    "c10d_without",
    "collapses",
    "equal_low_rate",
    "gap_suspects",
    "lower_rate_c10",
    "lower_rate_c10d",
    "number_format",
    "probe",
    "share_of_the_oracle",
    "small_output",
    "to_win",
    "undone_at_a_third",
    "whole_output",
]

PAPERS = ("c10", "c10d", "c10-probe", "c10d-probe", "c10d-rates", "c10d-authors", "recipe")


def _count(some: Iterable[Record]) -> str:
    return ", ".join(
        f"{n} {end}" for end, n in pd.Series(map(in_a_word, some)).value_counts().items()
    )


def _learned_then_black(record: Record) -> bool:
    """Past one half in validation, and at the end black and no better than a guess."""
    course = [row["val_accuracy"] for row in record.history]
    return in_a_word(record) == "black" and course[-1] <= 0.12 and max(course) > 0.5


def _against(name: str, ours: pd.Series) -> bool:
    return abs(ours.mean() - paper.TEST_ACCURACY[name, "baseline"]) <= 0.01


def c10_without() -> Finding:
    """The network without a transformer on C10."""
    ours = test(runs("c10", model="baseline"))
    same = _against("c10", ours)
    return found(same, {"test": summarize(ours)}, same)


def c10_clipped() -> Finding:
    """The paper's transformer on C10."""
    made = runs("c10", sampler="clipped")
    black = [record for record in made if in_a_word(record) == "black"]
    numbers = {"black": ends(made, "black"), "all": _count(made)}
    numbers["test, black ones"] = summarize(test(black))
    return found(len(black) > 0, numbers, all(map(at_chance, black)) and len(black) > 0)


def c10_correct() -> Finding:
    """The same with a correct sampler."""
    made, without = (
        runs("c10", model="stn", sampler="bilinear"),
        runs("c10", model="baseline"),
    )
    blind = ends(made, "blind")
    lead = paired_difference(test(made), test(without))
    return found(blind.k == blind.n, {"blind": blind, "minus no transformer": lead})


def c10d_without() -> Finding:
    """The network without a transformer on C10D, in validation and on test images."""
    made = runs("c10d", model="baseline")
    ours, apart = test(made), (validation(made) - test(made)).abs().max()
    numbers = {"test": summarize(ours), "validation and test differ by": f"{apart:.3f} at most"}
    return found(apart < 0.01, numbers, _against("c10d", ours))


def gap_suspects() -> Finding:
    """What the other ways to measure it would have given."""
    made = runs("c10d", model="baseline")
    turned = [record.result["turned_30_accuracy"] for record in made]
    half = [record.history[9]["val_accuracy"] for record in made]
    small = {len(r.history): r.result["test_accuracy"] for r in runs("c10d-suspects")}
    numbers = {"turned by up to 30°": summarize(turned), "after ten epochs": summarize(half)}
    numbers |= {f"1,000 images, {n} epochs": f"{a:.3f} (n=1)" for n, a in small.items()}
    reported = paper.TEST_ACCURACY["c10d", "baseline"]
    far = all(abs(x - reported) > 0.1 for x in (*turned, *half, *small.values()))
    return found(far, numbers)


def c10d_clipped() -> Finding:
    """The paper's transformer on C10D."""
    made = runs("c10d", sampler="clipped", model="stn")
    like = tally([_learned_then_black(record) for record in made])
    return found(like.k > 0, {"learned, then black": like, "all": _count(made)}, like.k > 0)


def c10d_correct() -> Finding:
    """The same with a correct sampler."""
    made = runs("c10d", model="stn", sampler="bilinear")
    blind = ends(made, "blind")
    lead = paired_difference(test(made), test(runs("c10d", model="baseline")))
    return found(blind.k == blind.n, {"blind": blind, "minus no transformer": lead})


def collapses() -> Finding:
    """How many at the paper's rate learned and then went black, by sampler."""
    made = runs(*PAPERS, model="stn", lr=1e-3, schedule="constant", padding="zeros")
    made = [record for record in made if record.config.data in ("c10", "c10d")]
    shares = {}
    for name, word in {"clipped": "clipped sampler", "bilinear": "correct sampler"}.items():
        some = [record for record in made if record.config.sampler == name]
        shares[word] = tally([_learned_then_black(record) for record in some])
    return found(shares["clipped sampler"].k > 0, shares)


def probe() -> Finding:
    """What the C10D probe's transformers end as."""
    made = runs("c10d-probe", lr=1e-3)
    clipped, correct = ([r for r in made if r.config.sampler == s] for s in ("clipped", "bilinear"))
    numbers = {"clipped sampler": _count(clipped), "correct sampler": _count(correct)}
    numbers["learned, then black"] = tally([_learned_then_black(record) for record in made])
    lost = [in_a_word(record) not in LIVING for record in made]
    black = ends(clipped, "black").k == len(clipped)
    return found(all(lost) and black, numbers, "does not hold alone")


def backs_away() -> Finding:
    """Coverage after 90 steps on C10, by sampler."""
    history = tables.histories(runs("c10-zoom"))
    seen = history[history["epoch"] == 2].groupby("sampler")["coverage"]
    numbers = {"clipped": summarize(seen.get_group("clipped"))}
    numbers["correct"] = summarize(seen.get_group("bilinear"))
    return found(numbers["clipped"].mean < 0.5 < numbers["correct"].mean, numbers)


def _lost(some: Iterable[Record]) -> list[bool]:
    return [in_a_word(record) not in LIVING for record in some]


def lower_rate_c10d() -> Finding:
    """Lost transformers at a third and a tenth of the paper's rate, and at it."""
    made = runs("c10d", "c10d-rates", data="c10d", model="stn")
    low = tally(_lost(r for r in made if r.config.lr < 1e-3))
    high = tally(_lost(r for r in made if r.config.lr == 1e-3))
    p = stratified_p([(low.k, low.n, high.k, high.n)])
    numbers = {"lost at 0.0001 and 0.0003": low, "at 0.001": high, "p": f"{p:.3f}"}
    return found(p < 0.05 and low.k == 0, numbers, "holds on C10D (n = 1 a cell)")


def _shift(row: dict) -> float:
    return (row["undone_tx"] + row["undone_ty"]) / 2


def undone_at_a_third() -> Finding:
    """What of the distortion is undone at lower rates."""
    made = [r for r in runs("c10d-rates", data="c10d", model="stn") if r.config.lr < 1e-3]
    shift, turn = (
        [_shift(record.last) for record in made],
        [record.last["undone_rotation"] for record in made],
    )
    tests = {f"{r.config.lr:g}, {r.config.sampler}": r.result["test_accuracy"] for r in made}
    numbers = {"shift undone": f"{min(shift):.2f} to {max(shift):.2f} (n={len(made)})"}
    numbers["rotation undone"] = f"{min(turn):.2f} to {max(turn):.2f} (n={len(made)})"
    best = max(tests, key=tests.__getitem__)
    numbers[f"best test, {best}"] = f"{tests[best]:.3f} (n=1)"
    return found(min(shift) > 0.9 and min(turn) > 0.5, numbers)


def equal_low_rate() -> Finding:
    """With a transformer and without at a tenth of the paper's rate."""
    made = runs("c10d-rates", data="c10d", lr=1e-4)
    own = {r.config.sampler if r.config.has_transformer else "none": r for r in made}
    tests = {name: record.result["test_accuracy"] for name, record in own.items()}
    numbers = {
        word: f"{tests[name] - tests['none']:+.3f} (n=1)"
        for name, word in (("bilinear", "correct sampler"), ("clipped", "clipped sampler"))
    }
    return found(min(tests["bilinear"], tests["clipped"]) > tests["none"] + 0.05, numbers)


def lower_rate_c10() -> Finding:
    """The clipped sampler on C10 at a tenth of the paper's rate."""
    made = {r.config.sampler: in_a_word(r) for r in runs("c10d-rates", data="c10", model="stn")}
    numbers = {"clipped": f"{made['clipped']} (n=1)", "correct": f"{made['bilinear']} (n=1)"}
    return found(made["clipped"] == "shrunken", numbers, "does not hold on C10 (n = 1)")


def to_win() -> Finding:
    """What a transformer that undoes everything would have won at the paper's settings."""
    base = test(runs("c10d", model="baseline"))
    oracle, crop = (test(runs("c10d-bounds", model=model)) for model in ("oracle", "crop"))
    numbers = {"oracle": paired_difference(oracle, base), "crop": paired_difference(crop, base)}
    return found(numbers["oracle"].low < 0 < numbers["oracle"].high, numbers)


def number_format() -> Finding:
    """Black transformers on C10 by the number format of their training."""
    made = runs("c10", sampler="clipped", model="stn")
    black = [record for record in made if in_a_word(record) == "black"]
    formats = sorted(record.provenance["precision"] for record in black)
    return found("float32" in formats, {"black in": ", ".join(formats)}, "refuted for bfloat16")


def authors_mode() -> Finding:
    """In float32, with Keras's Adam and batches in one order."""
    made = {data: runs("c10d-authors", data=data) for data in ("c10", "c10d")}
    numbers: dict[str, object] = {"C10, black": ends(made["c10"], "black")}
    numbers |= {"C10": _count(made["c10"]), "C10D": _count(made["c10d"])}
    return found(ends(made["c10"], "black").k > 0, numbers)


def _recipe(model: str, size: int | None = None) -> list[Record]:
    return runs("c10d-recipe", model=model, output_size=size)


def _pairs(ours: Sequence[Record], others: Sequence[Record]) -> dict[str, object]:
    """Differences in pairs of one seed, in validation and on test images."""
    own, base = validation(ours), validation(others)
    tested, base_tested = test(ours), test(others)
    return {
        "validation": paired_difference(own, base[own.index]),
        "test": paired_difference(tested, base_tested[tested.index]),
    }


def small_output() -> Finding:
    """The recipe with an output of 32 by 32 pixels, against no transformer on all pixels."""
    made = _recipe("stn", 32)
    against = _pairs(made, _recipe("baseline"))
    numbers = {"looks": ends(made, "looks"), "test": summarize(test(made))}
    numbers |= {f"minus no transformer, {name}": one for name, one in against.items()}
    return found(ends(made, "looks").k == len(made), numbers)


def _share() -> dict[str, pd.Series]:
    """Of what lies between crop and oracle, the transformer's share."""
    shares = {}
    for name, measure in {"validation": validation, "test": test}.items():
        ours, low, high = map(measure, (_recipe("stn", 32), _recipe("crop"), _recipe("oracle", 32)))
        shares[name] = (ours - low) / (high - low)
    return shares


def share_of_the_oracle() -> Verdict:
    """The transformer has more than half of what lies between the crop and the oracle."""
    shares = _share()
    said = "; ".join(f"{name} {summarize(share)}" for name, share in shares.items())
    more = all(share.mean() > 0.5 for share in shares.values())
    return judged(more, f"its share: {said}", dates(_recipe("oracle", 32)))


def whole_output() -> Finding:
    """The recipe with all pixels."""
    made = _recipe("stn")
    against = _pairs(made, _recipe("baseline"))["test"]
    after_one = max(abs(_shift(record.history[0])) for record in made)
    numbers = {"blind": ends(made, "blind"), "shift undone after an epoch": f"{after_one:.2f}"}
    blind = ends(made, "blind").k == planned("c10d-recipe", model="stn", output_size=None)
    return found(blind, numbers | {"test, minus no transformer": against})


def c10_recipe() -> Finding:
    """The recipe where there is nothing to undo."""
    made, without = runs("c10-recipe", model="stn"), runs("c10-recipe", model="baseline")
    lead = paired_difference(test(made), test(without))
    return found(lead.low < 0 < lead.high, {"difference": lead, "ends": _count(made)})
