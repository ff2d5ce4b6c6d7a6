"""A queue of studies on one machine: many runs at a time, a limit of time, and an archive.

    python -m stnlib.queue STUDY.toml ... --records FOLDER [--minutes 9] [--pack FOLDER]

Trains the runs of study files that have no record yet, file after file, seeds slowest within each:
name the most valuable first. Needs torch, numpy, pandas, tqdm, safetensors and filelock, and the
data in STNLIB_DATA. Each run is that of `stn run`, and so is its record.

A run has a process of its own, on one thread or sharing the GPU. At the limit what is unfinished
ends; its checkpoint stays, and the same command goes on. `--pack` puts the records that were made
into archives of less than 16 MiB, whole records each: `tar xf` in the folder of records takes them
over.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from stnlib import records, studyfile
from stnlib.config import ConfigError, RunConfig
from stnlib.errors import StnlibError
from stnlib.files import check_writable

__all__ = ["Made", "Run", "main", "pack", "pending", "work_off"]

PART = 16 * 2**20 - 2**16  # bytes of an archive, at most: a little less than 16 MiB


class Run(NamedTuple):
    """One run to make: its study, its configuration, and what the study asks of it."""

    study: str
    config: RunConfig
    options: dict[str, Any]


class Made(NamedTuple):
    """What came of a queue: the records made, a line a failed run, the number left undone."""

    paths: list[Path]
    failures: dict[str, str]
    left: int


def pending(files: Sequence[Path], where: Sequence[Path]) -> list[Run]:
    """The runs of study files that no study has recorded in the folders `where`, each once.

    Raises
    ------
    ConfigError
        One line, before any work, when any of the files is wrong, or names no run.
    """
    runs: dict[str, Run] = {}
    recorded = {path.stem for path in records.paths(where=where)}
    for file in files:
        if studyfile.forks(file):
            raise ConfigError(f"{file} asks for forks: stn forks makes them")
        options = studyfile.options(file)
        for config in studyfile.configurations(file):
            if config.key not in recorded:
                runs.setdefault(config.key, Run(file.stem, config, options))
    return list(runs.values())


def work_off(
    runs: Iterable[Run],
    folder: Path,
    checkpoints: Path | None = None,
    *,
    at_once: int | None = None,
    minutes: float | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Made:
    """Make runs, in their order, until all are recorded or the time is over.

    Parameters
    ----------
    folder, checkpoints : as for `stnlib.study.run`.
    at_once : runs that are made at a time, each in a process of its own; by default one a core
        of a machine without a GPU, else as many as `gpu_holds`.
    minutes : after which what is unfinished ends; None for no limit.
    device : auto, cpu, cuda or cuda:N.
    """
    waiting = collections.deque(runs)
    limit = None if minutes is None else time.monotonic() + 60 * minutes
    places = str(folder.absolute()), None if checkpoints is None else str(checkpoints.absolute())
    made: list[Path] = []
    failures: dict[str, str] = {}
    n = min(at_once or _at_once(device), len(waiting))
    bar = tqdm(
        total=len(waiting),
        unit="run",
        smoothing=0,  # runs end in bursts, as many as are made at a time
        mininterval=1 if sys.stderr.isatty() else 60,  # a log file gets a line a minute
        disable=not progress,
        dynamic_ncols=True,
    )
    with bar, _shared_gpu():
        crew = _Crew(n, (*places, device))
        try:
            while (waiting or crew.busy) and (limit is None or time.monotonic() < limit):
                crew.give(waiting)
                for run, said in crew.ended(seconds=1.0):
                    if said.state == "claimed":  # another process makes it; or dies, and we do
                        waiting.append(run)
                        continue
                    if said.state == "recorded":
                        made.append(Path(said.words))
                    else:
                        failures[f"{run.study}/{run.config.key}"] = said.words
                    bar.set_postfix_str(f"{len(failures)} failed", refresh=False)
                    bar.update()
                bar.update(0)
        finally:
            left = len(waiting) + crew.busy
            crew.dismiss()
    return Made(made, failures, left)


class _Said(NamedTuple):
    """What a process says of a run: `recorded` and where, `claimed`, or `failed` and why."""

    state: str
    words: str


class _Crew:
    """Processes that make a run each, given to them by a pipe; one that dies is replaced."""

    def __init__(self, size: int, places: tuple[str, str | None, str]) -> None:
        self._context = get_context("spawn")
        self._places = places
        self._idle = [self._hired() for _ in range(size)]
        self._busy: list[tuple[Any, Any, Run]] = []

    @property
    def busy(self) -> int:
        return len(self._busy)

    def _hired(self) -> tuple[Any, Any]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, *self._places), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def give(self, waiting: collections.deque[Run]) -> None:
        """Give every idle process its next run."""
        while self._idle and waiting:
            process, pipe = self._idle.pop()
            run = waiting.popleft()
            pipe.send(run)
            self._busy.append((process, pipe, run))

    def ended(self, seconds: float) -> list[tuple[Run, _Said]]:
        """The runs that ended, waiting up to so many seconds for one."""
        found = []
        ready = wait([pipe for _, pipe, _ in self._busy], timeout=seconds)
        for process, pipe, run in [entry for entry in self._busy if entry[1] in ready]:
            self._busy.remove((process, pipe, run))
            try:
                said = pipe.recv()
            except EOFError:  # killed from outside, by want of memory for instance
                process.join()
                said = _Said("failed", f"its process ended with status {process.exitcode}")
                process, pipe = self._hired()
            self._idle.append((process, pipe))
            found.append((run, said))
        return found

    def dismiss(self) -> None:
        """End all processes; a run that is being made stays as its last checkpoint left it."""
        everyone = self._idle + [entry[:2] for entry in self._busy]
        for process, _ in everyone:
            process.terminate()
        for process, pipe in everyone:
            process.join()
            pipe.close()


def _serve(pipe: Any, folder: str, checkpoints: str | None, device: str) -> None:
    """What a process of the crew does: make the runs that it is given, one after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to it as well
    import torch

    from stnlib import study
    from stnlib.data import load
    from stnlib.evaluation import pick_device
    from stnlib.files import ClaimedError

    torch.set_num_threads(1)
    data = functools.lru_cache(maxsize=2)(load)
    places = {"folder": Path(folder), "checkpoints": Path(checkpoints) if checkpoints else None}
    while True:
        try:
            run = pipe.recv()
        except EOFError:
            return
        config = run.config
        try:
            images = data(config.data, n_train=config.n_train, distortion=config.distortion)
            options = places | run.options | {"data": images, "device": pick_device(device)}
            path = study.run(config, run.study, progress=False, **options)
            pipe.send(_Said("recorded", str(path)))
        except ClaimedError as error:
            time.sleep(1)  # not to ask again at once, where nothing else is left to do
            pipe.send(_Said("claimed", str(error)))
        except (StnlibError, OSError) as error:
            pipe.send(_Said("failed", str(error)))
        except Exception as error:
            traceback.print_exc()
            pipe.send(_Said("failed", f"{type(error).__name__}: {error}"))


def _at_once(device: str) -> int:
    import torch

    from stnlib.evaluation import pick_device

    if pick_device(device).type == "cpu":
        return os.cpu_count() or 1
    return gpu_holds(torch.cuda.mem_get_info()[1], os.cpu_count() or 1)


@contextlib.contextmanager
def _shared_gpu() -> Iterator[None]:
    """Let processes compute on a GPU side by side, by NVIDIA's MPS, where it is installed.

    Without it their kernels take turns.
    """
    control = shutil.which("nvidia-cuda-mps-control")
    started = control and subprocess.run([control, "-d"], capture_output=True).returncode == 0
    try:
        yield
    finally:
        if started:  # not one that was there before
            subprocess.run([control], input=b"quit\n", capture_output=True, timeout=30)


def gpu_holds(memory: int, cores: int) -> int:
    """Runs that share a GPU of so many bytes: 4 GiB each, and a core of the host's each."""
    return max(1, min(cores, memory // 2**32))


def pack(paths: Sequence[Path], folder: Path, into: Path) -> list[Path]:
    """Put records, with the traces and weights beside them, into archives below 16 MiB.

    Parameters
    ----------
    paths : of records in `folder`; names in the archives are relative to it.
    into : folder of the archives, ``records-1.tar.gz`` and so on.

    Raises
    ------
    OSError
        Where one record by itself is too large, or the folder cannot be written to.
    """
    parts: list[list[Path]] = []
    room = 0
    for path in paths:
        group = [path, records.trace_path(path), records.weights_path(path)]
        group = [member for member in group if member.exists()]
        needs = sum(member.stat().st_size + 1024 for member in group)  # unpacked, with headers
        if needs > PART:
            raise OSError(f"{path} and what belongs to it have {needs} bytes, more than {PART}")
        if needs > room:
            parts.append([])
            room = PART
        parts[-1] += group
        room -= needs
    into.mkdir(parents=True, exist_ok=True)
    names = [into / f"records-{number}.tar.gz" for number in range(1, len(parts) + 1)]
    return [_archived(part, folder, name) for part, name in zip(parts, names, strict=True)]


def _archived(paths: list[Path], folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as file:
        for path in paths:
            file.add(path, path.relative_to(folder))
    return archive


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 1 where a run failed, 2 for wrong arguments."""
    parser = argparse.ArgumentParser("python -m stnlib.queue", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="study files, the most valuable first")
    parser.add_argument("--records", type=Path, help="folder of records; default: your own")
    parser.add_argument("--checkpoints", type=Path, help="of unfinished runs; default: the cache")
    parser.add_argument("--minutes", type=_positive, help="limit of time; default: none")
    parser.add_argument("--at-once", type=_whole, help="runs at a time; default: what fits")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--pack", type=Path, help="folder of archives of the records made")
    given = parser.parse_args(arguments)
    folder = (given.records or records.folders()[-1]).expanduser().absolute()
    try:
        where = [folder] if given.records else records.folders()
        runs = pending(given.files, where)
        check_writable(folder)
        made = work_off(
            runs,
            folder,
            given.checkpoints,
            at_once=given.at_once,
            minutes=given.minutes,
            device=given.device,
        )
        parts = pack(made.paths, folder, given.pack) if given.pack else []
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the last epochs", file=sys.stderr)
        return 130
    except (StnlibError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, reason in made.failures.items():
        print(f"failed: {name} {reason}", file=sys.stderr)
    for part in parts:
        print(part)
    rest = f"{made.left} left, {len(made.failures)} failed"
    print(f"{len(made.paths)} runs recorded in {folder}, {rest}")
    return 1 if made.failures else 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
