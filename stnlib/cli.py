"""The command `stn`: data, single runs, records, and a look at the machine."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from stnlib import data, records, study
from stnlib.config import ConfigError, RunConfig, defaults
from stnlib.evaluation import pick_device
from stnlib.files import ClaimedError, check_writable
from stnlib.memory import keep_freed_memory

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Spatial transformer networks: the experiments of the book, and yours.",
)


_EXPECTED = (ConfigError, data.DataError, records.RecordError, ClaimedError, OSError, ValueError)

_Records = Annotated[
    Path | None, typer.Option("--records", help="Folder of records; default: your own.")
]
_Checkpoints = Annotated[
    Path | None, typer.Option(help="Folder of unfinished runs; default: the cache.")
]


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except _EXPECTED as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


@app.command("data")
def fetch_data(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets to fetch.")] = None,
) -> None:
    """List the data sets and where they lie, or fetch those that are named."""
    with _one_line_errors():
        for name in names or []:
            data.fetch(name)
        for source in data.available():
            typer.echo(f"{source.name:9} {'here   ' if source.here else 'missing'}  {source.where}")


@app.command()
def run(
    settings: Annotated[
        list[str] | None,
        typer.Argument(help="Fields of the configuration, such as model=stn lr=1e-4 seed=3."),
    ] = None,
    study_name: Annotated[str, typer.Option("--study", help="Record it as part of.")] = "own",
    folder: _Records = None,
    checkpoints: _Checkpoints = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads on the CPU.", min=1)] = None,
    keep_weights: Annotated[bool, typer.Option(help="Store the localisation network.")] = False,
) -> None:
    """Train one configuration and record it; what is recorded is shown, not trained again.

    Interrupted, the same command goes on from the last finished epoch.
    """
    with _one_line_errors():
        config = RunConfig.from_dict(parse_settings(settings or []))
        record = records.find(config, [folder] if folder else None)
        if record is None:
            if threads:
                torch.set_num_threads(threads)
            keep_freed_memory()
            try:
                path = study.run(
                    config,
                    study_name,
                    folder or records.folders()[-1],
                    checkpoints=checkpoints,
                    device=pick_device(device),
                    keep_weights=keep_weights,
                )
            except KeyboardInterrupt:
                typer.echo("interrupted: the same command goes on from the last epoch", err=True)
                raise typer.Exit(130) from None
            typer.echo(path)
            record = records.read(path)
    typer.echo(f"{config.key}  {_outcome(record)}")


def _outcome(record: records.Record) -> str:
    outcome = record["result"]
    if not outcome["n_test"]:  # recorded by a search, which must not see the test images
        return f"validation accuracy {record['history'][-1]['val_accuracy']:.4f}, never tested"
    text = f"test accuracy {outcome['test_accuracy']:.4f} (n={outcome['n_test']})"
    return f"{text}, stopped: {outcome['stopped']}" if "stopped" in outcome else text


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """``["lr=1e-4", "model=stn"]`` as names and values of their evident types."""
    values = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in defaults():
            known = ", ".join(defaults())
            raise ConfigError(f"{setting!r} is no setting: write NAME=VALUE with one of {known}")
        values[name] = _value(text)
    return values


def _value(text: str) -> Any:
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


@app.command("sweep")
def run_studies(
    files: Annotated[list[Path], typer.Argument(help="Study files, book/studies/*.toml.")],
    folder: _Records = None,
    checkpoints: _Checkpoints = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler; default: this machine.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Workers here; default: one a core, or a GPU.", min=1)
    ] = None,
    per_gpu: Annotated[int, typer.Option(help="Workers that share each GPU here.", min=1)] = 1,
) -> None:
    """Make every run of study files that has no record yet, over a Dask cluster.

    Interrupted, the same command goes on where it was.
    """
    from stnlib import cluster, sweep  # Dask takes a second to import, for this command alone

    with _one_line_errors():
        jobs = sweep.jobs_of(files)
        place = folder or records.folders()[-1]
        check_writable(place)
        try:
            with cluster.connect(scheduler, workers, per_gpu) as client:
                failures = sweep.sweep(jobs, place, client, checkpoints)
        except KeyboardInterrupt:
            typer.echo("interrupted: the same command goes on from the last epochs", err=True)
            raise typer.Exit(130) from None
    for name, reason in failures.items():
        typer.echo(f"failed: {name} {reason}", err=True)
    typer.echo(f"{len(jobs) - len(failures)} of {len(jobs)} runs are recorded in {place}")
    if failures:
        raise typer.Exit(1)


@app.command("forks")
def make_forks(
    file: Annotated[Path, typer.Argument(help="A study file with a table `forks`.")],
    folder: Annotated[
        Path | None, typer.Option(help="Folder of observations; default: your own.")
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Folder of unfinished runs, to begin after their epochs.")
    ] = None,
) -> None:
    """Take trainings that die back to before their death, and on again with one thing changed.

    Interrupted, the same command goes on with the forks that are missing.
    """
    from stnlib import forks, observations, studyfile

    with _one_line_errors():
        plan = forks.check_plan(studyfile.forks(file))
        place = folder or observations.folders()[-1]
        check_writable(place)
        for config in study.configurations(file):
            typer.echo(forks.run(config, plan, place, file.stem, checkpoints))


@app.command("records")
def table(
    study_name: Annotated[str, typer.Argument(help="One study; default: all.")] = "*",
) -> None:
    """Write the records as one tidy table, CSV, to standard output."""
    with _one_line_errors():
        records.table(records.read_all(study_name)).to_csv(sys.stdout, index=False)


@app.command()
def doctor() -> None:
    """Say what this installation can do, and what is wrong with it."""
    problems = []
    for name in ("stnlib", "torch", "torchvision", "numpy"):
        typer.echo(f"{name:12} {importlib.metadata.version(name)}")
    typer.echo(f"{'device':12} {pick_device('auto')}, {torch.get_num_threads()} threads")
    for source in data.available():
        typer.echo(f"{source.name:12} {'here' if source.here else 'missing'}: {source.where}")
    places = {"data": data.data_dir(), "checkpoints": study.checkpoint_folder()}
    places |= {"own records": records.folders()[-1]}
    for name, place in places.items():
        typer.echo(f"{name:12} {place}")
        try:
            check_writable(place)
        except OSError as error:
            problems.append(str(error))
    unfinished = list(study.checkpoint_folder().glob("*.safetensors"))
    typer.echo(f"{'unfinished':12} {len(unfinished)} runs")
    count, bad = records.examine()
    typer.echo(f"{'records':12} {count} readable")
    for problem in problems + bad:
        typer.echo(f"problem: {problem}", err=True)
    if problems or bad:
        raise typer.Exit(1)


def main() -> None:
    app()
