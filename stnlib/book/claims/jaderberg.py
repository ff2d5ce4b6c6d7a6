"""Jaderberg et al.'s distorted MNIST: the predictions of the study files `jaderberg*.toml`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stnlib.book.claims.cells import GONE, LEAST, Cells, Found, counted, on_cells, undone
from stnlib.book.claims.facts import runs, test
from stnlib.book.claims.findings import Verdict
from stnlib.records.store import Record

__all__ = [
    "clutter_ahead",
    "clutter_as_published",
    "clutter_undoes_shift",
    "descent_errs_more",
    "descent_looks_at_three_times",
    "descent_loses_at_ten_times",
    "families_agree",
    "families_none_gone",
    "families_spline_best_on_e",
    "fcn_ahead_most_on_rts",
    "fcn_as_published",
    "fcn_none_gone",
    "fcn_spline_ahead_on_e",
    "recipe_ahead",
    "recipe_as_published",
    "recipe_none_gone",
    "recipe_undoes_shift_alone",
    "whole_as_published",
    "whole_none_gone",
]

#: the data sets of their Table 1, in its order, and the cluttered digits of their Section 4.1
SETS = {"mnist-r": "R", "mnist-rts": "RTS", "mnist-p": "P", "mnist-e": "E"}
CLUTTER = "mnist-tc"
#: their test errors in %, in that order
PUBLISHED: dict[tuple[str, str, str], tuple[float, ...]] = {
    ("cnn", "baseline", "affine"): (1.2, 0.8, 1.5, 1.4, 3.5),
    ("cnn", "stn", "affine"): (0.7, 0.5, 0.8, 1.2, 1.7),
    ("cnn", "stn", "projective"): (0.8, 0.6, 0.8, 1.3),
    ("cnn", "stn", "tps"): (0.7, 0.5, 0.8, 1.1),
    ("fcn", "baseline", "affine"): (2.1, 5.2, 3.1, 3.2, 13.2),
    ("fcn", "stn", "affine"): (1.2, 0.8, 1.5, 2.7, 2.0),
    ("fcn", "stn", "projective"): (1.3, 0.9, 1.4, 2.6),
    ("fcn", "stn", "tps"): (1.1, 0.8, 1.4, 2.4),
}
ALONE, AFFINE, PROJECTIVE, SPLINE = (
    ("baseline", "affine"),
    *(("stn", family) for family in ("affine", "projective", "tps")),
)


def _cells(study: str, *kinds: tuple[str, str], **fields: Any) -> dict[Any, list[Record]]:
    """Of each data set of Table 1 and each kind, a model and its family; by both."""
    return {
        (name, kind): runs(study, data=data, model=kind[0], transform=kind[1], **fields)
        for kind in kinds
        for data, name in SETS.items()
    }


def _error(cell: Iterable[Record]) -> float:
    """Mean test error in %."""
    return 100 * (1 - float(test(cell).mean()))


def _gain(cell: Iterable[Record], base: Iterable[Record]) -> float:
    """By how many points of test error a cell is ahead of another, in the mean of pairs."""
    return 100 * float((test(cell) - test(base)).dropna().mean())


def _gains(cells: Cells) -> Found:
    """By how much the affine transformer is ahead of the network alone, on each data set."""
    return {name: _gain(cells[name, AFFINE], cells[name, ALONE]) for name in SETS.values()}


def _away(cell: list[Record]) -> float:
    """Mean test error less the published one, in points."""
    config = cell[0].config
    published = PUBLISHED[config.architecture, config.model, config.transform]
    return _error(cell) - published[[*SETS, CLUTTER].index(config.data)]


def _as_published(cells: Cells, points: float, least: int = LEAST) -> Verdict:
    def farthest() -> Found:
        away = {str(name): _away(cell) for name, cell in cells.items()}
        name = max(away, key=lambda name: abs(away[name]))
        return {f"farthest is {name}": away[name]}

    return on_cells(cells, farthest, lambda f: all(abs(d) <= points for d in f.values()), least)


def _none_gone(cells: Cells, least: int = LEAST) -> Verdict:
    return on_cells(
        cells, lambda: {"gone": counted(cells, *GONE)}, lambda found: not found["gone"], least
    )


def recipe_as_published() -> Verdict:
    """The candidate: each network's mean test error is within 0.5 points of the published one."""
    return _as_published(_cells("jaderberg", ALONE, AFFINE), 0.5)


def recipe_ahead() -> Verdict:
    """The transformer is ahead on RTS and P; on E by less than 0.3 points either way."""
    cells = _cells("jaderberg", ALONE, AFFINE)
    return on_cells(
        cells,
        lambda: _gains(cells),
        lambda found: found["RTS"] > 0 and found["P"] > 0 and abs(found["E"]) < 0.3,
    )


def recipe_none_gone() -> Verdict:
    """No transformer is black, shrunken, a point or blind."""
    return _none_gone(_cells("jaderberg", AFFINE))


def recipe_undoes_shift_alone() -> Verdict:
    """At least half of the shift on RTS is undone, and less than half of the rotation on both."""
    cells = {key: cell for key, cell in _cells("jaderberg", AFFINE).items() if key[0][0] == "R"}

    def shares() -> Found:
        placed, turned = cells["RTS", AFFINE], cells["R", AFFINE]
        return {
            "shift": undone(placed, "tx", "ty"),
            "rotation on RTS": undone(placed, "rotation"),
            "rotation on R": undone(turned, "rotation"),
        }

    return on_cells(
        cells,
        shares,
        lambda f: f["shift"] >= 0.5 > max(f["rotation on RTS"], f["rotation on R"]),
    )


def _families() -> Cells:
    others = _cells("jaderberg-families", PROJECTIVE, SPLINE)
    return _cells("jaderberg", AFFINE) | others


def families_agree() -> Verdict:
    """On each distortion the families differ by at most 0.3 points of mean test error."""
    cells = _families()

    def spreads() -> Found:
        kinds = (AFFINE, PROJECTIVE, SPLINE)
        errors = {name: [_error(cells[name, kind]) for kind in kinds] for name in SETS.values()}
        return {name: max(some) - min(some) for name, some in errors.items()}

    return on_cells(cells, spreads, lambda found: max(found.values()) <= 0.3)


def families_spline_best_on_e() -> Verdict:
    """On E the spline has the smallest mean error of the three."""
    cells = {key: cell for key, cell in _families().items() if key[0] == "E"}
    return on_cells(
        cells,
        lambda: {kind[1]: _error(cell) for (_, kind), cell in cells.items()},
        lambda found: found["tps"] == min(found.values()),
    )


def families_none_gone() -> Verdict:
    """No projective transformer and no spline is black, shrunken, a point or blind."""
    return _none_gone(_cells("jaderberg-families", PROJECTIVE, SPLINE))


def fcn_ahead_most_on_rts() -> Verdict:
    """The affine transformer is ahead of the FCN on each data set, by the most on RTS."""
    cells = _cells("jaderberg-fcn", ALONE, AFFINE)
    return on_cells(
        cells,
        lambda: _gains(cells),
        lambda found: min(found.values()) > 0 and found["RTS"] == max(found.values()),
    )


def fcn_spline_ahead_on_e() -> Verdict:
    """On E the spline is ahead of the affine transformer in the mean of pairs."""
    every = _cells("jaderberg-fcn", AFFINE, SPLINE)
    cells = {key: cell for key, cell in every.items() if key[0] == "E"}
    return on_cells(
        cells,
        lambda: {"points": _gain(cells["E", SPLINE], cells["E", AFFINE])},
        lambda found: found["points"] > 0,
    )


def fcn_as_published() -> Verdict:
    """Each network's mean test error is within 1 point of the published one."""
    return _as_published(_cells("jaderberg-fcn", ALONE, AFFINE, PROJECTIVE, SPLINE), 1.0)


def fcn_none_gone() -> Verdict:
    """No transformer is black, shrunken, a point or blind."""
    return _none_gone(_cells("jaderberg-fcn", AFFINE, PROJECTIVE, SPLINE))


def descent_errs_more() -> Verdict:
    """Each network's mean test error is larger than with the candidate, at either rate."""
    recipe = _cells("jaderberg", ALONE, AFFINE)
    slow = {
        (lr, *key): cell
        for lr in (0.03, 0.1)
        for key, cell in _cells("jaderberg-sgd", ALONE, AFFINE, lr=lr).items()
    }
    return on_cells(
        slow | recipe,
        lambda: {
            "least": min(_error(cell) - _error(recipe[key[1:]]) for key, cell in slow.items())
        },
        lambda found: found["least"] > 0,
    )


def descent_loses_at_ten_times() -> Verdict:
    """At 0.1 at least one transformer is gone, at 0.03 none."""
    at = {lr: _cells("jaderberg-sgd", AFFINE, lr=lr) for lr in (0.1, 0.03)}
    cells = {(lr, *key): cell for lr, some in at.items() for key, cell in some.items()}
    return on_cells(
        cells,
        lambda: {f"gone at {lr:g}:": counted(some, *GONE) for lr, some in at.items()},
        lambda found: found["gone at 0.1:"] >= 1 and not found["gone at 0.03:"],
    )


def descent_looks_at_three_times() -> Verdict:
    """At 0.03 at least ten of the twelve look."""
    cells = _cells("jaderberg-sgd", AFFINE, lr=0.03)
    return on_cells(
        cells, lambda: {"look:": counted(cells, "looks")}, lambda found: found["look:"] >= 10
    )


def whole_none_gone() -> Verdict:
    """No transformer is black, shrunken, a point or blind."""
    return _none_gone(_cells("jaderberg-whole", AFFINE), least=1)


def whole_as_published() -> Verdict:
    """Each network's test error is within 0.5 points of the published one."""
    return _as_published(_cells("jaderberg-whole", ALONE, AFFINE), 0.5, least=1)


def _clutter() -> dict[Any, list[Record]]:
    return {
        (net, model): runs("jaderberg-clutter", architecture=net, model=model)
        for net in ("cnn", "fcn")
        for model in ("baseline", "stn")
    }


def clutter_ahead() -> Verdict:
    """Either transformer is ahead; that before the FCN by at least 5 points."""
    cells = _clutter()
    return on_cells(
        cells,
        lambda: {n: _gain(cells[n, "stn"], cells[n, "baseline"]) for n in ("cnn", "fcn")},
        lambda found: found["cnn"] > 0 and found["fcn"] >= 5,
    )


def clutter_as_published() -> Verdict:
    """Each mean test error is within 1 point of the published one; the FCN's within 4."""
    cells = _clutter()
    return on_cells(
        cells,
        lambda: {" ".join(key): _away(cell) for key, cell in cells.items()},
        lambda f: all(abs(d) <= (4 if n == "fcn baseline" else 1) for n, d in f.items()),
    )


def clutter_undoes_shift() -> Verdict:
    """No transformer is gone, and each undoes at least half of the shift."""
    cells = {key: cell for key, cell in _clutter().items() if key[1] == "stn"}

    def find() -> Found:
        every = [record for cell in cells.values() for record in cell]
        least = min(undone([record], "tx", "ty") for record in every)
        return {"gone:": counted(cells, *GONE), "least undone": least}

    return on_cells(cells, find, lambda f: not f["gone:"] and f["least undone"] >= 0.5)
