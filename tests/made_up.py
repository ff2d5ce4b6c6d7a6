"""Records that are made up, for the functions that judge records."""

from pathlib import Path

from stnlib.records.store import Record
from stnlib.training.config import RunConfig

LOOKS = {"coverage": 0.9, "black": 0.0, "corner_spread": 3.0, "view_pixels": 30.0}
ENDS = {
    "looks": LOOKS,
    "idle": LOOKS | {"corner_spread": 0.1},
    "blind": LOOKS | {"corner_spread": 0.0},
    "black": LOOKS | {"coverage": 0.0, "black": 1.0},
}


def record(end, *accuracies, first=None, **config):
    """A training by its end and its validation accuracies, an epoch each; `first` row changed."""
    config = RunConfig(**config)
    rows = [ENDS[end] | {"val_accuracy": accuracy} for accuracy in accuracies]
    rows[0] |= first or {}
    provenance = {"date": "2026-11-28T00:00:00Z"}
    return Record(Path(f"{config.key}.json"), "s", config, rows, {}, provenance)
