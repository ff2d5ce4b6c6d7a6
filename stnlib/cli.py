"""The command `stn`: data, single runs, records, and a look at the machine.

torch, pandas and Dask take seconds to import: each command imports what it needs, when it needs it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stnlib import paths
from stnlib.atomic import check_writable
from stnlib.book.commands import COMMANDS
from stnlib.data import sources
from stnlib.errors import ConfigError, StnlibError
from stnlib.records import store, studyfile
from stnlib.study import jobs, machine
from stnlib.training.config import RunConfig, explained
from stnlib.training.settings import parse_settings

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Tells what a user can cause in one line, with exit status 2; the rest has its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # who reads our output has had enough
            raise
        except (StnlibError, OSError) as error:
            typer.echo(f"error: {_line(error)}", err=True)
            raise typer.Exit(2) from None


def _line(error: BaseException) -> str:
    """One line, of bearable length, whatever a path or a value is like."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    return _short(text)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 1000 else f"{text[:600]} … {text[-300:]}"


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # and no half a second for its import
    help="Spatial transformer networks: the experiments of the book, and yours.",
)

_Records = Annotated[
    str | None,
    typer.Option(
        "--records",
        metavar="FOLDER",
        help="Folder of records; default: your own, and the book's to look for what is made.",
    ),
]
_Checkpoints = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Folder of unfinished runs; default: the cache")
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"stnlib {importlib.metadata.version('stnlib')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None: ...


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    """End at Ctrl-C as commands do that go on when they are called again."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted: the same command goes on where it was", err=True)
        raise typer.Exit(130) from None


def _folder(name: str | None) -> Path | None:
    return None if name is None else paths.expanded(name)


@app.command("data")
def fetch_data(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets to fetch.")] = None,
) -> None:
    """List the data sets and where they lie, or fetch those that are named.

    CIFAR-10 may lie in the data folder in any form: the archive, the same unpacked
    (cifar-10-batches-py), the binary version unpacked (cifar-10-batches-bin), or an image folder,
    train/CLASS/ and test/CLASS/, there or in cifar10.
    """
    known = [source.name for source in sources.available()]
    for name in names or []:
        if name not in known:
            raise ConfigError(f"data must be one of {', '.join(known)}, not {name!r}")
    for name in names or []:
        from stnlib.data import catalogue

        catalogue.fetch(name)
    for source in sources.available():
        hint = "" if source.here or source.name != "c10" else _FORMS
        here = "here   " if source.here else "missing"
        typer.echo(f"{source.name:9} {here}  {source.where}{hint}")


_FORMS = f" (or {sources.BINARY}, or an image folder cifar10/train/CLASS/, cifar10/test/CLASS/)"


def _fields() -> str:
    """The settings of `stn run`, for its help."""
    lines = []
    for name, default, meaning, allowed in explained():
        lines += [f"{name}={str(default).lower()}", f"    {meaning}", f"    {allowed}"]
    return "\n".join(lines)


_RUN_HELP = f"""Train one configuration and record it; what is recorded is shown, not trained again.

Interrupted, the same command goes on from the last finished epoch.

\b
SETTINGS, with their defaults:
{_fields()}
"""


@app.command(help=_RUN_HELP)
@_resumable()
def run(
    settings: Annotated[
        list[str] | None,
        typer.Argument(help="Fields of the configuration, such as model=stn lr=1e-4 seed=3."),
    ] = None,
    study_name: Annotated[
        str | None,
        typer.Option(
            "--study",
            metavar="NAME",
            help="The study that a new record belongs to, a folder in that of the records; "
            "default: own.",
        ),
    ] = None,
    folder: _Records = None,
    checkpoints: _Checkpoints = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Threads on the CPU.", min=1, max=1024)
    ] = None,
    keep_weights: Annotated[bool, typer.Option(help="Store the localisation network.")] = False,
) -> None:
    """Show the record of a configuration, which is trained first where there is none."""
    config = RunConfig.from_dict(parse_settings(settings or []))
    name = "own" if study_name is None else study_name
    studyfile.check_name(name)
    place, unfinished = _folder(folder), _folder(checkpoints)
    path = store.locate(config, [place] if place else None)
    if path:
        record = store.read(path)
        kept = not keep_weights or store.weights_path(path).exists()
        if study_name not in (None, record.study) or not kept:
            typer.echo(f"recorded already, and not made again: {path}", err=True)
    else:
        jobs.check_size(config)
        import torch

        from stnlib.study import runs
        from stnlib.training.device import pick_device
        from stnlib.training.malloc import keep_freed_memory

        if threads:
            torch.set_num_threads(threads)
        keep_freed_memory()
        where = {"folder": place or paths.own_records(), "checkpoints": unfinished}
        how = {"device": pick_device(device), "keep_weights": keep_weights}
        path = runs.run(config, name, **where, **how)
        typer.echo(path)
        record = store.read(path)
    typer.echo(f"{config.key}  {_outcome(record)}")


def _outcome(record: store.Record) -> str:
    outcome = record.result
    if not outcome["n_test"]:  # recorded by a search, which must not see the test images
        return f"validation accuracy {record.last['val_accuracy']:.4f}, never tested"
    text = f"test accuracy {outcome['test_accuracy']:.4f} (n={outcome['n_test']})"
    return f"{text}, stopped: {outcome['stopped']}" if "stopped" in outcome else text


@app.command("sweep")
@_resumable()
def run_studies(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES...", help="Study files, book/studies/*.toml.")
    ],
    folder: _Records = None,
    checkpoints: _Checkpoints = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Dask scheduler; default: this machine."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Workers here; default: one a core, or a GPU.", min=1, max=1024),
    ] = None,
    per_gpu: Annotated[
        int, typer.Option(help="Workers that share each GPU here.", min=1, max=64)
    ] = 1,
) -> None:
    """Make every run of study files that no study has a record of, over a Dask cluster.

    Interrupted, the same command goes on where it was.
    """
    named, unfinished = _folder(folder), _folder(checkpoints) or paths.checkpoint_folder()
    wanted = jobs.jobs_of([paths.expanded(file) for file in files])
    where = [named] if named else store.folders()
    pending, failures = jobs.without_record(wanted, where)
    if pending:
        place = where[-1]
        check_writable(place)
        check_writable(unfinished)
        jobs.check(pending, here=scheduler is None)
        if len(pending) == 1 and scheduler is None:
            from stnlib.study import work  # no cluster for a single run

            failures |= work.make_patiently(pending[0], place, unfinished)
        else:
            from stnlib.study import cluster, sweep

            with cluster.connect(scheduler, workers, per_gpu) as client:
                failures |= sweep.sweep(pending, place, client, unfinished)
    for name, reason in failures.items():
        typer.echo(f"failed: {name} {reason}", err=True)
    typer.echo(
        f"{len(wanted) - len(failures)} of {len(wanted)} runs are recorded in "
        f"{' and '.join(map(str, where))}"
    )
    if failures:
        raise typer.Exit(1)


for _name, _command in COMMANDS.items():
    app.command(_name)(_resumable()(_command))


@app.command("records")
def table(
    study_name: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="One study; default: all.")
    ] = None,
    folder: Annotated[
        str | None,
        typer.Option(
            "--records", metavar="FOLDER", help="Folder of records; default: the book's and yours."
        ),
    ] = None,
) -> None:
    """Write the records as one tidy table, CSV, to standard output."""
    named = _folder(folder)
    where = [named] if named else store.folders()
    known = _studies(where)
    if not known:
        raise ConfigError(f"there are no records in {' and '.join(map(str, where))}")
    if study_name is not None and study_name not in known:
        raise ConfigError(f"there is no study {study_name!r}: there are {', '.join(known)}")
    found, bad = store.read_each(study_name, where)
    if not found and not bad:
        raise ConfigError(f"the study {study_name!r} has no records yet")
    if found:
        from stnlib.records.tables import table

        table(found).to_csv(sys.stdout, index=False)
    for line in bad:
        typer.echo(f"skipped: {_short(line)}", err=True)
    if bad:
        raise typer.Exit(1)


def _studies(where: list[Path]) -> list[str]:
    """The names of the studies that have records in the folders, or a file beside the first."""
    made = {path.parent.name for folder in where for path in folder.glob("*/*.json")}
    return sorted(made | {path.stem for path in where[0].parent.glob("studies/*.toml") if made})


@app.command()
def doctor() -> None:
    """Say what this installation can do, and what is wrong with it."""
    problems = []
    for name in ("stnlib", "torch", "torchvision", "numpy"):
        typer.echo(f"{name:12} {importlib.metadata.version(name)}")
    typer.echo(f"{'device':12} {_device()}")
    for source in sources.available():
        typer.echo(f"{source.name:12} {'here' if source.here else 'missing'}: {source.where}")
    places = {"data": paths.data_dir(), "checkpoints": paths.checkpoint_folder()}
    places |= {"own records": paths.own_records()}
    for name, place in places.items():
        typer.echo(f"{name:12} {place}")
        try:
            check_writable(place)
        except OSError as error:
            problems.append(_line(error))
    unfinished = list(places["checkpoints"].glob("*.pt"))
    typer.echo(f"{'unfinished':12} {len(unfinished)} runs")
    count, bad = 0, []
    for folder in store.folders():  # the book's were checked when they were published
        readable, unreadable = store.examine([folder], values=folder == store.folders()[-1])
        count, bad = count + readable, bad + unreadable
    typer.echo(f"{'records':12} {count} readable")
    for problem in problems + bad:
        typer.echo(f"problem: {_short(problem)}", err=True)
    if problems or bad:
        raise typer.Exit(1)


def _device() -> str:
    """What there is to compute with, without a question to torch, which takes seconds."""
    gpus = machine.gpu_files()
    return f"cpu, {os.cpu_count()} cores; " + (f"GPUs: {', '.join(gpus)}" if gpus else "no GPU")


def main() -> None:
    """Run the command; names that are no text, as Unix allows them, are printed as they came."""
    sys.stdout.reconfigure(errors="surrogateescape")
    app()
