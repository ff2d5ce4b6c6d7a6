"""What the page on remedies compares: one training watched, and recorded ones in groups."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stnlib.book import remedies
from stnlib.data.sets import DataSet
from stnlib.diagnostics import Trace
from stnlib.records.outcome import in_a_word, lost, outcome
from stnlib.records.store import Record, of_study
from stnlib.training import fit
from stnlib.training.config import RunConfig
from stnlib.training.loop import make_model

__all__ = [
    "FACTORS",
    "by_rate",
    "elsewhere",
    "factorial",
    "notes",
    "rules",
    "screened",
    "watch",
    "with_recipe",
]

#: the parts of the recipe, by the name of a switch: their ids in `stnlib.book.remedies`
FACTORS = {"warm-up": "warmup", "cosine": "cosine", "localisation × 0.1": "loc_lr_x0.1"}

_DATA = {"cm": "CM", "digits": "digits", "c10": "C10", "shapes10": "shapes", "c10d": "C10D"}
_RATES = ("one rate for both networks", "localisation network × 0.1", "the three changes")


def watch(config: RunConfig, data: DataSet) -> pd.DataFrame:
    """Train a network now and note each step.

    Parameters
    ----------
    config : RunConfig
        Of an STN.
    data : DataSet
        As the network sees them.

    Returns
    -------
    pd.DataFrame
        Of `stnlib.diagnostics.Trace.to_frame`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.npz"
        fit.fit(make_model(config, data), data, config, progress=False, trace=path)
        return Trace.load(path).to_frame()


def screened(lr: float) -> pd.DataFrame:
    """The recorded trainings on Cluttered MNIST with one thing changed each.

    Parameters
    ----------
    lr : float
        Their learning rate.

    Returns
    -------
    pd.DataFrame
        Of `stnlib.book.remedies.table`, with `row`, the remedy's label.
    """
    runs = remedies.table(of_study("cm-cures") + of_study("cm-claims") + of_study("cm-map"))
    return runs[runs["lr"] == lr].assign(row=lambda t: t["remedy"])


def notes(verdicts: pd.DataFrame) -> dict[str, str]:
    """What stands beside each remedy: how many look, and how accurate those are that are not lost.

    Parameters
    ----------
    verdicts : pd.DataFrame
        Of `stnlib.book.remedies.verdicts`.

    Returns
    -------
    dict[str, str]
        By label.
    """
    found = {}
    for verdict in verdicts.itertuples():
        accurate = "" if pd.isna(verdict.accuracy) else f", {verdict.accuracy:.3f}"
        found[verdict.remedy] = f"{verdict.looks.k} of {verdict.looks.n}{accurate}"
    return found


def factorial() -> pd.DataFrame:
    """The recorded trainings with every combination of the recipe's parts.

    Returns
    -------
    pd.DataFrame
        Of `stnlib.book.remedies.table`, with a bool column for each of `FACTORS` and `rate`, the
        learning rate.
    """
    runs = remedies.table(of_study("cm-factorial"))
    parts = {name: remedies.has(runs, part) for name, part in FACTORS.items()}
    return runs.assign(rate=runs["lr"], **parts)


def by_rate() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trainings on Cluttered MNIST at one rate, with a slower localisation network, and with both
    that and a schedule.

    Returns
    -------
    tuple[pd.DataFrame, pd.DataFrame]
        Of `stnlib.book.remedies.table`, with `panel`: those with a transformer, and those without.
    """
    mapped, crossed = remedies.table(of_study("cm-map")), factorial()
    with_all = crossed[crossed[list(FACTORS)].all(axis=1)]
    slow = remedies.table(of_study("recipe")).query("data == 'cm'")
    slow = slow[remedies.has(slow, "loc_lr_x0.1")]
    on_schedule = crossed[crossed["id"] == "warmup + cosine"]
    cured = remedies.table(of_study("cm-cures"))
    on_schedule = pd.concat([on_schedule, cured[cured["id"] == "warmup + cosine"]])
    one, tenth, three = _RATES
    runs = [mapped[mapped["id"] == "none"].assign(panel=one)]
    runs += [mapped[mapped["id"] == "loc_lr_x0.1"].assign(panel=tenth)]
    runs += [pd.concat([with_all, slow]).assign(panel=three)]
    alone = [mapped.assign(panel=one), mapped.assign(panel=tenth), on_schedule.assign(panel=three)]
    every, without = pd.concat(runs), pd.concat(alone)
    return every[every["transformer"]], without[~without["transformer"]]


def rules() -> dict[str, str]:
    """Where each of three rules held and where it did not.

    Returns
    -------
    dict[str, str]
        Such as "3 of 3", by what is counted: `blind` and `looking` (the recipe on C10D at full
        size, over twenty epochs and over six), `c10d_low` (looking at a low constant rate there),
        `slow` (lost with a slower localisation network alone on Cluttered MNIST at 0.01), `idle`
        (idle with it at 0.0001), `third` (looking with 0.3 of the rate in the recipe, on cluttered
        digits), and on C10D at full size `third_short` and `third_long` (the same over six epochs
        and over twenty), and `classifier` (looking over six with the classifier's warm-up alone).
    """
    studies = ("c10d-recipe", "c10d-rates", "c10d-window", "c10d-judged")
    full = [r for name in studies for r in of_study(name) if r.config.data == "c10d"]
    full = [r for r in full if r.config.has_transformer and not r.config.output_size]
    with_all = [r for r in full if _has_recipe(r) and r.config.warmup == remedies.RECIPE["warmup"]]
    slow = [r for r in of_study("cm-map") if r.config.loc_lr_factor == 0.1]
    steady = [r for r in full if r.config.schedule == "constant" and r.config.epochs == 20]
    warm = [r for r in of_study("recipe-judged") + full if r.config.warmup]
    third = [r for r in warm if r.config.loc_lr_factor == 0.3]
    its_own = [r for r in warm if r.config.warmup_of == "classifier"]
    counted = {
        "third": [in_a_word(r) == "looks" for r in third if r.config.data != "c10d"],
        "third_short": [in_a_word(r) == "looks" for r in third if r.config.epochs == 6],
        "third_long": [in_a_word(r) == "looks" for r in third if r.config.epochs == 20],
        "classifier": [in_a_word(r) == "looks" for r in its_own],
        "blind": [in_a_word(r) == "blind" for r in with_all if r.config.epochs == 20],
        "looking": [in_a_word(r) == "looks" for r in with_all if r.config.epochs == 6],
        "c10d_low": [in_a_word(r) == "looks" for r in steady if r.config.lr < 1e-3],
        "slow": [lost(r) for r in slow if r.config.lr == 0.01],
        "idle": [in_a_word(r) == "idle" for r in slow if r.config.lr == 1e-4],
    }
    return {name: f"{sum(so)} of {len(so)}" for name, so in counted.items()}


def elsewhere() -> pd.DataFrame:
    """The paper's setting and the recipe at the paper's rate, on four data sets.

    Returns
    -------
    pd.DataFrame
        A row a run: `row` (data and setting), `data`, `setting`, `seed`, `outcome` and `accuracy`
        (after the last epoch, on validation images).
    """
    alone = [r for r in of_study("c10-probe") if r.config.lr == 1e-3]
    alone = [r for r in alone if r.config.has_transformer and r.config.padding == "zeros"]
    rows = {}
    for record in of_study("recipe") + alone:
        config = record.config
        sampler = "clipped" if config.sampler == "clipped" else "correct"
        setting = f"{sampler}, constant" if config.schedule == "constant" else "the recipe"
        row = {"row": f"{_DATA[config.data]}: {setting}", "data": config.data, "setting": setting}
        row |= {"seed": config.seed, "outcome": in_a_word(record)}
        rows[record.key] = row | {"accuracy": record.last["val_accuracy"]}
    return pd.DataFrame(rows.values()).sort_values(["data", "setting", "seed"], ignore_index=True)


def with_recipe(unaided: Sequence[str], studies: Sequence[str]) -> pd.DataFrame:
    """Trainings with all of the recipe, and whether any is lost without it.

    Parameters
    ----------
    unaided : Sequence[str]
        Studies that have the same trainings without it.
    studies : Sequence[str]
        Studies in which some have it.

    Returns
    -------
    pd.DataFrame
        A row a run, those at risk first: `row` (data, rate, and how many are lost without),
        `at_risk` (whether any is), `outcome` (in a word) and `view` (the transformer's alone).
    """
    others = [record for name in unaided for record in of_study(name)]
    made = {r.key: r for name in studies for r in of_study(name) if _has_recipe(r)}
    rows = []
    for record in made.values():
        config = record.config
        without = remedies.lost_without(record, others)
        if without is None:
            continue
        side = f" → {config.output_size}²" if config.output_size else ""
        name = f"{_DATA[config.data]}{side}, {config.lr:g}, {config.epochs} epochs"
        row = {"row": f"{name} ({without.k} of {without.n})", "at_risk": without.k > 0}
        row |= {"share": without.k / without.n, "lr": config.lr}
        rows.append(row | {"outcome": in_a_word(record), "view": outcome(record)})
    found = pd.DataFrame(rows).sort_values(["share", "lr", "row"], ascending=False)
    return found.drop(columns=["share", "lr"]).reset_index(drop=True)


def _has_recipe(record: Record) -> bool:
    config = record.config
    slow = config.has_transformer and config.loc_lr_factor == remedies.RECIPE["loc_lr_factor"]
    return bool(slow and config.warmup and config.schedule == remedies.RECIPE["schedule"])
