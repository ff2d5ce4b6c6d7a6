"""Autopsy by branches: a training that died is taken back to before its death, and goes on changed.

A branch goes on from a snapshot for some steps with one change; branches of the same snapshot
differ in that change and in their batches. What changes how many die is a cause. The study file has
a table, named ``[forks]`` from the time when branches were called forks: `back` (steps from the
death to the snapshot, at least), `steps` (of a branch), `within` (steps in which a death is looked
for), `changes` (labels of `stnlib.book.autopsy.interventions`), `orders` (of batches for each
change, besides the training's own) and `unchanged` (orders in which the training goes on as it was,
which is what every change is held against).
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from stnlib.book.autopsy.interventions import IDS, INTERVENTIONS
from stnlib.book.autopsy.replay import Replay
from stnlib.book.deaths import WINDOW, dead
from stnlib.checks.values import whole
from stnlib.data.sets import DataSet
from stnlib.errors import ConfigError
from stnlib.progress import bar as progress_bar
from stnlib.records import observations
from stnlib.records.provenance import provenance
from stnlib.study import runs
from stnlib.training.config import RunConfig
from stnlib.training.device import resolved

__all__ = ["autopsy", "branch", "check_plan", "find_death", "run", "table"]

SNAPSHOT_EVERY = 10
Row = dict[str, Any]


def check_plan(plan: dict[str, Any]) -> dict[str, Any]:
    """Check a study file's plan.

    Parameters
    ----------
    plan : dict[str, Any]
        Its ``[forks]``.

    Returns
    -------
    dict[str, Any]
        The same.

    Raises
    ------
    ConfigError
        One line, for what it lacks or has wrong.
    """
    names = ("back", "steps", "within", "unchanged", "orders", "changes")
    if set(plan) != set(names):
        raise ConfigError(f"[forks] must have {', '.join(names)}, not {', '.join(plan) or 'none'}")
    for name in names[:-1]:
        if wrong := whole(1)(plan[name]):
            raise ConfigError(f"[forks] {name} must be {wrong}, not {plan[name]!r}")
    changes = plan["changes"]
    if not isinstance(changes, list) or not changes:
        raise ConfigError(f"[forks] changes must be a list of at least one name, not {changes!r}")
    for i, change in enumerate(changes):
        if not isinstance(change, str) or change not in IDS:
            known = ", ".join(IDS)
            raise ConfigError(f"[forks] changes must be of {known}, not {change!r}")
        if change in changes[:i]:
            raise ConfigError(f"[forks] changes must name each once, not twice {change!r}")
    return plan


def branch(replay: Replay, change: str, n: int) -> Row:
    """Make one change, take some steps, and say how it went.

    Parameters
    ----------
    replay : Replay
        At the point where the change is made.
    change : str
        Its label.
    n : int
        Steps, at most: a death ends them.

    Returns
    -------
    Row
        `died` and the step `after` which; numbers of the last `WINDOW` steps; the largest `step`
        and `phi`; and `course`, the coverage at each fifth step.
    """
    INTERVENTIONS[IDS[change]].apply(replay)
    rows: list[dict[str, float]] = []
    for row in replay.steps(n):
        rows.append(row)
        if dead(rows):
            break
    last = rows[-WINDOW:]
    names = ("coverage", "object_coverage", "black", "loss", "accuracy")
    ends = {name: statistics.fmean(row[name] for row in last) for name in names} if last else {}
    return {
        "change": change,
        "order": replay.order,
        "died": dead(rows) or len(rows) < n,  # fewer, and not dead: θ was not finite
        "after": len(rows),
        **ends,
        "largest_step": max((row["step"] for row in rows), default=None),
        "largest_phi": max((row["phi"] for row in rows), default=None),
        "course": [round(row["coverage"], 4) for row in rows[::5]],
    }


def find_death(replay: Replay, back: int, within: int) -> tuple[dict[str, Any] | None, list[Row]]:
    """Take steps until the transformer is dead.

    Parameters
    ----------
    replay : Replay
        At the beginning.
    back, within : int
        As of a plan.

    Returns
    -------
    tuple[dict[str, Any] | None, list[Row]]
        The newest snapshot that is at least `back` steps older than the death, where the death came
        sooner the replay's beginning, and None without a death; and the rows of all steps.
    """
    kept: deque[dict[str, Any]] = deque([replay.state()], maxlen=back // SNAPSHOT_EVERY + 2)
    rows: list[Row] = []
    for row in replay.steps(within):
        rows.append(row)
        if dead(rows):
            old = [state for state in kept if state["taken"] <= replay.taken - back]
            return old[-1] if old else kept[0], rows
        if len(rows) % SNAPSHOT_EVERY == 0:
            kept.append(replay.state())
    return None, rows


def autopsy(
    config: RunConfig,
    data: DataSet,
    plan: dict[str, Any],
    folder: Path,
    study: str,
    origin: dict[str, Any],
    checkpoint: Path | None = None,
) -> Path:
    """Find one training's death, make the branches that `plan` asks for, and write them down.

    Parameters
    ----------
    config : RunConfig
        Of the training.
    data : DataSet
        Its own.
    plan : dict[str, Any]
        The study file's ``[forks]``.
    folder : Path
        Of observations. This one is written after each branch: an interrupted autopsy is taken up
        by calling again. Its first row is the training itself.
    study : str
        Its name.
    origin : dict[str, Any]
        On what it is made, of `stnlib.records.provenance`.
    checkpoint : Path | None
        Of `stnlib.training.fit`, to begin after its epochs; None for the beginning.

    Returns
    -------
    Path
        Of the observation.

    Raises
    ------
    ConfigError
        One line, where the training does not die at the step at which it did when the
        autopsy was begun, as on another kind of processor: branches of two deaths are not one set.
    """
    what = {"config": config.changed(), **{n: plan[n] for n in ("back", "steps", "within")}}
    path = observations.place(folder, study, what)
    rows = observations.read(path)["rows"] if path.exists() else []
    wanted = [("none", order) for order in range(plan["unchanged"] + 1)]
    wanted += [(c, order) for order in range(plan["orders"] + 1) for c in plan["changes"]]
    missing = [one for one in wanted if one not in {(r["change"], r["order"]) for r in rows[1:]}]
    if rows and (not missing or not rows[0]["died"]):
        return path
    replay = Replay(config, data, checkpoint)
    point, seen = find_death(replay, plan["back"], plan["within"])
    course = [round(row["coverage"], 4) for row in seen[::5]]
    first = {"died": point is not None, "begun": replay.begun, "after": replay.taken}
    first |= {"course": course, "fork": point["taken"] if point else None}
    if rows and rows[0]["after"] != first["after"]:
        raise ConfigError(
            f"{path.name}: dies at step {first['after']} here, at {rows[0]['after']} where it was "
            "begun; finish it on that machine, or make it anew in another folder"
        )
    rows = rows or [first]
    observations.write(folder, study, what, rows, origin)
    todo = missing if point else []
    for change, order in progress_bar(iterable=todo, desc=f"seed {config.seed}", unit="branch"):
        replay = Replay(config, data, order=order)
        replay.restore(point)
        rows.append(branch(replay, change, plan["steps"]))
        observations.write(folder, study, what, rows, origin)
    return path


def run(
    config: RunConfig,
    plan: dict[str, Any],
    folder: Path,
    study: str,
    checkpoints: Path | None = None,
) -> Path:
    """The `autopsy` of a configuration on this machine's CPU, with its data and provenance.

    Parameters
    ----------
    config : RunConfig
        Of the training.
    plan : dict[str, Any]
        The study file's ``[forks]``.
    folder : Path
        Of observations.
    study : str
        Its name.
    checkpoints : Path | None
        Folder of unfinished runs, to begin after their epochs.

    Returns
    -------
    Path
        Of the observation.
    """
    device = torch.device("cpu")
    data = runs.prepare(config, device)
    origin = provenance(device, data.fingerprint, resolved(device, config.precision))
    checkpoint = checkpoints / f"{config.key}.pt" if checkpoints else None
    return autopsy(config, data, plan, folder, study, origin, checkpoint)


def table(found: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The branches of trainings; the training itself, unchanged, is none.

    Parameters
    ----------
    found : Iterable[dict[str, Any]]
        Observations of `run`.

    Returns
    -------
    pd.DataFrame
        A row a branch: what `branch` says, `point` (the observation's key) and `id` (the change's,
        of `INTERVENTIONS`).
    """
    rows = [
        {"point": one["key"], "id": IDS[row["change"]]} | row
        for one in found
        for row in one["rows"][1:]
        if row["change"] != "none" or row["order"]
    ]
    return pd.DataFrame(rows)
