"""Rates of the localisation network: at which it looks, and what it is worth where it does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from stnlib.records.outcome import Outcome, corner_spread, in_a_word, outcome
from stnlib.records.store import Record
from stnlib.training.config import RunConfig

__all__ = [
    "by_factor",
    "course",
    "in_a_few_words",
    "leads",
    "setting",
    "single_changes",
    "table",
    "worth",
]

_WORDS = {  # fields that the C10D probe changes one at a time
    "hidden_scale": "hidden layer's input ×",
    "loc_beta2": "localisation network's β₂",
    "loc_lr_factor": "localisation network ×",
    "scale_init": "begins at scale",
    "warmup": "warm-up",
}


def in_a_few_words(config: RunConfig) -> str:
    """Which course the learning rate of a training takes.

    Parameters
    ----------
    config : RunConfig
        Of a training that begins at the full rate or with a warm-up.

    Returns
    -------
    str
        Such as "constant" or "0.05 of 20 epochs up, cosine"; a warm-up of one network alone says
        of which.
    """
    falls = "" if config.schedule == "constant" else config.schedule
    if not config.warmup:
        return falls or "constant"
    whose = "" if config.warmup_of == "both" else f" ({config.warmup_of} only)"
    warm = f"warm-up {config.warmup * config.epochs:.1f} epochs{whose}"
    return f"{warm}, {falls}" if falls else warm


def setting(config: RunConfig) -> str:
    """The rates of a training: the classifier's, the localisation network's share, the course.

    Parameters
    ----------
    config : RunConfig
        Any.

    Returns
    -------
    str
        Such as "0.001 × 0.1, constant".
    """
    share = f" × {config.loc_lr_factor:g}" if config.loc_lr_factor != 1 else ""
    return f"{config.lr:g}{share}, {in_a_few_words(config)}"


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Trainings by their rates.

    Parameters
    ----------
    records : Iterable[Record]
        One a run.

    Returns
    -------
    pd.DataFrame
        A row a run, those with the slowest localisation network first: `setting`, `classifier` and
        `localisation` (the highest rate of either), `epochs`, `seed`, `transformer` (whether it
        has one), `outcome` (in a word), `view` (what became of the transformer alone, whatever the
        classifier does), `moves` (the corner spread in input pixels), `accuracy` and `test` (after
        the last epoch, on validation and test images), `warmup` (in epochs), and `whose` warm-up
        it is (of the configuration's `warmup_of`, or "none").
    """
    rows = []
    for record in records:
        config = record.config
        row = {"setting": setting(config), "classifier": config.lr, "epochs": config.epochs}
        row |= {"localisation": config.lr * config.loc_lr_factor, "seed": config.seed}
        row |= {"transformer": config.has_transformer, "outcome": in_a_word(record)}
        row |= {"view": outcome(record), "moves": corner_spread(record)}
        row |= {"accuracy": record.last["val_accuracy"]}
        row |= {"test": record.result.get("test_accuracy")}
        row |= {"warmup": config.warmup * config.epochs}
        rows.append(row | {"whose": config.warmup_of if config.warmup else "none"})
    order = ["localisation", "classifier", "epochs", "setting", "seed"]
    return pd.DataFrame(rows).sort_values(order, ignore_index=True)


def worth(runs: pd.DataFrame) -> pd.DataFrame:
    """Networks with and without a transformer on the same schedule.

    Parameters
    ----------
    runs : pd.DataFrame
        Of `table`; all but black ones for which there is a run of the other kind are taken.

    Returns
    -------
    pd.DataFrame
        The same, with `rate` (the classifier's and the course) and `row` (epochs, rate, network).
    """
    seen = runs[runs["outcome"] != "black"]
    rate = seen["setting"].str.replace(r" × [\d.]+|warm-up [\d.]+ epochs, ", "", regex=True)
    seen = seen.assign(rate=rate)
    kinds = seen.groupby(["epochs", "rate"])["transformer"].transform("nunique")
    seen = seen[kinds == 2].sort_values(["epochs", "rate", "transformer"], kind="stable")
    network = seen["transformer"].map({True: "transformer", False: "none"})
    epochs = seen["epochs"].map("{} epochs".format)
    return seen.assign(row=epochs + ", " + seen["rate"] + ": " + network)


def by_factor(records: Iterable[Record]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trainings at a constant rate, and on a schedule with a slower localisation network.

    Parameters
    ----------
    records : Iterable[Record]
        Of one data set.

    Returns
    -------
    tuple[pd.DataFrame, pd.DataFrame]
        Those with a transformer, and for each panel those without, all on the schedule: a row a
        run, with `panel`, `lr`, `val_accuracy` and `outcome`.
    """
    runs = table(records).rename(columns={"classifier": "lr", "accuracy": "val_accuracy"})
    factor = (runs["localisation"] / runs["lr"]).map(" × {:.2g}".format)
    steady = runs["setting"].str.endswith("constant")
    runs["panel"] = ("warm-up, cosine, localisation network" + factor).mask(steady, "constant")
    seen = runs[runs["transformer"]].sort_values(["panel", "lr", "seed"])
    alone = runs[~runs["transformer"]].drop(columns="panel")
    return seen, alone.merge(seen[["panel"]].drop_duplicates(), how="cross")


def course(records: Iterable[Record]) -> pd.DataFrame:
    """How much the view differs between images, epoch by epoch.

    Parameters
    ----------
    records : Iterable[Record]
        Of transformers.

    Returns
    -------
    pd.DataFrame
        A row a run and epoch: `key`, `setting`, `epochs` (of the training), `outcome` (its last),
        `epoch` and `moves` (the corner spread in input pixels).
    """
    rows = []
    for record in records:
        same = {"key": record.key, "setting": setting(record.config)}
        same |= {"epochs": record.config.epochs, "outcome": in_a_word(record)}
        for epoch in range(1, len(record.history) + 1):
            then = replace(record, history=record.history[:epoch])
            rows.append(same | {"epoch": epoch, "moves": corner_spread(then)})
    return pd.DataFrame(rows)


def leads(records: Iterable[Record], alone: Iterable[Record]) -> pd.DataFrame:
    """How far networks with a transformer are ahead of those without, epoch by epoch.

    Parameters
    ----------
    records : Iterable[Record]
        Of transformers.
    alone : Iterable[Record]
        The same trainings without one; those of the same seed and as many epochs are compared.

    Returns
    -------
    pd.DataFrame
        A row a pair and epoch: `key` and `outcome` (in a word) of the transformer's training,
        `epochs`, `epoch` and `lead` (the difference in validation accuracy).
    """
    usual = {(record.config.epochs, record.seed): record.history for record in alone}
    rows = []
    for record in records:
        pair = zip(record.history, usual[record.config.epochs, record.seed], strict=False)
        same = {"key": record.key, "outcome": in_a_word(record), "epochs": record.config.epochs}
        for epoch, (one, other) in enumerate(pair, 1):
            lead = one["val_accuracy"] - other["val_accuracy"]
            rows.append(same | {"epoch": epoch, "lead": lead})
    return pd.DataFrame(rows)


def single_changes(usual: Iterable[Record], changed: Iterable[Record]) -> pd.DataFrame:
    """Trainings by what they change.

    Parameters
    ----------
    usual : Iterable[Record]
        Trainings without a change, alike but for their seeds.
    changed : Iterable[Record]
        Trainings with changes.

    Returns
    -------
    pd.DataFrame
        A row a run: `row` (what is changed, in words) and `outcome` (in a word); changes with which
        most look come first.
    """
    usual = list(usual)
    base = usual[0].config.to_dict() | {"seed": None}
    rows = []
    for record in [*usual, *changed]:
        fields = record.config.to_dict() | {"seed": None}
        new = [f"{_WORDS[k]} {value:g}" for k, value in fields.items() if base[k] != value]
        rows.append({"row": ", ".join(new) or "nothing", "outcome": in_a_word(record)})
    runs = pd.DataFrame(rows)
    looks = (runs["outcome"] == Outcome.LOOKS).groupby(runs["row"]).transform("sum")
    return runs.iloc[looks.argsort(kind="stable")[::-1]].reset_index(drop=True)
