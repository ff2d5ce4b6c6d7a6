"""Checkpoints: a training's whole state in one safetensors file, without pickles."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from stnlib.atomic import write_whole
from stnlib.data.sets import DataSet
from stnlib.diagnostics import CollapseMonitor
from stnlib.records.schema import check_history
from stnlib.training.config import RunConfig

__all__ = ["load_checkpoint", "run_key", "save_checkpoint"]

_log = logging.getLogger(__name__)
_SLOTS = {"step", "exp_avg", "exp_avg_sq"}  # what every kind of Adam keeps of a parameter


def run_key(config: RunConfig, data: DataSet) -> str:
    """What a checkpoint belongs to: a configuration, and the very images that it was trained on.

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
    optimizer : a kind of Adam.
    key : the `run_key`; only a run with the same one can resume from it.
    monitor : that of a traced run, whose trace then goes on where it was.

    Raises
    ------
    OSError
        One line; the previous checkpoint is then still there.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": torch.as_tensor(v) for name, v in state.items()}
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    metadata = {"key": key, "history": json.dumps(history)}
    if monitor:
        metadata["monitor"] = json.dumps(monitor.state_dict())
    metadata["digest"] = _digest(tensors, metadata)
    write_whole(path, safetensors.torch.save(tensors, metadata))


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
    edited, it belongs to another configuration or other data, does not fit model, optimiser or
    `epochs`, or lacks the trace for `monitor`, which must have all steps: the run then begins
    anew. But for a missing file, that is logged in one line.

    Parameters
    ----------
    epochs : the most that the history may have; None for any number.
    """
    if not os.path.lexists(path):
        return []
    try:
        tensors, metadata = _read(path)
        if metadata["key"] != key:
            raise ValueError("it belongs to another configuration or other data")
        history = json.loads(metadata["history"])
        check_history(history, epochs or sys.maxsize)
        weights, state = _part(tensors, "model."), _state(tensors)
        _check_alike("model", weights, model.state_dict())
        _check_state(state, optimizer)
        _load(weights, state, metadata.get("monitor"), model, optimizer, monitor)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        _log.warning("checkpoint %s is not used, the run begins anew: %s", path, reason)
        return []
    return history


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file, or `ValueError` where they do not have its digest."""
    if not path.is_file():
        raise ValueError("it is no regular file")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    found = metadata.pop("digest", None)
    if found is None:
        raise ValueError("it has no digest, as those of older versions")
    if found != _digest(tensors, metadata):
        raise ValueError("it is damaged or was edited: its content does not have its digest")
    return tensors, metadata


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 over all that a checkpoint holds: names, types, shapes, numbers and texts."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _state(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """The optimiser's part: what it keeps of each parameter, by the parameter's number."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer.").items():
        i, _, slot = name.partition(".")
        state.setdefault(int(i), {})[slot] = value
    return state


def _check_state(state: dict[int, dict[str, Tensor]], optimizer: torch.optim.Optimizer) -> None:
    """Raise `ValueError` unless an Adam over the optimiser's parameters has such a state."""
    parameters = dict(enumerate(p for g in optimizer.param_groups for p in g["params"]))
    for i, slots in state.items():
        if i not in parameters:
            raise ValueError(f"it does not fit: the optimiser has no parameter {i}")
        alike = {slot: torch.ones(()) if slot == "step" else parameters[i] for slot in _SLOTS}
        _check_alike(f"optimiser's parameter {i}", slots, alike)


def _check_alike(what: str, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise `ValueError` unless names, types and shapes are as wanted."""
    if odd := sorted(set(found) ^ set(wanted)):
        there = "has" if odd[0] in found else "lacks"
        raise ValueError(f"it does not fit the {what}: it {there} {odd[0]!r}")
    for name, value in found.items():
        kinds = [f"{v.dtype} of shape {list(v.shape)}" for v in (wanted[name], value)]
        if kinds[0] != kinds[1]:
            raise ValueError(f"it does not fit the {what}: {name} is {kinds[1]}, not {kinds[0]}")


def _load(
    weights: dict[str, Tensor],
    state: dict[int, dict[str, Tensor]],
    watched: str | None,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    monitor: CollapseMonitor | None,
) -> None:
    """Load everything, or nothing and raise `ValueError`.

    Whether a monitor takes a state shows when it is loaded, and that needs the model's weights.
    """
    if monitor and watched is None:
        raise ValueError("it has no trace")
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    before += (monitor.state_dict(),) if monitor else ()
    groups = before[1]["param_groups"]
    now = (weights, {"state": state, "param_groups": groups})
    try:
        _put((*now, json.loads(watched)) if monitor else now, model, optimizer, monitor)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        _put(before, model, optimizer, monitor)
        raise ValueError(f"its trace does not load: {error!r}") from None


def _put(
    states: tuple[Any, ...],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    monitor: CollapseMonitor | None,
) -> None:
    for part, state in zip((model, optimizer, monitor), states, strict=False):
        part.load_state_dict(state)
    _lay_out(optimizer)


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Lay the optimiser's state out in memory as its weights are.

    Files hold contiguous tensors. The fused Adam pairs weights and moments by their places in
    memory, without a look at strides: beside channels-last weights it would mix them up.
    """
    for parameter, slots in optimizer.state.items():
        for name, value in slots.items():
            like = parameter if value.shape == parameter.shape else value
            slots[name] = torch.empty_like(like).copy_(value)  # nor a view of the file


def _part(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
