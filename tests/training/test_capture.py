"""A training step as a CUDA graph: the same training, where there is a GPU."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from stnlib.training import capture, loop
from stnlib.training.config import RunConfig
from stnlib.training.loop import make_model
from stnlib.training.rates import make_optimizer, set_rates

CONFIG = RunConfig(data="digits", n_train=80, batch_size=32, epochs=3, schedule="cosine")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

# On a GPU grid_sample adds up its gradient in any order, so no two trainings are alike, with a
# graph or without. Six without one, on an H200, differed by up to 1e-6 in losses, 1.3e-3 in the
# largest norm of three steps, and 6.5e-5 in weights; those with one differed by no more.
TOLERANCES = {
    "train_loss": 1e-5,
    "train_accuracy": 1e-5,
    "grad_norm_mean": 1e-2,
    "loc_grad_norm_max": 1e-2,
}
WEIGHTS = 3e-4


def test_on_a_processor_no_step_is_captured(few):
    assert not capture.capturable(make_model(CONFIG, few), CONFIG)


def test_a_schedule_writes_rates_that_are_tensors_where_they_are(few):
    optimizer = make_optimizer(make_model(CONFIG, few), CONFIG)
    rates = [torch.tensor(0.5) for _ in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    set_rates(optimizer, CONFIG, 0.5)
    assert [rate.item() for rate in rates] == pytest.approx([0.5e-3] * len(rates))
    assert all(g["lr"] is r for g, r in zip(optimizer.param_groups, rates, strict=True))


def trained(data, take_step, epochs):
    model = make_model(CONFIG, data).to("cuda", memory_format=torch.channels_last)
    training, rows = loop.Training(CONFIG, data, model), []
    for epoch in epochs:
        training.take_step = take_step(epoch) or loop.train_step
        rows.append(training.epoch())
    return model, rows


TODAYS = [
    {"architecture": "resnet", "width": 16},
    {"architecture": "vit", "width": 32, "locnet": "canonical"},
]


@pytest.mark.parametrize("changes", TODAYS, ids=lambda changes: changes["architecture"])
def test_the_steps_before_a_capture_are_taken_back(few, changes, monkeypatch):
    """With a graph that, unlike a real one, computes while it is captured and not when replayed."""
    nothing = SimpleNamespace(wait_stream=lambda _: None, replay=lambda: None)
    for name in ("Stream", "CUDAGraph", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda: nothing)
    for name in ("stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, nullcontext)
    config, models = CONFIG.replace(optimizer="adamw", **changes), []
    for take_step in (loop.train_step, capture.CapturedStep()):
        training = loop.Training(config, few)
        training.taken, training.take_step = 1, take_step  # the schedule's rate at 0 may be 0
        training.step(few.train.first(8))
        models.append((training.model.state_dict(), training.optimizer.state_dict()["state"]))
    torch.testing.assert_close(models[1], models[0], rtol=0, atol=0)


@gpu
@pytest.mark.parametrize("changes", TODAYS, ids=lambda changes: changes["architecture"])
def test_classifiers_of_today_are_captured_too(few, changes, monkeypatch):
    config, data = CONFIG.replace(optimizer="adamw", **changes), few.to("cuda")
    monkeypatch.setitem(globals(), "CONFIG", config)
    assert capture.capturable(make_model(config, data).to("cuda"), config)
    step = capture.CapturedStep()
    eager, rows = trained(data, lambda _: None, (1, 2, 3))
    model, captured = trained(data, lambda _: step, (1, 2, 3))
    for one, other in zip(rows, captured, strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-2)
    counts = [{k: v for k, v in m.named_buffers() if k.endswith("tracked")} for m in (eager, model)]
    assert counts[0] == counts[1]


@gpu
@pytest.mark.parametrize("begun", [1, 2])
def test_captured_steps_are_those_of_a_training_without_a_graph(few, begun):
    """From the beginning, or where an optimiser has a state already, as after a checkpoint."""
    step = capture.CapturedStep()
    data = few.to("cuda")
    eager, rows = trained(data, lambda _: None, (1, 2, 3))
    model, captured = trained(data, lambda epoch: step if epoch >= begun else None, (1, 2, 3))
    for one, other in zip(rows, captured, strict=True):
        for name, tolerance in TOLERANCES.items():
            assert other[name] == pytest.approx(one[name], rel=tolerance)
    for one, other in zip(eager.parameters(), model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=WEIGHTS)


@gpu
def test_on_a_gpu_the_steps_without_dropout_and_rollback_are_captured(few):
    model = make_model(CONFIG, few).to("cuda")
    assert capture.capturable(model, CONFIG)
    for change in ({"dropout": 0.5}, {"recovery": "rollback"}, {"optimizer": "keras_adam"}):
        assert not capture.capturable(model, CONFIG.replace(**change))
