"""The runs that study files ask for, and all that can be known of them before any is made.

Nothing here imports torch or Dask, which take seconds: with nothing left to do there is no wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stnlib.data import sources
from stnlib.errors import ConfigError
from stnlib.records import sealed, store, studyfile
from stnlib.training.config import RunConfig

__all__ = ["Job", "JobState", "check", "check_size", "jobs_of", "without_record"]


@dataclass(frozen=True)
class Job:
    """One run to make: its study, its configuration, and what the study asks of it."""

    study: str
    config: RunConfig
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return f"{self.study}/{self.config.key}"


@dataclass(frozen=True)
class JobState:
    """What became of a job: `recorded`, `claimed`, `lacks data` or `failed`, and why."""

    state: str
    reason: str | None = None
    host: str = ""


def jobs_of(paths: Sequence[Path]) -> list[Job]:
    """The runs of study files, file after file, seeds slowest within each.

    A configuration that several name is one run, in the first one's study; it is tested, and its
    weights and trace are kept, where any of them asks for it.

    Raises
    ------
    ConfigError
        One line, before any work, when any of the files is wrong, or asks for branches.
    """
    found: dict[str, Job] = {}
    for path in paths:
        if studyfile.branches(path):
            raise ConfigError(f"{path} asks for branches: stn branches makes them")
        studyfile.check_name(path.stem)
        options = studyfile.options(path)
        for config in studyfile.configurations(path):
            job = Job(path.stem, config, tuple(options.items()))
            known = found.get(config.key)
            found[config.key] = _joined(known, options) if known else job
    return list(found.values())


def _joined(job: Job, options: dict[str, bool]) -> Job:
    """A job that does what another asks for as well."""
    own, usual = dict(job.options), {"test": True, "keep_weights": False, "trace": False}
    both = {name: own.get(name, v) or options.get(name, v) for name, v in usual.items()}
    named = own | options
    return Job(job.study, job.config, tuple((n, v) for n, v in both.items() if n in named))


def without_record(jobs: Iterable[Job], where: Iterable[Path]) -> tuple[list[Job], dict[str, str]]:
    """The jobs that no study in the folders `where` has a record of.

    And a line for each job whose record cannot be trusted, by its name.
    """
    places = {path.stem: path for path in store.paths(where=where)}
    pending, failures = [], {}
    for job in jobs:
        if job.config.key not in places:
            pending.append(job)
            continue
        try:
            store.read(places[job.config.key])
        except sealed.RecordError as error:
            failures[job.name] = str(error)
    return pending, failures


def check_size(config: RunConfig, n: int | None = None) -> None:
    """Raise `ConfigError` for a run that has not the images for it.

    There are `n` to train on; by default what is known without loading them, if anything.
    """
    n = sources.n_train(config.data) if n is None else n
    if n is None:
        return
    if (config.n_train or 1) > n:
        raise ConfigError(f"n_train must be a whole number from 1 to {n}, not {config.n_train}")
    if config.batch_size > (config.n_train or n):
        raise ConfigError(
            f"batch_size must be at most the {config.n_train or n} training images, "
            f"not {config.batch_size}"
        )
    if config.model == "crop" and (config.output_size or 0) > config.side:
        raise ConfigError(
            f"output_size must be at most the canvas's {config.side} pixels for a crop, "
            f"not {config.output_size}"
        )


def check(jobs: Sequence[Job], here: bool) -> None:
    """Find out what stops any of the jobs, before the first one is begun.

    Made `here`, on this machine, they need its data, too: what is missing is fetched.

    Raises
    ------
    ConfigError, stnlib.data.sets.DataError
        One line that names the run.
    """
    _check_each(jobs, lambda config: check_size(config))
    if here:
        sizes = {name: _n_train(name) for name in {job.config.data for job in jobs}}
        _check_each(jobs, lambda config: check_size(config, sizes[config.data]))
    if here and any(job.config.precision == "bfloat16" for job in jobs):
        from stnlib.training.device import check_precision, pick_device

        device = pick_device("auto")
        _check_each(jobs, lambda config: check_precision(config.precision, device))


def _check_each(jobs: Iterable[Job], check: Callable[[RunConfig], None]) -> None:
    for job in jobs:
        try:
            check(job.config)
        except ConfigError as error:
            raise ConfigError(f"{job.name}: {error}") from None


def _n_train(name: str) -> int:
    """The number of training images, once they are here."""
    present = {source.name: source.here for source in sources.available()}
    known = sources.n_train(name)
    if present[name] and known:
        return known
    from stnlib.data import catalogue

    return len(catalogue.load(name).train)
