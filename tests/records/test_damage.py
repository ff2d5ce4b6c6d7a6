"""Damage drawn at random: nothing is lost, doubled or wrong, and all is said in one line."""

import collections
import dataclasses
import json
import logging

import pytest
from damage import CHECKPOINTS, RECORDS, damaged
from runs import fresh, numbers

from stnlib.records import observations, sealed, store, tables
from stnlib.records.outcome import in_a_word
from stnlib.study import runs
from stnlib.training import checkpoint, fit
from stnlib.training.config import RunConfig

TINY = RunConfig(data="digits", n_train=64, batch_size=32, epochs=3)


def outcome(path):
    record = store.read(path)
    result = {k: v for k, v in record.result.items() if k != "seconds"}
    return record.config, repr(numbers(record.history)), repr(result)


def resume_from_damage(few, folder, n, log):
    """Count what became of `n` runs that found a damaged checkpoint."""
    few = dataclasses.replace(few, train=few.train.first(64))
    where = {"data": few, "checkpoints": folder / "c", "progress": False}
    whole = outcome(runs.run(TINY, "s", folder / "whole", **where))
    two = TINY.replace(epochs=2)
    keys = [checkpoint.run_key(config, few) for config in (TINY, two)]
    path = folder / "c" / f"{TINY.key}.pt"
    history = fit.fit(fresh(two, few)[0], few, two, path, progress=False)
    model, optimizer = fresh(TINY, few)
    checkpoint.load_checkpoint(path, model, optimizer, keys[1])
    arguments, counts = (model, optimizer, keys[0], history), collections.Counter()
    for i, (damage, draw) in enumerate(damaged(CHECKPOINTS, n)):
        checkpoint.save_checkpoint(path, *arguments)
        damage(path, draw, arguments)
        log.clear()
        try:
            made = runs.run(TINY, "s", folder / f"r{i}", **where)
        except Exception as error:
            counts[f"{damage.__name__} failed: {error!r}"] += 1
            continue
        left = [p for p in (folder / f"r{i}").rglob("*") if p.is_file()]
        left += path.parent.iterdir()
        counts["lost, doubled or left"] += left != [made]
        counts["wrong"] += outcome(made) != whole
        counts["not said in one line"] += len(log.messages) != 1 or "\n" in log.text.strip()
        counts["right"] += outcome(made) == whole and left == [made]
    return +counts


def test_a_run_that_finds_a_damaged_checkpoint_says_so_and_gives_what_it_gives_without(
    few, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING):
        assert resume_from_damage(few, tmp_path, 20, caplog) == {"right": 20}


def use(found):
    """What the commands and the book do with records."""
    tables.table(found).to_csv()
    tables.histories(found).to_csv()
    return [in_a_word(record) for record in found]


def read_damage(path, read, n, seed=0):
    """Count what became of `n` attempts to read a damaged file."""
    content, whole = path.read_bytes(), repr(read(path))
    counts = collections.Counter()
    for damage, draw in damaged(RECORDS, n, seed):
        altered = damage(content, draw)
        path.write_bytes(altered)
        try:
            found = read(path)
            if read is store.read:
                use([found])
            sealed_anew = json.loads(altered).get("digest") != json.loads(content)["digest"]
            fine = repr(found) == whole or sealed_anew
            counts["as it was, or a possible one with a digest that fits" if fine else "wrong"] += 1
        except sealed.RecordError as error:
            fine = str(error).startswith(str(path)) and "\n" not in str(error)
            counts["refused in one line" if fine else f"refused: {error}"] += 1
        except Exception as error:
            counts[f"{damage.__name__}: {error!r:.200}"] += 1
        counts["changed by reading"] += path.read_bytes() != altered
    path.write_bytes(content)
    return +counts


@pytest.mark.parametrize("kind", ["record", "observation"])
def test_a_damaged_record_is_refused_in_one_line_and_never_believed(few, tmp_path, kind):
    if kind == "record":
        where = {"data": few, "checkpoints": tmp_path / "c", "progress": False}
        path = runs.run(TINY.replace(epochs=2), "s", tmp_path, **where)
        counts = read_damage(path, store.read, 60)
    else:
        rows = [{"died": True, "after": 40, "course": [1.0, 0.5]}, {"change": "none", "black": 0.0}]
        origin = {"data": "0" * 16, "threads": 1, "date": "2018-01-31T12:00:00Z"}
        path = observations.write(tmp_path, "s", {"config": {"lr": 0.1}}, rows, origin)
        counts = read_damage(path, observations.read, 60)
    fine = counts["as it was, or a possible one with a digest that fits"]
    assert counts["refused in one line"] + fine == 60 and len(counts) <= 2
    assert fine < 15
