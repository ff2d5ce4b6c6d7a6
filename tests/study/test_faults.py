"""Faults while a sweep runs on a Dask cluster of real processes: what is lost, and what is said."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from distributed import Client

from stnlib.atomic import ClaimedError, claim
from stnlib.records import store
from stnlib.study import runs
from stnlib.study.cluster import connect, resources_of
from stnlib.study.jobs import Job
from stnlib.study.sweep import sweep
from stnlib.training.config import RunConfig

ROOT = Path(__file__).parents[2]
STN = [sys.executable, "-c", "from stnlib.cli import main; main()"]  # the command stn

# A process that claims a file and holds the claim until it dies.
CLAIM = [
    sys.executable,
    "-c",
    "import sys, time; from pathlib import Path; from stnlib.atomic import claim\n"
    "with claim(Path(sys.argv[1])): print('claimed', flush=True); time.sleep(600)",
]

SMALL = {"data": "digits", "model": "baseline", "n_train": 128, "epochs": 1}
LONG = {"n_train": 1024, "epochs": 6}

# What workers load first: it notes each record that is written, and fills the disk on demand.
PRELOAD = """
import errno, os, pathlib
from stnlib.records import store
here = pathlib.Path({folder!r})

def patch(write, fsync):
    def noted(folder, study, config, *rest):
        with open(here / "written", "a") as log:
            log.write(config.key + chr(10))
        return write(folder, study, config, *rest)

    def limited(handle):
        limit = here / "writes left"
        if limit.exists():
            left = int(limit.read_text())
            if not left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            limit.write_text(str(left - 1))
        fsync(handle)

    store.write, os.fsync = noted, limited

if store.write.__name__ == "write":  # Dask loads this more than once
    patch(store.write, os.fsync)
"""

# What a worker loads first that has no data.
WITHOUT_DATA = """
import pathlib
from stnlib.data.sets import DataError
from stnlib.study import work

def load(name, **options):
    pathlib.Path({asked!r}).touch()
    raise DataError(name + " is missing")

work.load = load
"""


def until(condition, seconds=120):
    """Wait until `condition()` holds, and return what it gave."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def process(*command, **environment):
    """A process that is gone at the end, whatever happens to it meanwhile."""
    child = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@contextlib.contextmanager
def running_scheduler(folder):
    """`dask scheduler` as a process, and its address."""
    file = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    command = ["distributed.cli.dask_scheduler", *options, "--scheduler-file", str(file)]
    with process(*command) as child:
        until(file.exists)
        yield child, json.loads(file.read_text(encoding="utf-8"))["address"]


def worker(address, *options, **environment):
    """`dask worker` as a process."""
    command = ["distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    return process(*command, address, *options, **environment)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A client of two workers, and the folder that they note in what they do; no cm data there."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "preload.py").write_text(PRELOAD.format(folder=str(folder)), encoding="utf-8")
    options = ("--preload", str(folder / "preload.py"))
    nowhere = {"STNLIB_DATA": str(folder / "preload.py" / "data")}
    with (
        running_scheduler(folder) as (_, address),
        worker(address, *options, **nowhere),
        worker(address, *options, **nowhere),
        connect(address) as client,
    ):
        client.wait_for_workers(2, timeout=120)
        yield client, folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The outcome of the long run when nothing disturbs it."""
    torch.set_num_threads(1)  # as workers do: sums over other numbers of threads round otherwise
    folder = tmp_path_factory.mktemp("undisturbed")
    config = RunConfig(**SMALL | LONG)
    runs.run(config, "test", folder, checkpoints=folder / "c", progress=False)
    return outcome(folder, config)


def job(**changes):
    return Job("test", RunConfig(**SMALL | changes))


def long_study(folder):
    """A study file with the long run in it."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in (SMALL | LONG).items()]
    file = folder / "test.toml"
    file.write_text("[base]\n" + "\n".join(lines), encoding="utf-8")
    return file


def outcome(folder, config):
    record = store.read(store.place(folder, "test", config))
    for row in [*record.history, record.result]:
        del row["seconds"]
    return record.history, record.result


def run(jobs, folder, client):
    return sweep(jobs, folder, client, folder / "checkpoints", progress=False)


@pytest.mark.slow
def test_two_sweeps_on_one_folder_lose_no_record_and_write_none_twice(cluster, tmp_path):
    client, notes = cluster
    todo = [job(seed=seed) for seed in range(5)]
    said = []

    def one(number):
        places = (tmp_path, client, tmp_path / f"checkpoints {number}")
        said.append(sweep(todo, *places, progress=False))

    sweeps = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    for thread in sweeps:
        thread.start()
    for thread in sweeps:
        thread.join()
    assert said == [{}, {}]
    keys = [one.config.key for one in todo]
    written = (notes / "written").read_text(encoding="utf-8").split()
    assert [written.count(key) for key in keys] == [1] * 5
    assert store.examine([tmp_path]) == (5, [])
    assert not list(tmp_path.rglob("*.claim"))


def test_a_run_whose_maker_dies_is_made_by_the_sweep_that_met_its_claim(cluster, tmp_path):
    client, _ = cluster
    todo = job(seed=11)
    path = tmp_path / f"{todo.config.key}.json"
    said = []
    sweeping = threading.Thread(target=lambda: said.append(run([todo], tmp_path, client)))
    with subprocess.Popen([*CLAIM, str(path)], stdout=subprocess.PIPE, text=True) as rival:
        assert rival.stdout.readline() == "claimed\n"
        sweeping.start()
        sweeping.join(6)  # time for the claim to be met more than once
        assert sweeping.is_alive() and not store.find(todo.config, [tmp_path])
        rival.kill()
        rival.wait()
    sweeping.join(120)
    assert said == [{}]
    assert store.find(todo.config, [tmp_path]).study == "test"


def test_two_studies_that_sweep_one_configuration_at_once_record_it_once(cluster, tmp_path):
    client, _ = cluster
    todo = [Job(study, RunConfig(**SMALL, seed=12)) for study in ("one", "two")]
    said = []
    sweeps = [
        threading.Thread(target=lambda j=j: said.append(run([j], tmp_path, client))) for j in todo
    ]
    for thread in sweeps:
        thread.start()
    for thread in sweeps:
        thread.join()
    assert said == [{}, {}]
    assert len(list(tmp_path.glob("*/*.json"))) == 1


@pytest.mark.slow
def test_a_full_disk_costs_an_epoch_and_no_record(cluster, tmp_path, undisturbed):
    client, notes = cluster
    todo = job(**LONG)
    (notes / "writes left").write_text("2", encoding="utf-8")
    try:
        failures = run([todo], tmp_path, client)
    finally:
        (notes / "writes left").unlink()
    checkpoint = tmp_path / "checkpoints" / f"{todo.config.key}.pt"
    (line,) = failures.values()
    assert line.endswith(f"could not write {checkpoint}: No space left on device")
    assert checkpoint.exists() and not list(tmp_path.glob("*/*.json"))
    assert run([todo], tmp_path, client) == {}
    assert outcome(tmp_path, todo.config) == undisturbed


def test_data_that_no_worker_has_fails_its_runs_and_no_others(cluster, tmp_path):
    client, _ = cluster
    missing, good = job(data="cm"), job()
    failures = run([missing, good], tmp_path, client)
    assert list(failures) == [missing.name]
    assert "set STNLIB_DATA to a folder that you can write to" in failures[missing.name]
    assert "(on 127.0.0.1)" in failures[missing.name] and "\n" not in failures[missing.name]
    assert store.find(good.config, [tmp_path])


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second loopback address")
def test_runs_of_a_host_without_the_data_are_made_on_another(cluster, tmp_path):
    client, _ = cluster
    preload = tmp_path / "preload.py"
    preload.write_text(WITHOUT_DATA.format(asked=str(tmp_path / "asked")), encoding="utf-8")
    options = ("--host", "127.0.0.2", "--preload", str(preload))
    with worker(client.scheduler.address, *options):
        client.wait_for_workers(3, timeout=120)
        assert run([job(seed=seed) for seed in range(6)], tmp_path / "r", client) == {}
    assert (tmp_path / "asked").exists()
    assert store.examine([tmp_path / "r"]) == (6, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 0}, "has schema 0: this version reads 2"),
        ({"digest": "0" * 16}, "was edited: its content has the digest"),
    ],
)
def test_a_record_that_cannot_be_trusted_is_named_and_kept_and_the_rest_made(
    cluster, tmp_path, change, message
):
    client, _ = cluster
    bad, good = job(seed=1), job(seed=2)
    path = store.place(tmp_path, "test", bad.config)
    parts = {"study": "test", "key": bad.config.key, "history": [{}], "result": {"n_test": 0}}
    parts |= {"schema": 2, "config": bad.config.to_dict(), "provenance": {}} | change
    path.parent.mkdir()
    path.write_text(json.dumps(parts), encoding="utf-8")
    failures = run([bad, good], tmp_path, client)
    assert list(failures) == [bad.name]
    assert message in failures[bad.name] and str(path) in failures[bad.name]
    assert json.loads(path.read_text(encoding="utf-8")) == parts
    assert store.find(good.config, [tmp_path])


@pytest.mark.slow
def test_a_sweep_whose_scheduler_is_killed_says_so_and_a_new_one_goes_on(
    cluster, tmp_path, undisturbed
):
    client, _ = cluster
    todo = job(**LONG)
    file, checkpoints = long_study(tmp_path), tmp_path / "checkpoints"
    with running_scheduler(tmp_path) as (scheduler, address), worker(address):
        places = ["--records", str(tmp_path), "--checkpoints", str(checkpoints)]
        command = [*STN, "sweep", str(file), "--scheduler", address, *places]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
            until(lambda: list(checkpoints.glob("*")) or child.poll() is not None)
            scheduler.kill()
            said = child.stderr.read()
        assert child.returncode == 2
        assert f"error: lost the scheduler at {address}" in said
    assert run([todo], tmp_path, client) == {}
    assert outcome(tmp_path, todo.config) == undisturbed


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_ctrl_c_stops_the_workers_and_leaves_everything_resumable(cluster, tmp_path, undisturbed):
    client, _ = cluster
    command = [*STN, "sweep", str(long_study(tmp_path))]
    command += ["--records", str(tmp_path), "--checkpoints", str(tmp_path / "checkpoints")]
    command += ["--workers", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        until(lambda: list(tmp_path.glob("checkpoints/*")) or child.poll() is not None)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the workers as well
        said = child.stderr.read()  # ends when the last process that can write there has ended
        assert child.wait() == 130
    assert "interrupted: the same command goes on where it was" in said
    assert "Traceback" not in said and "Warning" not in said
    assert run([job(**LONG)], tmp_path, client) == {}
    assert outcome(tmp_path, job(**LONG).config) == undisturbed


def refused(*command):
    """What `stn` says, in a process of its own, when it does not do what it is told."""
    done = subprocess.run([*STN, *command], capture_output=True, text=True)
    assert done.returncode == 2
    return done.stderr.splitlines()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_a_scheduler_that_does_not_answer_is_one_line_and_nothing_is_made(tmp_path, address):
    file = tmp_path / "a.toml"
    file.write_text('[base]\ndata = "digits"\n', encoding="utf-8")
    places = ["--records", str(tmp_path / "r"), "--checkpoints", str(tmp_path / "c")]
    (line,) = refused("sweep", str(file), "--scheduler", address, *places)
    assert line.startswith(f"error: no scheduler answers at {address}: ")
    assert not list(tmp_path.glob("[cr]/*"))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """The address of a scheduler whose worker has two threads and offers a GPU."""
    with (
        running_scheduler(tmp_path_factory.mktemp("odd")) as (_, address),
        worker(address, "--nthreads", "2", "--resources", "GPU=1"),
        Client(address) as client,
    ):
        client.wait_for_workers(1, timeout=120)
        yield client, address


def test_a_worker_of_several_threads_is_refused_with_the_remedy(odd, tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('[base]\ndata = "digits"\n', encoding="utf-8")
    (line,) = refused("sweep", str(file), "--scheduler", odd[1], "--records", str(tmp_path))
    assert "has 2 threads" in line and "start them with --nthreads 1" in line


def test_runs_ask_for_a_gpu_where_a_worker_offers_one(odd, cluster):
    assert resources_of(odd[0]) == {"GPU": 1}
    assert resources_of(cluster[0]) == {}


def test_a_claim_keeps_others_away_until_its_process_ends_however_it_ends(tmp_path):
    path = tmp_path / "a.json"
    with subprocess.Popen([*CLAIM, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "claimed\n"
        with pytest.raises(ClaimedError, match="is being made by another process"), claim(path):
            pass
        child.kill()
        child.wait()
        with claim(path):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_random_kills_lose_no_record_and_write_none_twice():
    command = [sys.executable, str(ROOT / "tools" / "kill_sweep.py"), "--kills", "2", "--runs", "4"]
    done = subprocess.run(command, capture_output=True, text=True)
    last = done.stdout.splitlines()[-1:]
    assert last == [
        "2 kills, 4 runs: 0 records lost, 0 damaged, 0 written twice, 0 unlike an undisturbed run's"
    ], done.stdout + done.stderr
    assert done.returncode == 0
