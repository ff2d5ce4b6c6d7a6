"""A chapter's parameters, checked before anything runs: here and through papermill."""

import nbformat
import papermill
import pytest

from stnlib.config import ConfigError, choice, number
from stnlib.parameters import check_parameters

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
        ("lr", "fast", "lr must be a number > 0, not 'fast'"),
        ("lr", -1, "lr must be a number > 0, not -1"),
        ("lr", True, "lr must be a number > 0, not True"),
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


def test_whole_numbers_are_allowed_where_a_float_is_declared_but_not_the_reverse():
    cells = ["width: float = 1.0\ncount: int = 2"]
    check_parameters(cells, {"width": 3, "count": 2})
    for wrong in ({"width": True, "count": 2}, {"width": 1.0, "count": 2.0}):
        with pytest.raises(ConfigError, match="must be of type"):
            check_parameters(cells, wrong)


def test_an_annotation_without_a_value_declares_nothing():
    check_parameters(["axes: object", DECLARED], VALUES)


def test_a_chapter_without_parameters_has_nothing_to_check():
    check_parameters(["", "x = 1"], {})


# Through papermill, as a reader does it


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    cell = nbformat.v4.new_code_cell
    cells = [
        cell(DECLARED, metadata={"tags": ["parameters"]}),
        cell(
            "from stnlib.parameters import check_parameters\ncheck_parameters(In, globals())",
        ),
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
        ({"lr": "fast"}, "lr must be a number > 0, not 'fast'"),
        ({"lr": -1}, "lr must be a number > 0, not -1"),
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
    assert not [text for text in shown if "stnlib/config.py" in text or "Traceback" in text]
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert "worked with" not in str([cell.get("outputs") for cell in out.cells])


def test_papermill_runs_with_good_parameters(chapter, tmp_path):
    out = execute(chapter, tmp_path, {"lr": 0.5, "epochs": 3})
    assert "worked with 0.5 3" in out.cells[-1].outputs[0].text
