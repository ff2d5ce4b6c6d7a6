"""The commands of `stn` that are about the book: its observations, and whether it is true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stnlib.atomic import check_writable
from stnlib.errors import ConfigError
from stnlib.paths import expanded
from stnlib.records import observations, studyfile
from stnlib.study import jobs

__all__ = ["COMMANDS"]

_Folder = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Folder of observations; default: your own."),
]


def make_branches(
    file: Annotated[str, typer.Argument(help="A study file with a plan for branches, [forks].")],
    folder: _Folder = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Folder of unfinished runs, to begin after their epochs."
        ),
    ] = None,
) -> None:
    """Take trainings that die back to before their death, and on again with one thing changed.

    Interrupted, the same command goes on with the branches that are missing.
    """
    path = expanded(file)
    unfinished = None if checkpoints is None else expanded(checkpoints)
    studyfile.check_name(path.stem)
    configs, table = studyfile.configurations(path), studyfile.branches(path)
    for config in configs:
        if not config.has_transformer:
            raise ConfigError(f"{path}: branches need a transformer, which {config.model} has not")
        jobs.check_size(config)
    from stnlib.book.autopsy import branches

    plan = branches.check_plan(table)
    place = _place(folder)
    for config in configs:
        typer.echo(branches.run(config, plan, place, path.stem, unfinished))


def record_third_party(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATA]...", help="Images to train on: mnist, fashion, optical; default: all."
        ),
    ] = None,
    folder: _Folder = None,
    seeds: Annotated[
        int, typer.Option(help="Trainings of each network at each rate.", min=1, max=1024)
    ] = 10,
) -> None:
    """Train transformers as other people write them until they fail, with the monitor watching.

    Interrupted, the same command goes on with the trainings that are missing.
    """
    from stnlib.book.third_party import images, recording
    from stnlib.data.sets import DataError
    from stnlib.progress import bar

    for name in names or []:
        if name not in images.DATA:
            raise ConfigError(f"data must be one of {', '.join(images.DATA)}, not {name!r}")
    place, skipped = _place(folder), False
    for name in names or images.DATA:
        try:
            todo = recording.plan(name, seeds)
            for what in bar(iterable=todo, desc=name, unit="run"):
                recording.record(what, place)
            typer.echo(f"{name}: {len(todo)} trainings are recorded in {place}")
        except DataError as error:
            typer.echo(f"skipped: {error}", err=True)
            skipped = True
    if skipped:
        raise typer.Exit(1)


def verify(
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="Make one cheap training of each study of digits again, too; half an hour.",
        ),
    ] = False,
) -> None:
    """Compute all that the book claims anew from its records, and print a certificate.

    The hashes of records, traces, weights and observations are compared with the manifest, and
    every number and verdict with what is published. Exit status 1 with the names of what failed.
    """
    from stnlib.book.verify import certificate

    text, failed = certificate(retrain)
    typer.echo(text)
    for line in failed:
        typer.echo(f"failed: {line}", err=True)
    if failed:
        raise typer.Exit(1)


COMMANDS = {"branches": make_branches, "third-party": record_third_party, "verify": verify}


def _place(folder: str | None) -> Path:
    place = observations.folders()[-1] if folder is None else expanded(folder)
    check_writable(place)
    return place
