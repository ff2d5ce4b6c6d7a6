"""The claims about remedies: what keeps a transformer, what it costs, and when one pays."""

from __future__ import annotations

import json
from functools import cache

import pandas as pd

from stnlib.book import remedies
from stnlib.book.claims.facts import dates, ends, planned, remedied, runs, table, validation
from stnlib.book.claims.findings import Finding, Verdict, found, judged, settled
from stnlib.book.deaths import spread, wander
from stnlib.book.stats import in_words, paired_difference, summarize, tally
from stnlib.paths import BOOK
from stnlib.records.outcome import in_a_word

__all__ = [
    "calm_features",
    "cost_of_a_slow_localisation_network",
    "costs_where_nothing_dies",
    "factorial",
    "falling_schedules",
    "first_view",
    "lower_rate",
    "more_parameters",
    "no_merit_on_the_probe",
    "no_short_memory_dies",
    "pays_when_far",
    "risk",
    "screening",
    "single_remedies",
    "slow_saves_the_probe",
    "small_reach_saves_the_probe",
    "smaller_output_is_faster",
    "three_together",
    "warm_up_saves_none",
    "warm_ups",
]

DEADLY = 0.01
SIDES = {"cm": 40, "digits": 40, "c10": 32, "shapes10": 32, "c10d": 64}


@cache
def _screened() -> pd.DataFrame:
    """Verdicts on single remedies at the rate at which every transformer is lost."""
    every = remedied("cm-cures", "cm-claims", "cm-map", lr=DEADLY)
    return remedies.verdicts(every[every["transformer"]])


def lower_rate() -> Finding:
    """Lost on Cluttered MNIST at 0.003 and below."""
    low = [r for r in runs("cm-map", model="stn", loc_lr_factor=1.0) if r.config.lr <= 3e-3]
    lost = remedies.table(low)["lost"]
    rates = (
        validation(r for r in low if r.config.lr == 1e-4),
        validation(r for r in low if r.config.lr == 3e-3),
    )
    numbers = {"lost": tally(lost), "validation at 0.0001": summarize(rates[0])}
    numbers["validation at 0.003"] = summarize(rates[1])
    return found(not lost.any(), numbers, "holds, at the price of time")


def cost_of_a_slow_localisation_network() -> Finding:
    """A tenth of the localisation network's rate, where nothing is lost."""
    numbers = {}
    for lr in (1e-4, 3e-4, 1e-3, 3e-3):
        slow, fast = (
            validation(runs("cm-map", model="stn", lr=lr, loc_lr_factor=x)) for x in (0.1, 1.0)
        )
        numbers[f"{lr:g}"] = paired_difference(slow, fast)
    return found(all(numbers[lr].high < 0 for lr in ("0.0001", "0.0003", "0.001")), numbers)


def _lost(*names: str) -> dict[str, object]:
    verdicts = _screened()
    return {verdicts["remedy"][name]: verdicts["lost"][name] for name in names}


def falling_schedules() -> Finding:
    """Schedules that only fall."""
    numbers = _lost("step", "cosine", "plateau")
    all_lost = all(share.k == share.n for share in numbers.values())
    return found(all_lost, numbers, "does not hold alone")


def more_parameters() -> Finding:
    """Localisation networks of four and sixteen times the parameters."""
    numbers = _lost("locnet_x4", "locnet_x16")
    return found(all(share.k == share.n for share in numbers.values()), numbers, "does not hold")


def warm_ups() -> Finding:
    """A warm-up by itself, and with a cosine."""
    every = remedied("cm-cures", lr=DEADLY, model="stn").groupby("id")["outcome"]
    numbers = {"warm-up": in_words(every.get_group("warmup"))}
    both = next(
        name for name in _screened().index if set(name.split(" + ")) == {"warmup", "cosine"}
    )
    numbers["warm-up and cosine"] = in_words(every.get_group(both))
    corrected = _screened()["holm"][both]
    numbers["p (Holm)"] = f"{corrected:.3f}"
    alone = (every.get_group("warmup") == "blind").all()
    return found(alone and corrected < 0.05, numbers)


def screening() -> Finding:
    """What helps of the single remedies, and what is left after Holm's correction."""
    verdicts = _screened()
    helping = verdicts[verdicts["helps"]]
    left = helping[helping["holm"] < 0.05]
    numbers = {"tried": len(verdicts) - 1, "help, each tested alone": len(helping)}
    numbers["help after the correction"] = len(left)
    wanted = {"loc_lr_x0.1", "loc_lr_x0.01", "rollback"}
    return found(wanted < set(left.index) and len(left) == 4, numbers)


def factorial() -> Finding:
    """Effects of warm-up and a slower localisation network on either end, at 0.02."""
    crossed = remedied("cm-factorial", lr=2e-2, model="stn")
    factors = {"warm-up": "warmup", "slower": "loc_lr_x0.1", "cosine": "cosine"}
    crossed = crossed.assign(**{word: remedies.has(crossed, i) for word, i in factors.items()})
    kinds = {"black or shrunken": ["black", "shrunken"], "blind": ["blind"]}
    numbers = {}
    for kind, words in kinds.items():
        effects = remedies.effects(crossed.assign(lost=crossed["outcome"].isin(words)), [*factors])
        numbers |= {f"{word}, {kind}": effects[word] for word in ("warm-up", "slower")}
    black, blind = numbers["warm-up, black or shrunken"], numbers["slower, blind"]
    return found(black.high < 0 and blind.high < 0 < numbers["warm-up, blind"].low, numbers)


def three_together() -> Finding:
    """All three parts, at 0.01 and 0.02, against none of them."""
    made = runs("cm-factorial", model="stn")
    has = [r for r in made if r.config.changed().keys() >= {"warmup", "schedule", "loc_lr_factor"}]
    none = [
        r for r in made if not r.config.changed().keys() & {"warmup", "schedule", "loc_lr_factor"}
    ]
    looks, without = ends(has, "looks"), ends(none, "looks", "idle")
    fast = [r for r in has if r.config.lr == 2e-2]
    base = validation(runs("cm-factorial", model="baseline", warmup=0.1, schedule="cosine"))
    lead = paired_difference(validation(fast), base)
    numbers = {"look, with all three": looks, "not lost, with none": without}
    numbers["validation at 0.02, minus no transformer"] = lead
    return found(looks.low > without.high, numbers)


def calm_features() -> Finding:
    """A warm-up with features that a ReLU cannot switch off."""
    made = remedied("cm-blind").groupby("id")
    names = {i: ("tanh" if "bounded" in i else "normalised") for i in made.groups}
    numbers = {names[i]: in_words(part["outcome"]) for i, part in made}
    blind = tally(remedied("cm-blind")["outcome"] == "blind")
    relu = tally(
        remedied("cm-cures", lr=DEADLY, model="stn").query("id == 'warmup'")["outcome"] == "blind"
    )
    numbers |= {"blind": blind, "blind with a ReLU": relu}
    return found(blind.high < relu.low, numbers)


def risk() -> Finding:
    """The whole recipe, where some are lost without it and where none is."""
    unaided = runs("cm-map", "cm-factorial", "recipe", "c10", "c10d", "c10-probe", "c10d-probe")
    whole = []
    for record in runs(
        "cm-factorial", "recipe", "cm-recipe", "c10-recipe", "c10d-recipe", model="stn"
    ):
        config = record.config
        if config.loc_lr_factor == 0.1 and config.warmup and config.schedule == "cosine":
            without = remedies.lost_without(record, unaided)
            moves = wander(record.last, SIDES[config.data])
            row = {"at risk": without.k > 0, "end": in_a_word(record), "still": moves < 0.5}
            whole.append(row)
    every = pd.DataFrame(whole)
    risky = every[every["at risk"]]
    numbers = {"black or shrunken": tally(risky["end"].isin(["black", "shrunken"]))}
    numbers["blind"] = tally(risky["end"] == "blind")
    numbers["view moves by less than half a pixel, all"] = tally(every["still"])
    return found(numbers["black or shrunken"].k == 0 < numbers["blind"].k, numbers)


def no_merit_on_the_probe() -> Finding:
    """The recipe against the correct sampler alone, on the C10 probe."""
    recipe = validation(runs("recipe", data="c10", schedule="cosine"))
    alone = runs("c10-probe", model="stn", lr=1e-3, sampler="bilinear", padding="zeros")
    gained = paired_difference(recipe, validation(alone)[recipe.index])
    lost = remedies.table(alone)["lost"]
    numbers = {"lost with the correct sampler alone": tally(lost), "recipe minus it": gained}
    return found(not lost.any() and gained.low < 0 < gained.high, numbers)


def costs_where_nothing_dies() -> Finding:
    """The recipe minus the paper's setting at 0.001, on digits."""
    numbers = {}
    for data, word in (("cm", "CM"), ("digits", "embedded digits")):
        recipe = validation(runs("recipe", data=data, schedule="cosine"))
        numbers[word] = paired_difference(
            recipe, validation(runs("recipe", data=data, schedule="constant"))
        )
    return found(all(one.high < 0 for one in numbers.values()), numbers)


CHANGES = {
    "× 0.1": {"loc_lr_factor": 0.1, "scale_init": 0.5},
    "warm-up": {"warmup": 0.05},
    "reach × 0.1": {"hidden_scale": 0.1},
    "short memory": {"loc_beta2": 0.9},
}


def single_remedies() -> Finding:
    """Single changes on the C10D probe, where every unchanged transformer ends black."""
    numbers = {
        name: in_words(pd.Series(map(in_a_word, runs("c10d-cures", **fields))))
        for name, fields in CHANGES.items()
    }
    slow = ends(runs("c10d-cures", **CHANGES["× 0.1"]), "looks")
    return found(slow.k == slow.n and numbers["warm-up"] == "3 black", numbers)


def _none_black(name: str) -> Verdict:
    made = runs("c10d-cures", **CHANGES[name])
    held = [in_a_word(record) != "black" for record in made]
    said = in_words(pd.Series(map(in_a_word, made)))
    return judged(settled(held, planned("c10d-cures", **CHANGES[name])), said, dates(made))


def no_short_memory_dies() -> Verdict:
    """None of three ends black with a short memory of Adam's."""
    return _none_black("short memory")


def slow_saves_the_probe() -> Verdict:
    """None of three ends black at a tenth of the localisation network's rate."""
    return _none_black("× 0.1")


def small_reach_saves_the_probe() -> Verdict:
    """None of three ends black with a tenth of the features' reach."""
    return _none_black("reach × 0.1")


def warm_up_saves_none() -> Verdict:
    """Every one with a warm-up ends black."""
    made = runs("c10d-cures", **CHANGES["warm-up"])
    black = [in_a_word(record) == "black" for record in made]
    return judged(
        settled(black, planned("c10d-cures", warmup=0.05)), f"{sum(black)} black", dates(made)
    )


def first_view() -> Verdict:
    """With a first view of the whole canvas the spread of θ is below 0.01."""
    fields = {"loc_lr_factor": 0.1, "scale_init": 1.0}
    made = runs("c10d-cures", **fields)
    spreads = [spread(record.last) for record in made]
    said = "spread " + ", ".join(f"{one:.3f}" for one in spreads)
    word = settled([one < 0.01 for one in spreads], planned("c10d-cures", **fields))
    return judged(word, said, dates(made))


def pays_when_far() -> Finding:
    """What the transformer wins of what there is to win, by strength."""
    paid = table("scattered")
    numbers, won = {}, {}
    for strength in (0.0, 0.5, 0.75, 1.0):
        some = paid[paid["distortion"] == strength]
        tests = some.pivot(index="seed", columns="model", values="test_accuracy").dropna()
        win, won[strength] = (
            paired_difference(tests[model], tests["baseline"]) for model in ("oracle", "stn")
        )
        numbers[f"{strength:g}"] = won[strength]
        if win.low > 0:
            numbers[f"{strength:g}"] = f"{won[strength]}, {won[strength].mean / win.mean:.0%}"
    turned = paid[(paid["model"] == "stn") & (paid["distortion"] == 1)]["test_undone_rotation"]
    numbers["rotation undone at 1"] = f"{round(turned.mean(), 2) + 0.0:.2f}"
    return found(won[1.0].low > 0.02 and abs(turned.mean()) < 0.1, numbers)


def smaller_output_is_faster() -> Finding:
    """An epoch behind a transformer that hands on 32 by 32 pixels, measured by `make bench`."""
    path = BOOK.parent / "benchmarks" / "ratios.json"
    bars = json.loads(path.read_text(encoding="utf-8"))["bars"]
    (bar,) = [bar for bar in bars if bar["what"].startswith("C10D with an output of 32×32")]
    return found(bar["measured"] >= 2, {"faster by": f"{bar['measured']:.1f}"})
