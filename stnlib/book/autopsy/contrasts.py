"""What a change does to how many branches die: each death's branches compared with each other."""

from __future__ import annotations

import pandas as pd

from stnlib.book.stats import holm, share_difference, stratified_p, tally

__all__ = ["CALMING", "calmed", "contrasts", "within_deaths"]

# Changes that keep the steps of θ from growing, each in its own way.
CALMING = ("loc_lr_x0.1", "loc_lr_x0", "last_layer_only", "phi_normalised")
CALMING += ("loc_sgd", "adam_reset", "loc_beta2_0.9")


def _by_death(branches: pd.DataFrame) -> pd.DataFrame:
    return branches.groupby("point")["died"].agg(["sum", "size"])


def within_deaths(branches: pd.DataFrame, unchanged: pd.DataFrame) -> float:
    """Exact two-sided p-value of no effect, of branches of one death compared with each other.

    Parameters
    ----------
    branches, unchanged : pd.DataFrame
        Of `stnlib.book.autopsy.branches.table`: those with the change, and those without.

    Returns
    -------
    float
        In [0, 1]. Deaths that have branches of one kind only do not count.
    """
    both = pd.concat([_by_death(branches), _by_death(unchanged)], axis=1, join="inner")
    return stratified_p(both.astype(int).to_numpy())


def contrasts(branches: pd.DataFrame) -> pd.DataFrame:
    """Each change's effect on the share of branches that die.

    Parameters
    ----------
    branches : pd.DataFrame
        Of `stnlib.book.autopsy.branches.table`, the unchanged among them.

    Returns
    -------
    pd.DataFrame
        A row a change, by its id: `died` (a `Share`), `difference`, `low` and `high` (to the
        unchanged, Newcombe's 95 % interval), `p` (`within_deaths`, of this change alone) and `holm`
        (that p corrected for the number of changes).
    """
    base = branches[branches["id"] == "none"]
    rows = {}
    for name, part in branches[branches["id"] != "none"].groupby("id"):
        died = tally(part["died"])
        row = dict(
            zip(
                ("difference", "low", "high"),
                share_difference(died, tally(base["died"])),
                strict=True,
            )
        )
        rows[name] = {"died": died} | row | {"p": within_deaths(part, base)}
    found = pd.DataFrame.from_dict(rows, orient="index").rename_axis("id")
    return found.assign(holm=holm(found["p"]))


def calmed(branches: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The branches whose change is `CALMING`, and the unchanged.

    Parameters
    ----------
    branches : pd.DataFrame
        Of `stnlib.book.autopsy.branches.table`.

    Returns
    -------
    tuple[pd.DataFrame, pd.DataFrame]
        Some of its rows each.
    """
    return branches[branches["id"].isin(CALMING)], branches[branches["id"] == "none"]
