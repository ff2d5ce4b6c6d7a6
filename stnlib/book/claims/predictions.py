"""The predictions about borders, rates, features and branches, judged by the records."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from stnlib.book.autopsy.contrasts import contrasts
from stnlib.book.claims.causes import branches_of
from stnlib.book.claims.facts import dates, observed, runs, traced
from stnlib.book.claims.findings import Verdict, judged
from stnlib.book.remedies import named
from stnlib.book.stats import Share, tally
from stnlib.records.outcome import LIVING

__all__ = [
    "both_alike_behind_a_frame",
    "bright_ground_tells_samplers",
    "classifier_learns_alone",
    "clipped_shrinks_at_a_third",
    "late_changes_save_c10",
    "late_changes_save_c10d",
    "late_sampler_saves_c10",
    "late_sampler_spares_none_c10d",
    "late_unchanged_die",
    "less_than_half_lost_at_a_tenth_of_the_reach",
    "lets_go_on_photographs",
    "more_than_half_lost_at_a_hundred_times_the_reach",
    "more_than_half_lost_at_ten_times_the_reach",
    "most_black_at_three_times",
    "one_curve",
    "one_pixel_is_enough",
    "paddings_hold_less",
    "sigma_tells_claims",
]

EDGE = 0.038  # σ at the first step at which half of the map's transformers die


def _where(table: pd.DataFrame, **fields: object) -> pd.DataFrame:
    for name, value in fields.items():
        table = table[table[name] == value]
    return table


def lets_go_on_photographs() -> Verdict:
    """On photographs the clipped sampler lets go of the image, and the correct one holds it."""
    plain = _where(traced("c10-probe"), lr=1e-3, padding="zeros")
    seen = plain.groupby("sampler")["coverage"].mean()
    said = f"coverage {seen['clipped']:.2f} and {seen['bilinear']:.2f}"
    return judged(seen["clipped"] < 0.5 < seen["bilinear"], said, plain["date"])


def both_alike_behind_a_frame() -> Verdict:
    """Behind a black frame the correct sampler behaves like the clipped one, and lets go."""
    framed = _where(traced("c10-frames"), alter="frame2")
    seen = framed.groupby("sampler")["coverage"].mean()
    said = f"coverage {seen['bilinear']:.2f}, clipped {seen['clipped']:.2f}"
    return judged(seen["bilinear"] < 0.5, said, framed["date"])


def one_pixel_is_enough() -> Verdict:
    """With either sampler the coverage ends above one half in most of the runs."""
    framed = _where(traced("c10-frames"), alter="frame1")
    held = (framed["coverage"] > 0.5).groupby(framed["sampler"]).agg(tally)
    most = all(share.k > share.n / 2 for share in held)
    said = f"clipped {held['clipped']}, correct {held['bilinear']}"
    return judged(most, said, framed["date"])


def _most(share: Share) -> bool:
    return share.k > share.n / 2


def clipped_shrinks_at_a_third() -> Verdict:
    """At a third of 0.001 most views of the clipped sampler end with a coverage below one half."""
    some = _where(traced("c10-probe"), sampler="clipped", lr=3e-4)
    small = tally(some["coverage"] < 0.5)
    return judged(_most(small), str(small), some["date"])


def most_black_at_three_times() -> Verdict:
    """At three times 0.001 most of them are black."""
    some = _where(traced("c10-probe"), sampler="clipped", lr=3e-3)
    black = tally(some["outcome"] == "black")
    return judged(_most(black), str(black), some["date"])


def paddings_hold_less() -> Verdict:
    """Border and reflection padding end with less coverage than zeros with the same seed."""
    some = _where(traced("c10-probe"), sampler="bilinear", lr=1e-3)
    seen = some.pivot(index="seed", columns="padding", values="coverage")
    less = {name: seen[name] < seen["zeros"] for name in ("border", "reflection")}
    said = ", ".join(f"{name} {one.sum()} of {len(one)}" for name, one in less.items())
    made = some[some["padding"] != "zeros"]
    return judged(all(one.all() for one in less.values()), said, made["date"])


def classifier_learns_alone() -> Verdict:
    """At three times 0.001 it is the transformer that is lost, and not the classifier."""
    made = runs("c10-probe", model="baseline", lr=3e-3)
    learns = tally([record.last["val_accuracy"] > 0.3 for record in made])
    return judged(_most(learns), f"{learns} learn without a transformer", dates(made))


def bright_ground_tells_samplers() -> Verdict:
    """On a bright ground the samplers differ."""
    table = _where(traced("cm-inverted"), alter="inverted")
    died = table["death"].notna().groupby([table["lr"], table["sampler"]]).sum()
    pairs = [(died[lr, "clipped"], died[lr, "bilinear"]) for lr in sorted(set(table["lr"]))]
    said = "; ".join(f"{a} and {b} of 5 die" for a, b in pairs)
    return judged(any(a != b for a, b in pairs), said, table["date"])


def one_curve() -> Verdict:
    """The map is one curve over σ: cells of one σ lose alike."""
    table = traced("cm-map")
    table = table[table["lr"] < 0.03]
    rate = (table["lr"] * table["loc_lr_factor"]).round(6)
    died = table["death"].notna().groupby([rate, table["lr"]]).mean()
    apart = died.groupby(level=0).agg(np.ptp)
    worst = apart.idxmax()
    said = f"at {worst:g} of the localisation network shares of {died[worst].min():g} to "
    return judged(apart.max() <= 0.4, f"{said}{died[worst].max():g} die", table["date"])


def sigma_tells_claims() -> Verdict:
    """At 0.006 a change loses more than half of its runs exactly if it sets σ above 0.038."""
    table = _where(traced("cm-claims"), lr=6e-3)
    ids = {record.key: named(record.config).id for record in runs("cm-claims", lr=6e-3)}
    cells = table.groupby(table["key"].map(ids))[["reach", "lost"]].mean()
    right = (cells["reach"] > EDGE) == (cells["lost"] > 0.5)
    said = f"right about {right.sum()} of {len(right)} changes"
    return judged(bool(right.all()), said, table["date"])


def _reach(lr: float, scale: float, holds: Callable[[float], bool]) -> Verdict:
    some = _where(traced("cm-hidden"), lr=lr, hidden_scale=scale)
    lost = tally(~some["outcome"].isin(LIVING))
    return judged(holds(lost.k / lost.n), f"lost {lost}", some["date"])


def less_than_half_lost_at_a_tenth_of_the_reach() -> Verdict:
    """At 0.01, with h a tenth of itself, less than half are lost."""
    return _reach(1e-2, 0.1, lambda share: share < 0.5)


def more_than_half_lost_at_ten_times_the_reach() -> Verdict:
    """At 0.001, with h ten times itself, more than half are lost."""
    return _reach(1e-3, 10.0, lambda share: share > 0.5)


def more_than_half_lost_at_a_hundred_times_the_reach() -> Verdict:
    """At 0.001, with h a hundred times itself, more than half are lost."""
    return _reach(1e-3, 100.0, lambda share: share > 0.5)


def _begun(*studies: str) -> list[str]:
    return [one["provenance"]["date"] for study in studies for one in observed(study)]


def late_unchanged_die() -> Verdict:
    """From twenty steps before a death more than half of the unchanged branches die."""
    shares = {}
    for study, word in (("late-c10", "C10"), ("late-c10d", "C10D probe")):
        table = branches_of(study)
        shares[word] = tally(table[table["id"] == "none"]["died"])
    said = ", ".join(f"{word} {share}" for word, share in shares.items())
    return judged(all(map(_most, shares.values())), said, _begun("late-c10", "late-c10d"))


FOUR = ("loc_lr_x0", "loc_lr_x0.1", "last_layer_only", "phi_normalised")


def _each_saves(study: str, *changes: str) -> Verdict:
    """Whether each saves by itself, with an interval that excludes no effect."""
    table = contrasts(branches_of(study)).loc[[*changes]]
    saves = table["high"] < 0
    said = (
        f"{saves.sum()} of {len(saves)} by the interval, {(table['holm'] < 0.05).sum()} after Holm"
    )
    return judged(bool(saves.all()), said, _begun(study))


def late_changes_save_c10() -> Verdict:
    """On C10 each of the four that keep θ's steps small saves by itself."""
    return _each_saves("late-c10", *FOUR)


def late_changes_save_c10d() -> Verdict:
    """On the C10D probe each of the four saves by itself."""
    return _each_saves("late-c10d", *FOUR)


def late_sampler_saves_c10() -> Verdict:
    """So does the correct sampler on C10."""
    return _each_saves("late-c10", "sampler_bilinear")


def late_sampler_spares_none_c10d() -> Verdict:
    """The correct sampler does not save on the C10D probe."""
    row = contrasts(branches_of("late-c10d")).loc["sampler_bilinear"]
    said = f"{row['died'].k} of {row['died'].n} die; the interval reaches {row['high']:+.2f}"
    return judged(row["high"] >= 0, said, _begun("late-c10d"))
