"""Data: the published Cluttered MNIST, sets that need no network, and where files lie."""

from .catalogue import NAMES, load
from .download import cm_file, data_dir
from .sets import DataError, DataSet, Split, fingerprint, subset_indices

__all__ = [
    "NAMES",
    "DataError",
    "DataSet",
    "Split",
    "cm_file",
    "data_dir",
    "fingerprint",
    "load",
    "subset_indices",
]
