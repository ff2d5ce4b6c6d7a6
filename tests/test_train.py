"""Training: an epoch against a plain loop, and resuming against not being interrupted."""

import pytest
import torch
from safetensors.torch import save_file

from stnlib import checkpoint, study, train


def fresh(config, few):
    """Model and optimiser as a run begins with them."""
    model = study.make_model(config, few).to(memory_format=torch.channels_last)
    return model, train.make_optimizer(model, config)


def numbers(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def state(optimizer):
    states = optimizer.state_dict()["state"]
    return [states[i][name] for i in sorted(states) for name in sorted(states[i])]


# Resuming


def continued(config, few, path, after, monkeypatch):
    """Train, end abruptly after so many epochs, and go on with objects made anew."""
    real, calls = train.train_epoch, []

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) > after:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    model, _ = fresh(config, few)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(study, "train_epoch", interrupted)
        study.fit(model, few, config, path, progress=False)
    model, _ = fresh(config, few)
    return model, study.fit(model, few, config, path, progress=False)


@pytest.mark.parametrize(("optimizer", "precision"), [("adam", "float32"), ("adamw", "bfloat16")])
def test_a_run_resumed_after_any_epoch_equals_one_never_interrupted(
    config, few, tmp_path, monkeypatch, optimizer, precision
):
    config = config.replace(optimizer=optimizer, precision=precision, weight_decay=0.01)
    whole, _ = fresh(config, few)
    history = study.fit(whole, few, config, tmp_path / "whole", progress=False)
    for after in range(config.epochs):
        path = tmp_path / f"after-{after}"
        model, resumed = continued(config, few, path, after, monkeypatch)
        assert numbers(resumed) == numbers(history)
        assert all(map(torch.equal, model.state_dict().values(), whole.state_dict().values()))
        ends = []
        for file in (tmp_path / "whole", path):
            model, optimiser = fresh(config, few)
            checkpoint.load_checkpoint(file, model, optimiser, config.key)
            ends.append(state(optimiser))
        assert len(ends[0]) == len(ends[1]) > 0
        assert all(map(torch.equal, *ends))


def test_a_checkpoint_gives_the_optimizer_its_state_in_the_weights_layout(config, few, tmp_path):
    model, optimizer = fresh(config, few)
    train.train_epoch(model, optimizer, few.train, config, 1)
    checkpoint.save_checkpoint(tmp_path / "c", model, optimizer, config.key, [{"epoch": 1}])
    other, restored = fresh(config.replace(seed=7), few)
    history = checkpoint.load_checkpoint(tmp_path / "c", other, restored, config.key)
    assert history == [{"epoch": 1}]
    assert all(map(torch.equal, state(optimizer), state(restored)))
    for parameter, slots in restored.state.items():
        assert slots["exp_avg"].stride() == parameter.stride()


def damage(kind, path, config, model, optimizer):
    if kind == "missing":
        return
    checkpoint.save_checkpoint(path, model, optimizer, config.key, [{"epoch": 1}])
    content = path.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "damaged":
        path.write_bytes(b"\xff" * 64 + content[64:])
    elif kind == "another run's":
        checkpoint.save_checkpoint(path, model, optimizer, "0" * 12, [{"epoch": 1}])
    elif kind == "no checkpoint":
        save_file({"x": torch.zeros(3)}, path)
    elif kind == "a folder":
        path.unlink()
        path.mkdir()


KINDS = ["missing", "empty", "truncated", "damaged", "another run's", "no checkpoint", "a folder"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_that_is_not_this_runs_or_not_whole_changes_nothing(
    kind, config, few, tmp_path
):
    path = tmp_path / "c.safetensors"
    damage(kind, path, config, *fresh(config.replace(seed=1), few))
    model, optimizer = fresh(config, few)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert checkpoint.load_checkpoint(path, model, optimizer, config.key) == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert state(optimizer) == []


def test_a_checkpoint_holds_its_history_to_the_last_digit(config, few, tmp_path):
    model, optimizer = fresh(config, few)
    history = [{"epoch": 1, "train_loss": 0.1 + 0.2, "val_loss": float("inf")}]
    checkpoint.save_checkpoint(tmp_path / "c", model, optimizer, config.key, history)
    assert checkpoint.load_checkpoint(tmp_path / "c", model, optimizer, config.key) == history
