"""Data: the published Cluttered MNIST, sets that need no network, and where files lie."""

from . import cluttered, digits, published
from .catalogue import NAMES, Source, available, fetch, load
from .download import data_dir
from .sets import DataError, DataSet, Split, fingerprint, subset_indices

__all__ = [
    "NAMES",
    "DataError",
    "DataSet",
    "Source",
    "Split",
    "available",
    "cluttered",
    "data_dir",
    "digits",
    "fetch",
    "fingerprint",
    "load",
    "published",
    "subset_indices",
]
