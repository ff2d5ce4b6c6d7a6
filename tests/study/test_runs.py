"""Studies: files of configurations, get or train, and runs that are killed and go on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from runs import interrupting
from typer.testing import CliRunner

from stnlib.cli import app
from stnlib.errors import ConfigError
from stnlib.records import provenance, sealed, store, studyfile, weights
from stnlib.study import crashes
from stnlib.study import runs as study_runs
from stnlib.training import device, evaluation, fit, loop
from stnlib.training.config import RunConfig

BOOK = Path(__file__).parents[2] / "book"
STUDIES = sorted((BOOK / "studies").glob("*.toml"))
SMALL = {"data": "digits", "n_train": 48, "batch_size": 16, "epochs": 3, "augment": "warp"}


def toml(folder, text):
    path = folder / "a-study.toml"
    path.write_text(text, encoding="utf-8")
    return path


# Study files


def test_cells_multiply_their_lists_and_seeds_are_slowest(tmp_path):
    path = toml(
        tmp_path,
        """
        title = "Two cells"
        seeds = [3, 4]
        [base]
        epochs = 2
        [[cells]]
        model = ["baseline", "stn"]
        lr = [0.1, 0.2]
        [[cells]]
        model = "stn_frozen"
        epochs = 5
        """,
    )
    runs = [(c.seed, c.model, c.lr, c.epochs) for c in studyfile.configurations(path)]
    cells = [(m, lr, 2) for m in ("baseline", "stn") for lr in (0.1, 0.2)]
    assert runs == [(s, *cell) for s in (3, 4) for cell in [*cells, ("stn_frozen", 1e-3, 5)]]


def test_lists_that_zip_names_go_together_and_the_others_are_multiplied(tmp_path):
    path = toml(
        tmp_path,
        """
        [[cells]]
        zip = ["n_train", "epochs"]
        n_train = [500, 200]
        model = ["baseline", "stn"]
        epochs = [2, 5]
        lr = 0.1
        """,
    )
    runs = [(c.n_train, c.epochs, c.model, c.lr) for c in studyfile.configurations(path)]
    assert runs == [(n, e, m, 0.1) for n, e in ((500, 2), (200, 5)) for m in ("baseline", "stn")]


def test_a_study_says_what_its_runs_do_besides(tmp_path):
    assert studyfile.options(toml(tmp_path, "test = false\n[base]\nlr = 1")) == {"test": False}
    assert studyfile.options(toml(tmp_path, "[base]\nlr = 1")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = 0.1", "unknown part lr: allowed are title, forks, base, cells, "),
        ("[base]\nrate = 0.1", "unknown parameter 'rate': allowed are data, model"),
        ("[base]\nlr = -1", "lr must be a number > 0, not -1"),
        ("[base]\nlr = [0.1, 0.2]", "lr must be a number > 0, not [0.1, 0.2]"),
        ("[[cells]]\nmodel = ['stn', 'resnet']", "model must be one of baseline"),
        ("seeds = [0, -1]\n[base]\nlr = 1", "seed must be a whole number >= 0, not -1"),
        ("seeds = 3", "seeds must be of type list, not 3"),
        ("", "names no runs"),
        ("title = 'nothing'", "names no runs"),
        ("seeds = [0, 1]", "names no runs"),
        ("[[cells]]", "names no runs"),
        ("cells = []\n[base]\nlr = 1", "names no runs"),
        ("seeds = []\n[base]\nlr = 1", "names no runs"),
        ("[[cells]]\nlr = []", "names no runs"),
        ("[[cells]]\nzip = ['lr', 'epochs']\nlr = []\nepochs = []", "names no runs"),
        (
            "seeds = [" + "0," * 1001 + "]\n[[cells]]\nlr = [" + "1," * 100 + "]",
            "names 100100, more than 100000, runs",
        ),
        ("[base]\nlr = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("base = 1", "base must be of type dict, not 1"),
        ("test = 0", "test must be of type bool, not 0"),
        ("[cells]\nlr = 0.1", "cells must be of type list"),
        ("cells = [1]", "base and [[cells]] must be tables without seed"),
        ("[base]\nseed = 7", "base and [[cells]] must be tables without seed"),
        ("[[cells]]\nseed = [7, 8]", "base and [[cells]] must be tables without seed"),
        ("[base", "cannot be read"),
        ("[[cells]]\nzip = true", "zip must be a list of names of the cell's lists, not True"),
        ("[[cells]]\nzip = ['lr']\nlr = 1", "zip must be a list of names of the cell's lists"),
        ("[[cells]]\nzip = ['lr']", "zip must be a list of names of the cell's lists"),
        ("[[cells]]\nzip = [['lr']]", "zip must be a list of names of the cell's lists"),
        (
            "[[cells]]\nzip = ['lr', 'epochs']\nlr = [1, 2]\nepochs = [1]",
            "zip needs lists of one length, not of {'lr': 2, 'epochs': 1}",
        ),
    ],
)
def test_a_wrong_study_file_is_one_line_that_names_it(tmp_path, text, message):
    path = toml(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        studyfile.configurations(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_study_file_is_one_line_that_names_it(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.toml cannot be read"):
        studyfile.configurations(tmp_path / "nothing.toml")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_of_the_book_has_no_run_twice_and_its_records_belong_to_it(path):
    keys = [config.key for config in studyfile.configurations(path)]
    assert len(keys) == len(set(keys)) > 0
    own = [store.read(record) for record in store.paths(path.stem, [BOOK / "records"])]
    assert {record.key for record in own} <= set(keys)
    recorded = store.of_study(path.stem, [BOOK / "records"])
    assert [record.key for record in recorded] == [
        key for key in keys if store.paths(key=key, where=[BOOK / "records"])
    ]
    tested = studyfile.options(path).get("test", True)
    assert all((record.result["n_test"] > 0) == tested for record in own)


def test_every_folder_of_records_has_its_study():
    folders = {path.parent.name for path in (BOOK / "records").glob("*/*.json")}
    assert folders <= {path.stem for path in STUDIES}


# Get or train


def test_a_result_is_trained_once_and_then_answered_from_disk(places, capsys, monkeypatch):
    config = RunConfig(**SMALL | {"model": "stn", "epochs": 1, "seed": 987})
    first = study_runs.result(config, progress=False)
    said = capsys.readouterr().out
    assert said.startswith("no record of {") and "'seed': 987" in said
    assert said.endswith("training it\n")
    assert first.study == "own" and first.config == config
    monkeypatch.setattr(study_runs, "run", None)
    assert study_runs.result(config) == first
    assert capsys.readouterr().out == ""
    assert weights.transformer(config, 1, 40).family.name == "affine"
    assert list(places["checkpoints"].iterdir()) == []


def test_an_stn_of_which_only_the_record_was_kept_is_trained_where_its_weights_are_asked(
    places, capsys
):
    config = RunConfig(**SMALL | {"model": "stn", "epochs": 1, "seed": 989})
    study_runs.run(config, "elsewhere", places["records"], progress=False)
    study_runs.result(config)
    assert capsys.readouterr().out == ""
    study_runs.result(config, weights=True, progress=False)
    assert capsys.readouterr().out.startswith("no weights of {")
    assert weights.transformer(config, 1, 40).family.name == "affine"
    study_runs.result(config, weights=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("gpus, chosen", [(0, "cpu"), (1, "cuda")])
def test_what_a_chapter_trains_is_trained_on_a_gpu_where_there_is_one(gpus, chosen, monkeypatch):
    asked = {}

    def run(*_, **options):
        asked.update(options)
        raise InterruptedError

    monkeypatch.setattr(study_runs, "run", run)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpus))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(InterruptedError):
        study_runs.result(RunConfig(**SMALL | {"seed": 988}))
    assert asked["device"].type == chosen


def test_the_books_records_answer_at_once(places, monkeypatch):
    monkeypatch.setattr(study_runs, "run", None)
    record = study_runs.result(RunConfig(model="baseline"))
    assert record.study == "cm" and not places["records"].exists()


def test_a_search_never_sees_the_test_images(few, tmp_path, monkeypatch):
    config = RunConfig(**SMALL | {"model": "baseline", "epochs": 1})
    seen, real = [], evaluation.evaluate

    def evaluate(model, split, *rest):
        seen.append(split)
        return real(model, split, *rest)

    for module in (fit, study_runs):
        monkeypatch.setattr(module, "evaluate", evaluate)
    where = {"folder": tmp_path, "checkpoints": tmp_path / "c"}
    path = study_runs.run(config, "search", data=few, test=False, progress=False, **where)
    result = store.read(path).result
    assert result["n_test"] == 0 and not [name for name in result if name.startswith("test_")]
    assert len(seen) == 1 and seen[0].labels.equal(few.val.labels)


def test_while_a_run_is_made_float32_is_float32_on_a_gpu_too_and_afterwards_what_it_was(
    few, tmp_path, monkeypatch
):
    cudnn, seen = torch.backends.cudnn, []

    def step(*arguments):
        seen.append((cudnn.allow_tf32, cudnn.benchmark, cudnn.enabled))
        return train_step(*arguments)

    train_step = loop.train_step
    monkeypatch.setattr(loop, "train_step", step)
    before = cudnn.allow_tf32, cudnn.benchmark, cudnn.enabled
    config = RunConfig(**SMALL | {"epochs": 1})
    where = {"folder": tmp_path, "checkpoints": tmp_path / "c"}
    study_runs.run(config, "s", data=few, progress=False, **where)
    assert set(seen) == {(False, *before[1:])}
    assert (cudnn.allow_tf32, cudnn.benchmark, cudnn.enabled) == before


@pytest.mark.parametrize("name", ["", "..", "../elsewhere", "a/b", ".hidden", "größe"])
def test_a_study_whose_name_would_lead_elsewhere_or_be_refused_in_a_record_is_refused(
    name, few, tmp_path
):
    where = {"folder": tmp_path / "records", "checkpoints": tmp_path / "c"}
    with pytest.raises(ConfigError, match="study must be a name of letters"):
        study_runs.run(RunConfig(**SMALL), name, data=few, progress=False, **where)
    assert not list(tmp_path.iterdir())


def test_keeping_weights_stores_the_transformer_beside_the_record(few, tmp_path):
    config = RunConfig(**SMALL | {"epochs": 1})
    where = {"folder": tmp_path, "checkpoints": tmp_path / "c"}
    path = study_runs.run(config, "s", data=few, keep_weights=True, progress=False, **where)
    assert store.weights_path(path).stat().st_size == pytest.approx(26_896 * 4, rel=0.01)
    baseline = config.replace(model="baseline")
    path = study_runs.run(baseline, "s", data=few, keep_weights=True, progress=False, **where)
    assert not store.weights_path(path).exists()


# Killed and resumed

# `stn`, but a signal comes when it is about to give a file its name, or has just done so.
CHILD = """
import os, sys
from stnlib.cli import main
real, which, when, number = os.replace, int(sys.argv.pop(1)), sys.argv.pop(1), int(sys.argv.pop(1))
seen = []
def replace(source, target):
    seen.append(target)
    if when == "before" and len(seen) == number:
        os.kill(os.getpid(), which)
    real(source, target)
    if when == "after" and len(seen) == number:
        os.kill(os.getpid(), which)
os.replace = replace
main()
"""


def settings():
    return [f"{name}={value}" for name, value in SMALL.items()]


def undated(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    for row in [*record["history"], record["result"]]:
        del row["seconds"]
    return record["history"], record["result"], record["config"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the run's record is when nothing disturbs it, on one thread."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("undisturbed")
    where = {"folder": folder, "checkpoints": folder / "c"}
    return undated(study_runs.run(RunConfig(**SMALL), "own", progress=False, **where))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("name", "when", "number"),
    [
        ("SIGINT", "after", 1),  # Ctrl-C after the first epoch
        ("SIGKILL", "before", 2),  # while the second epoch's checkpoint is written
        ("SIGKILL", "before", 4),  # while the record is
    ],
)
def test_a_run_that_was_killed_goes_on_and_ends_as_if_undisturbed(
    places, undisturbed, name, when, number
):
    signum = getattr(signal, name)
    command = [sys.executable, "-c", CHILD, str(int(signum)), when, str(number)]
    command += ["run", "--device", "cpu", "--threads", "1", *settings()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == (130 if name == "SIGINT" else -signum), done.stderr
    if name == "SIGINT":
        assert done.stderr.endswith("interrupted: the same command goes on where it was\n")
    checkpoint = places["checkpoints"] / f"{RunConfig(**SMALL).key}.pt"
    assert checkpoint.is_file()
    assert list(places["records"].glob("*/*.json")) == []
    again = CliRunner().invoke(app, ["run", "--device", "cpu", "--threads", "1", *settings()])
    assert again.exit_code == 0, again.output
    (path,) = places["records"].glob("*/*.json")
    assert undated(path) == undisturbed
    assert not checkpoint.exists()


# Failed


def failing(error, monkeypatch):
    """Make each training end in its second epoch by an error."""
    interrupting(monkeypatch, 2, error)


def test_the_traceback_of_a_failed_run_lies_beside_its_checkpoint_until_it_succeeds(
    few, tmp_path, monkeypatch
):
    config = RunConfig(**SMALL)
    where = {"folder": tmp_path / "r", "checkpoints": tmp_path / "c", "data": few}
    kept = tmp_path / "c" / f"{config.key}.traceback.txt"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError) as caught:
        failing(ZeroDivisionError("by θ\nof 0"), patch)
        study_runs.run(config, "s", progress=False, **where)
    assert caught.value.__notes__ == [f"traceback: {kept}"]
    lines = kept.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2:] == ["ZeroDivisionError: by θ", "of 0"]
    assert any("in interrupted" in line for line in lines)
    study_runs.run(config, "s", progress=False, **where)
    assert list((tmp_path / "c").iterdir()) == []


@pytest.mark.parametrize(
    "error", [OSError("disk"), ConfigError("lr"), sealed.RecordError("x"), KeyboardInterrupt()]
)
def test_what_a_user_can_cause_leaves_no_traceback(error, few, tmp_path, monkeypatch):
    failing(error, monkeypatch)
    where = {"folder": tmp_path / "r", "checkpoints": tmp_path / "c", "data": few}
    with pytest.raises(type(error)):
        study_runs.run(RunConfig(**SMALL), "s", progress=False, **where)
    assert [path.suffix for path in (tmp_path / "c").iterdir()] == [".pt"]


def test_a_full_disk_does_not_hide_the_error_of_a_failed_run(few, tmp_path, monkeypatch):
    failing(ZeroDivisionError("by 0"), monkeypatch)
    monkeypatch.setattr(crashes, "write_whole", full)
    where = {"folder": tmp_path / "r", "checkpoints": tmp_path / "c", "data": few}
    with pytest.raises(ZeroDivisionError, match="by 0"):
        study_runs.run(RunConfig(**SMALL), "s", progress=False, **where)


def full(path, content):
    raise OSError(f"could not write {path}: No space left on device")


def test_a_batch_larger_than_the_training_set_is_refused_before_any_work(few, tmp_path):
    config = RunConfig(data="digits", n_train=96, batch_size=97)
    with pytest.raises(ConfigError, match="batch_size must be at most the 96 training images"):
        study_runs.run(config, "s", tmp_path / "r", data=few, checkpoints=tmp_path / "c")
    assert not list((tmp_path / "r").glob("*/*.json"))


def test_bfloat16_is_refused_where_the_processor_would_emulate_it(few, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "processor_words", frozenset)
    config = RunConfig(data="digits", n_train=96, batch_size=48, precision="bfloat16")
    with pytest.raises(ConfigError, match="precision must be float32 or auto: cpu does not"):
        study_runs.run(config, "s", tmp_path / "r", data=few, checkpoints=tmp_path / "c")


def test_results_are_every_seed_that_is_recorded_and_those_that_are_missing(
    few, places, monkeypatch
):
    monkeypatch.setattr(study_runs, "load", lambda name, **options: few)
    config = RunConfig(
        data="digits", model="baseline", n_train=96, batch_size=96, epochs=1, lr=2e-5
    )
    assert study_runs.results(config, 2, train=False) == []
    study_runs.result(config.replace(seed=5), progress=False)
    seeds = [record.seed for record in study_runs.results(config, 2)]
    assert seeds == [0, 1, 5]


def test_records_of_a_study_are_found_wherever_they_were_made(places, monkeypatch):
    monkeypatch.setattr(store, "BOOK", BOOK)
    made = store.of_study("cm-recipe")
    wanted = studyfile.configurations(BOOK / "studies" / "cm-recipe.toml")
    assert [record.config for record in made] == [c for c in wanted if store.find(c)]
    with pytest.raises(ConfigError, match="there are no records of a study 'no-such': there are"):
        store.of_study("no-such")


def test_a_record_names_the_source_that_trained_it_and_not_what_lies_there_at_the_end(
    tmp_path, monkeypatch
):
    checkout = ["began"]

    def git(command, **_):
        return SimpleNamespace(stdout=checkout[0] if "rev-parse" in command else "")

    def train(*arguments):
        history = fit.fit(*arguments)
        checkout[0] = "moved on"
        return history

    monkeypatch.setattr(provenance.subprocess, "run", git)
    monkeypatch.setattr(study_runs, "fit", train)
    provenance.revision.cache_clear()
    path = study_runs.run(RunConfig(**SMALL, model="baseline"), "s", tmp_path, progress=False)
    provenance.revision.cache_clear()
    assert store.read(path).provenance["source"] == "began"
    assert checkout == ["moved on"]
