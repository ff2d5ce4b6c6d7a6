"""Checkpoints: what does not fit is not used, changes nothing, and is said in one line."""

import dataclasses
import json
import logging
import os
from types import SimpleNamespace

import pytest
import torch
from damage import rewritten
from runs import fresh, numbers, train_epoch
from safetensors.torch import save_file

from stnlib.diagnostics import CollapseMonitor
from stnlib.training import checkpoint, fit

ROW = {"train_loss": 2.0, "train_accuracy": 0.5, "val_loss": 2.0, "val_accuracy": 0.5, "seconds": 1}
ROWS = [{"epoch": n} | ROW for n in (1, 2)]


def state(optimizer):
    states = optimizer.state_dict()["state"]
    return [states[i][name] for i in sorted(states) for name in sorted(states[i])]


@pytest.fixture
def trained(config, few):
    """Model and optimiser after an epoch."""
    model, optimizer = fresh(config.replace(seed=1), few)
    train_epoch(model, optimizer, few, config)
    return model, optimizer


def not_used(path, config, few, caplog, monitor=None):
    """Load a checkpoint that is none for the run, and return what is said."""
    model, optimizer = fresh(config, few)
    watch = monitor and CollapseMonitor(model, optimizer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = json.dumps(watch.state_dict()) if watch else ""
    with caplog.at_level(logging.WARNING):
        own = path, model, optimizer, config.key, watch
        assert checkpoint.load_checkpoint(*own, epochs=config.epochs) == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert state(optimizer) == []
    assert not watch or json.dumps(watch.state_dict()) == seen
    assert "\n" not in caplog.text.strip()
    assert all(str(path) in message for message in caplog.messages)
    return caplog.messages


def test_a_checkpoint_gives_the_optimizer_its_state_in_the_weights_layout(
    trained, config, few, tmp_path
):
    model, optimizer = trained
    checkpoint.save_checkpoint(tmp_path / "c", model, optimizer, config.key, ROWS)
    other, restored = fresh(config.replace(seed=7), few)
    assert checkpoint.load_checkpoint(tmp_path / "c", other, restored, config.key) == ROWS
    assert all(map(torch.equal, state(optimizer), state(restored)))
    for parameter, slots in restored.state.items():
        assert slots["exp_avg"].stride() == parameter.stride()


def test_a_missing_checkpoint_needs_no_word(config, few, tmp_path, caplog):
    assert not_used(tmp_path / "c", config, few, caplog) == []


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "damaged": lambda content: b"\xff" * 64 + content[64:],
    "one bit": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_checkpoint_that_is_not_whole_is_not_used(kind, trained, config, few, tmp_path, caplog):
    path = tmp_path / "c.pt"
    checkpoint.save_checkpoint(path, *trained, config.key, ROWS)
    path.write_bytes(DAMAGES[kind](path.read_bytes()))
    (said,) = not_used(path, config, few, caplog)
    assert said.startswith(f"checkpoint {path} is not used, the run begins anew: ")


def test_a_checkpoint_of_an_old_version_was_a_safetensors_file_and_is_not_used(
    config, few, tmp_path, caplog
):
    save_file({"model.x": torch.zeros(3)}, tmp_path / "c", {"key": config.key, "digest": "0" * 64})
    assert "or of an old version" in not_used(tmp_path / "c", config, few, caplog)[0]


@pytest.mark.parametrize("name", ["key", "history", "another"])
def test_an_edit_of_what_stands_beside_the_numbers_is_noticed(
    name, trained, config, few, tmp_path, caplog
):
    path = tmp_path / "c"
    checkpoint.save_checkpoint(path, *trained, config.key, ROWS)
    rewritten(path, lambda saved: saved.update({name: [ROWS[0] | {"val_loss": 1.0}]}))
    assert "it does not have its digest" in not_used(path, config, few, caplog)[0]


@pytest.mark.parametrize("change", ["renamed", "reshaped", "retyped", "gone", "new"])
def test_an_edit_of_a_tensor_that_keeps_its_numbers_is_noticed(
    change, trained, config, few, tmp_path, caplog
):
    def edit(saved):
        tensors = saved["model"]
        name = max(tensors, key=lambda name: tensors[name].numel())
        value = tensors[name] if change == "new" else tensors.pop(name)
        changed = {
            "renamed": {f"{name}x": value},
            "reshaped": {name: value[None]},
            "retyped": {name: value.view(torch.int32)},
            "gone": {},
            "new": {f"{name}x": value.clone()},
        }
        tensors.update(changed[change])

    path = tmp_path / "c"
    checkpoint.save_checkpoint(path, *trained, config.key, ROWS)
    rewritten(path, edit)
    assert "it does not have its digest" in not_used(path, config, few, caplog)[0]


class Code:
    """What a pickle runs when it is loaded carelessly."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_code_in_a_checkpoint_is_not_run_under_whatever_digest(
    trained, config, few, tmp_path, caplog
):
    history = [ROWS[0] | {"val_loss": Code(tmp_path / "made")}]
    checkpoint.save_checkpoint(tmp_path / "c", *trained, config.key, history)
    (said,) = not_used(tmp_path / "c", config, few, caplog)
    assert said.endswith("PyTorch does not load it without running code from it")
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_not_used_and_not_waited_for(
    make, config, few, tmp_path, caplog
):
    make(tmp_path / "c")
    assert "no regular file" in not_used(tmp_path / "c", config, few, caplog)[0]


def test_anothers_checkpoint_is_not_used(trained, config, few, tmp_path, caplog):
    checkpoint.save_checkpoint(tmp_path / "c", *trained, "0" * 12, ROWS)
    (said,) = not_used(tmp_path / "c", config, few, caplog)
    assert said.endswith("it belongs to another configuration or other data")


@pytest.mark.parametrize("n", [0, 4])
def test_a_history_that_is_empty_or_too_long_is_not_used_under_whatever_digest(
    n, trained, config, few, tmp_path, caplog
):
    checkpoint.save_checkpoint(tmp_path / "c", *trained, config.key, (ROWS * 2)[:n])
    (said,) = not_used(tmp_path / "c", config, few, caplog)
    assert said.endswith(f"its history has {n} epochs, not 1 to 3")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"locnet": "x4"}, "it does not fit the model: they differ in transformer.localisation."),
        ({"model": "baseline"}, "it does not fit the model: they differ in "),
    ],
)
def test_weights_of_another_network_are_not_used_under_whatever_digest(
    change, reason, config, few, tmp_path, caplog
):
    config = config.replace(loc_lr_factor=1.0)
    other = fresh(config.replace(**change), few)
    checkpoint.save_checkpoint(tmp_path / "c", *other, config.key, ROWS)
    assert reason in not_used(tmp_path / "c", config, few, caplog)[0]


def rename(states):
    states[0]["average"] = states[0].pop("exp_avg")


def reshape(states):
    states[0]["exp_avg"] = states[0]["exp_avg"][None]


def retype(states):
    states[0]["exp_avg"] = states[0]["exp_avg"].double()


def lay_out(states):
    states[2]["exp_avg"] = states[2]["exp_avg"].contiguous()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (rename, "average of parameter 0"),
        (reshape, "exp_avg of parameter 0"),
        (retype, "exp_avg of parameter 0"),
        (lay_out, "exp_avg of parameter 2"),
        (lambda states: states[0].pop("step"), "step of parameter 0"),
        (lambda states: states.update({99: states.pop(0)}), "exp_avg of parameter 99"),
        (lambda states: states.update({"x": states.pop(0)}), "exp_avg of parameter x"),
    ],
)
def test_an_optimizers_state_that_is_not_adams_is_not_used_under_whatever_digest(
    change, reason, trained, config, few, tmp_path, caplog
):
    model, optimizer = trained
    states = {i: dict(slots) for i, slots in optimizer.state_dict()["state"].items()}
    change(states)
    pretended = SimpleNamespace(state_dict=lambda: {"state": states})
    checkpoint.save_checkpoint(tmp_path / "c", model, pretended, config.key, ROWS)
    (said,) = not_used(tmp_path / "c", config, few, caplog)
    assert said.endswith(f"it does not fit the optimiser: they differ in {reason}")


@pytest.mark.parametrize("state", [{}, {"steps": 3}, {"steps": 3, "collapse": 1}, []])
def test_a_monitors_state_that_does_not_load_is_not_used_and_leaves_everything_as_it_was(
    state, trained, config, few, tmp_path, caplog
):
    monitor = SimpleNamespace(state_dict=lambda: state)
    checkpoint.save_checkpoint(tmp_path / "c", *trained, config.key, ROWS, monitor)
    (said,) = not_used(tmp_path / "c", config, few, caplog, monitor=True)
    assert "its trace does not load" in said


def test_a_checkpoint_without_a_trace_is_not_used_by_a_traced_run(
    trained, config, few, tmp_path, caplog
):
    checkpoint.save_checkpoint(tmp_path / "c", *trained, config.key, ROWS)
    (said,) = not_used(tmp_path / "c", config, few, caplog, monitor=True)
    assert said.endswith("it has no trace")


def test_a_training_that_began_on_other_images_begins_anew(config, few, tmp_path, caplog):
    path, others = tmp_path / "c", dataclasses.replace(few, fingerprint="0" * 16)
    key = checkpoint.run_key(config, others)
    checkpoint.save_checkpoint(path, *fresh(config, others), key, ROWS)
    assert checkpoint.load_checkpoint(path, *fresh(config, others), key) == ROWS
    rows = fit.fit(fresh(config, few)[0], few, config, path, progress=False)
    whole = fit.fit(fresh(config, few)[0], few, config, progress=False)
    assert numbers(rows) == numbers(whole) and len(rows) == config.epochs
    assert "other data" in caplog.text


def test_a_checkpoint_holds_its_history_to_the_last_digit(trained, config, few, tmp_path):
    history = [ROWS[0] | {"train_loss": 0.1 + 0.2, "val_loss": float("inf")}]
    checkpoint.save_checkpoint(tmp_path / "c", *trained, config.key, history)
    assert checkpoint.load_checkpoint(tmp_path / "c", *fresh(config, few), config.key) == history
