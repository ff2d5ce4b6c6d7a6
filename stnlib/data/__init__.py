"""Data: Cluttered MNIST, CIFAR-10, its distortion, sets that need no network, where files lie."""

from stnlib.paths import data_dir

from . import cifar, cluttered, digits, distort, published, shapes
from .alter import ALTERATIONS, altered
from .catalogue import NAMES, Source, available, fetch, load
from .distorted import VIEWS
from .scattered import scattered
from .sets import DataError, DataSet, Split, fingerprint, subset_indices

__all__ = [
    "ALTERATIONS",
    "NAMES",
    "VIEWS",
    "DataError",
    "DataSet",
    "Source",
    "Split",
    "altered",
    "available",
    "cifar",
    "cluttered",
    "data_dir",
    "digits",
    "distort",
    "fetch",
    "fingerprint",
    "load",
    "published",
    "scattered",
    "shapes",
    "subset_indices",
]
