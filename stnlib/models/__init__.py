"""Networks: the spatial transformer, and the classifiers that it leads."""

from __future__ import annotations

from stnlib.models.canonical import N_ROTATIONS, Canonicaliser
from stnlib.models.classifiers import CLASSIFIERS, CNN, FCN, C10Net, CMNet
from stnlib.models.filled import Filled
from stnlib.models.localisation import LOCNETS, THETA_INITS, LocNet, glorot
from stnlib.models.networks import MODELS, STN, build, count_parameters
from stnlib.models.today import ResNet, ViT
from stnlib.models.transformer import SpatialTransformer

__all__ = [
    "CLASSIFIERS",
    "CNN",
    "FCN",
    "LOCNETS",
    "MODELS",
    "N_ROTATIONS",
    "STN",
    "THETA_INITS",
    "C10Net",
    "CMNet",
    "Canonicaliser",
    "Filled",
    "LocNet",
    "ResNet",
    "SpatialTransformer",
    "ViT",
    "build",
    "count_parameters",
    "glorot",
]
