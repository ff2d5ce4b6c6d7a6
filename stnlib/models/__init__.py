"""Networks: the spatial transformer, and the classifiers that it leads."""

from stnlib.models.networks import MODELS, STN, CMNet, build, count_parameters
from stnlib.models.transformer import LocNet, SpatialTransformer, glorot

__all__ = [
    "MODELS",
    "STN",
    "CMNet",
    "LocNet",
    "SpatialTransformer",
    "build",
    "count_parameters",
    "glorot",
]
