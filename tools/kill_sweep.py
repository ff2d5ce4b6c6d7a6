"""Kill sweeps at random and count the records that are lost or written twice.

python tools/kill_sweep.py               50 kills; a quarter of an hour on two cores
python tools/kill_sweep.py --kills 3     what the tests run

Two sweeps make the same tiny runs in one folder, each with a worker of its own. Again and again,
after some progress, one of the four processes gets SIGKILL; sweeps that died (their scheduler with
them) are started again. In the end every run must have one sound record, which was never
written again, and equals that of a run that nothing disturbed. Exit status 0 says so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch

from stnlib.records import store, studyfile
from stnlib.study.runs import run

STN = [sys.executable, "-c", "from stnlib.cli import main; main()"]
STUDY = """
seeds = {seeds}
[base]
data = "digits"
model = "baseline"
n_train = 512
epochs = 4
"""


class Sweep:
    """`stn sweep` with one worker, started again as often as it dies."""

    def __init__(self, file: Path, folder: Path) -> None:
        places = ["--records", str(folder / "records"), "--checkpoints", str(folder / "c")]
        self._command = [*STN, "sweep", str(file), *places, "--workers", "1"]
        self.start()

    def start(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(self._command, env=environment, **quiet)

    def revive(self) -> None:
        if self.process.poll() not in (None, 0):
            self.start()

    def processes(self) -> list[psutil.Process]:
        """The sweep, which has the scheduler in it, and its worker; none once it has ended."""
        try:
            own = psutil.Process(self.process.pid)
            if own.status() == psutil.STATUS_ZOMBIE:
                return []
            children = own.children(recursive=True)
            return [own, *(p for p in children if "spawn_main" in " ".join(p.cmdline()))]
        except psutil.NoSuchProcess:
            return []


class Watch:
    """Sees each record when it appears, and whether it is ever written again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._first: dict[Path, tuple[int, int]] = {}
        self.again: set[Path] = set()

    def look(self) -> None:
        for path in (self._folder / "records").glob("*/*.json"):
            seen = path.stat()
            identity = (seen.st_ino, seen.st_mtime_ns)
            if self._first.setdefault(path, identity) != identity:
                self.again.add(path)

    @property
    def recorded(self) -> int:
        return len(self._first)

    def progress(self) -> tuple[int, ...]:
        """Changes with every epoch and every record."""
        self.look()
        paths = [*(self._folder / "c").glob("*.pt"), *self._first]
        return tuple(sorted(p.stat().st_mtime_ns for p in paths if p.exists()))


def kill_often(sweeps: list[Sweep], watch: Watch, kills: int, draw: random.Random) -> int:
    """Inject `kills` kills, each after some progress; fewer if all runs are done before."""
    done = 0
    while done < kills and any(sweep.process.poll() is None for sweep in sweeps):
        before = watch.progress()
        while watch.progress() == before and any(s.process.poll() is None for s in sweeps):
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 0.3))
        victims = [p for sweep in sweeps for p in sweep.processes()]
        if victims:
            victim = draw.choice(victims)
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
            done += 1
            print(f"kill {done}, {watch.recorded} records", flush=True)
        time.sleep(0.2)
        for sweep in sweeps:
            sweep.revive()
    return done


def outcome(path: Path) -> tuple:
    """What a record holds that no machine's speed decides."""
    record = store.read(path)
    for row in [*record.history, record.result]:
        del row["seconds"]
    return record.config, json.dumps([record.history, record.result])


def differing(file: Path, folder: Path) -> list[str]:
    """Records that differ from those of the same runs made here, undisturbed."""
    torch.set_num_threads(1)
    wrong = []
    for config in studyfile.configurations(file):
        path = store.place(folder / "records", file.stem, config)
        if path.exists():
            places = {"folder": folder / "undisturbed", "checkpoints": folder / "u"}
            same = run(config, file.stem, progress=False, **places)
            wrong += [path.stem] if outcome(path) != outcome(same) else []
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--runs", type=int, help="default: as many as kills, and some more")
    parser.add_argument("--seed", type=int, default=0, help="of the kills' times and victims")
    arguments = parser.parse_args()
    runs = arguments.runs or arguments.kills + 6
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "kills.toml"
        file.write_text(STUDY.format(seeds=list(range(runs))), encoding="utf-8")
        sweeps, watch = [Sweep(file, folder) for _ in range(2)], Watch(folder)
        try:
            kills = kill_often(sweeps, watch, arguments.kills, random.Random(arguments.seed))
            while any(sweep.process.poll() is None for sweep in sweeps):
                watch.look()
                time.sleep(0.05)
        finally:
            for sweep in sweeps:
                sweep.process.kill()
        sound, bad = store.examine([folder / "records"])
        wrong = differing(file, folder)
    print(f"{kills} kills, {runs} runs: {runs - sound} records lost, {len(bad)} damaged, ", end="")
    print(f"{len(watch.again)} written twice, {len(wrong)} unlike an undisturbed run's")
    sys.exit(bool(runs - sound or bad or watch.again or wrong or kills < arguments.kills))


if __name__ == "__main__":
    main()
