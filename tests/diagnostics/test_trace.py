"""Traces: what a transformer does at each step of a run, beside the run's record."""

import os
import random

import numpy as np
import pytest
import torch
from runs import fresh, interrupting, numbers

from stnlib import diagnostics
from stnlib.data import distort
from stnlib.diagnostics import Trace, object_coverage
from stnlib.diagnostics.measures import QUANTITIES
from stnlib.records import store
from stnlib.study import runs
from stnlib.training import fit
from stnlib.training.config import RunConfig
from stnlib.training.loop import make_model

SMALL = RunConfig(data="shapes10d", n_train=40, batch_size=20, epochs=2)


def test_a_traced_run_learns_what_an_untraced_one_does_and_has_a_row_a_step(config, few, tmp_path):
    plain, _ = fresh(config, few)
    history = fit.fit(plain, few, config, progress=False)
    traced, _ = fresh(config, few)
    assert numbers(fit.fit(traced, few, config, progress=False, trace=tmp_path / "t")) == numbers(
        history
    )
    assert all(map(torch.equal, plain.state_dict().values(), traced.state_dict().values()))
    trace = Trace.load(tmp_path / "t")
    assert trace.columns["step_number"] == list(range(1, 10))
    mean = sum(trace.columns["accuracy"][:2]) * 40 + trace.columns["accuracy"][2] * 16
    assert mean / 96 == pytest.approx(history[0]["train_accuracy"])


def test_the_objects_coverage_is_traced_where_the_true_theta_is_known(shapes, tmp_path):
    model = make_model(SMALL, shapes)
    fit.fit(model, shapes, SMALL, progress=False, trace=tmp_path / "t")
    seen = Trace.load(tmp_path / "t").columns["object_coverage"]
    assert len(seen) == 4
    batch = shapes.train.batch(torch.arange(20), SMALL.seed, 1)
    identity = torch.eye(2, 3).expand(20, 2, 3)
    points = diagnostics.through(batch.theta, distort.upright_points())
    assert seen[0] == pytest.approx(1) == object_coverage(identity, points).mean()


def test_a_study_keeps_its_traces_beside_the_records_and_baselines_have_none(
    shapes, tmp_path, monkeypatch
):
    places = {"folder": tmp_path, "checkpoints": tmp_path / "c", "data": shapes}
    for model, there in (("stn", True), ("baseline", False)):
        config = SMALL.replace(model=model, epochs=1)
        path = runs.run(config, "s", trace=True, test=False, progress=False, **places)
        assert store.trace_path(path).exists() == there
        assert store.read(path).history


def run(tmp_path, shapes, **kwargs):
    places = {"folder": tmp_path, "checkpoints": tmp_path / "c", "data": shapes}
    return runs.run(SMALL, "s", progress=False, test=False, **places, **kwargs)


@pytest.fixture
def interrupt(monkeypatch):
    """Run something until the second epoch begins."""

    def made(call):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupting(patch, 2)
            call()

    return made


@pytest.mark.slow
def test_a_traced_run_that_was_interrupted_goes_on_as_if_it_had_not_been(
    shapes, tmp_path, interrupt
):
    whole = run(tmp_path / "whole", shapes, trace=True)
    interrupt(lambda: run(tmp_path, shapes, trace=True))
    path = run(tmp_path, shapes, trace=True)
    expected, trace = (Trace.load(store.trace_path(one)) for one in (whole, path))
    assert trace.columns.keys() == expected.columns.keys() and trace.events == expected.events
    for name, column in expected.columns.items():
        np.testing.assert_array_equal(trace.columns[name], column, name)
    assert numbers(store.read(path).history) == numbers(store.read(whole).history)
    assert not list((tmp_path / "c").iterdir())


@pytest.mark.slow
def test_a_checkpoint_without_a_trace_is_no_beginning_for_a_traced_run(shapes, tmp_path, interrupt):
    interrupt(lambda: run(tmp_path, shapes))
    trace = Trace.load(store.trace_path(run(tmp_path, shapes, trace=True)))
    assert trace.columns["step_number"] == [1, 2, 3, 4]


def test_a_trace_that_is_damaged_is_refused_in_one_line_and_never_believed(tmp_path):
    trace, path, draw = Trace(), tmp_path / "t.npz", random.Random(0)
    for step in range(1, 40):
        trace.append(step, [draw.random() for _ in (*QUANTITIES, *range(12))])
    trace.events = [(3, "black")]
    trace.save(path)
    whole, content = vars(Trace.load(path)), path.read_bytes()
    junk = [b"", b"x", content + content[:30], *(content[: draw.randrange(len(content))],) * 3]
    for _ in range(60):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        junk.append(bytes(flipped))
    refused = 0
    for one in junk:
        path.write_bytes(one)
        try:
            assert vars(Trace.load(path)) == whole  # such as a bit of a date
        except ValueError as error:
            assert str(error).startswith(f"{path} is not a trace") and "\n" not in str(error)
            refused += 1
    assert refused > 45


def columns(**changed):
    events = np.array([(1, "black")], dtype=[("step", "i8"), ("kind", "U16")])
    return {
        "events_": events,
        "step_number": np.float32([1, 2]),
        "loss": np.float32([3, 4]),
    } | changed


@pytest.mark.parametrize(
    "changed",
    [
        {"loss": np.float32([3])},
        {"loss": np.float32([[3, 4]])},
        {"loss": np.array(["x", "y"])},
        {"loss": np.array([{}, {}], dtype=object)},
        {"events_": np.float32([1, 2])},
    ],
)
def test_columns_that_no_monitor_has_are_refused(changed, tmp_path):
    np.savez(tmp_path / "t.npz", **columns())
    assert len(Trace.load(tmp_path / "t.npz")) == 2
    np.savez(tmp_path / "t.npz", **columns(**changed))
    with pytest.raises(ValueError, match="is not a trace of CollapseMonitor") as caught:
        Trace.load(tmp_path / "t.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_trace_is_read_from_a_regular_file_alone(tmp_path):
    for make in (os.mkdir, os.mkfifo):
        make(tmp_path / make.__name__)
        with pytest.raises(ValueError, match="is no regular file"):
            Trace.load(tmp_path / make.__name__)
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "t.npz")
