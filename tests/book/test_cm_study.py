"""What the Cluttered MNIST chapter claims, held against the records that it rests on."""

from pathlib import Path

import pytest
from papermill import PapermillExecutionError, execute_notebook

from stnlib.data.download import CM_SHA256
from stnlib.records import store, studyfile, tables

BOOK = Path(__file__).parents[2] / "book"
STUDIES = ("cm", "cm-controls", "cm-size", "cm-search", "cm-better")


def runs(name):
    return tables.table(store.of_study(name, [BOOK / "records"]))


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_of_the_study_is_recorded_and_none_besides(name):
    wanted = {config.key for config in studyfile.configurations(BOOK / "studies" / f"{name}.toml")}
    assert set(runs(name)["key"]) == wanted


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_saw_the_published_file(name):
    assert set(runs(name)["data_fingerprint"]) == {CM_SHA256[:16]}


def test_the_papers_table_iv_is_reproduced_over_ten_seeds():
    means = runs("cm").groupby("model")["test_accuracy"].agg(["mean", "count"])
    assert means["count"].tolist() == [10, 10]
    assert means.loc["baseline", "mean"] == pytest.approx(0.90, abs=0.01)
    assert means.loc["stn", "mean"] == pytest.approx(0.96, abs=0.01)


def test_the_search_for_a_better_recipe_never_saw_the_test_images():
    for record in store.of_study("cm-search", [BOOK / "records"]):
        assert record.result["n_test"] == 0
        assert not [name for name in record.result if name.startswith("test_")]


def test_the_better_recipe_is_the_one_that_validated_best_and_has_fresh_seeds():
    search, better = runs("cm-search"), runs("cm-better")
    best = search.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).iloc[0]
    for name in ("augment", "dropout", "lr", "warmup", "schedule", "epochs", "precision"):
        assert set(better[name]) == {best[name]}
    assert set(better.query("model == 'stn'")["loc_lr_factor"]) == {best["loc_lr_factor"]}
    for _, group in better.groupby("model"):
        assert sorted(group["seed"]) == list(range(100, 110))
    assert not set(better["seed"]) & (set(search["seed"]) | set(runs("cm")["seed"]))


def test_the_better_recipe_reaches_its_mark():
    stn = runs("cm-better").query("model == 'stn'")["test_accuracy"]
    assert len(stn) == 10
    assert stn.mean() >= 0.975


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lr": "fast"}, "lr must be a number > 0 and <= 1, not 'fast'"),
        ({"learning_rate": 0.1}, "unknown parameter 'learning_rate': allowed are data, lr"),
    ],
)
def test_the_chapter_refuses_bad_parameters_before_any_work(parameters, message, tmp_path):
    with pytest.raises(PapermillExecutionError, match=message) as failure:
        execute_notebook(BOOK / "cm.ipynb", tmp_path / "out.ipynb", parameters)
    assert failure.value.exec_count <= 3
