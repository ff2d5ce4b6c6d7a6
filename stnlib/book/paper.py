"""What the paper reports, to stand beside what we measure.

Possatti and de Freitas, "Utilizando Spatial Transformer Networks" (2018). The curves are
every epoch of its Figures 3 and 5, read from the authors' repository,
github.com/possatti/mestrado-dl-stn, `relatorio/img/`; the test accuracies are those of its
Tables IV and V. One run each; the paper gives no spread.
"""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

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
    """The course of the paper's trainings on `data` (`cm`, `c10` or `c10d`).

    Returns
    -------
    Columns `model` (`baseline`, `stn`), `epoch` from 1, `train_accuracy` (Keras's average
    over the epoch) and `val_accuracy`, in [0, 1].
    """
    with (files("stnlib.book") / "paper.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file)
    names = sorted(set(table["data"]))
    if data not in names:
        raise ValueError(f"data must be one of {', '.join(names)}, not {data!r}")
    return table[table["data"] == data].drop(columns="data").reset_index(drop=True)
