"""The command `stn`, as it is typed."""

import csv
import io

import pytest
import torch
from typer.testing import CliRunner

from stnlib import data, records, study
from stnlib.cli import app, parse_settings
from stnlib.config import ConfigError, RunConfig

pytestmark = pytest.mark.usefixtures("places")
SMALL = ["data=digits", "model=baseline", "n_train=32", "batch_size=32", "epochs=1", "seed=987"]


def stn(*arguments):
    return CliRunner().invoke(app, list(arguments))


def error_of(done):
    """The one line of a command that was refused."""
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line.removeprefix("error: ")


def test_data_lists_what_is_here_and_where_the_rest_would_lie(places):
    done = stn("data")
    assert done.exit_code == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert set(rows) == {*data.NAMES, "mnist"}
    assert "missing" in rows["cm"] and str(places["data"]) in rows["cm"]
    assert "here" in rows["digits"]


def test_data_that_needs_no_download_is_fetched_at_once():
    assert stn("data", "digits").exit_code == 0


def test_an_unknown_data_set_is_refused():
    message = error_of(stn("data", "svhn"))
    assert message.startswith("data must be one of cm, digits, mnist, c10, ")
    assert message.endswith(", not 'svhn'")


def test_a_data_folder_that_cannot_be_written_is_reported_before_any_download(
    tmp_path, monkeypatch
):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("STNLIB_DATA", str(tmp_path / "file" / "data"))
    for command in (["data", "cm"], ["run", "data=cm", "seed=987"]):
        message = error_of(stn(*command))
        assert message.startswith("cannot write to the data folder")
        assert "set STNLIB_DATA" in message


def test_a_run_is_trained_once_and_then_shown_from_its_record(places, monkeypatch):
    first = stn("run", *SMALL)
    assert first.exit_code == 0
    path, line = first.stdout.splitlines()
    record = records.read(places["records"] / "own" / f"{path[-17:-5]}.json")
    accuracy = record["result"]["test_accuracy"]
    assert line == f"{record['key']}  test accuracy {accuracy:.4f} (n=500)"
    monkeypatch.setattr(study, "run", None)
    second = stn("run", *SMALL)
    assert second.exit_code == 0
    assert second.stdout.splitlines() == [line]
    assert second.stderr == ""


def test_a_run_goes_where_it_is_told(tmp_path, places):
    done = stn("run", *SMALL, "--study", "mine", "--records", str(tmp_path / "r"))
    assert done.exit_code == 0
    assert [path.parent.name for path in (tmp_path / "r").glob("*/*.json")] == ["mine"]
    assert not places["records"].exists()


def test_what_a_search_recorded_is_shown_without_test_images(places, few):
    config = RunConfig.from_dict(parse_settings(SMALL))
    where = {"data": few, "test": False, "progress": False}
    record = records.read(study.run(config, "search", places["records"], **where))
    done = stn("run", *SMALL)
    assert done.exit_code == 0
    accuracy = record["history"][-1]["val_accuracy"]
    assert done.stdout == f"{config.key}  validation accuracy {accuracy:.4f}, never tested\n"


def test_a_run_that_diverged_says_so():
    done = stn("run", "data=digits", "n_train=32", "batch_size=32", "epochs=3", "lr=1e30")
    assert done.exit_code == 0
    assert done.stdout.endswith("test accuracy nan (n=500), stopped: diverged\n")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lr=fast", "lr must be a number > 0, not 'fast'"),
        ("lr=-1", "lr must be a number > 0, not -1"),
        ("lr=nan", "lr must be a number > 0, not nan"),
        ("epochs=0", "epochs must be a whole number >= 1, not 0"),
        ("epochs=2.5", "epochs must be a whole number >= 1, not 2.5"),
        ("data=svhn", "data must be one of cm, digits, mnist, c10, c10d, shapes10, "),
        ("model=resnet", "model must be one of baseline, "),
        ("padding=wrap", "padding must be one of zeros, border, reflection, not 'wrap'"),
        ("rate=1", "'rate=1' is no setting: write NAME=VALUE with one of data, model, "),
        ("lr", "'lr' is no setting: write NAME=VALUE with one of data, model, "),
        ("n_train=4001", "n_train must be a whole number from 1 to 4000, not 4001"),
        ("output_size=9", "size must be at least 10 pixels for Table II's network, not 9"),
    ],
)
def test_a_bad_setting_is_one_line_and_nothing_is_recorded(places, setting, message):
    assert error_of(stn("run", "data=digits", setting)).startswith(message)
    assert list(places["records"].rglob("*.json")) == []


@pytest.mark.parametrize("device", ["tpu", "mps", "meta", "cuda:x", "cpu:1", ""])
def test_an_unknown_device_is_refused(device):
    message = error_of(stn("run", *SMALL, "--device", device))
    assert message == f"device must be auto, cpu, cuda or cuda:N, not {device!r}"


def test_a_gpu_that_is_not_there_is_refused():
    count = torch.cuda.device_count()
    message = error_of(stn("run", *SMALL, "--device", f"cuda:{count}"))
    assert message == f"device cuda:{count} is not there: this machine has {count} CUDA devices"


def test_a_closed_folder_of_records_is_reported(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    message = error_of(stn("run", *SMALL, "--records", str(tmp_path / "file")))
    assert message.startswith(f"cannot write in {tmp_path / 'file'}")


def test_a_damaged_record_is_reported_not_trained_again(places):
    config = RunConfig.from_dict(parse_settings(SMALL))
    path = places["records"] / "own" / f"{config.key}.json"
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    assert error_of(stn("run", *SMALL)).startswith(f"{path} cannot be read")


def test_settings_take_the_types_that_they_look_like():
    settings = ["lr=1e-4", "seed=3", "shuffle=False", "n_train=none", "model=stn", "dropout=.5"]
    assert parse_settings(settings) == {
        "lr": 1e-4,
        "seed": 3,
        "shuffle": False,
        "n_train": None,
        "model": "stn",
        "dropout": 0.5,
    }
    with pytest.raises(ConfigError, match="'=1' is no setting"):
        parse_settings(["=1"])


def test_records_are_written_as_a_table(places, few):
    config = RunConfig.from_dict(parse_settings(SMALL))
    study.run(config, "mine", places["records"], data=few, progress=False)
    done = stn("records", "mine")
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["key"] == config.key and row["seed"] == "987" and row["study"] == "mine"
    everything = list(csv.DictReader(io.StringIO(stn("records").stdout)))
    assert {"mine", "cm"} <= {row["study"] for row in everything}


def test_the_doctor_finds_nothing_wrong_here(places):
    done = stn("doctor")
    assert done.exit_code == 0, done.output
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert {"stnlib", "torch", "device", "cm", "digits", "records", "unfinished"} <= set(rows)
    assert str(places["checkpoints"]) in rows["checkpoints"]


def test_the_doctor_names_what_is_wrong(places, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("STNLIB_CHECKPOINTS", str(tmp_path / "file" / "c"))
    bad = places["records"] / "own" / "0.json"
    bad.parent.mkdir(parents=True)
    bad.write_text("{", encoding="utf-8")
    done = stn("doctor")
    assert done.exit_code == 1
    problems = done.stderr.splitlines()
    assert len(problems) == 2 and all(line.startswith("problem: ") for line in problems)
    assert f"cannot write in {tmp_path / 'file' / 'c'}" in problems[0]
    assert f"{bad} cannot be read" in problems[1]


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["records", "--help"]])
def test_help_is_there(arguments):
    assert stn(*arguments).exit_code == 0
