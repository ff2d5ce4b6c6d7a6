"""The command `stn`, as it is typed."""

import csv
import importlib.metadata
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from stnlib.cli import app
from stnlib.data import catalogue
from stnlib.records import store
from stnlib.study import cluster, runs
from stnlib.training.config import RunConfig, defaults
from stnlib.training.settings import parse_settings

pytestmark = pytest.mark.usefixtures("places")
ROOT = Path(__file__).parents[1]
SMALL = ["data=digits", "model=baseline", "n_train=32", "batch_size=32", "epochs=1", "seed=987"]


def stn(*arguments):
    return CliRunner().invoke(app, list(arguments))


def error_of(done):
    """The one line of a command that was refused."""
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line.removeprefix("error: ")


def own_process(*arguments):
    """What `stn` did in a process of its own, its peak memory in MB, and what it imported."""
    program = (
        "import json, sys\n"
        "from stnlib.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "finally:\n"
        "    peak = int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024\n"
        "    print(json.dumps([peak, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )
    *said, last = done.stderr.splitlines()
    return done, said, *json.loads(last)


def test_data_lists_what_is_here_and_where_the_rest_would_lie(places):
    done = stn("data")
    assert done.exit_code == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert set(rows) == {*catalogue.NAMES, "mnist"}
    assert "missing" in rows["cm"] and str(places["data"]) in rows["cm"]
    assert "here" in rows["digits"]


def test_data_that_needs_no_download_is_fetched_at_once():
    assert stn("data", "digits").exit_code == 0


def test_an_unknown_data_set_is_refused():
    message = error_of(stn("data", "svhn"))
    assert message.startswith("data must be one of cm, digits, mnist, fashion, c10, ")
    assert message.endswith(", not 'svhn'")


def test_a_data_folder_that_cannot_be_written_is_reported_before_any_download(
    tmp_path, monkeypatch
):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("STNLIB_DATA", str(tmp_path / "file" / "data"))
    for command in (["data", "cm"], ["run", "data=cm", "seed=987"]):
        message = error_of(stn(*command))
        assert message.startswith(f"cannot write in {tmp_path}")
        assert "set STNLIB_DATA" in message


def test_a_run_is_trained_once_and_then_shown_from_its_record(places, monkeypatch):
    first = stn("run", *SMALL)
    assert first.exit_code == 0
    path, line = first.stdout.splitlines()
    record = store.read(places["records"] / "own" / f"{path[-17:-5]}.json")
    accuracy = record.result["test_accuracy"]
    assert line == f"{record.key}  test accuracy {accuracy:.4f} (n=500)"
    monkeypatch.setattr(runs, "run", None)
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
    record = store.read(runs.run(config, "search", places["records"], **where))
    done = stn("run", *SMALL)
    assert done.exit_code == 0
    accuracy = record.last["val_accuracy"]
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
        ("data=svhn", "data must be one of cm, digits, mnist, fashion, c10, c10d, shapes10, "),
        ("model=resnet", "model must be one of baseline, "),
        ("padding=wrap", "padding must be one of zeros, border, reflection, not 'wrap'"),
        ("rate=1", "'rate=1' is no setting: write NAME=VALUE with one of data, model, "),
        ("lr", "'lr' is no setting: write NAME=VALUE with one of data, model, "),
        ("batch_size=4001", "batch_size must be at most the 4000 training images, not 4001"),
        ("seed=1 ", "seed must be a whole number >= 0, not '1 '"),
        ("output_size=257", "output_size must be a whole number >= 1 and <= 256 or None, not 257"),
        ("n_train=4001", "n_train must be a whole number from 1 to 4000, not 4001"),
        ("output_size=9", "output_size must be at least 10 pixels for Table II's network, not 9"),
    ],
)
def test_a_bad_setting_is_one_line_and_nothing_is_recorded(places, setting, message):
    base = [] if setting.startswith("data") else ["data=digits"]
    assert error_of(stn("run", *base, setting)).startswith(message)
    assert list(places["records"].rglob("*.json")) == []


@pytest.mark.parametrize("device", ["tpu", "mps", "meta", "cuda:x", "cpu:1", ""])
def test_an_unknown_device_is_refused(device):
    message = error_of(stn("run", *SMALL, "--device", device))
    assert message == f"device must be auto, cpu, cuda or cuda:N, not {device!r}"


def test_a_gpu_that_is_not_there_is_refused():
    count = torch.cuda.device_count()
    for number in (count, 128, 255, 256, 999, 10**12):  # torch keeps it in 8 bits
        message = error_of(stn("run", *SMALL, "--device", f"cuda:{number}"))
        there = f"this machine has {count} CUDA devices"
        assert message == f"device cuda:{number} is not there: {there}"


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


def test_records_are_written_as_a_table(places, few):
    config = RunConfig.from_dict(parse_settings(SMALL))
    runs.run(config, "mine", places["records"], data=few, progress=False)
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


HEAVY = {"torch", "pandas", "numpy", "dask", "distributed", "rich", "pooch"}


@pytest.mark.skipif(sys.platform != "linux", reason="others do not tell the peak of memory so")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["branches", "--help"],
        ["third-party", "--help"],
        ["verify", "--help"],
        ["doctor"],
        ["data"],
        ["records", "nosuch"],
        ["sweep", "book/studies/cm-size.toml"],  # all of its runs are in the book's records
        ["run", "model=baseline"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_command_that_does_not_train_waits_for_no_library_and_fits_into_150_mb(
    arguments, monkeypatch
):
    monkeypatch.chdir(ROOT)
    done, said, peak, modules = own_process(*arguments)
    assert done.returncode == (2 if "nosuch" in arguments else 0), said
    assert not HEAVY & set(modules)
    assert peak < 150


def test_a_sweep_with_nothing_to_do_starts_no_cluster(monkeypatch):
    monkeypatch.setattr(cluster, "connect", None)
    done = stn("sweep", str(ROOT / "book" / "studies" / "cm-size.toml"))
    assert done.exit_code == 0 and done.stderr == ""
    n, of, total, *_ = done.stdout.split()
    assert (of, n) == ("of", total) and int(total) > 0


def toml(folder, text, name="few.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_single_run_needs_no_cluster_and_equals_that_of_a_run(places, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "connect", None)
    lines = [f"{k} = {json.dumps(v)}" for k, v in parse_settings(SMALL).items() if k != "seed"]
    file = toml(tmp_path, "seeds = [987]\n[base]\n" + "\n".join(lines))
    threads = torch.get_num_threads()
    try:
        done = stn("sweep", str(file))
    finally:
        torch.set_num_threads(threads)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("1 of 1 runs are recorded in ")
    (found,) = store.of_study("few", [places["records"]])
    assert found.provenance["threads"] == 1
    again = stn("run", *SMALL, "--records", str(tmp_path / "again"), "--threads", "1")
    assert again.exit_code == 0
    (same,) = store.of_study("own", [tmp_path / "again"])
    assert same.result["test_accuracy"] == found.result["test_accuracy"]
    assert same.history[0]["val_loss"] == found.history[0]["val_loss"]


@pytest.mark.parametrize(
    ("name", "base", "message"),
    [
        ("bad name.toml", 'data = "digits"', "study must be a name of letters, digits, "),
        ("few.toml", 'data = "digits"\nn_train = 4001', "n_train must be a whole number from 1 to"),
        ("few.toml", "n_train = 10001", "n_train must be a whole number from 1 to 10000, not"),
        ("few.toml", 'data = "c10d"\nn_train = 45001', "n_train must be a whole number from 1 to"),
        ("few.toml", 'data = "digits"\nn_train = 127', "batch_size must be at most the 127 train"),
        (
            "few.toml",
            'data = "shapes10d"\nbatch_size = 5001',
            "batch_size must be at most the 5000",
        ),
        (
            "few.toml",
            'data = "shapes10d"\nmodel = "crop"\noutput_size = 65',
            "output_size must be at most the canvas's 64 pixels for a crop, not 65",
        ),
        ("few.toml", "lr = 0.1", "Cluttered MNIST could not be downloaded"),
        ("few.toml", 'data = "c10"', "CIFAR-10 could not be downloaded"),
    ],
)
def test_a_sweep_finds_what_it_can_know_before_any_run(
    places, tmp_path, monkeypatch, no_network, name, base, message
):
    """Also of the last of its runs, and where another file of the sweep is in order."""
    monkeypatch.setattr(cluster, "connect", None)
    good = toml(tmp_path, '[base]\ndata = "digits"\n', "good.toml")
    bad = toml(tmp_path, f"seeds = [71, 72]\n[base]\n{base}\n", name)
    assert message in error_of(stn("sweep", str(good), str(bad)))
    assert not list(places["records"].rglob("*.json"))


def test_a_sweep_whose_machine_lacks_bfloat16_says_so_before_any_run(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "connect", None)
    monkeypatch.setattr("stnlib.training.device.has_bfloat16", lambda device: False)
    file = toml(tmp_path, 'seeds = [0, 1]\n[base]\ndata = "digits"\nprecision = "bfloat16"\n')
    assert "precision must be float32 or auto: " in error_of(stn("sweep", str(file)))


@pytest.fixture
def no_network(monkeypatch):
    """Downloads go where nobody answers."""
    from torchvision.datasets import CIFAR10

    from stnlib.data import download, sources

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "CM_URL", f"http://127.0.0.1:9/{sources.CM_FILE}")
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")


def test_the_size_of_an_image_folder_is_found_before_any_run(places, tmp_path, monkeypatch):
    """What only the data can tell: a copy as images may have any number of them."""
    from PIL import Image

    from stnlib.data import cifar

    monkeypatch.setattr(cluster, "connect", None)
    for part in ("train", "test"):
        for name in cifar.CLASSES:
            (places["data"] / part / name).mkdir(parents=True)
            for i in range(2):
                Image.new("RGB", (32, 32)).save(places["data"] / part / name / f"{i}.png")
    file = toml(tmp_path, 'seeds = [0, 1]\n[base]\ndata = "c10"\nbatch_size = 19\n')
    done = stn("sweep", str(file))
    assert done.exit_code == 2
    message = done.stderr.splitlines()[-1]  # after the bar of the decoding
    assert message.endswith("batch_size must be at most the 18 training images, not 19")


def test_a_run_that_any_study_has_recorded_is_not_made_again(places, few, tmp_path, monkeypatch):
    """As `stn run` looks for it: in every study of every folder; of one, where it is named."""
    monkeypatch.setattr(cluster, "connect", None)
    config = RunConfig.from_dict(parse_settings(SMALL))
    path = runs.run(config, "mine", places["records"], data=few, progress=False)
    lines = [f"{k} = {json.dumps(v)}" for k, v in parse_settings(SMALL).items() if k != "seed"]
    file = toml(tmp_path, "seeds = [987]\n[base]\n" + "\n".join(lines))
    for options in ([], ["--records", str(places["records"])]):
        done = stn("sweep", str(file), *options)
        assert done.exit_code == 0 and done.stdout.startswith("1 of 1 runs are recorded in ")
    assert list(places["records"].glob("*/*.json")) == [path]
    book = ROOT / "book" / "records" / "cm-size"
    recorded = toml(tmp_path, (ROOT / "book" / "studies" / "cm-size.toml").read_text("utf-8"))
    assert stn("sweep", str(recorded)).exit_code == 0 and any(book.glob("*.json"))
    elsewhere = stn("sweep", str(recorded), "--records", str(tmp_path / "empty"))
    assert elsewhere.exit_code == 2  # it would make them, and has not the data


def test_a_run_that_another_study_has_recorded_says_where(places, few):
    config = RunConfig.from_dict(parse_settings(SMALL))
    path = runs.run(config, "mine", places["records"], data=few, progress=False)
    for options in (["--study", "other"], ["--study", "mine", "--keep-weights"]):
        done = stn("run", *SMALL, *options)
        assert done.exit_code == 0
        assert done.stderr == f"recorded already, and not made again: {path}\n"
    assert stn("run", *SMALL, "--study", "mine").stderr == ""
    message = error_of(stn("run", *SMALL, "--study", "../other"))
    assert message.startswith("study must be a name of letters")


def test_a_home_is_meant_by_its_sign_in_variables_and_options(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("data", "records", "checkpoints"):
        monkeypatch.setenv(f"STNLIB_{name.upper()}", f"~/{name}")
    done = stn("doctor")
    for name in ("data", "records", "checkpoints"):
        assert f" {tmp_path / name}\n" in done.stdout
        assert (tmp_path / name).is_dir()
    assert stn("run", *SMALL, "--records", "~/r", "--checkpoints", "~/c").exit_code == 0
    assert list((tmp_path / "r").glob("own/*.json")) and (tmp_path / "c").is_dir()
    assert not Path("~").exists()


def test_records_of_an_unknown_study_are_refused_with_the_known_ones(places, few, tmp_path):
    config = RunConfig.from_dict(parse_settings(SMALL))
    runs.run(config, "mine", tmp_path / "r", data=few, progress=False)
    (tmp_path / "outside").mkdir()
    for name in (
        "nosuch",
        "",
        "*",
        "m*",
        "mine/",
        "../r/mine",
        "/etc",
        str(tmp_path / "r" / "mine"),
    ):
        message = error_of(stn("records", name, "--records", str(tmp_path / "r")))
        assert message == f"there is no study {name!r}: there are mine"
    (row,) = csv.DictReader(io.StringIO(stn("records", "--records", str(tmp_path / "r")).stdout))
    assert row["key"] == config.key
    message = error_of(stn("records", "--records", str(tmp_path / "outside")))
    assert message == f"there are no records in {tmp_path / 'outside'}"


def test_a_record_that_cannot_be_read_is_skipped_with_a_line_and_the_rest_written(places, few):
    config = RunConfig.from_dict(parse_settings(SMALL))
    path = runs.run(config, "mine", places["records"], data=few, progress=False)
    bad = path.with_name("0123456789ab.json")
    bad.write_text("{", encoding="utf-8")
    done = stn("records", "mine")
    assert done.exit_code == 1
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["key"] == config.key
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"skipped: {bad} cannot be read")


def test_the_version_is_that_of_the_package():
    version = importlib.metadata.version("stnlib")
    assert stn("--version").stdout == f"stnlib {version}\n"


def test_the_help_of_a_run_lists_every_field_with_its_default_and_what_is_allowed():
    text = stn("run", "--help").stdout
    for name, default in defaults().items():
        assert f"\n  {name}={str(default).lower()}\n" in text
    assert "one of none, rollback, reset" in text and "a number >= 0 and < 1" in text


def test_missing_cifar_may_come_as_a_folder_too(places):
    (line,) = [line for line in stn("data").stdout.splitlines() if line.startswith("c10 ")]
    assert "missing" in line and "cifar-10-batches-bin" in line and "image folder" in line
    for form in ("cifar-10-batches-bin", "cifar10/train"):
        (places["data"] / form).mkdir(parents=True)
        (line,) = [line for line in stn("data").stdout.splitlines() if line.startswith("c10 ")]
        assert "here" in line and line.endswith(str(places["data"] / form.partition("/")[0]))
        (places["data"] / form).rmdir()


def test_a_run_into_a_file_writes_a_line_a_minute():
    done = stn("run", "data=digits", "model=baseline", "n_train=2000", "epochs=4", "seed=987")
    assert done.exit_code == 0
    assert 1 <= len(done.stderr.replace("\r", "\n").strip().splitlines()) <= 3


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch):
    def broken(*_):
        raise ValueError("a slip")

    monkeypatch.setattr(store, "locate", broken)
    done = stn("run", *SMALL)
    assert isinstance(done.exception, ValueError) and "error: " not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs pipes")
def test_a_reader_who_has_had_enough_is_no_error():
    command = f"{sys.executable} -c 'from stnlib.cli import main; main()' records | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("study,key,") and done.stderr == ""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["records", "--help"]])
def test_help_is_there(arguments):
    assert stn(*arguments).exit_code == 0
