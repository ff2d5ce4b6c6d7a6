"""Checkpoints: a training's whole state in one safetensors file, without pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from stnlib.config import RunConfig
from stnlib.data import DataSet
from stnlib.diagnostics import CollapseMonitor
from stnlib.files import write_whole
from stnlib.paths import checkpoint_folder

__all__ = ["checkpoint_folder", "load_checkpoint", "run_key", "save_checkpoint"]


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
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    metadata = {"key": key, "history": json.dumps(history)}
    if monitor:
        metadata["monitor"] = json.dumps(monitor.state_dict())
    write_whole(path, safetensors.torch.save(tensors, metadata))


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    key: str,
    monitor: CollapseMonitor | None = None,
) -> list[dict[str, Any]]:
    """Restore model, optimiser and monitor in place and return the history so far.

    Returns an empty history, and changes nothing, when there is no file, it is damaged,
    it belongs to another configuration or other data, or it lacks the trace for `monitor`,
    which must have all steps: the run then begins anew.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return []
    if metadata.get("key") != key or (monitor and "monitor" not in metadata):
        return []
    model.load_state_dict(_part(tensors, "model."))
    state: dict[int, dict[str, Any]] = {}
    for name, value in _part(tensors, "optimizer.").items():
        i, _, slot = name.partition(".")
        state.setdefault(int(i), {})[slot] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    _lay_out(optimizer)
    if monitor:
        monitor.load_state_dict(json.loads(metadata["monitor"]))
    return json.loads(metadata["history"])


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
