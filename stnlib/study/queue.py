"""A queue of studies on one machine: many runs at a time, a limit of time, and an archive.

    python -m stnlib.study.queue STUDY.toml ... --records FOLDER [--minutes 9] [--pack FOLDER]

Trains the runs of study files that have no record yet, file after file, seeds slowest within each:
name the most valuable first. Needs torch, numpy, pandas, tqdm, safetensors and filelock, for the
classifiers resnet and vit torchvision, and the data in STNLIB_DATA. Each run is that of `stn run`,
and so is its record.

A run has a process of its own, on one thread or sharing the GPU. At the limit what is unfinished
ends; its checkpoint stays, and the same command goes on. `--pack` puts the records that were made
into archives of less than 16 MiB, whole records each: `tar xf` in the folder of records takes them
over.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

from stnlib import paths
from stnlib.atomic import check_writable
from stnlib.errors import StnlibError
from stnlib.progress import bar as progress_bar
from stnlib.records import store
from stnlib.study import jobs
from stnlib.study.jobs import Job, JobState

__all__ = ["Made", "gpu_holds", "main", "pack", "work_off"]

PART = 16 * 2**20 - 2**16  # bytes of an archive, at most: a little less than 16 MiB


class Made(NamedTuple):
    """What came of a queue: the records made, a line a failed run, the number left undone."""

    paths: list[Path]
    failures: dict[str, str]
    left: int


def work_off(
    pending: Sequence[Job],
    folder: Path,
    checkpoints: Path,
    *,
    at_once: int | None = None,
    minutes: float | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Made:
    """Make runs, in their order, until all are recorded or the time is over.

    Parameters
    ----------
    pending : Sequence[Job]
        In the order in which they begin.
    folder, checkpoints : Path
        As for `stnlib.study.runs.run`.
    at_once : int | None
        Runs that are made at a time, each in a process of its own; None for one a core of a machine
        without a GPU, else as many as `gpu_holds`.
    minutes : float | None
        After which what is unfinished ends; None for no limit.
    device : str
        auto, cpu, cuda or cuda:N.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    Made
        What came of it.
    """
    limit = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    waiting = collections.deque(pending)
    made: list[Path] = []
    failures: dict[str, str] = {}
    n = min(at_once or _at_once(device), len(waiting))
    bar = progress_bar(total=len(waiting), unit="run", smoothing=0, disable=not progress)
    with bar, _shared_gpu(device):
        crew = _Crew(n, (folder, checkpoints, device))
        try:
            while (waiting or crew.busy) and time.monotonic() < limit:
                crew.give(waiting)
                for job, outcome in crew.ended(seconds=1.0):
                    if outcome.state == "claimed":  # its maker may yet die, and then we make it
                        waiting.append(job)
                        continue
                    if outcome.state == "recorded":
                        made.append(store.place(folder, job.study, job.config))
                    else:
                        failures[job.name] = f"{job.config.changed()}: {outcome.reason}"
                    bar.set_postfix_str(f"{len(failures)} failed", refresh=False)
                    bar.update()
                bar.update(0)
        finally:
            left = len(waiting) + crew.busy
            crew.dismiss()
    return Made(made, failures, left)


class _Crew:
    """Processes that make a run each, given to them by a pipe; one that dies is replaced."""

    def __init__(self, size: int, places: tuple[Path, Path, str]) -> None:
        self._context = get_context("spawn")
        self._places = places
        self._idle = [self._hired() for _ in range(size)]
        self._busy: list[tuple[Any, Any, Job]] = []

    @property
    def busy(self) -> int:
        return len(self._busy)

    def _hired(self) -> tuple[Any, Any]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, *self._places), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def give(self, waiting: collections.deque[Job]) -> None:
        """Give every idle process its next run."""
        while self._idle and waiting:
            process, pipe = self._idle.pop()
            job = waiting.popleft()
            pipe.send(job)
            self._busy.append((process, pipe, job))

    def ended(self, seconds: float) -> list[tuple[Job, JobState]]:
        """The runs that ended, waiting up to so many seconds for one."""
        found = []
        ready = wait([pipe for _, pipe, _ in self._busy], timeout=seconds)
        for process, pipe, job in [entry for entry in self._busy if entry[1] in ready]:
            self._busy.remove((process, pipe, job))
            try:
                outcome = pipe.recv()
            except EOFError:  # killed from outside, by want of memory for instance
                process.join()
                outcome = JobState("failed", f"its process ended with status {process.exitcode}")
                process, pipe = self._hired()
            self._idle.append((process, pipe))
            found.append((job, outcome))
        return found

    def dismiss(self) -> None:
        """End all processes; a run that is being made stays as its last checkpoint left it."""
        everyone = self._idle + [entry[:2] for entry in self._busy]
        for process, _ in everyone:
            process.terminate()
        for process, pipe in everyone:
            process.join()
            pipe.close()


def _serve(pipe: Any, folder: Path, checkpoints: Path, device: str) -> None:
    """What a process of the crew does: make the runs that it is given, one after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to it as well
    from stnlib.study import work
    from stnlib.training.device import pick_device

    with contextlib.suppress(EOFError):  # the queue has ended
        while True:
            pipe.send(work.make(pipe.recv(), folder, checkpoints, pick_device(device)))


def _at_once(device: str) -> int:
    import torch

    from stnlib.training.device import pick_device

    place, cores = pick_device(device), os.cpu_count() or 1
    if place.type == "cpu":
        return cores
    # Not what is free: to ask for that would put this process, which trains nothing, on the GPU.
    return gpu_holds(torch.cuda.get_device_properties(place).total_memory, cores)


@contextlib.contextmanager
def _shared_gpu(device: str) -> Iterator[None]:
    """Let processes compute on a GPU side by side, by NVIDIA's MPS, where it is installed.

    Without it their kernels take turns.
    """
    control = None if device == "cpu" else shutil.which("nvidia-cuda-mps-control")
    started = control and subprocess.run([control, "-d"], capture_output=True).returncode == 0
    try:
        yield
    finally:
        if started:  # not one that was there before
            subprocess.run([control], input=b"quit\n", capture_output=True, timeout=30)


def gpu_holds(memory: int, cores: int) -> int:
    """Runs that share a GPU of so many bytes: 4 GiB each, and a core of the host's each."""
    return max(1, min(cores, memory // 2**32))


def pack(made: Sequence[Path], folder: Path, into: Path) -> list[Path]:
    """Put records, with the traces and weights beside them, into archives below 16 MiB.

    Parameters
    ----------
    made : Sequence[Path]
        Records.
    folder : Path
        Where they lie; names in the archives are relative to it.
    into : Path
        Folder of the archives, ``records-1.tar.gz`` and so on.

    Raises
    ------
    OSError
        Where one record by itself is too large, or the folder cannot be written to.
    """
    parts: list[list[Path]] = []
    room = 0
    for path in made:
        group = [path, store.trace_path(path), store.weights_path(path)]
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


def _archived(members: list[Path], folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as file:
        for path in members:
            file.add(path, path.relative_to(folder))
    return archive


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 1 where a run failed, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(
        "python -m stnlib.study.queue", description=__doc__.splitlines()[0]
    )
    parser.add_argument("files", nargs="+", help="study files, the most valuable first")
    parser.add_argument("--records", help="folder of records; default: your own")
    parser.add_argument("--checkpoints", help="of unfinished runs; default: the cache")
    parser.add_argument("--minutes", type=_positive, help="limit of time; default: none")
    parser.add_argument("--at-once", type=_whole, help="runs at a time; default: what fits")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--pack", help="folder of archives of the records made")
    given = parser.parse_args(arguments)
    try:
        where = [paths.expanded(given.records)] if given.records else store.folders()
        wanted = jobs.jobs_of([paths.expanded(file) for file in given.files])
        pending, failures = jobs.without_record(wanted, where)
        folder = where[-1]
        checkpoints = paths.expanded(given.checkpoints or paths.checkpoint_folder())
        for place in (folder, checkpoints):
            check_writable(place)
        jobs.check(pending, here=True)
        limits = {"at_once": given.at_once, "minutes": given.minutes, "device": given.device}
        made = work_off(pending, folder, checkpoints, **limits)
        parts = pack(made.paths, folder, paths.expanded(given.pack)) if given.pack else []
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the last epochs", file=sys.stderr)
        return 130
    except (StnlibError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failures |= made.failures
    for name, reason in failures.items():
        print(f"failed: {name} {reason}", file=sys.stderr)
    for part in parts:
        print(part)
    rest = f"{made.left} left, {len(failures)} failed"
    print(f"{len(made.paths)} runs recorded in {folder}, {rest}")
    return 1 if failures else 0


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
