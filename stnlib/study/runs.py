"""The study: train a configuration, or answer from its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from stnlib.atomic import check_writable, claim, write_whole
from stnlib.data.alter import altered
from stnlib.data.catalogue import load
from stnlib.data.distorted import VIEWS
from stnlib.data.sets import DataSet
from stnlib.models import STN, count_parameters
from stnlib.paths import checkpoint_folder
from stnlib.records import store
from stnlib.records.provenance import provenance, revision
from stnlib.records.studyfile import check_name
from stnlib.records.weights import kept, localisation_weights
from stnlib.study.crashes import keeping_traceback
from stnlib.study.jobs import check_size
from stnlib.training.config import RunConfig
from stnlib.training.device import check_precision, exact_float32, pick_device, resolved
from stnlib.training.evaluation import accuracy_without_own_theta, evaluate
from stnlib.training.fit import fit, stopped
from stnlib.training.loop import make_model

__all__ = ["prepare", "result", "results", "run"]


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
    trace: bool = False,
    progress: bool = True,
) -> Path:
    """Train one configuration and write its record, unless it is there.

    Everything that would stop the record from being written is checked before. One process
    at a time makes a record, and what is recorded is never written again.

    Parameters
    ----------
    config : RunConfig
        Of the training.
    study : str
        That which a new record belongs to.
    folder : Path
        The record becomes ``folder/study/<key>.json``, unless another study there has made it.
    data : DataSet | None
        When it is loaded already.
    checkpoints : Path | None
        Folder for the state after each epoch, which is removed at the end. The traceback of an
        error of the program stays there, as ``<key>.traceback.txt``, until the run succeeds.
    device : torch.device | str
        To train on.
    test : bool
        Evaluate on the test images; False for a search, which must not see them.
    keep_weights : bool
        Store an STN's localisation network beside the record; one that is there without it is made
        again.
    trace : bool
        Store what an STN's transformer did at each step beside the record.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    Path
        Of the record.

    Raises
    ------
    OSError, stnlib.data.sets.DataError, ConfigError
        One line; an interrupted run is resumed by calling again.
    stnlib.atomic.ClaimedError
        When another process is making this record.
    stnlib.records.sealed.RecordError
        When there is one that cannot be trusted.
    """
    check_name(study)
    checkpoints = checkpoints or checkpoint_folder()
    check_writable(folder / study)
    check_writable(checkpoints)
    path = store.place(folder, study, config)
    failed = keeping_traceback(checkpoints / f"{config.key}.traceback.txt")
    with claim(folder / path.name), failed:  # one record of a key, whichever study makes it
        made = path if path.exists() else store.locate(config, [folder])
        path = made or path
        weights = store.weights_path(path) if keep_weights and config.has_transformer else None
        if made:
            store.read(made)
            if not weights or weights.exists():
                return path
        device = torch.device(device)
        data = prepare(config, device, data)
        revision()  # that of the code which trains, not of what lies there at the end
        model = make_model(config, data).to(device, memory_format=torch.channels_last)
        checkpoint = checkpoints / f"{config.key}.pt"
        traced = store.trace_path(path) if trace and config.has_transformer else None
        with exact_float32():
            history = fit(model, data, config, checkpoint, progress, traced)
            final = _judged(model, data, history, config.precision, test)
        if weights:
            write_whole(weights, localisation_weights(model))
        origin = provenance(device, data.fingerprint, resolved(device, config.precision))
        store.write(path.parent.parent, path.parent.name, config, history, final, origin)
        checkpoint.unlink(missing_ok=True)
    return path


def prepare(config: RunConfig, device: torch.device, data: DataSet | None = None) -> DataSet:
    """The data that `config` names, on the device, as its network sees them.

    Raises
    ------
    stnlib.data.sets.DataError, ConfigError
        One line, where data or machine do not allow the run.
    """
    if data is None:
        data = load(config.data, n_train=config.n_train, distortion=config.distortion)
    check_size(config, len(data.train))
    check_precision(config.precision, device)
    data = data.to(device)
    if config.model in VIEWS:
        data = VIEWS[config.model](data, config.output_size)
    return altered(data, config.alter)


def _judged(
    model: nn.Module, data: DataSet, history: list[dict[str, Any]], precision: str, test: bool
) -> dict[str, Any]:
    """What is measured once, at the end, on the images to validate and, with `test`, to test.

    On either an STN's accuracy where images are not seen with their own θ, as `val_permuted`,
    `test_permuted` and so on; what `evaluate` says of the test images; and the accuracy on the
    set's probes.
    """
    splits = {"val": data.val} | ({"test": data.test} if test else {})
    row: dict[str, Any] = {}
    for name, split in splits.items() if isinstance(model, STN) else ():
        found = accuracy_without_own_theta(model, split, precision)
        row |= {f"{name}_{kind}": accuracy for kind, accuracy in found.items()}
    if test:
        found = evaluate(model, data.test, precision)
        row |= {f"test_{name}": value for name, value in found.items()}
        for name, probe in data.probes.items():
            row[f"{name}_accuracy"] = evaluate(model, probe(), precision)["accuracy"]
    row |= {"n_test": len(data.test) if test else 0, "parameters": count_parameters(model)}
    row["seconds"] = sum(epoch["seconds"] for epoch in history)
    return row | ({"stopped": stopped(history)} if stopped(history) else {})


def result(
    config: RunConfig, study: str = "own", progress: bool = True, weights: bool = False
) -> store.Record:
    """The record of a configuration: from disk at once, or trained now, saying so.

    What is trained goes to the reader's own records, an STN's localisation network with it; it
    is trained on a GPU where there is one. With `weights` an STN is trained as well whose record is
    there, but not its localisation network.
    """
    record = store.find(config)
    lacking = weights and config.has_transformer and kept(config) is None
    if record is None or lacking:
        what = "record" if record is None else "weights"
        print(f"no {what} of {config.changed() or 'the default configuration'}: training it")
        folder = store.folders()[-1]
        options = {"keep_weights": True, "progress": progress, "device": pick_device("auto")}
        record = store.read(run(config, study, folder, **options))
    return record


def results(config: RunConfig, n_seeds: int, train: bool = True) -> list[store.Record]:
    """Every record of a configuration, whatever its seed, in the order of seeds.

    Those from 0 to `n_seeds` - 1 that are missing are trained first, unless `train` is False.
    """
    if train:
        for seed in range(n_seeds):
            result(config.replace(seed=seed))
    return store.of_any_seed(config)
