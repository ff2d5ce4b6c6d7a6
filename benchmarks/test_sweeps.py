"""What a sweep costs beside its runs, and what a second worker gains."""

import pytest

from stnlib import study
from stnlib.cluster import connect
from stnlib.config import RunConfig
from stnlib.data import load
from stnlib.sweep import Job, sweep


def jobs(seeds, tiny):
    size = {"n_train": 128, "epochs": 1} if tiny else {"n_train": 2000, "epochs": 10}
    return [Job("bench", RunConfig(data="digits", model="baseline", seed=s, **size)) for s in seeds]


def one_by_one(todo, folder):
    """The same runs without a cluster, their data loaded once."""
    data = load("digits", n_train=todo[0].config.n_train)
    for job in todo:
        study.run(job.config, job.study, folder, data=data, progress=False)


@pytest.mark.parametrize(
    ("group", "of", "workers"),
    [
        ("sweep, one worker", "stnlib", 1),
        ("sweep, one worker", "study.run", 0),
        ("sweep, two workers", "stnlib", 2),
        ("sweep, two workers", "one worker", 1),
    ],
)
def test_runs_of_a_sweep(measure, tiny, tmp_path, monkeypatch, group, of, workers):
    """With workers that have started and loaded the data before."""
    monkeypatch.setenv("STNLIB_CHECKPOINTS", str(tmp_path / "c"))
    todo = jobs(range(4 if tiny else 16), tiny)
    if not workers:
        measure(group, of, lambda: one_by_one(todo, tmp_path / "r"), rounds=1)
        return
    with connect(workers=workers) as client:
        client.wait_for_workers(workers)
        warm = [Job("warm", job.config.replace(seed=99 + i)) for i, job in enumerate(todo[:4])]
        assert sweep(warm, tmp_path, client, progress=False) == {}
        measure(group, of, lambda: sweep(todo, tmp_path, client, progress=False), rounds=1)
