"""The study: train a configuration, or answer from its record."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from stnlib import records
from stnlib.checkpoint import checkpoint_folder, load_checkpoint, save_checkpoint
from stnlib.config import ConfigError, RunConfig
from stnlib.data import VIEWS, DataSet, altered, load
from stnlib.evaluation import evaluate, resolved, thetas
from stnlib.files import check_writable, claim, write_whole
from stnlib.memory import keep_freed_memory
from stnlib.models import STN, build, count_parameters
from stnlib.provenance import provenance
from stnlib.recovery import recover, snapshot
from stnlib.studyfile import configurations, options
from stnlib.train import derive_seed, make_optimizer, train_epoch
from stnlib.weights import localisation_weights, transformer

__all__ = [
    "N_THETAS",
    "checkpoint_folder",
    "configurations",
    "fit",
    "make_model",
    "options",
    "result",
    "results",
    "run",
    "stopped",
    "transformer",
]

N_THETAS = 8  # images whose θ each epoch of a history keeps


def make_model(config: RunConfig, data: DataSet) -> nn.Module:
    """The network that `config` names, for `data`, with the weights that its seed draws."""
    torch.manual_seed(derive_seed(config.seed, "weights"))
    shape = data.channels, data.size[0], len(data.classes)
    return build(config.model, *shape, **config.network)


def fit(
    model: nn.Module,
    data: DataSet,
    config: RunConfig,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Train `model` as `config` says, from its last checkpoint if there is one.

    Returns
    -------
    One row an epoch, an STN's with `thetas` of the first `N_THETAS` validation images; it ends
    early when every output has been black, without any gradient for θ, for a whole epoch
    (nothing can change any more), or when θ or the loss is not finite. A row with
    `recovered` says how things stand after the recovery.
    """
    keep_freed_memory()
    optimizer = make_optimizer(model, config)
    history = load_checkpoint(checkpoint, model, optimizer, config.key) if checkpoint else []
    steps = -(-len(data.train) // config.batch_size)
    with tqdm(
        total=config.epochs * steps,
        initial=len(history) * steps,
        desc=f"{config.data} {config.model} seed {config.seed}",
        unit="step",
        disable=not progress,
        dynamic_ncols=True,
    ) as bar:
        for epoch in range(len(history) + 1, config.epochs + 1):
            if stopped(history):
                break
            before = snapshot(model, optimizer, config)
            row = train_epoch(model, optimizer, data.train, config, epoch, bar.update, history)
            row |= _validated(model, data, config)
            if recover(model, optimizer, config, before, row):
                row |= {"recovered": True} | _validated(model, data, config)
            history.append({"epoch": epoch} | row)
            bar.set_postfix(epoch=epoch, val=f"{row['val_accuracy']:.3f}")
            if checkpoint:
                save_checkpoint(checkpoint, model, optimizer, config.key, history)
    return history


_NAMES = {"loss": "val_loss", "accuracy": "val_accuracy"}


def _validated(model: nn.Module, data: DataSet, config: RunConfig) -> dict[str, Any]:
    row = evaluate(model, data.val, config.precision)
    row = {_NAMES.get(name, name): value for name, value in row.items()}
    if isinstance(model, STN):
        row["thetas"] = thetas(model, data.val, N_THETAS, config.precision)
    return row


def stopped(history: list[dict[str, Any]]) -> str | None:
    """Why a training cannot go on: `black`, `diverged` or None."""
    last = history[-1] if history else {}
    if last.get("black") == 1 and last.get("loc_grad_norm_max") == 0:
        return "black"
    if last and not math.isfinite(last["train_loss"] + last["val_loss"]):
        return "diverged"
    return None


def run(
    config: RunConfig,
    study: str,
    folder: Path,
    *,
    data: DataSet | None = None,
    checkpoints: Path | None = None,
    device: torch.device | str = "cpu",
    test: bool = True,
    keep_weights: bool = False,
    progress: bool = True,
) -> Path:
    """Train one configuration and write its record, unless it is there.

    Everything that would stop the record from being written is checked before. One process
    at a time makes a record, and what is recorded is never written again.

    Parameters
    ----------
    study, folder : the record becomes ``folder/study/<key>.json``.
    data : when it is loaded already.
    checkpoints : folder for the state after each epoch, which is removed at the end.
    test : evaluate on the test images; False for a search, which must not see them.
    keep_weights : store an STN's localisation network beside the record.

    Raises
    ------
    OSError, stnlib.data.DataError, ConfigError
        One line; an interrupted run is resumed by calling again.
    stnlib.files.ClaimedError
        When another process is making this record.
    stnlib.records.RecordError
        When there is one that cannot be trusted.
    """
    checkpoints = checkpoints or checkpoint_folder()
    check_writable(folder / study)
    check_writable(checkpoints)
    path = records.place(folder, study, config)
    with claim(path):
        if path.exists():
            records.read(path)
        else:
            _make(
                path, config, data, checkpoints, torch.device(device), test, keep_weights, progress
            )
    return path


def _make(
    path: Path,
    config: RunConfig,
    data: DataSet | None,
    checkpoints: Path,
    device: torch.device,
    test: bool,
    keep_weights: bool,
    progress: bool,
) -> None:
    """Train and record; for the arguments see `run`."""
    data = (data or load(config.data, n_train=config.n_train)).to(device)
    _check(config, data, device)
    data = VIEWS[config.model](data) if config.model in VIEWS else data
    data = altered(data, config.alter)
    model = make_model(config, data).to(device, memory_format=torch.channels_last)
    checkpoint = checkpoints / f"{config.key}.safetensors"
    history = fit(model, data, config, checkpoint, progress)
    final = _tested(model, data, config.precision) if test else {}
    outcome = final | {
        "n_test": len(data.test) if test else 0,
        "parameters": count_parameters(model),
        "seconds": sum(row["seconds"] for row in history),
    }
    if stopped(history):
        outcome["stopped"] = stopped(history)
    if keep_weights and isinstance(model, STN):
        write_whole(records.weights_path(path), localisation_weights(model))
    origin = provenance(device, data.fingerprint, resolved(device, config.precision))
    records.write(path.parent.parent, path.parent.name, config, history, outcome, origin)
    checkpoint.unlink(missing_ok=True)


def _check(config: RunConfig, data: DataSet, device: torch.device) -> None:
    """What only data and machine can tell: raise `ConfigError` where they do not allow a run."""
    if config.batch_size > len(data.train):
        n = len(data.train)
        raise ConfigError(
            f"batch_size must be at most the {n} training images, not {config.batch_size}"
        )
    if config.precision == "bfloat16" and resolved(device, "auto") != "bfloat16":
        raise ConfigError(
            f"precision must be float32 or auto: {device} does not compute in bfloat16"
        )


def _tested(model: nn.Module, data: DataSet, precision: str) -> dict[str, Any]:
    """What `evaluate` says of the test images, and the accuracy on the set's probes."""
    row = {f"test_{name}": value for name, value in evaluate(model, data.test, precision).items()}
    for name, probe in data.probes.items():
        row[f"{name}_accuracy"] = evaluate(model, probe(), precision)["accuracy"]
    return row


def result(config: RunConfig, study: str = "own", progress: bool = True) -> records.Record:
    """The record of a configuration: from disk at once, or trained now, saying so.

    What is trained goes to the reader's own records, an STN's localisation network with it.
    """
    record = records.find(config)
    if record is None:
        print(f"no record of {config.changed() or 'the default configuration'}: training it")
        folder = records.folders()[-1]
        record = records.read(run(config, study, folder, keep_weights=True, progress=progress))
    return record


def results(config: RunConfig, n_seeds: int, train: bool = True) -> list[records.Record]:
    """Every record of a configuration, whatever its seed, in the order of seeds.

    Parameters
    ----------
    n_seeds : seeds from 0 that are wanted.
    train : make what is missing of them; otherwise take what is there.
    """
    if train:
        for seed in range(n_seeds):
            result(config.replace(seed=seed))
    return records.of_any_seed(config)
