"""Records: written whole or not at all, read only if they can be trusted, gathered in tables."""

import collections
import contextlib
import errno
import hashlib
import importlib.util
import inspect
import json
import math
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from stnlib.atomic import check_writable, write_whole
from stnlib.diagnostics import Trace
from stnlib.models import CMNet, count_parameters
from stnlib.records import sealed, store, tables, weights
from stnlib.records.provenance import provenance
from stnlib.study import runs as study_runs
from stnlib.training import checkpoint
from stnlib.training.config import RunConfig
from stnlib.training.loop import Training, make_model
from stnlib.training.rates import make_optimizer

BOOK = Path(__file__).parents[2] / "book" / "records"
COMMITTED = sorted(BOOK.glob("*/*.json"))
SEEN = {"seconds": 1.5, "coverage": 1.0, "black": 0.0}
HISTORY = [
    {"epoch": 1, "train_loss": 2.3, "train_accuracy": 0.1, "val_loss": 2.2, "val_accuracy": 0.125},
    {"epoch": 2, "train_loss": 1.9, "train_accuracy": 0.2, "val_loss": 2.1, "val_accuracy": 0.25},
]
HISTORY = [row | SEEN for row in HISTORY]
RESULT = {"test_loss": 2.0, "test_accuracy": 0.5, "n_test": 50, "parameters": 7, "seconds": 3.0}
ORIGIN = {
    **{"data": "0" * 16, "device": "cpu", "threads": 1, "versions": {"torch": "2.9.0"}},
    **{"system": "Linux x86_64", "source": "unknown", "date": "2018-01-31T12:00:00Z"},
}


def write(folder, study="test", history=HISTORY, result=RESULT, **fields):
    config = RunConfig(data="digits", **fields)
    return store.write(folder, study, config, history, result, ORIGIN)


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


# Writing and reading


def test_a_record_reads_as_it_was_written(tmp_path):
    path = write(tmp_path, seed=3)
    record = store.read(path)
    config = RunConfig(data="digits", seed=3)
    assert path == tmp_path / "test" / f"{config.key}.json"
    assert record == store.Record(path, "test", config, HISTORY, RESULT, ORIGIN)
    assert (record.key, record.seed, record.last) == (config.key, 3, HISTORY[-1])


@pytest.mark.parametrize("lr", [0.000123456789, 1 / 3, 1e-300, 5e-324])
def test_a_configuration_keeps_every_digit_in_its_record(tmp_path, lr):
    assert store.read(write(tmp_path, lr=lr)).config.lr == lr


def test_measurements_keep_the_seven_digits_of_float32(tmp_path):
    record = store.read(write(tmp_path, result=RESULT | {"test_loss": 1.23456789e-5}))
    assert record.result["test_loss"] == 1.234568e-5


def test_a_record_has_a_line_for_each_epoch(tmp_path):
    lines = write(tmp_path).read_text(encoding="utf-8").splitlines()
    assert [line.strip().rstrip(",") for line in lines if '"epoch"' in line] == [
        json.dumps(row) for row in HISTORY
    ]


def test_what_was_not_finite_is_null_in_the_file_and_nan_when_read(tmp_path):
    lost = {"train_loss": math.nan, "val_loss": math.inf}
    path = write(tmp_path, history=[HISTORY[0], HISTORY[1] | lost])
    assert "null" in path.read_text(encoding="utf-8") and "NaN" not in path.read_text("utf-8")
    last = store.read(path).last
    assert math.isnan(last["train_loss"]) and math.isnan(last["val_loss"])


def test_a_record_is_readable_by_everyone_who_may_read_its_folder(tmp_path):
    assert write(tmp_path).stat().st_mode & 0o444 == 0o444


# Records that cannot be trusted


def refused(path):
    with pytest.raises(sealed.RecordError) as caught:
        store.read(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def edit(path, change, digest=True):
    """Change a record; with a digest that fits, only its content can betray it."""
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    if digest:
        record["digest"] = sealed.digest(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def test_an_edited_configuration_is_refused(tmp_path):
    path = edit(write(tmp_path), lambda record: record["config"].update(lr=0.5))
    assert "was edited: its configuration has the key" in refused(path)


def test_a_record_under_another_records_name_is_refused(tmp_path):
    path = write(tmp_path)
    assert "was edited" in refused(path.rename(path.with_name("000000000000.json")))


def test_an_impossible_configuration_is_refused_with_its_reason(tmp_path):
    path = edit(write(tmp_path), lambda record: record["config"].update(lr=-1))
    assert "impossible configuration: lr must be a number > 0, not -1" in refused(path)
    path = edit(path, lambda record: record.update(config=None))
    assert "impossible configuration" in refused(path)


@pytest.mark.parametrize("schema", [0, 1, 3, "2", 2.0, True, None])
def test_another_schema_is_refused(tmp_path, schema):
    path = edit(write(tmp_path), lambda record: record.update(schema=schema))
    assert f"has schema {schema!r}: this version reads 2" in refused(path)


@pytest.mark.parametrize("part", ["study", "key", "config", "history", "result", "provenance"])
def test_a_missing_part_is_named(tmp_path, part):
    path = edit(write(tmp_path), lambda record: record.pop(part))
    assert refused(path).endswith(f"lacks {part}")


def test_a_digest_is_of_the_content_alone_and_always_the_same(tmp_path):
    path = write(tmp_path, seed=3)
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["digest"]
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    stored = json.loads(path.read_text(encoding="utf-8"))["digest"]
    assert stored == hashlib.sha256(canonical).hexdigest()[:16]
    assert sealed.digest({"b": [0.1, None], "a": "θ", "digest": "x"}) == "61c53fee5105a770"


def edits():
    """Changes of one value in each part of a record, each one that might be true."""
    yield "study", lambda record: record.update(study="another")
    yield "history", lambda record: record["history"][0].update(val_accuracy=0.126)
    yield "epochs", lambda record: record["history"].pop()
    yield "result", lambda record: record["result"].update(test_accuracy=0.999)
    yield "no test", lambda record: record["result"].update(n_test=51)
    yield "provenance", lambda record: record["provenance"].update(threads=2)
    yield "a new part", lambda record: record.update(note="better")
    yield "digest", lambda record: record.update(digest="0" * 16)
    yield "no digest", lambda record: record.pop("digest")


@pytest.mark.parametrize(("part", "change"), list(edits()), ids=[part for part, _ in edits()])
def test_an_edit_of_any_part_is_noticed(tmp_path, part, change):
    path = edit(write(tmp_path), change, digest=False)
    assert "was edited: its content has the digest" in refused(path)


def test_what_is_only_laid_out_otherwise_is_the_same_record(tmp_path):
    path = write(tmp_path)
    whole = store.read(path)
    assert store.read(edit(path, lambda record: None, digest=False)) == whole


IMPOSSIBLE = [
    ("history", [], "history must be a list of 1 to 10 rows, not []"),
    ("history", {}, "history must be a list of 1 to 10 rows, not {}"),
    ("history", "x", "history must be a list of 1 to 10 rows, not 'x'"),
    ("history", [HISTORY[0]] * 11, "history must be a list of 1 to 10 rows"),
    ("history", [1], "history row 1 must have names and values, not be 1"),
    ("history", HISTORY[::-1], "history row 1: epoch must be 1, not 2"),
    ("history", [HISTORY[0] | {"epoch": True}], "history row 1: epoch must be 1, not True"),
    ("history", [HISTORY[0] | {"<b>": 1}], "history row 1 has a name that is none: '<b>'"),
    ("result", {}, "result lacks n_test, parameters, seconds"),
    ("result", [], "result must have names and values, not be []"),
    ("provenance", 5, "provenance must have names and values, not be 5"),
    ("provenance", {}, "provenance lacks data, device"),
    ("study", 5, "study must be a name of letters"),
    ("study", "../x", "study must be a name of letters"),
]


@pytest.mark.parametrize(("part", "value", "message"), IMPOSSIBLE)
def test_a_part_of_another_kind_is_refused_under_whatever_digest(tmp_path, part, value, message):
    path = edit(write(tmp_path), lambda record: record.update({part: value}))
    assert f"cannot be true: {message}" in refused(path)


VALUES = [
    ("history", "val_accuracy", 1.5, "a number >= 0 and <= 1, not 1.5"),
    ("history", "val_loss", -1, "a number >= 0, not -1"),
    ("history", "train_accuracy", "0.5", "a number >= 0 and <= 1, not '0.5'"),
    ("history", "seconds", None, "a number >= 0, not None"),
    ("history", "coverage", 7, "a number >= 0 and <= 1, not 7"),
    ("history", "scale_mean", True, "a number, not True"),
    ("history", "scale_mean", 10**400, "a number, not 1000"),
    ("history", "recovered", 1, "true, not 1"),
    ("history", "thetas", [[1.0, 0.0], [1.0]], "lists of numbers, all of one length, not"),
    ("history", "thetas", [1.0], "lists of numbers, all of one length, not [1.0]"),
    ("result", "n_test", -1, "a whole number >= 0, not -1"),
    ("result", "n_test", 50.0, "a whole number >= 0, not 50.0"),
    ("result", "n_test", True, "a whole number >= 0, not True"),
    ("result", "parameters", None, "a whole number >= 0, not None"),
    ("result", "seconds", -3.0, "a number >= 0, not -3.0"),
    ("result", "test_accuracy", 7, "a number >= 0 and <= 1, not 7"),
    ("result", "stopped", "<script>", "a word in small letters, not '<script>'"),
    ("provenance", "data", "x" * 16, "16 hex digits, not 'xxxx"),
    ("provenance", "threads", 0, "a whole number >= 1, not 0"),
    ("provenance", "date", "yesterday", "such as 2018-01-31T12:00:00Z, not 'yesterday'"),
    ("provenance", "device", ["cpu"], "a line of text, not ['cpu']"),
    ("provenance", "source", "a\nb", "a line of text, not 'a\\nb'"),
    ("provenance", "versions", {"torch": 2.9}, "names and versions, not {'torch': 2.9}"),
    ("provenance", "precision", "float8", "one of float32, bfloat16, not 'float8'"),
]


@pytest.mark.parametrize(("part", "name", "value", "allowed"), VALUES)
def test_a_value_that_no_training_gives_is_refused_by_name(tmp_path, part, name, value, allowed):
    def change(record):
        (record[part][-1] if part == "history" else record[part])[name] = value

    where = "history row 2" if part == "history" else part
    path = edit(write(tmp_path), change)
    assert f"cannot be true: {where}: {name} must be {allowed}" in refused(path)


@pytest.mark.parametrize("name", ["train_loss", "train_accuracy", "val_loss", "val_accuracy"])
def test_a_row_without_one_of_its_numbers_is_refused(tmp_path, name):
    path = edit(write(tmp_path), lambda record: record["history"][1].pop(name))
    assert refused(path).endswith(f"cannot be true: history row 2 lacks {name}")


@pytest.mark.parametrize("name", ["coverage", "black"])
def test_an_stn_says_what_it_sees_unless_it_diverged(tmp_path, name):
    def change(record):
        del record["history"][1][name]

    path = edit(write(tmp_path), change)
    assert refused(path).endswith("history row 2 lacks the transformer's coverage and black")
    assert store.read(edit(write(tmp_path, model="baseline"), change))
    path = edit(path, lambda record: record["history"][1].update(val_loss=None))
    assert store.read(path).history[1].keys() == HISTORY[1].keys() - {name}


def test_a_test_accuracy_is_there_just_where_there_was_a_test(tmp_path):
    expected = "cannot be true: result: test_accuracy must be there just where n_test is above 0"
    path = edit(write(tmp_path), lambda record: record["result"].update(n_test=0))
    assert refused(path).endswith(expected)
    path = edit(write(tmp_path), lambda record: record["result"].pop("test_accuracy"))
    assert refused(path).endswith(expected)


def test_thetas_that_were_not_finite_are_nan_when_read(tmp_path):
    thetas = [[1.0, math.inf], [math.nan, 0.0]]
    path = write(tmp_path, history=[HISTORY[0], HISTORY[1] | {"thetas": thetas}])
    ((one, lost), (also_lost, none)) = store.read(path).history[1]["thetas"]
    assert (one, none) == (1.0, 0.0) and math.isnan(lost) and math.isnan(also_lost)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"1e999", b"[" * 100_000, b'{"a":' * 100_000),
        *(b'{"schema": 2, "schema": 2}', b'{"x": NaN}', b'{"x": -Infinity}', b'{"x": 1e999}'),
        b'{"x": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda content: content[:20],
)
def test_what_is_no_record_is_refused(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert "x.json cannot be read: " in refused(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, make):
    (tmp_path / "test").mkdir()
    path = tmp_path / "test" / "x.json"
    make(path)
    assert refused(path).endswith("x.json cannot be read: it is no regular file")
    write(tmp_path)
    count, problems = store.examine([tmp_path])
    assert count == 1 and len(problems) == 1


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert "No such file" in refused(tmp_path / "x.json")


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_truncated_record_is_refused(tmp_path, share):
    path = write(tmp_path)
    content = path.read_bytes().rstrip()
    path.write_bytes(content[: int(share * len(content))])
    assert "cannot be read" in refused(path)


# Full disks and closed folders


@pytest.fixture
def full(monkeypatch):
    """Makes a context in which the disk is full once something is to be flushed to it."""

    def fsync(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextlib.contextmanager
    def context():
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            yield

    return context


def test_a_full_disk_leaves_no_part_of_a_record(tmp_path, full):
    with full(), pytest.raises(OSError) as caught:
        write(tmp_path)
    name = RunConfig(data="digits").key
    assert str(caught.value) == (
        f"could not write {tmp_path / 'test' / name}.json: No space left on device"
    )
    assert leftovers(tmp_path) == []


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, full):
    config, path = RunConfig(model="baseline"), tmp_path / "c.pt"
    model = CMNet()
    optimizer = make_optimizer(model, config)
    checkpoint.save_checkpoint(path, model, optimizer, config.key, HISTORY[:1])
    with full(), pytest.raises(OSError, match=r"could not write .*c\.pt: No"):
        checkpoint.save_checkpoint(path, model, optimizer, config.key, HISTORY)
    assert leftovers(tmp_path) == [path]
    assert checkpoint.load_checkpoint(path, model, optimizer, config.key) == HISTORY[:1]


def test_a_run_that_could_not_write_its_record_goes_on_to_write_it(
    few, config, tmp_path, monkeypatch, full
):
    places = tmp_path / "records", tmp_path / "checkpoints"
    config = config.replace(epochs=1, n_train=96, batch_size=96)
    real = store.write
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left on device"):

        def write_when_full(*args):
            with full():
                return real(*args)

        patch.setattr(store, "write", write_when_full)
        study_runs.run(config, "test", places[0], data=few, checkpoints=places[1], progress=False)
    assert leftovers(places[0]) == []
    assert [path.name for path in leftovers(places[1])] == [f"{config.key}.pt"]
    monkeypatch.setattr(Training, "epoch", None)  # there is nothing left to train
    path = study_runs.run(
        config, "test", places[0], data=few, checkpoints=places[1], progress=False
    )
    assert leftovers(tmp_path) == [path]


@pytest.mark.skipif(os.name == "nt", reason="needs the resource module")
def test_a_file_over_the_limit_is_not_written_in_part(tmp_path):
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="could not write"):
            write_whole(tmp_path / "x", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert leftovers(tmp_path) == []


def test_an_interruption_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_whole(tmp_path / "x", b"old")

    def interrupt(*names):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "x", b"new")
    assert leftovers(tmp_path) == [tmp_path / "x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError) as caught:
        check_writable(tmp_path / "file" / "records")
    assert str(caught.value).startswith(f"cannot write in {tmp_path / 'file' / 'records'}: ")
    check_writable(tmp_path / "new" / "folder")
    assert leftovers(tmp_path) == [tmp_path / "file"]


@pytest.mark.parametrize("which", ["records", "checkpoints"])
def test_a_closed_folder_is_reported_before_training_starts(few, tmp_path, monkeypatch, which):
    (tmp_path / which).write_bytes(b"")
    monkeypatch.setattr(study_runs, "fit", None)  # would fail otherwise than expected
    where = {"folder": tmp_path / "records", "checkpoints": tmp_path / "checkpoints"}
    with pytest.raises(OSError, match=f"cannot write in .*{which}"):
        study_runs.run(RunConfig(data="digits"), "test", data=few, **where)


# Finding and gathering


def test_a_record_is_found_in_any_study_of_any_folder_the_first_folder_first(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    write(second, "one", seed=1)
    write(second, "one", seed=2, result=RESULT | {"test_accuracy": 0.1})
    write(first, "two", seed=2, result=RESULT | {"test_accuracy": 0.9})
    config = RunConfig(data="digits")
    where = [tmp_path / "missing", first, second]
    assert store.find(config, where) is None
    assert store.find(config.replace(seed=1), where).study == "one"
    assert store.find(config.replace(seed=2), where).result["test_accuracy"] == 0.9
    assert len(store.read_all(where)) == 2
    assert [record.study for record in store.of_study("two", where)] == ["two"]


def test_no_key_of_the_book_has_two_records():
    keys = [path.stem for path in BOOK.glob("*/*.json")]
    assert len(keys) == len(set(keys)) > 1000


def test_the_readers_own_records_come_after_the_books(places):
    assert store.folders() == [BOOK, places["records"]]


def test_records_are_examined_one_by_one(tmp_path):
    write(tmp_path, seed=1)
    write(tmp_path, seed=2).write_text("{", encoding="utf-8")
    count, problems = store.examine([tmp_path])
    assert count == 1
    assert len(problems) == 1 and "cannot be read" in problems[0]


def test_without_their_values_records_are_examined_for_edits_alone(tmp_path):
    write(tmp_path, seed=1)
    impossible = write(tmp_path, seed=2)
    edit(impossible, lambda record: record["result"].update(test_accuracy=7))
    edited = write(tmp_path, seed=3)
    edit(edited, lambda record: record["result"].update(test_accuracy=0.999), digest=False)
    assert store.examine([tmp_path])[0] == 1
    count, problems = store.examine([tmp_path], values=False)
    assert count == 2 and len(problems) == 1 and problems[0].startswith(f"{edited} was edited")


def test_a_bad_record_leaves_the_others_in_the_table_and_is_named(tmp_path):
    bad = write(tmp_path, seed=2)
    edit(bad, lambda record: record["result"].update(test_accuracy=0.999), digest=False)
    write(tmp_path, seed=1), write(tmp_path, study="another", seed=3)
    found, problems = store.read_each("test", [tmp_path])
    assert tables.table(found)["seed"].tolist() == [1]
    assert len(problems) == 1 and problems[0].startswith(f"{bad} was edited")
    with pytest.raises(sealed.RecordError, match="was edited"):
        store.read_all([tmp_path])


def test_the_table_has_a_row_for_each_run_with_all_that_was_decided_and_measured(tmp_path):
    for seed in (2, 1):
        write(tmp_path, seed=seed, model="baseline")
    table = tables.table(store.of_study("test", [tmp_path]))
    assert sorted(table["seed"]) == [1, 2]
    origin = ["data_fingerprint", "threads", "date"]
    wanted = ["study", "key", *RunConfig().to_dict(), *RESULT, "val_accuracy", *origin]
    assert set(wanted) <= set(table.columns)
    assert table["val_accuracy"].tolist() == [0.25, 0.25]
    assert not table["key"].duplicated().any()


def test_the_histories_have_a_row_for_each_epoch_of_each_run(tmp_path):
    for seed in (1, 2):
        write(tmp_path, seed=seed)
    table = tables.histories(store.of_study("test", [tmp_path]))
    assert len(table) == 4
    assert {"key", "model", "seed", "epoch", "val_accuracy"} <= set(table.columns)
    assert table.query("seed == 1")["epoch"].tolist() == [1, 2]


def test_tables_of_diverged_runs_hold_numbers(tmp_path):
    lost = {"train_loss": math.nan, "val_loss": math.nan, "val_accuracy": math.nan}
    result = RESULT | {"test_accuracy": math.nan, "stopped": "diverged"}
    write(tmp_path, history=[HISTORY[0] | lost], result=result)
    runs = store.of_study("test", [tmp_path])
    table, histories = tables.table(runs), tables.histories(runs)
    for column in (table["test_accuracy"], table["val_accuracy"], histories["train_loss"]):
        assert column.dtype == float and column.isna().all()
    assert table["stopped"].tolist() == ["diverged"]


def test_a_diverged_run_is_recorded_as_such(few, tmp_path):
    config = RunConfig(data="digits", n_train=96, batch_size=96, epochs=5, lr=1e30)
    where = {"folder": tmp_path, "checkpoints": tmp_path / "c", "data": few}
    record = store.read(study_runs.run(config, "test", progress=False, **where))
    assert record.result["stopped"] == "diverged"
    assert math.isnan(record.result["test_accuracy"])
    assert len(record.history) < 5 and math.isnan(record.last["val_loss"])


def test_records_of_any_seed_are_those_that_differ_in_nothing_else(tmp_path):
    for fields in ({"seed": 7}, {"seed": 0}, {"lr": 0.1}, {"model": "baseline"}):
        write(tmp_path, **fields)
    found = store.of_any_seed(RunConfig(data="digits", seed=3), [tmp_path])
    assert [r.seed for r in found] == [0, 7]
    assert {r.config.replace(seed=0) for r in found} == {RunConfig(data="digits")}


def test_no_record_makes_an_empty_table(tmp_path):
    assert tables.table(store.read_all([tmp_path])).empty
    assert tables.histories([]).empty


# Weights


def test_weights_that_are_damaged_or_anothers_are_a_one_line_error(few, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "folders", lambda: [tmp_path])
    config = RunConfig(data="digits", n_train=96, batch_size=96, epochs=1)
    where = {"data": few, "checkpoints": tmp_path / "c", "keep_weights": True, "progress": False}
    path = store.weights_path(study_runs.run(config, "s", tmp_path, **where))
    whole = path.read_bytes()
    assert weights.transformer(config, 1, 40)
    other = study_runs.run(config.replace(locnet="x4"), "s", tmp_path, **where)
    for content in (b"", whole[:-1], whole[:100], store.weights_path(other).read_bytes()):
        path.write_bytes(content)
        with pytest.raises(sealed.RecordError) as caught:
            weights.transformer(config, 1, 40)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


# Provenance


def test_provenance_says_where_a_run_comes_from():
    origin = provenance(torch.device("cpu"), "f" * 16)
    assert origin["data"] == "f" * 16 and origin["threads"] == torch.get_num_threads()
    assert origin["device"].startswith("cpu, ")
    assert origin["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert json.loads(json.dumps(origin)) == origin


def test_a_copy_in_someone_elses_repository_does_not_claim_its_commit(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    copy = tmp_path / "site-packages" / "provenance.py"
    copy.parent.mkdir()
    copy.write_bytes(Path(inspect.getfile(provenance)).read_bytes())
    spec = importlib.util.spec_from_file_location("copied", copy)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.provenance(torch.device("cpu"), "")["source"] == "unknown"


# The book's records


class Seen(NamedTuple):
    """What a data set looks like to a network, by name and whether it is cropped."""

    channels: int
    size: tuple[int, int]
    classes: tuple[str, ...] = tuple("0123456789")


SHAPES = {"cm": (1, 40), "digits": (1, 40), "mnist": (1, 28), "c10": (3, 32), "c10d": (3, 64)}
SHAPES |= {"shapes10": SHAPES["c10"], "shapes10d": SHAPES["c10d"]}


def as_seen(config):
    """Images of a configuration's data as its network sees them."""
    channels, side = SHAPES[config.data]
    side *= 1 if config.distortion is None else 2
    if config.model in ("crop", "oracle"):
        side = config.output_size or (side if config.model == "oracle" else side // 2)
    return Seen(channels, (side, side))


@pytest.fixture(scope="module")
def committed():
    return [store.read(path) for path in COMMITTED]  # checks key and schema


def test_the_books_records_are_readable(committed):
    assert store.examine([BOOK])[1] == []
    for path, record in zip(COMMITTED, committed, strict=True):
        assert record.study == path.parent.name


def test_the_books_records_are_complete(committed):
    for record in committed:
        epochs = [row["epoch"] for row in record.history]
        assert epochs == list(range(1, len(epochs) + 1))
        whole = len(epochs) == record.config.epochs
        assert whole or record.result["stopped"] in ("black", "diverged")
        needed = {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"}
        if record.config.has_transformer:
            needed |= {"coverage", "black", "loc_grad_norm_max"}
        if record.result.get("stopped") != "diverged":
            assert all(needed <= set(row) for row in record.history)
        assert {"n_test", "parameters", "seconds"} <= set(record.result)
        assert ("test_accuracy" in record.result) == (record.result["n_test"] > 0)


def test_the_books_records_are_finite_and_possible(committed):
    for record in committed:
        if record.result.get("stopped") == "diverged":
            continue
        for row in [*record.history, record.result]:
            numbers = [v for v in row.values() if isinstance(v, int | float)]
            assert all(map(math.isfinite, numbers))
            shares = [v for name, v in row.items() if name.endswith(("accuracy", "coverage"))]
            assert all(0 <= share <= 1 for share in shares)


def test_the_books_records_say_where_they_come_from(committed):
    for record in committed:
        origin = record.provenance
        assert set(origin) >= {"data", "device", "threads", "versions", "system", "source", "date"}
        assert all(origin.values()) and set(origin["versions"]) >= {"python", "torch", "numpy"}
        assert len(origin["data"]) == 16


@pytest.mark.parametrize("study", sorted(path.name for path in BOOK.iterdir()))
def test_the_records_of_a_data_set_in_a_study_saw_the_same_data(study):
    seen = collections.defaultdict(set)
    for record in store.of_study(study, [BOOK]):
        config = record.config
        seen[config.data, config.distortion].add(record.provenance["data"])
    assert all(len(prints) == 1 for prints in seen.values())


def test_the_books_records_have_the_parameters_of_their_networks(committed):
    for record in committed:
        config = record.config
        with torch.device("meta"):  # weights that are never drawn
            network = make_model(config, as_seen(config))
        assert record.result["parameters"] == count_parameters(network)


def test_weights_beside_a_record_belong_to_one():
    for path in BOOK.glob("*/*.safetensors"):
        assert path.with_suffix(".json").is_file()
        assert store.weights_path(path.with_suffix(".json")) == path
        config = store.read(path.with_suffix(".json")).config
        seen = as_seen(config)
        channels, size = seen.channels, seen.size[0]
        transformer = weights.transformer(config, channels, size)
        assert transformer(torch.rand(1, channels, size, size)).ndim == 4


def test_traces_beside_a_record_belong_to_one_and_have_its_steps():
    for path in BOOK.glob("*/*.npz"):
        record = store.read(path.with_suffix(".json"))
        assert store.trace_path(path.with_suffix(".json")) == path
        steps = Trace.load(path).columns["step_number"]
        assert steps == list(range(1, len(steps) + 1)) and record.config.has_transformer


def test_a_transformer_without_kept_weights_is_a_one_line_error(places):
    with pytest.raises(sealed.RecordError, match=r"no weights are kept for .*'seed': 987"):
        weights.transformer(RunConfig(data="digits", seed=987), 1, 40)


def test_unknown_fields_in_a_record_are_refused_by_name(tmp_path):
    path = edit(write(tmp_path), lambda record: record["config"].update(momentum=0.9))
    assert "unknown parameter 'momentum'" in refused(path)
