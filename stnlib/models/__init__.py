"""Networks: the spatial transformer, and the classifiers that it leads."""

from __future__ import annotations

from stnlib.models.classifiers import CLASSIFIERS, CNN, FCN, C10Net, CMNet
from stnlib.models.filled import Filled
from stnlib.models.localisation import LOCNETS, THETA_INITS, LocNet, glorot
from stnlib.models.networks import MODELS, STN, build, count_parameters
from stnlib.models.transformer import SpatialTransformer

__all__ = [
    "CLASSIFIERS",
    "CNN",
    "FCN",
    "LOCNETS",
    "MODELS",
    "STN",
    "THETA_INITS",
    "C10Net",
    "CMNet",
    "Filled",
    "LocNet",
    "SpatialTransformer",
    "build",
    "count_parameters",
    "glorot",
]
