"""Checkpoints: a training's whole state in one file with a digest. Loading runs no code from it."""

from __future__ import annotations

import copy
import hashlib
import io
import logging
import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from stnlib.atomic import regular, write_whole
from stnlib.data.sets import DataSet
from stnlib.diagnostics import CollapseMonitor
from stnlib.training.config import RunConfig

__all__ = ["load_checkpoint", "run_key", "save_checkpoint"]

_log = logging.getLogger(__name__)


def run_key(config: RunConfig, data: DataSet) -> str:
    """What a checkpoint belongs to: a configuration, and the very images that it trains on.

    The configuration names the data set, of which there may be several copies: a run that began
    on one, such as JPEG files, must not go on with another.
    """
    return f"{config.key} {data.fingerprint}"


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    key: str,
    history: list[dict[str, Any]],
    monitor: CollapseMonitor | None = None,
) -> None:
    """Write the state after the last epoch of `history`, whole or not at all.

    Parameters
    ----------
    path : Path
        Of the file.
    model : nn.Module
        Only its weights are kept.
    optimizer : torch.optim.Optimizer
        A kind of Adam.
    key : str
        The `run_key`: only a run with the same one can resume.
    history : list[dict[str, Any]]
        A row an epoch.
    monitor : CollapseMonitor | None
        That of a traced run, whose trace then goes on where it was.

    Raises
    ------
    OSError
        One line; the previous checkpoint is then still there.
    """
    saved = {
        "key": key,
        "history": history,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict()["state"],
        "monitor": monitor.state_dict() if monitor else None,
    }
    file = io.BytesIO()
    torch.save(saved, file)
    payload = file.getvalue()
    write_whole(path, _digest(payload) + b"\n" + payload)


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    key: str,
    monitor: CollapseMonitor | None = None,
    epochs: int | None = None,
) -> list[dict[str, Any]]:
    """Restore model, optimiser and monitor in place and return the history so far.

    Returns an empty history, and changes nothing, when there is no file, it is damaged or was
    edited, it belongs to another configuration or other data, does not fit model or optimiser, has
    more than `epochs` epochs, or lacks the trace for `monitor`, which must have all steps: the run
    then begins anew. But for a missing file, that is logged in one line.
    """
    if not os.path.lexists(path):
        return []
    try:
        saved = _read(path)
        if saved["key"] != key:
            raise ValueError("it belongs to another configuration or other data")
        history = saved["history"]
        if not 1 <= len(history) <= (epochs or len(history)):
            raise ValueError(f"its history has {len(history)} epochs, not 1 to {epochs or 'more'}")
        _check_alike("model", saved["model"], model.state_dict())
        _check_optimizer(saved["optimizer"], optimizer)
        _load(saved, model, optimizer, monitor)
    except (OSError, ValueError) as error:
        _log.warning("checkpoint %s is not used, the run begins anew: %s", path, error)
        return []
    return history


def _digest(payload: bytes) -> bytes:
    """SHA-256 in hex, a checkpoint's first line; the payload follows."""
    return hashlib.sha256(payload).hexdigest().encode()


def _read(path: Path) -> dict[str, Any]:
    """What was saved, or `ValueError` where a file does not have its digest."""
    digest, _, payload = regular(path).read_bytes().partition(b"\n")
    if digest != _digest(payload):
        raise ValueError("it does not have its digest: it is damaged, edited or of an old version")
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError):
        raise ValueError("PyTorch does not load it without running code from it") from None


def _check_alike(what: str, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise `ValueError` unless names, types, shapes and strides are as wanted.

    The fused Adam pairs weights and moments by their places in memory: beside weights with other
    strides it would mix them up.
    """
    kinds = [
        {(name, v.dtype, v.shape, v.stride()) for name, v in t.items()} for t in (found, wanted)
    ]
    if odd := [name for name, *_ in kinds[0] ^ kinds[1]]:
        raise ValueError(f"it does not fit the {what}: they differ in {min(odd)}")


def _check_optimizer(found: dict[int, dict[str, Tensor]], optimizer: torch.optim.Optimizer) -> None:
    """Raise `ValueError` unless an Adam over the optimiser's parameters has such a state."""
    parameters = enumerate(p for group in optimizer.param_groups for p in group["params"])
    states = {i: {"step": torch.ones(()), "exp_avg": p, "exp_avg_sq": p} for i, p in parameters}
    wanted = {i: slots for i, slots in states.items() if i in found}
    _check_alike("optimiser", _flat(found), _flat(wanted))


def _flat(states: dict[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    slots = ((i, name, value) for i, state in states.items() for name, value in state.items())
    return {f"{name} of parameter {i}": value for i, name, value in slots}


def _load(
    saved: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    monitor: CollapseMonitor | None,
) -> None:
    """Load everything, or nothing and raise `ValueError`.

    Whether a monitor takes a state shows when it is loaded, and that needs the model's weights.
    """
    if monitor and saved["monitor"] is None:
        raise ValueError("it has no trace")
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer}
    parts |= {"monitor": monitor} if monitor else {}
    before = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    now = saved | {"optimizer": before["optimizer"] | {"state": saved["optimizer"]}}
    try:
        for name, part in parts.items():
            part.load_state_dict(now[name])
    except ValueError as error:
        for name, part in parts.items():
            part.load_state_dict(before[name])
        raise ValueError(f"its trace does not load: {error}") from None
