"""Files: regular ones only, open to whom the umask allows, and homes by their sign."""

import os
import stat
from pathlib import Path

import pytest
from PIL import Image

from stnlib import paths
from stnlib.atomic import regular, write_whole
from stnlib.data import catalogue, cifar, sources
from stnlib.data.sets import DataError
from stnlib.errors import ConfigError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs pipes and a umask")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_is_open_to_whom_the_umask_allows(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "x", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~mask


def test_only_a_regular_file_is_one(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "link"):
        assert regular(tmp_path / name) == tmp_path / name
    for other in (tmp_path, tmp_path / "pipe", Path("/dev/null"), tmp_path / "missing"):
        with pytest.raises(OSError):
            regular(other)


def pipe(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize("make", [pipe, lambda path: path.mkdir(parents=True)])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cm", sources.CM_FILE),
        ("mnist", "MNIST/raw/train-images-idx3-ubyte"),
        ("mnist", "MNIST/raw/t10k-labels-idx1-ubyte.gz"),
        ("c10", sources.ARCHIVE),
        ("c10", f"{sources.BATCHES}/data_batch_1"),
        ("c10", f"{sources.BINARY}/data_batch_1.bin"),
    ],
)
def test_a_data_file_that_is_a_pipe_or_a_folder_is_told_and_not_waited_for(
    places, name, file, make
):
    make(places["data"] / file)
    with pytest.raises(DataError) as caught:
        catalogue.fetch(name)
    assert str(places["data"] / file).partition("/data_batch")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_that_is_a_pipe_is_told_and_not_waited_for(places):
    for part in ("train", "test"):
        for name in cifar.CLASSES:
            (places["data"] / part / name).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(places["data"] / part / name / "0.png")
    os.mkfifo(places["data"] / "train" / "cat" / "1.png")
    with pytest.raises(DataError, match=r"cat/1\.png cannot be read: .*no regular file"):
        catalogue.fetch("c10")


def test_a_decoded_file_that_is_a_pipe_is_made_anew(places):
    for part in ("train", "test"):
        for name in cifar.CLASSES:
            (places["data"] / part / name).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(places["data"] / part / name / "0.png")
    os.mkfifo(places["data"] / cifar.FOLDER)
    assert len(catalogue.load("c10").test) == 10
    assert (places["data"] / cifar.FOLDER).is_file()


@pytest.mark.parametrize("variable", ["DATA", "RECORDS", "CHECKPOINTS"])
def test_one_rule_holds_for_the_three_variables(monkeypatch, tmp_path, variable):
    place = {
        "DATA": paths.data_dir,
        "RECORDS": paths.own_records,
        "CHECKPOINTS": paths.checkpoint_folder,
    }[variable]
    monkeypatch.delenv(f"STNLIB_{variable}", raising=False)
    usual = place()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, meant in (
        ("~/x", tmp_path / "x"),
        ("~", tmp_path),
        (" ~/x ", tmp_path / "x"),
        ("x/y", tmp_path / "x" / "y"),
        (str(tmp_path / "z"), tmp_path / "z"),
    ):
        monkeypatch.setenv(f"STNLIB_{variable}", name)
        assert place() == meant
    monkeypatch.setenv(f"STNLIB_{variable}", "~nosuchuser/x")
    with pytest.raises(ConfigError, match="there is no such home: ~nosuchuser/x"):
        place()
    monkeypatch.undo()
    monkeypatch.setenv(f"STNLIB_{variable}", "  ")
    assert place() == usual and usual.is_absolute()


@pytest.mark.parametrize("name", ["digits", "shapes10", "shapes10d"])
def test_what_is_known_of_a_data_set_is_so(name):
    assert sources.n_train(name) == len(catalogue.load(name).train)
