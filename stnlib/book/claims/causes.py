"""The claims about why transformers are lost."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from stnlib.book.autopsy import branches
from stnlib.book.autopsy.contrasts import calmed, contrasts, within_deaths
from stnlib.book.claims.facts import frame, observed, remedied, runs, traced, watched
from stnlib.book.claims.findings import Finding, found
from stnlib.book.stats import holm, share_difference, stratified_p, summarize, tally
from stnlib.records.outcome import LIVING, in_a_word

__all__ = [
    "beside_a_slow_classifier",
    "black_is_absorbing",
    "branches_of",
    "bright_ground",
    "calm_branches",
    "dead_features",
    "edge",
    "edge_claims",
    "fast_steps_kill",
    "frames",
    "hidden_reach",
    "hidden_reach_c10d",
    "late_branches_c10",
    "late_calm_branches",
    "paddings",
    "senseless_gradients",
    "short_memory",
    "shrinks_at_any_rate",
    "slower_saves_digits",
]

# Of the map: all but its highest rate, at which classifiers fail by themselves.
LEARNING = 0.03


def _probe(**fields: object) -> pd.DataFrame:
    """The C10 probe's transformers, a row a run."""
    table = traced("c10-probe")
    for name, value in fields.items():
        table = table[table[name] == value]
    return table


def frames() -> Finding:
    """Coverage on photographs, with a black frame and without, by sampler."""
    plain = _probe(padding="zeros", lr=1e-3)
    table = pd.concat([plain, traced("c10-frames")])
    mean = table.groupby(["alter", "sampler"])["coverage"].agg(summarize)
    words = {"none": "no frame", "frame1": "one pixel", "frame2": "two pixels"}
    samplers = {"clipped": "clipped", "bilinear": "correct"}
    numbers = {
        f"{word}, {name}": f"{mean[alter, sampler].mean:.2f} (n={mean[alter, sampler].n})"
        for alter, word in words.items()
        for sampler, name in samplers.items()
    }
    held = [mean[alter, "clipped"].mean > 0.5 for alter in ("frame1", "frame2")]
    return found(mean["none", "clipped"].mean < 0.5 and all(held), numbers)


def shrinks_at_any_rate() -> Finding:
    """Views of the clipped sampler below one half at a third of the paper's rate."""
    low = tally(_probe(sampler="clipped", lr=3e-4)["coverage"] < 0.5)
    correct = tally(_probe(sampler="bilinear", padding="zeros", lr=3e-4)["coverage"] < 0.5)
    return found(low.low > correct.high, {"clipped": low, "correct": correct})


def paddings() -> Finding:
    """Coverage with other paddings, less than with zeros, at the paper's rate."""
    papers = _probe(sampler="bilinear", lr=1e-3).pivot(
        index="seed", columns="padding", values="coverage"
    )
    less = {name: tally(papers[name] < papers["zeros"]) for name in ("border", "reflection")}
    return found(all(share.low > 0.5 for share in less.values()), less)


def fast_steps_kill() -> Finding:
    """Lost at three times the paper's rate, by what stands outside of the image."""
    fast = _probe(lr=3e-3)
    views = fast["padding"].where(fast["padding"] != "zeros", fast["sampler"])
    lost = {name: tally(part < 0.5) for name, part in fast["coverage"].groupby(views)}
    alone = [r.last["val_accuracy"] > 0.3 for r in runs("c10-probe", model="baseline")]
    numbers = {
        "zeros, clipped": lost["clipped"],
        "zeros, correct": lost["bilinear"],
        "border": lost["border"],
        "learns without a transformer": tally(alone),
    }
    return found(
        all(lost[name].k == lost[name].n for name in ("clipped", "bilinear", "border")), numbers
    )


def bright_ground() -> Finding:
    """Deaths at 0.006, by ground and sampler."""
    table = traced("cm-inverted")
    table = table[table["lr"] == 6e-3]
    died = table["death"].notna().groupby([table["alter"], table["sampler"]]).agg(tally)
    grounds = {"inverted": "bright", "none": "black"}
    numbers = {
        f"{word}, {name}": died[alter, sampler]
        for alter, word in grounds.items()
        for sampler, name in (("clipped", "clipped"), ("bilinear", "correct"))
    }
    same = all(died[alter, "clipped"].k == died[alter, "bilinear"].k for alter in grounds)
    return found(same and died["inverted", "bilinear"].low > died["none", "bilinear"].high, numbers)


@cache
def branches_of(study: str) -> pd.DataFrame:
    """An autopsy's branches.

    Parameters
    ----------
    study : str
        Its name.

    Returns
    -------
    pd.DataFrame
        Of `stnlib.book.autopsy.branches.table`, of the trainings that died.
    """
    return branches.table(one for one in observed(study) if one["rows"][0]["died"])


def _deaths(study: str) -> int:
    return branches_of(study)["point"].nunique()


def slower_saves_digits() -> Finding:
    """The changes that save branches on Cluttered MNIST."""
    table = contrasts(branches_of("forks-cm"))
    saving = table[(table["holm"] < 0.05) & (table["difference"] < 0)]
    words = {
        "loc_lr_x0": "frozen",
        "loc_lr_x0.1": "rate × 0.1",
        "phi_normalised": "φ normalised",
        "last_layer_only": "last layer only",
        "classifier_lr_x0.1": "slower classifier",
    }
    died = {word: f"{table['died'][i].k} of {table['died'][i].n}" for i, word in words.items()}
    base = tally(branches_of("forks-cm").query("id == 'none'")["died"])
    return found(set(saving.index) == set(words), {"lost unchanged": base} | died)


def senseless_gradients() -> Finding:
    """Branches with shuffled labels or random signs, on Cluttered MNIST and the C10D probe."""
    numbers, small = {}, []
    for study, word in (("forks-cm", "CM"), ("late-c10d", "C10D probe")):
        table = contrasts(branches_of(study))
        for change, name in (("labels_shuffled", "labels"), ("random_signs", "signs")):
            row = table.loc[change]
            numbers[f"{word}, {name}"] = f"{row['died'].k} of {row['died'].n}"
            if word != "CM":
                numbers[f"{word}, {name}, p (Holm)"] = f"{row['holm']:.3f}"
                small.append(row["holm"] < 0.05)
    return found(all(small), numbers)


def _calm(*studies: str) -> tuple[dict[str, object], dict[str, float]]:
    numbers, p = {}, {}
    for study, word in zip(studies, ("C10", "C10D probe"), strict=True):
        calm, base = calmed(branches_of(study))
        p[word] = within_deaths(calm, base)
        shares = [tally(part["died"]) for part in (calm, base)]
        numbers[f"{word}, calmed"], numbers[f"{word}, unchanged"] = shares
        numbers[f"{word}, difference"] = share_difference(*shares)
    for (word, _), corrected in zip(p.items(), holm(list(p.values())), strict=True):
        numbers[f"{word}, p (Holm)"] = f"{corrected:.3f}"
        p[word] = corrected
    return numbers, p


def calm_branches() -> Finding:
    """Branches whose steps of θ are kept from growing, grouped after they were seen."""
    numbers, p = _calm("forks-c10", "forks-c10d")
    return found(p["C10D probe"] < 0.05 <= p["C10"], numbers)


def late_calm_branches() -> Finding:
    """The same group on fresh deaths, from nearer by."""
    numbers, p = _calm("late-c10", "late-c10d")
    return found(p["C10D probe"] < 0.05 <= p["C10"], numbers)


def late_branches_c10() -> Finding:
    """Single changes on C10, twenty steps before a death."""
    table = contrasts(branches_of("late-c10"))
    four = table.loc[["loc_lr_x0", "loc_lr_x0.1", "last_layer_only", "loc_sgd"]]
    kills = table[(table["holm"] < 0.05) & (table["difference"] > 0)]
    numbers = {"lost, each of four": f"{four['died'].iloc[0].k} of {four['died'].iloc[0].n}"}
    numbers["p of each"] = f"{four['p'].max():.3f}"
    numbers["p of each (Holm)"] = f"{four['holm'].min():.2f}"
    numbers["lost by one (Holm)"] = f"{', '.join(kills.index)}, {kills['holm'].min():.3f}"
    numbers["losses"] = _deaths("late-c10")
    none = all(share.k == 0 for share in four["died"])
    return found(none and four["holm"].min() >= 0.05, numbers)


@cache
def _map() -> pd.DataFrame:
    """The map's transformers below `LEARNING`, with the localisation network's rate."""
    table = traced("cm-map")
    table = table[table["lr"] < LEARNING]
    return table.assign(rate=(table["lr"] * table["loc_lr_factor"]).round(6))


def _died(rate: float, lr: float) -> pd.Series:
    table = _map()
    such = np.isclose(table["rate"], rate) & np.isclose(table["lr"], lr)
    return table[such]["death"].notna()


def edge() -> Finding:
    """Deaths by the rate of everything."""
    numbers = {f"{lr:g}": tally(_died(lr, lr)) for lr in (3e-3, 6e-3, 8e-3, 1e-2)}
    return found(numbers["0.006"].high < numbers["0.01"].low, numbers)


def beside_a_slow_classifier() -> Finding:
    """Deaths at one rate of the localisation network, by the classifier's."""
    shares = {lr: tally(_died(0.01, lr)) for lr in (1e-2, 1e-3, 1e-4)}
    numbers = {f"classifier at {lr:g}": share for lr, share in shares.items()}
    difference = share_difference(shares[1e-2], shares[1e-3])
    numbers["0.01 minus 0.001"] = difference
    return found(difference.low > 0 and shares[1e-4].low > shares[1e-3].high, numbers)


def edge_claims() -> Finding:
    """Single changes at the map's edge, 0.006, against the unchanged."""
    edge_runs = remedied("cm-claims", "cm-map", lr=6e-3, model="stn", loc_lr_factor=1.0)
    lost = edge_runs.groupby("id")["lost"].agg(tally)
    base = lost.pop("none")
    p = {i: stratified_p([(s.k, s.n, base.k, base.n)]) for i, s in lost.items()}
    corrected = dict(zip(p, holm(list(p.values())), strict=True))
    words = {
        "init_glorot": "no identity",
        "batch_32": "batches of 32",
        "standard": "normalised images",
    }
    numbers = {"unchanged": base} | {word: lost[i] for i, word in words.items()}
    numbers["p of each"] = f"{max(p[i] for i in words):.3f}"
    numbers["p of each (Holm)"] = f"{max(corrected[i] for i in words):.2f}"
    every = all(lost[i].k == lost[i].n for i in words)
    others = all(share.k <= share.n / 2 for i, share in lost.items() if i not in words)
    return found(every and others, numbers)


def hidden_reach() -> Finding:
    """Lost transformers on Cluttered MNIST, by the reach of their features."""
    table = pd.concat([traced("cm-hidden"), _map().query("loc_lr_factor == 1")])
    numbers = {}
    for lr, scale in ((1e-3, 1.0), (1e-3, 10.0), (1e-3, 100.0), (1e-2, 1.0), (1e-2, 0.1)):
        some = table[(table["lr"] == lr) & (table["hidden_scale"] == scale)]
        numbers[f"{lr:g}, reach × {scale:g}"] = tally(~some["outcome"].isin(LIVING))
    harmless = all(numbers[f"0.001, reach × {scale}"].k == 0 for scale in (10, 100))
    saved = numbers["0.01, reach × 0.1"]
    return found(harmless and saved.k > saved.n / 2, numbers)


def _cured(**fields: object) -> list[bool]:
    """Black ones among the C10D probe's single changes, at the paper's rate."""
    return [in_a_word(record) == "black" for record in runs("c10d-cures", **fields)]


def _unchanged() -> list[bool]:
    return [in_a_word(r) == "black" for r in runs("c10d-probe", lr=1e-3, sampler="clipped")]


def hidden_reach_c10d() -> Finding:
    """Black transformers of the C10D probe with a tenth of the features' reach."""
    held, base = tally(_cured(hidden_scale=0.1)), tally(_unchanged())
    p = stratified_p([(held.k, held.n, base.k, base.n)])
    return found(held.k == 0, {"black": held, "unchanged": base, "p": f"{p:.2f}"})


def short_memory() -> Finding:
    """Black transformers of the C10D probe with a short memory of Adam's."""
    black = tally(_cured(loc_beta2=0.9))
    return found(black.k > 0, {"black": black, "unchanged": tally(_unchanged())})


def _zero(study: str) -> pd.DataFrame:
    """Of each traced run: whether φ was zero for three steps, how often it came back, its end."""
    rows = []
    for record, _ in watched(study):
        off = frame(record.key, study)["phi"].rolling(3).max() == 0
        back = int((off.shift(fill_value=False) & ~off).sum())
        rows.append({"end": in_a_word(record), "zero": off.any(), "back": back})
    return pd.DataFrame(rows)


def dead_features() -> Finding:
    """Runs whose features were zero, and whether they came back."""
    digits = pd.concat([_zero("cm-map"), _zero("cm-claims")])
    probe = _zero("c10d-probe")
    zero = digits[digits["zero"]]
    living = tally(zero["end"].isin(LIVING))
    numbers = {"CM, recovered": living}
    came = probe[probe["back"] > 0]
    numbers["C10D probe, runs in which they came back"] = f"{len(came)} of {len(probe)}"
    numbers["C10D probe, how often"] = ", ".join(map(str, sorted(came["back"])))
    return found(living.k == 0 and len(came) > 0, numbers)


def black_is_absorbing() -> Finding:
    """Of all trainings that were black after an epoch, how many were not at the end."""
    made = [r for name in ("c10", "c10d", "cm-map", "cm-cures") for r in runs(name, model="stn")]
    made = [r for r in made if r.config.recovery == "none"]
    black = [r for r in made if any(row["black"] >= 0.999 for row in r.history[:-1])]
    seen = tally([r.last["black"] < 0.5 for r in black])
    return found(seen.k == 0, {"seeing again at the end": seen})
