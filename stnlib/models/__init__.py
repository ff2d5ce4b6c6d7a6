"""Networks: the spatial transformer, and the classifiers that it leads."""

from stnlib.models.networks import (
    CLASSIFIERS,
    MODELS,
    STN,
    C10Net,
    CMNet,
    build,
    count_parameters,
)
from stnlib.models.transformer import LocNet, SpatialTransformer, glorot

__all__ = [
    "CLASSIFIERS",
    "MODELS",
    "STN",
    "C10Net",
    "CMNet",
    "LocNet",
    "SpatialTransformer",
    "build",
    "count_parameters",
    "glorot",
]
