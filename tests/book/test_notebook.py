"""A chapter's parameters, checked before anything runs: here and through papermill."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest
import torch
from myst_nb.ext.glue import extract_glue_data_cell

from stnlib.book.notebook import announce, check_parameters
from stnlib.checks.values import choice, number
from stnlib.data import catalogue, sources
from stnlib.errors import ConfigError
from stnlib.records import store
from stnlib.training.config import RunConfig

DECLARED = 'lr: float = 1e-3  # rate\nepochs: int = 10\nname: str = "a"\nlive: bool = True'
VALUES = {"lr": 1e-3, "epochs": 10, "name": "a", "live": True}


def injected(text):
    return f"# Parameters\n{text}\n"


def refusal(*cells, rules=None, **values):
    with pytest.raises(ConfigError) as caught:
        check_parameters(["", DECLARED, *cells], VALUES | values, **(rules or {}))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_defaults_pass():
    check_parameters(["", "%matplotlib inline", "import os", DECLARED], VALUES)


def test_injected_values_that_are_allowed_pass():
    check_parameters(["", DECLARED, injected("lr = 0.1\nepochs = 3")], VALUES | {"lr": 0.1})


def test_an_unknown_name_is_refused_with_those_that_are_known():
    message = refusal(injected("learning_rate = 0.1"))
    assert message == "unknown parameter 'learning_rate': allowed are lr, epochs, name, live"


def test_other_cells_may_assign_what_they_like():
    check_parameters(["", DECLARED, "# Parameters of a figure:\nwidth: int = 3\nx = 1"], VALUES)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lr", "fast", "lr must be a number > 0 and <= 1, not 'fast'"),
        ("lr", -1, "lr must be a number > 0 and <= 1, not -1"),
        ("lr", True, "lr must be a number > 0 and <= 1, not True"),
        ("lr", 1e308, "lr must be a number > 0 and <= 1, not 1e+308"),
        ("epochs", 0, "epochs must be a whole number >= 1, not 0"),
        ("epochs", 2.5, "epochs must be a whole number >= 1, not 2.5"),
        ("name", 3, "name must be of type str, not 3"),
        ("live", "true", "live must be of type bool, not 'true'"),
        ("live", 1, "live must be of type bool, not 1"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_is_allowed(name, value, message):
    assert refusal(**{name: value}) == message


def test_a_chapter_can_give_rules_for_its_own_parameters_and_narrower_ones():
    rules = {"name": choice("a", "b"), "lr": number(above=0, below=0.1)}
    assert refusal(rules=rules, name="c") == "name must be one of a, b, not 'c'"
    assert refusal(rules=rules, lr=0.5) == "lr must be a number > 0 and < 0.1, not 0.5"
    check_parameters(["", DECLARED], VALUES, **rules)


def test_a_narrower_rule_leaves_the_configuration_s_own_in_force():
    cells, rules = ["n_train: int = 100"], {"n_train": number(least=1, most=4500)}
    for wrong, allowed in ((5000, "a number >= 1 and <= 4500"), (2.5, "a whole number >= 1")):
        with pytest.raises(ConfigError, match=f"n_train must be {allowed}.*, not {wrong}"):
            check_parameters(cells, {"n_train": wrong}, **rules)


def test_a_rule_is_not_asked_about_a_value_of_the_wrong_type():
    rules = {"name": lambda name: None if name.split() else "words"}
    assert refusal(rules=rules, name=3) == "name must be of type str, not 3"


def test_a_seed_that_no_generator_takes_is_refused():
    with pytest.raises(ConfigError, match="seed must be a number >= 0 and <= 1e\\+09"):
        check_parameters(["seed: int = 0"], {"seed": 10**30})


def test_whole_numbers_are_allowed_where_a_float_is_declared_but_not_the_reverse():
    cells = ["breadth: float = 1.0\ncount: int = 2"]
    check_parameters(cells, {"breadth": 3, "count": 2})
    for wrong in ({"breadth": True, "count": 2}, {"breadth": 1.0, "count": 2.0}):
        with pytest.raises(ConfigError, match="must be of type"):
            check_parameters(cells, wrong)


def test_an_annotation_without_a_value_declares_nothing():
    check_parameters(["axes: object", DECLARED], VALUES)


def test_a_chapter_without_parameters_has_nothing_to_check():
    check_parameters(["", "x = 1"], {})


# What would be trained is announced


ORIGIN = {
    **{"data": "0" * 16, "device": "cpu, any", "threads": 1, "versions": {"torch": "2.9.0"}},
    **{"system": "Linux x86_64", "source": "unknown", "date": "2018-01-31T12:00:00Z"},
}


MEASURED = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "coverage", "black")


def recorded(places, config, seconds, epochs=None, origin=None):
    """Write a record whose epochs, of which it has as many as are given, took so long each."""
    history = [
        dict.fromkeys(MEASURED, 0.5) | {"epoch": i + 1, "seconds": seconds}
        for i in range(epochs or config.epochs)
    ]
    result = {"seconds": 1.0, "parameters": 1, "n_test": 0}
    store.write(places["records"], "own", config, history, result, origin or ORIGIN)


@pytest.fixture
def alone(places, monkeypatch):
    """Only the test's own records, on a machine without a GPU."""
    monkeypatch.setattr(store, "folders", lambda: [places["records"]])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return places


def announced(capsys, *configs):
    announce(configs)
    return capsys.readouterr().out


def test_nothing_is_said_where_everything_is_recorded(alone, capsys):
    recorded(alone, RunConfig(), 6.0)
    assert announced(capsys, RunConfig()) == ""
    assert announced(capsys) == ""


def test_the_estimate_is_the_median_pace_of_like_records_for_what_is_missing(alone, capsys):
    for seed, seconds in enumerate((5.0, 6.0, 60.0)):
        recorded(alone, RunConfig(seed=seed), seconds)
    recorded(alone, RunConfig(model="baseline"), 1.0)
    slower = [RunConfig(lr=3e-4, seed=seed) for seed in range(3)]
    assert announced(capsys, RunConfig(), *slower, slower[0]) == (
        "3 networks are not recorded and trained now: about 3 minutes at the recorded pace\n"
    )


def test_the_estimate_is_in_proportion_to_epochs_and_images(alone, capsys):
    recorded(alone, RunConfig(n_train=1000, epochs=2), 3.0)
    assert "about 30 seconds at" in announced(capsys, RunConfig(epochs=1))
    assert "about 50 minutes at" in announced(capsys, RunConfig(epochs=200, n_train=5000))


def test_a_training_that_ended_early_counts_with_the_epochs_that_it_had(alone, capsys):
    recorded(alone, RunConfig(epochs=20), 10.0, epochs=4)
    assert "about 20 seconds at" in announced(capsys, RunConfig(epochs=2))


def test_where_nothing_like_it_is_recorded_no_time_is_made_up(alone, capsys):
    recorded(alone, RunConfig(), 6.0)
    text = "1 network is not recorded and trained now, for how long no record of the kind tells\n"
    assert announced(capsys, RunConfig(data="c10")) == text


def test_a_network_of_which_the_weights_are_asked_and_were_not_kept_is_announced(alone, capsys):
    for model in ("stn", "baseline"):
        recorded(alone, RunConfig(model=model), 6.0)
    announce([RunConfig(), RunConfig(model="baseline")], weights=True)
    assert capsys.readouterr().out.startswith("1 network is not recorded")
    (alone["records"] / "own" / f"{RunConfig().key}.safetensors").touch()
    announce([RunConfig(), RunConfig(model="baseline")], weights=True)
    assert capsys.readouterr().out == ""


def test_a_processor_is_not_promised_the_pace_of_a_gpu(alone, capsys):
    recorded(alone, RunConfig(seed=1), 10.0)
    gpu = ORIGIN | {"device": "NVIDIA, any"}
    for seed in (2, 3, 4):
        recorded(alone, RunConfig(seed=seed), 0.1, epochs=1, origin=gpu)
    assert "about 10 seconds at" in announced(capsys, RunConfig(epochs=1))


@pytest.mark.parametrize("name", ["cm", "digits", "shapes10"])
def test_the_estimate_knows_how_many_images_a_data_set_has(name, alone, capsys):
    there = name != "cm" or sources.available()[0].here
    images = len(catalogue.load(name).train) if there else 10_000
    recorded(alone, RunConfig(data=name, epochs=1), 60.0)
    half = RunConfig(data=name, epochs=1, n_train=images // 2)
    assert "about 30 seconds at" in announced(capsys, half)


# The book's chapters


BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = sorted([*BOOK.glob("*.ipynb"), *BOOK.glob("appendix/*.ipynb")])


def code(path):
    notebook = nbformat.read(path, as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_papermill_shows_every_parameter_of_a_chapter_with_type_and_help(path):
    shown = papermill.inspect_notebook(path)
    declared = [line for line in ast.parse(code(path)[0]).body if isinstance(line, ast.AnnAssign)]
    assert list(shown) == [line.target.id for line in declared]
    for parameter in shown.values():
        assert parameter["inferred_type_name"] in {"str", "int", "float", "bool"}
        assert parameter["help"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_checks_its_parameters_in_its_second_cell(path):
    assert "check_parameters(In, globals()" in code(path)[1]


WRONG = {
    "lr_schedules": {"lr": 2, "seed": 0.5},
    "c10d_recipe": {"lr": 0, "factor": 0},
    "head_start": {"epoch": 6},
    "when_it_pays": {"seed": -1},
    "theory": {"n_train": 5000, "seed": -1, "epochs": 0},
    "sampler": {"seed": 1e30},
    "cm": {"data": "c10", "lr": 1e308, "epochs": 0, "batch_size": 0, "n_seeds": 1},
    "c10d": {"data": "cm", "lr": 0, "epochs": 0, "batch_size": 0, "n_seeds": 0},
    "appendix/toy": {"seed": 0.5},
    "appendix/the_056": {"epoch": 21},
    "appendix/number_formats": {"epoch": 9},
    "appendix/authors_mode": {"seed": 5},
    "appendix/to_win": {"target": 0.9},
    "rescue": {"lr": 0, "seed": -1},
    "questions": {"seed": "one"},
    "status": {"packages": "torch nosuch"},
    "collapse": {"lr": 2, "seed": 0.5},
    "border": {"scale": 1},
    "foresight": {"first": 1},
    "appendix/forks": {"autopsy": "forks-cm"},
    "appendix/third_party": {"data": "fashion"},
}


@pytest.mark.parametrize(
    ("name", "parameter"), [(name, one) for name, wrong in WRONG.items() for one in wrong]
)
def test_a_chapter_refuses_in_its_second_cell_what_it_cannot_use(name, parameter):
    first, second, *_ = code(BOOK / f"{name}.ipynb")
    names = {"In": [first]}
    exec(first, names)
    names[parameter] = WRONG[name][parameter]
    with pytest.raises(ConfigError, match=f"^{parameter} must be ") as caught:
        exec(second, names)
    assert "\n" not in str(caught.value)


def test_the_cm_chapter_says_what_it_would_train_before_it_trains(capsys):
    first, second, *_ = code(BOOK / "cm.ipynb")
    names = {"In": [first]}
    exec(first, names)
    exec(second, names)
    assert capsys.readouterr().out == ""  # the published page is recorded
    exec(second, names | {"lr": 3e-4})
    said = capsys.readouterr().out
    assert re.fullmatch(r"20 networks are not recorded and .*: about \d+ minutes at .*\n", said)


# Through papermill, as a reader does it


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    cell = nbformat.v4.new_code_cell
    cells = [
        cell(DECLARED, metadata={"tags": ["parameters"]}),
        cell(
            "from stnlib.book.notebook import check_parameters, tell\n"
            "check_parameters(In, globals())",
        ),
        cell("tell('rate', lr)\ntell('word', 'half')"),
        cell("print('worked with', lr, epochs)"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
    path = tmp_path_factory.mktemp("chapter") / "chapter.ipynb"
    nbformat.write(notebook, path)
    return path


def execute(chapter, tmp_path, parameters):
    return papermill.execute_notebook(
        chapter, tmp_path / "out.ipynb", parameters, progress_bar=False
    )


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"rate": 0.1}, "unknown parameter 'rate': allowed are lr, epochs, name, live"),
        ({"lr": "fast"}, "lr must be a number > 0 and <= 1, not 'fast'"),
        ({"lr": -1}, "lr must be a number > 0 and <= 1, not -1"),
        ({"epochs": 0}, "epochs must be a whole number >= 1, not 0"),
        ({"epochs": 2.5}, "epochs must be a whole number >= 1, not 2.5"),
    ],
    ids=str,
)
def test_papermill_ends_in_our_one_line_before_any_work(chapter, tmp_path, parameters, line):
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        execute(chapter, tmp_path, parameters)
    shown = str(caught.value).strip().splitlines()
    assert shown[-1] == f"ConfigError: {line}"
    assert not [
        text for text in shown if "stnlib/training/config.py" in text or "Traceback" in text
    ]
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert "worked with" not in str([cell.get("outputs") for cell in out.cells])


def test_papermill_runs_with_good_parameters(chapter, tmp_path):
    out = execute(chapter, tmp_path, {"lr": 0.5, "epochs": 3})
    assert "worked with 0.5 3" in out.cells[-1].outputs[0].text


def test_what_a_chapter_tells_is_there_for_its_prose_and_not_shown(chapter, tmp_path):
    out = execute(chapter, tmp_path, {"lr": 0.5})
    cell = out.cells[-2]
    assert not [mime for output in cell.outputs for mime in output.data if mime == "text/plain"]
    told = dict(extract_glue_data_cell(cell))  # as the book is built
    assert told["rate"].data["text/plain"] == "0.5"
    assert told["word"].data["text/plain"] == "'half'"
