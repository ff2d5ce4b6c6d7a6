"""Records and observations from before there were digests: brought up to date, digit for digit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stnlib.records import observations, store

TOOL = Path(__file__).parents[2] / "tools" / "add_digests.py"
RECORD = """{
 "schema": 1,
 "study": "cm",
 "key": "130715d49ac0",
 "config": {"data": "cm", "model": "baseline", "n_train": null, "lr": 0.001, "seed": 2},
 "history": [
  {"epoch": 1, "train_loss": 1.462394, "train_accuracy": 0.5151, "seconds": 5.55331, \
"val_loss": 0.8410009, "val_accuracy": 0.714}
 ],
 "result": {"test_loss": null, "test_accuracy": 0.910, "n_test": 1000, "parameters": 536682, \
"seconds": 5.55331},
 "provenance": {"data": "951f81b297226e1e", "device": "cpu, AMD EPYC, AVX512", "threads": 1, \
"versions": {"torch": "2.14.1"}, "system": "Linux x86_64", "source": "9d7b69b43514+", \
"date": "2026-11-23T08:45:52Z"}
}
"""
OBSERVATION = """{
 "schema": 1,
 "study": "s",
 "key": "58524c65c1e7",
 "what": {"config": {"lr": 1e-05}, "change": "signs of θ"},
 "rows": [
  {"died": true, "course": [1.0, 0.9915], "object_coverage": null}
 ],
 "provenance": {}
}
"""


def file(folder, text):
    """Write a text as FOLDER/s/KEY.json."""
    key = "130715d49ac0" if '"study": "cm"' in text else "58524c65c1e7"
    path = folder / "s" / f"{key}.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def add(*folders):
    command = [sys.executable, str(TOOL), *map(str, folders)]
    environment = os.environ | {"PYTHONPATH": str(TOOL.parents[1])}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_nothing_but_the_schema_and_a_digest_changes_and_a_second_time_nothing(tmp_path):
    record = file(tmp_path / "records", RECORD)
    observation = file(tmp_path / "observations", OBSERVATION)
    done = add(tmp_path / "records", tmp_path / "observations")
    assert done.stdout == "2 files have a digest now, 0 had one, 0 were refused\n", done.stderr
    assert done.returncode == 0
    for path, before in ((record, RECORD), (observation, OBSERVATION)):
        *lines, digest, end = path.read_text(encoding="utf-8").splitlines()
        old = before.splitlines()
        assert lines == [old[0], ' "schema": 2,', *old[2:-2], old[-2] + ","]
        assert digest.startswith(' "digest": "') and len(digest) == 29 and end == "}"
    assert store.read(record).result["test_accuracy"] == 0.91
    assert observations.read(observation)["what"]["config"] == {"lr": 1e-05}
    after = [path.read_bytes() for path in (record, observation)]
    assert add(tmp_path / "records", tmp_path / "observations").stdout == (
        "0 files have a digest now, 2 had one, 0 were refused\n"
    )
    assert [path.read_bytes() for path in (record, observation)] == after
    assert len(list(tmp_path.rglob("*"))) == 6


REFUSED = {
    "another configuration": (RECORD.replace('"seed": 2', '"seed": 3'), "was edited"),
    "an accuracy of 7": (RECORD.replace("0.910", "7"), "result: test_accuracy must be a number"),
    "half a file": (RECORD[:400], "cannot be read"),
    "no history": (RECORD.replace('"history"', '"story"'), "lacks history"),
    "another schema": (RECORD.replace('"schema": 1', '"schema": 0'), "has schema 0"),
    "edited later": (RECORD.replace('"schema": 1', '"digest": "x", "schema": 2'), "was edited"),
    "another observation": (OBSERVATION.replace("1e-05", "2e-05"), "was edited"),
    "no rows": (OBSERVATION.replace('"rows"', '"lines"'), "lacks rows"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_trusted_is_named_and_left_as_it_is(tmp_path, kind):
    text, reason = REFUSED[kind]
    path = file(tmp_path, text)
    done = add(tmp_path)
    assert done.returncode == 1
    assert done.stdout == "0 files have a digest now, 0 had one, 1 were refused\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"refused: {path}") and reason in line
    assert path.read_text(encoding="utf-8") == text
