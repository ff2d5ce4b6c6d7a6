"""What became of a transformer: one vocabulary, and every threshold by which it is judged.

The monitor's alarms foretell, from batches and while a training runs. An outcome judges a training
that has ended, by its last validation, over the whole validation set.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stnlib.records.store import Record

__all__ = [
    "AT_CHANCE",
    "BLACK",
    "BLIND",
    "HALF_BLACK",
    "IDLE",
    "IDLE_DROP",
    "LIVING",
    "POINT",
    "SEEN",
    "Outcome",
    "at_chance",
    "corner_spread",
    "diverged",
    "in_a_word",
    "lost",
    "outcome",
]

BLACK = 0.99  # share of outputs that are black, at least
SEEN = 0.5  # object coverage, or coverage where the object is unknown; shrunken below
POINT = 1.0  # the view's larger side in input pixels; a point below
BLIND = 0.01  # corner spread in input pixels; blind below
IDLE = 0.5  # corner spread in input pixels; idle below
IDLE_DROP = 0.005  # what accuracy must lose when θ is permuted among images; idle below

AT_CHANCE = 0.2  # accuracy, twice a guess among ten classes; below, a classifier has not learnt
HALF_BLACK = 0.5  # share of black outputs above which an epoch or a step counts as black


class Outcome(StrEnum):
    """What became of a transformer; the first that holds."""

    BLACK = "black"
    SHRUNKEN = "shrunken"
    POINT = "point"
    BLIND = "blind"
    IDLE = "idle"
    LOOKS = "looks"


def outcome(record: Record) -> Outcome | None:
    """What became of a record's transformer; None where there is none, or it `diverged`.

    ========= ==========================================================================
    black     at least 99 % of the outputs are black relative to their input
              (`stnlib.diagnostics.black_share`)
    shrunken  the object's coverage is below 0.5; the image's where the object is unknown
    point     the view is smaller than one input pixel
    blind     corner spread below 0.01 pixel: one θ for all images
    idle      corner spread below 0.5 pixel, or the accuracy falls by less than half a
              point when θ is permuted among the images (mean of five permutations)
    looks     none of these
    ========= ==========================================================================

    Parameters
    ----------
    record : Record
        Whether the accuracy falls is not asked where it does not know what θ permuted gives.
    """
    if not record.config.has_transformer or diverged(record):
        return None
    last = record.last
    spread = corner_spread(record)
    if last["black"] >= BLACK:
        return Outcome.BLACK
    if last.get("object_coverage", last["coverage"]) < SEEN:
        return Outcome.SHRUNKEN
    if _view(record) < POINT:
        return Outcome.POINT
    if spread < BLIND:
        return Outcome.BLIND
    permuted = record.result.get("val_permuted", -math.inf)
    if spread < IDLE or last["val_accuracy"] - permuted < IDLE_DROP:
        return Outcome.IDLE
    return Outcome.LOOKS


def lost(record: Record) -> bool:
    """Whether nothing is left of a record's transformer: it neither looks nor idles."""
    return record.config.has_transformer and outcome(record) not in LIVING


def diverged(record: Record) -> bool:
    """Whether θ or the loss ceased to be finite."""
    last = record.last
    unseen = record.config.has_transformer and "black" not in last
    return unseen or record.result.get("stopped") == "diverged"


#: the words of `in_a_word` for trainings in which neither transformer nor classifier has failed
LIVING = (Outcome.LOOKS, Outcome.IDLE, "learns")


def at_chance(record: Record) -> bool:
    """Whether the classifier has not learnt: its last validation accuracy is below 0.2."""
    return not record.last["val_accuracy"] >= AT_CHANCE


def in_a_word(record: Record) -> str:
    """What became of a training, transformer and classifier, in one word for figures and tables.

    `diverged`; `at chance` where the classifier has not learnt and no transformer is lost; else
    the `outcome`, or `learns` for a network without a transformer.
    """
    if diverged(record):
        return "diverged"
    if at_chance(record) and not lost(record):
        return "at chance"
    return outcome(record) or "learns"


def corner_spread(record: Record) -> float:
    """How much the view differs between images, in input pixels.

    The largest standard deviation over images of a view corner's x or y. Records made before this
    was measured give an estimate: of the spreads of translation, scale and rotation as if they
    were independent; or, where the family has none of these, of the eight θ that they keep; nan
    where they keep none.
    """
    last, half = record.last, (record.config.side - 1) / 2
    if "corner_spread" in last:
        return last["corner_spread"]
    if "tx_std" in last:
        turn = last["scale_mean"] * math.radians(last["rotation_std"])
        return half * math.hypot(max(last["tx_std"], last["ty_std"]), last["scale_std"], turn)
    entries = list(zip(*last.get("thetas", []), strict=True))
    return half * math.hypot(*map(_deviation, entries)) if entries else math.nan


def _deviation(values: tuple[float, ...]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def _view(record: Record) -> float:
    """The view's larger side in input pixels, as a median or, in older records, a mean."""
    last = record.last
    if "view_pixels" in last:
        return last["view_pixels"]
    return last.get("scale_mean", math.inf) * (record.config.side - 1)
