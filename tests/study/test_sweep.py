"""Sweeps over real worker processes: what is made, skipped, reported and survives."""

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import psutil
import pytest
import torch

from stnlib.atomic import claim
from stnlib.errors import ConfigError
from stnlib.records import store
from stnlib.study import cluster, runs, work
from stnlib.study.cluster import connect
from stnlib.study.jobs import Job, JobState, jobs_of
from stnlib.study.sweep import sweep
from stnlib.training.config import RunConfig

SMALL = {"data": "digits", "n_train": 128, "epochs": 1}


@pytest.fixture(scope="module")
def client():
    with connect(workers=2) as client:
        yield client


def jobs(*configs):
    return [Job("test", RunConfig.from_dict(SMALL | config)) for config in configs]


def outcome(folder, config):
    record = json.loads((folder / "test" / f"{config.key}.json").read_text(encoding="utf-8"))
    for row in record["history"]:
        del row["seconds"]
    return record["history"], {k: v for k, v in record["result"].items() if k != "seconds"}


def test_a_sweep_makes_every_run_once_and_a_second_sweep_none(client, tmp_path):
    todo = jobs({"model": "baseline"}, {"model": "stn"}, {"model": "stn", "seed": 1})
    assert sweep(todo, tmp_path, client, tmp_path / "checkpoints", progress=False) == {}
    dates = {record.key: record.provenance for record in store.of_study("test", [tmp_path])}
    assert set(dates) == {job.config.key for job in todo}
    assert sweep(todo, tmp_path, client, tmp_path / "checkpoints", progress=False) == {}
    again = {record.key: record.provenance for record in store.of_study("test", [tmp_path])}
    assert again == dates


def test_nothing_of_a_cluster_listens_beyond_this_machine(client):
    client.wait_for_workers(2)
    own = psutil.Process()
    listening = {
        connection.laddr.ip
        for process in [own, *own.children(recursive=True)]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_what_listens_on_this_machine_shows_nothing_of_a_cluster(client):
    client.wait_for_workers(2)
    ports = {server.port for server in [client.cluster.scheduler.http_server]}
    for port in ports:
        for page in ("json/identity.json", "info/main/workers.html", "metrics", "health", ""):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10)


class PretendCluster:
    """Two workers that record at once, the later of two jobs first; keeps what it was given."""

    scheduler = SimpleNamespace(address="tcp://nowhere:1")

    def __init__(self):
        self.given, self.running, self.most = [], [], 0

    def scheduler_info(self, n_workers):
        return {"workers": {f"tcp://{host}:1": {"resources": {}} for host in "ab"}}

    def submit(self, function, job, *places, **order):
        self.given.append(job)
        self.running.append(job)
        self.most = max(self.most, len(self.running))
        done = JobState("recorded")
        is_last = lambda: self.running[-1:] == [job]  # noqa: E731
        take = lambda: self.running.remove(job) or done  # noqa: E731
        return PretendFuture(is_last, take)


class PretendFuture:
    status = "finished"

    def __init__(self, done, result):
        self.done, self.result = done, result

    def add_done_callback(self, call):
        call(self)


def test_runs_begin_in_their_order_however_early_a_worker_is_done(tmp_path):
    todo, cluster = jobs(*({"seed": seed} for seed in range(7))), PretendCluster()
    assert sweep(todo, tmp_path, cluster, progress=False) == {}
    assert cluster.given == todo and cluster.most == 2


class Taken(PretendCluster):
    """One whose workers meet another's claim, twice, before they record."""

    def submit(self, function, job, *places, **order):
        self.given.append(job)
        met = JobState("claimed", "is being made by another process")
        outcome = met if self.given.count(job) < 3 else JobState("recorded")
        return PretendFuture(lambda: True, lambda: outcome)


def test_a_run_that_another_process_makes_is_asked_for_until_it_is_recorded(tmp_path):
    todo, cluster = jobs({"seed": 0}, {"seed": 1}), Taken()
    assert sweep(todo, tmp_path, cluster, progress=False) == {}
    assert [cluster.given.count(job) for job in todo] == [3, 3]


def test_a_single_run_waits_for_the_process_that_makes_it_and_makes_it_if_that_dies(
    tmp_path, monkeypatch
):
    (job,) = jobs({"model": "baseline"})
    place = tmp_path / "records"
    place.mkdir()
    rival = claim(place / f"{job.config.key}.json")
    rival.__enter__()
    met = []

    def dies_at_the_second_look(seconds):
        assert not store.find(job.config, [place])
        met.append(seconds)
        if len(met) == 2:
            rival.__exit__(None, None, None)

    monkeypatch.setattr(work.time, "sleep", dies_at_the_second_look)
    threads = torch.get_num_threads()
    try:
        assert work.make_patiently(job, place, tmp_path / "c") == {}
    finally:
        torch.set_num_threads(threads)
    assert len(met) == 2 and store.find(job.config, [place])


def test_one_configuration_of_two_studies_is_one_run_that_does_what_either_asks(tmp_path):
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    base = '[base]\ndata = "digits"\n'
    first.write_text(f"test = false\ntrace = true\nseeds = [0, 1]\n{base}", encoding="utf-8")
    second.write_text(f"keep_weights = true\nseeds = [1, 2]\n{base}", encoding="utf-8")
    found = jobs_of([first, second, first])
    assert [(job.study, job.config.seed) for job in found] == [("a", 0), ("a", 1), ("b", 2)]
    assert dict(found[0].options) == {"test": False, "trace": True}
    assert dict(found[1].options) == {"test": True, "trace": True, "keep_weights": True}
    assert dict(found[2].options) == {"keep_weights": True}


def test_a_failing_run_is_reported_in_one_line_and_the_rest_completes(client, tmp_path):
    good, bad = jobs({"model": "baseline"}, {"model": "baseline", "n_train": 10**6})
    failures = sweep([bad, good], tmp_path, client, tmp_path / "checkpoints", progress=False)
    assert list(failures) == [bad.name]
    assert "n_train must be a whole number from 1 to 4000" in failures[bad.name]
    assert "\n" not in failures[bad.name]
    assert store.find(good.config, [tmp_path])


def test_the_line_of_a_failed_run_names_the_file_that_has_its_traceback(client, tmp_path):
    def broken(real=None):
        from stnlib.training.loop import Training

        def epoch(*arguments):
            raise ZeroDivisionError("by 0\nor less")

        Training.epoch, whole = real or epoch, Training.epoch
        return whole

    (todo,), (whole, *_) = jobs({"model": "baseline"}), client.run(broken).values()
    try:
        failures = sweep([todo], tmp_path, client, tmp_path / "c", progress=False)
    finally:
        client.run(broken, whole)
    kept = tmp_path / "c" / f"{todo.config.key}.traceback.txt"
    assert failures[todo.name].endswith(f": by 0; traceback: {kept}")
    assert "ZeroDivisionError: by 0" in kept.read_text(encoding="utf-8")
    assert sweep([todo], tmp_path, client, tmp_path / "c", progress=False) == {}
    assert list((tmp_path / "c").iterdir()) == []


@pytest.mark.slow
def test_a_run_whose_worker_is_killed_goes_on_and_ends_as_if_undisturbed(client, tmp_path):
    config = RunConfig.from_dict(SMALL | {"n_train": 1024, "epochs": 4})
    checkpoint = tmp_path / "checkpoints" / f"{config.key}.pt"
    pids = client.run(os.getpid)

    def kill_the_busy_worker():
        while not checkpoint.exists():
            time.sleep(0.02)
        (address,) = (worker for worker, keys in client.processing().items() if keys)
        os.kill(pids[address], signal.SIGKILL)

    killer = threading.Thread(target=kill_the_busy_worker)
    killer.start()
    assert sweep([Job("test", config)], tmp_path, client, checkpoint.parent, progress=False) == {}
    killer.join()
    torch.set_num_threads(1)  # as workers do: sums over other numbers of threads round otherwise
    runs.run(config, "test", tmp_path / "undisturbed", progress=False)
    assert outcome(tmp_path, config) == outcome(tmp_path / "undisturbed", config)


@pytest.mark.parametrize(
    ("name", "gpus", "device"),
    [(0, 0, "cpu"), (3, 2, "cuda:1"), ("tcp://127.0.0.1:8790", 1, "cuda:0"), ("a", 4, "cuda:0")],
)
def test_local_workers_take_turns_on_the_gpus(monkeypatch, name, gpus, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(cluster, "get_worker", lambda: SimpleNamespace(name=name))
    assert cluster.device_here() == torch.device(device)


def test_a_wrong_study_file_is_refused_before_any_run(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text("[base]\nlr = -1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"wrong\.toml: lr must be a number > 0, not -1"):
        jobs_of([path])
