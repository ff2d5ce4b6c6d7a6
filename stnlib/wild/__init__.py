"""Spatial transformers as other people write them, made to fail as they report, and watched.

`python -m stnlib.wild --folder book/observations` records what comes of them.
"""

from stnlib.wild.images import DATA, Images, load
from stnlib.wild.networks import NETWORKS, RATES, Keras, Tanh, TanhAdam, Tutorial
from stnlib.wild.recording import STUDY, ends, plan, record, runs, verdicts
from stnlib.wild.training import train

__all__ = [
    "DATA",
    "NETWORKS",
    "RATES",
    "STUDY",
    "Images",
    "Keras",
    "Tanh",
    "TanhAdam",
    "Tutorial",
    "ends",
    "load",
    "plan",
    "record",
    "runs",
    "train",
    "verdicts",
]
