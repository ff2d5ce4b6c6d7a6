"""The page for a black transformer: its counts, its lines to copy, its pictures."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stnlib.book import rescue
from stnlib.book.figures.ends import end
from stnlib.records import store
from stnlib.records.store import Record
from stnlib.training.config import RunConfig
from stnlib.transforms import boxes

ROOT = Path(__file__).parents[2]
LOOKS = {"coverage": 0.9, "black": 0.0, "val_accuracy": 0.9}
LOOKS |= {"corner_spread": 3.0, "view_pixels": 30.0}
BLACK = LOOKS | {"coverage": 0.0, "black": 1.0}


def record(last=LOOKS, **config):
    return Record(Path("x.json"), "s", RunConfig(**config), [last], {}, {})


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


# Counts


@pytest.mark.parametrize(
    "config",
    [
        {"lr": 3e-4, "seed": 5, "epochs": 3},
        {"data": "c10d", "batch_size": 100, "sampler": "clipped"},
        {"schedule": "cosine", "warmup": 0.05, "loc_lr_factor": 0.1},
    ],
    ids=str,
)
def test_a_training_counts_where_only_rates_differ(config):
    assert rescue.plain(record(**config))


@pytest.mark.parametrize(
    "config",
    [
        {"model": "baseline"},
        {"data": "digits"},
        {"data": "c10", "sampler": "clipped"},  # the border of photographs is bright
        {"padding": "border"},
        {"batch_size": 32},
        {"locnet": "deep"},
        {"output_size": 20},
        {"warmup": 0.1, "warmup_of": "localisation"},
    ],
    ids=str,
)
def test_a_training_in_which_something_else_differs_does_not_count(config):
    assert not rescue.plain(record(**config))


def test_each_training_is_counted_under_its_rule_with_what_became_of_it():
    falling = {"schedule": "cosine", "warmup": 0.05}
    made = [
        record(lr=3e-4),
        record(BLACK, lr=1e-2),
        record(lr=1e-2, loc_lr_factor=0.1, **falling),
        record(lr=1e-3, loc_lr_factor=0.3, data="c10d", **falling),
        record(lr=6e-3),  # no rule names this rate
    ]
    found = rescue.counts(made)
    assert list(found["rule"]) == [
        "0.0001 or 0.0003, constant",
        "0.01 or 0.02, constant",
        "0.01 or 0.02, warm-up, cosine, × 0.1 or × 0.3",
        "0.001, warm-up, cosine, × 0.3 or × 1",
    ]
    assert list(found["lost"]) == [False, True, False, False]
    assert rescue.looking(found)[:2] == (3, 4)
    rows = rescue.as_text(found).splitlines()
    assert rows[2] == "| 0.0001 or 0.0003, constant | 1 looks |  |  |"
    assert rows[6] == "| 0.01 or 0.02, constant | 1 black |  |  |"


@pytest.fixture(scope="module")
def found():
    return rescue.counts(store.read_all([ROOT / "book" / "records"]))


def test_the_readme_has_the_counts_of_the_records(found):
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
    of_rule = {rule: found[found["rule"] == rule] for rule in rescue.RULES}
    low = of_rule["0.0001 or 0.0003, constant"]
    assert f"{int(low['lost'].sum())} of {len(low)} are lost" in readme
    high = of_rule["0.01 or 0.02, constant"]
    assert f"at 0.01 and 0.02, {int(high['lost'].sum())} of {len(high)}" in readme
    saved = rescue.looking(of_rule["0.01 or 0.02, warm-up, cosine, × 0.1 or × 0.3"])
    assert f"at 0.01 and 0.02, {saved.k} of {saved.n} look" in readme
    on_c10d = low[low["data"] == rescue.DATA["c10d"]]
    looking = rescue.looking(on_c10d)
    assert f"{looking.k} of {looking.n} transformers on distorted CIFAR-10 look" in readme


# The lines to copy


@pytest.fixture(scope="module")
def copied():
    page = nbformat.read(ROOT / "book" / "rescue.ipynb", as_version=4)
    (source,) = [cell.source for cell in page.cells if "def look(" in cell.source]
    return source


class Other(nn.Module):
    """A network whose parts have the names of PyTorch's tutorial."""

    def __init__(self):
        super().__init__()
        self.fc_loc = nn.Linear(6, 6)

    def forward(self, images):
        theta = self.fc_loc(images.flatten(1)).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=True)
        return F.grid_sample(images, grid, align_corners=True)


def test_the_lines_to_copy_are_short_and_need_nothing_but_pytorch(copied):
    lines = [line for line in copied.splitlines() if line]
    assert len(lines) <= 14
    assert set(re.findall(r"^import (\w+)", copied, re.MULTILINE)) == {"torch"}


@pytest.mark.parametrize(
    ("theta", "said"),
    [
        ([[1.0, 0, 0, 0, 1, 0]] * 2, "inside 100%, spread 0.0 pixels"),
        ([[1.0, 0, 9, 0, 1, 0]] * 2, "inside 0%, spread 0.0 pixels"),
        # Half of the width is 1 pixel and 0.4 of it the distance: a deviation of 0.28.
        ([[0.5, 0, 0.2, 0, 0.5, 0], [0.5, 0, -0.2, 0, 0.5, 0]], "inside 100%, spread 0.3 pixels"),
    ],
)
def test_the_lines_to_copy_tell_of_a_network_of_any_names(copied, capsys, theta, said):
    model = Other()
    made = {"model": model, "layer": model.fc_loc}
    exec(copied, made)
    model.fc_loc.weight.data.zero_()
    made["seen"]["theta"] = torch.tensor(theta)
    made["look"](2, 3)
    assert capsys.readouterr().out.strip() == said
    model(torch.rand(4, 1, 2, 3))
    assert made["seen"]["theta"].shape == (4, 6)
    assert {group["lr"] for group in made["optimizer"].param_groups} == {3e-4}


# Pictures


def test_a_picture_has_the_views_outline_whole_and_what_is_handed_on_below():
    images, outputs = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 4, 4)
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0], [2.0, 0, 5, 0, 2, 0]])
    figure = end(images, theta, outputs, "green")
    above, below = figure.axes[:2], figure.axes[2:]
    for axis, box in zip(above, boxes(theta, (8, 8)), strict=True):
        (outline,) = axis.patches
        assert torch.allclose(torch.tensor(outline.get_xy()[:4]).float(), box)
        (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
        assert left < box[:, 0].min() and box[:, 0].max() < right
        assert top < box[:, 1].min() and box[:, 1].max() < bottom
    shown = [axis.images[0].get_array() for axis in below]
    assert [picture.shape for picture in shown] == [(4, 4, 3)] * 2


def test_every_picture_of_an_end_is_drawn_from_a_record_that_ended_so():
    text = (ROOT / "tools" / "ends.py").read_text(encoding="utf-8")
    drawn = re.findall(r'"(\w+)": \("([\w-]+)", "(\w+)", "(\w+)"\)', text)
    assert drawn
    for name, study, key, state in drawn:
        assert (ROOT / "book" / "images" / f"{name}.png").is_file()
        (record,) = [one for one in store.of_study(study) if one.key == key]
        assert record.outcome == state
