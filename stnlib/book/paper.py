"""What the paper reports, to stand beside what we measure.

Possatti and de Freitas, "Utilizando Spatial Transformer Networks" (2018). The curves are
every epoch of its Figures 3 and 5, read from the authors' repository,
github.com/possatti/mestrado-dl-stn, `relatorio/img/`; the test accuracies are those of its
Tables IV and V. One run each; the paper gives no spread.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from stnlib.checks.values import choice, require

__all__ = ["TEST_ACCURACY", "curves"]

TEST_ACCURACY = {
    ("cm", "baseline"): 0.90,
    ("cm", "stn"): 0.96,
    ("c10", "baseline"): 0.74,
    ("c10", "stn"): 0.10,
    ("c10d", "baseline"): 0.56,
    ("c10d", "stn"): 0.10,
}


def curves(data: str) -> pd.DataFrame:
    """The course of the paper's trainings on a data set.

    Parameters
    ----------
    data : str
        `cm`, `c10` or `c10d`.

    Returns
    -------
    pd.DataFrame
        Columns `model` (`baseline`, `stn`), `epoch` from 1, `train_accuracy` (Keras's average
        over the epoch) and `val_accuracy`, in [0, 1].

    Raises
    ------
    ValueError
        One line, for other data.
    """
    table = pd.read_csv(Path(__file__).with_suffix(".csv"))
    require("data", data, choice(*sorted(set(table["data"]))))
    return table[table["data"] == data].drop(columns="data").reset_index(drop=True)
