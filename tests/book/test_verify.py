"""`stn verify`: what it notices, and what it does not hold against anyone."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stnlib.book import manifest, retrain, verify
from stnlib.book.claims import ledger
from stnlib.cli import app
from stnlib.errors import ConfigError
from stnlib.records import store
from stnlib.study import runs
from stnlib.training.config import RunConfig

BOOK = Path(__file__).parents[2] / "book"


def test_the_manifest_is_that_of_the_files():
    assert [line for line in manifest.problems() if line] == []


@pytest.fixture
def book(tmp_path):
    """A small book with two records and their manifest."""
    (tmp_path / "records" / "cm").mkdir(parents=True)
    for name in ("a.json", "b.npz"):
        (tmp_path / "records" / "cm" / name).write_bytes(name.encode())
    (tmp_path / "records" / "cm" / "c.claim").write_bytes(b"")  # no result
    assert manifest.write(tmp_path) == 2
    return tmp_path


def test_a_manifest_that_is_up_to_date_has_a_line_a_file_and_nothing_to_say(book):
    assert list(manifest.problems(book)) == [None, None]


def test_a_file_that_changed_or_is_missing_or_new_is_named(book):
    (book / "records" / "cm" / "a.json").write_bytes(b"A.json")
    (book / "records" / "cm" / "b.npz").unlink()
    (book / "observations" / "wild").mkdir(parents=True)
    (book / "observations" / "wild" / "d.json").write_bytes(b"d")
    assert list(manifest.problems(book)) == [
        "observations/wild/d.json: not in the manifest",
        "records/cm/a.json: changed",
        "records/cm/b.npz: missing",
    ]


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="a program of GNU's")
def test_the_manifest_can_be_checked_without_python(book):
    check = ["sha256sum", "--check", "--quiet", "manifest.sha256"]
    assert subprocess.run(check, cwd=book).returncode == 0
    (book / "records" / "cm" / "a.json").write_bytes(b"A.json")
    assert subprocess.run(check, cwd=book, capture_output=True).returncode == 1


@pytest.mark.parametrize("text", [None, "nonsense"])
def test_a_manifest_that_cannot_be_read_is_refused_in_one_line(text, tmp_path):
    if text:
        (tmp_path / "manifest.sha256").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"manifest\.sha256 cannot be read"):
        list(manifest.problems(tmp_path))


@pytest.fixture
def quick(monkeypatch):
    """A certificate about one claim and one prediction, and no file."""
    monkeypatch.setattr(manifest, "problems", lambda: iter([None, None]))
    monkeypatch.setattr(manifest, "present", lambda: {"a", "b"})
    monkeypatch.setattr(verify, "_mixed", lambda: iter([None]))
    entries = {"claims": ledger.claims()[2:3], "predictions": ledger.predictions()[:1]}
    for name, some in entries.items():
        monkeypatch.setattr(ledger, name, lambda some=some: some)
    return entries


def test_the_certificate_counts_what_was_verified(quick):
    done = CliRunner().invoke(app, ["verify"])
    assert done.exit_code == 0
    first, *lines = done.stdout.splitlines()
    assert first.startswith("source ") and "torch" in first
    assert lines == [
        "2 of 2 files have the manifest's hash",
        "1 of 1 sets of runs saw one data set each",
        "1 of 1 claims have the published numbers and verdicts",
        "1 of 1 predictions have the published verdicts",
        "predictions: 1 failed",
        "verified",
    ]


def test_what_fails_is_named_and_the_exit_status_is_1(quick):
    quick["predictions"][0] = quick["predictions"][0] | {"verdict": "held"}
    done = CliRunner().invoke(app, ["verify"])
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "not verified"
    assert "failed: few-images: verdict is 'failed', published as 'held'" in done.stderr


def test_runs_of_a_study_on_two_versions_of_the_data_are_told(monkeypatch):
    first, second = store.of_study("cm", [BOOK / "records"])[:2]
    other = dataclasses.replace(second, provenance=second.provenance | {"data": "0" * 16})
    monkeypatch.setattr(store, "read_all", lambda where: [first, other])
    (line,) = verify._mixed()
    assert line.startswith("cm: runs on cm saw 2 data sets")


CONFIG = RunConfig(data="digits", n_train=96, batch_size=32, epochs=1, seed=5)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The record of a small training."""
    folder = tmp_path_factory.mktemp("small")
    made = runs.run(CONFIG, "recipe", folder, checkpoints=folder, test=False, progress=False)
    return store.read(made)


def test_a_training_made_again_is_the_same(small, places):
    assert retrain.problem("recipe", small) is None


def altered(record, **last):
    return dataclasses.replace(record, history=[*record.history[:-1], record.last | last])


def test_another_outcome_and_another_accuracy_are_told(small):
    assert retrain.compared(small, small, 0.0) is None
    black = altered(small, black=1.0)
    assert "ends black, recorded as " in retrain.compared(small, black, 0.02)
    better = altered(small, val_accuracy=small.last["val_accuracy"] + 0.03)
    assert "allowed ± 0.020" in retrain.compared(small, better, 0.02)
    assert retrain.compared(small, better, 0.04) is None


def test_what_was_not_measured_then_is_not_held_against_an_old_record(small):
    """The spread of the corners decides between idle and looks, and older ones estimate it."""
    rows = [
        {n: v for n, v in row.items() if n not in ("corner_spread", "view_pixels")}
        for row in small.history
    ]
    old = dataclasses.replace(small, history=rows)
    assert retrain.compared(old, altered(small, corner_spread=1e3), 0.0) is None


def test_a_training_that_cannot_be_made_is_a_failure_with_its_reason(small, places):
    elsewhere = dataclasses.replace(small, config=RunConfig(data="mnist", n_train=96, epochs=1))
    assert "cannot be made: " in retrain.problem("recipe", elsewhere)


def test_each_study_of_digits_has_a_training_to_make_again():
    chosen = retrain.cheapest()
    assert {"cm", "cm-map", "recipe", "scattered"} <= set(chosen)
    assert all(record.config.data in retrain.DIGITS for record in chosen.values())
