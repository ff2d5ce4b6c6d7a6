"""A queue of studies on one machine: what it makes, in which order, and how it ends."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from stnlib.atomic import claim
from stnlib.records import store, studyfile
from stnlib.study import jobs, queue
from stnlib.training.config import RunConfig

ROOT = Path(__file__).parents[2]
SMALL = '[base]\ndata = "digits"\nn_train = 64\nbatch_size = 32\nepochs = 2\n'


def study_file(folder, name, cells="", head=""):
    path = folder / f"{name}.toml"
    path.write_text(head + SMALL + cells, encoding="utf-8")
    return path


def command(*arguments, **environment):
    """Run the command in a process of its own; its exit status, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "stnlib.study.queue", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


def without_time(path):
    """A record but for what differs between two makings: dates and seconds."""
    record = json.loads(path.read_text(encoding="utf-8"))
    record["provenance"].pop("date")
    record["result"].pop("seconds")
    record.pop("digest", None)
    for row in record["history"]:
        row.pop("seconds")
    return record


def test_the_most_valuable_file_comes_first_and_each_run_once(tmp_path):
    first = study_file(tmp_path, "first", "[[cells]]\nlr = [1e-4, 1e-3]\n", "seeds = [1]\n")
    second = study_file(tmp_path, "second", "[[cells]]\nlr = [1e-3, 1e-2]\n", "seeds = [0, 1]\n")
    expected = [("second", 0, 1e-3), ("second", 0, 1e-2), ("second", 1, 1e-3), ("second", 1, 1e-2)]
    expected += [("first", 1, 1e-4)]  # the other one is the second study's already
    found = jobs.jobs_of([second, first])
    assert [(job.study, job.config.seed, job.config.lr) for job in found] == expected


ALONE = """
import sys
from pathlib import Path
import torch
from stnlib.records import studyfile
from stnlib.study import runs
torch.set_num_threads(1)
file, folder, checkpoints = map(Path, sys.argv[1:])
for config in studyfile.configurations(file):
    runs.run(config, "s", folder, checkpoints=checkpoints, keep_weights=True)
"""


def test_a_queue_makes_the_records_that_a_run_makes_bit_for_bit(tmp_path):
    file = study_file(
        tmp_path,
        "s",
        '[[cells]]\nmodel = "baseline"\n'
        '[[cells]]\naugment = "warp"\ndropout = 0.5\nloc_lr_factor = 0.1\n',
        "keep_weights = true\n",
    )
    status, out, err = command(
        file, "--records", tmp_path / "q", "--checkpoints", tmp_path / "c", "--at-once", 2
    )
    assert status == 0, err
    assert out.splitlines()[-1] == f"2 runs recorded in {tmp_path / 'q'}, 0 left, 0 failed"
    places = tmp_path / "alone", tmp_path / "c"
    alone = [sys.executable, "-c", ALONE, *map(str, (file, *places))]
    subprocess.run(alone, check=True, cwd=ROOT)
    for config in studyfile.configurations(file):
        one, other = (tmp_path / name / "s" / f"{config.key}.json" for name in ("q", "alone"))
        assert without_time(one) == without_time(other)
        weights = [store.weights_path(path) for path in (one, other)]
        assert weights[0].exists() == weights[1].exists() == config.has_transformer
        if config.has_transformer:
            assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_at_the_limit_whole_records_stay_and_the_rest_goes_on_later(tmp_path):
    file = study_file(tmp_path, "s", "[[cells]]\nepochs = [1, 20000]\n", "seeds = [0, 1]\n")
    runs = jobs.jobs_of([file])
    short, long = ([job for job in runs if (job.config.epochs == 1) == s] for s in (True, False))
    places = tmp_path / "r", tmp_path / "c"
    begun = time.monotonic()
    made = queue.work_off(
        short + long, *places, at_once=1, minutes=0.5, progress=False, device="cpu"
    )
    assert time.monotonic() - begun < 50
    assert [path.stem for path in made.paths] == [job.config.key for job in short]
    assert made.left == 2 and not made.failures
    assert store.examine([tmp_path / "r"]) == (2, [])
    unfinished = [path.stem for path in (tmp_path / "c").glob("*.pt")]
    assert unfinished == [long[0].config.key]
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_are_made(tmp_path):
    file = study_file(tmp_path, "s", "", "seeds = [0, 1]\n")
    key = studyfile.configurations(file)[0].key
    blocked = tmp_path / "c" / f"{key}.pt"
    blocked.mkdir(parents=True)  # a folder where the checkpoint should go
    status, out, err = command(
        file, "--records", tmp_path / "r", "--checkpoints", tmp_path / "c", "--at-once", 1
    )
    assert status == 1
    told = [line for line in err.splitlines() if line.startswith("failed: ")]
    assert len(told) == 1 and told[0].startswith(f"failed: s/{key} {{")
    assert f"could not write {blocked}: Is a directory" in told[0]
    assert out.splitlines()[-1] == f"1 runs recorded in {tmp_path / 'r'}, 0 left, 1 failed"


@pytest.mark.slow
def test_a_run_that_another_process_makes_is_waited_for(tmp_path):
    file = study_file(tmp_path, "s", "")
    (job,) = jobs.jobs_of([file])
    path = tmp_path / "r" / "s" / f"{job.config.key}.json"
    path.parent.mkdir(parents=True)
    places = tmp_path / "r", tmp_path / "c"
    with claim(tmp_path / "r" / path.name):  # for a key is made once, in whichever study
        made = queue.work_off([job], *places, minutes=0.2, progress=False, device="cpu")
    assert made.paths == [] and made.left == 1 and not made.failures
    made = queue.work_off([job], *places, progress=False, device="cpu")
    assert made.paths == [path] and made.left == 0


@pytest.mark.slow
def test_a_process_that_is_killed_costs_its_run_alone(tmp_path):
    long, short = (RunConfig(**FIELDS, epochs=epochs) for epochs in (20000, 1))
    runs = [jobs.Job("s", config) for config in (long, short)]

    def kill(path):
        while not list(path.glob("*.pt")):
            time.sleep(0.2)
        (child,) = multiprocessing.active_children()
        os.kill(child.pid, signal.SIGKILL)

    threading.Thread(target=kill, args=(tmp_path / "c",), daemon=True).start()
    made = queue.work_off(
        runs, tmp_path / "r", tmp_path / "c", at_once=1, progress=False, device="cpu"
    )
    assert [path.stem for path in made.paths] == [short.key]
    assert list(made.failures) == [f"s/{long.key}"]
    assert made.failures[f"s/{long.key}"].endswith(": its process ended with status -9")


FIELDS = {"data": "digits", "n_train": 64, "batch_size": 32}


def test_an_archive_holds_whole_records_below_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "PART", 20_000)
    folder = tmp_path / "r"
    paths = []
    for i in range(7):
        path = folder / "s" / f"{i:012}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(3000))
        if i % 2:
            store.trace_path(path).write_bytes(os.urandom(5000))
        paths.append(path)
    parts = queue.pack(paths, folder, tmp_path / "out")
    assert [part.name for part in parts] == [f"records-{i}.tar.gz" for i in (1, 2, 3)]
    assert all(part.stat().st_size <= 20_000 for part in parts)
    for part in parts:
        with tarfile.open(part) as file:
            names = set(file.getnames())
            file.extractall(tmp_path / "again", filter="data")
        for name in names:  # a record and its trace are never parted
            if name.endswith(".npz"):
                assert name.replace(".npz", ".json") in names
    for path in folder.rglob("*.*"):
        again = tmp_path / "again" / path.relative_to(folder)
        assert again.read_bytes() == path.read_bytes()


def test_the_limit_of_an_archive_is_16_mebibytes():
    assert 16 * 2**20 * 0.99 < queue.PART < 16 * 2**20


def test_what_fits_into_no_archive_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "PART", 100)
    path = tmp_path / "s" / "a.json"
    path.parent.mkdir()
    path.write_bytes(bytes(200))
    with pytest.raises(OSError, match=r"a\.json and what belongs to it have 1224 bytes, more"):
        queue.pack([path], tmp_path, tmp_path / "out")


def test_a_gpu_holds_a_run_for_each_4_gibibytes_and_core():
    assert queue.gpu_holds(80 * 2**30, 16) == 16
    assert queue.gpu_holds(24 * 2**30, 16) == 6
    assert queue.gpu_holds(2**30, 16) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such.toml"], "no-such.toml cannot be read"),
        (["--minutes", "0", "x.toml"], "must be a number above 0, not 0"),
        (["--minutes", "nan", "x.toml"], "must be a number above 0, not nan"),
        (["--at-once", "0", "x.toml"], "must be a whole number of at least 1, not 0"),
        ([], "the following arguments are required: files"),
        (["book/studies/cm.toml", "--device", "tpu"], "device must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_wrong_arguments_are_one_line_before_any_work(tmp_path, arguments, message):
    status, _, err = command(*arguments, STNLIB_RECORDS=str(tmp_path), STNLIB_DATA=str(tmp_path))
    assert status == 2
    assert message in err.splitlines()[-1] and "Traceback" not in err


ELSEWHERE = """
from importlib.machinery import PathFinder

names = set("dask distributed typer click rich pooch platformdirs torchvision PIL "
            "scipy matplotlib seaborn IPython".split())
found = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.split(".")[0] in names else found(name, path, target)

PathFinder.find_spec = staticmethod(find_spec)
"""


@pytest.mark.slow
def test_a_queue_runs_where_little_is_installed(tmp_path):
    # Processes of the crew begin anew: a sitecustomize blocks there as here.
    (tmp_path / "sitecustomize.py").write_text(ELSEWHERE, encoding="utf-8")
    file = tmp_path / "s.toml"
    file.write_text(
        'test = false\n[base]\ndata = "shapes10"\nn_train = 64\nbatch_size = 32\nepochs = 1\n',
        encoding="utf-8",
    )
    status, out, err = command(
        file,
        *("--records", tmp_path / "r", "--checkpoints", tmp_path / "c", "--pack", tmp_path / "p"),
        PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}",
        STNLIB_DATA=str(tmp_path),
    )
    assert status == 0, err
    assert out.splitlines()[0] == str(tmp_path / "p" / "records-1.tar.gz")
    with tarfile.open(tmp_path / "p" / "records-1.tar.gz") as archive:
        assert len(archive.getnames()) == 1
