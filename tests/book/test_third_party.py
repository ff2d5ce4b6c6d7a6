"""Other people's transformers: that the monitor sees them, and what is recorded of them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from typer.testing import CliRunner

from stnlib.book.figures import third_party as figures
from stnlib.book.third_party import images as third_party_images
from stnlib.book.third_party import networks, recording, training
from stnlib.book.third_party.images import DATA, Images, load
from stnlib.cli import app
from stnlib.data import digits, idx
from stnlib.data.sets import Split
from stnlib.diagnostics import CollapseMonitor, grid_coverage, report_sampling
from stnlib.sampler import sample_clipped


def few(distorted, n=192):
    """Real digits, few, as the networks of the study see them."""
    pixels, labels = digits.embedded()
    chosen = np.random.default_rng(0).permutation(len(pixels))[:n]
    images = torch.from_numpy(pixels[chosen]).unsqueeze(1) / 255
    images = F.pad(images, [6] * 4) if distorted else images
    split = Split(images, torch.from_numpy(labels[chosen]))
    return Images(split, split.first(64), "few")


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_network_begins_as_the_identity_or_near_it_and_takes_a_batch(name):
    model = networks.NETWORKS[name]()
    images = few(model.distorted).val.images
    with CollapseMonitor(model) as monitor:
        assert model(images).shape == (len(images), 10)
        model(images).sum().backward()
        monitor.step()
    row = monitor.trace.row(-1)
    assert row["coverage"] == 1 and row["black"] == 0 and 0.75 < row["extent"] <= 1


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_the_monitor_finds_all_of_the_localisation_network_and_nothing_else(name):
    model = networks.NETWORKS[name]()
    with CollapseMonitor(model) as monitor:
        loss = model(few(model.distorted).val.images).logsumexp(1).sum()
        loss.backward()
        monitor.step(loss)
    row, norm = monitor.trace.row(-1), nn.utils.get_total_norm
    named = list(model.named_parameters())
    for column, of_classifier in (("loc_grad", False), ("rest_grad", True)):
        grads = [p.grad for part, p in named if part.startswith("classifier") == of_classifier]
        assert row[column] == pytest.approx(norm(grads).item(), rel=1e-4)
    assert not np.isnan(row["phi"])


def test_a_sampler_of_ones_own_is_seen_once_it_tells_of_itself():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, x):
            grid = self.scale * wild_grid(len(x))
            return report_sampling(grid, sample_clipped(x, grid))

    model = Own()
    with CollapseMonitor(model) as monitor:
        model(torch.rand(3, 1, 9, 9)).sum().backward()
        monitor.step()
    expected = grid_coverage(2 * wild_grid(1)).item()
    assert monitor.trace.row(-1)["coverage"] == pytest.approx(expected)


def test_telling_changes_nothing_where_no_monitor_looks():
    grid, output = wild_grid(1), torch.rand(1, 1, 9, 9)
    assert report_sampling(grid, output) is output


def wild_grid(n):
    axis = torch.linspace(-1, 1, 9)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], -1).expand(n, 9, 9, 2)


def test_a_run_with_a_huge_rate_goes_black_and_is_warned_of_before():
    run, *steps = training.train("keras", few(True, 1000), 0.03, 0, 2)
    assert run["warned"] <= run["blackened"] <= run["steps"] == 32
    assert run["black"] == 1 and run["died"] and run["accuracy"] < 0.3
    assert [row["n"] for row in steps] == [5, 10, 15, 20, 25, 30]


def test_a_transformer_that_is_not_trained_stays_as_it_was():
    run, *steps = training.train("tutorial", few(False), 0.3, 0, 3, frozen=True)
    assert run["warned"] is None and run["died"] is None
    assert {row["coverage"] for row in steps} == {1.0}


def test_a_run_is_the_same_when_it_is_made_again():
    images = few(True)
    assert training.train("tanh", images, 1e-3, 1, 1) == training.train("tanh", images, 1e-3, 1, 1)


@pytest.fixture
def watched(monkeypatch):
    """Let a training's monitor have seen these numbers, one a step, and nothing else."""

    def put(events=(), **columns):
        n = len(next(iter(columns.values())))
        healthy = {"accuracy": 0.5, "loss": 1.0, "coverage": 1.0, "black": 0.0}
        healthy |= {"extent": 1.0, "centre": 0.0, "step": 0.01, "phi": 1.0, "corner_spread": 1.0}
        frame = pd.DataFrame({name: [value] * n for name, value in healthy.items()} | columns)
        frame.index += 1

        class Seen:
            trace = SimpleNamespace(events=list(events), note=lambda *_: None)

            def __init__(self, model, optimizer, every):
                pass

            def step(self, loss):
                pass

            def detach(self):
                pass

            def to_frame(self):
                return frame

        monkeypatch.setattr(training, "CollapseMonitor", Seen)
        return training.train("tutorial", few(False, 64), 1e-3, 0, 1)

    return put


def test_a_view_has_shrunk_from_the_step_from_which_it_is_below_one_half_for_good(watched):
    run, *_ = watched(coverage=[1.0] * 12 + [0.0] * 8 + [1.0] * 10 + [0.0] * 20)
    assert run["shrank"] == 36  # the mean of ten: six of them at 0
    assert watched(coverage=[1.0] * 12 + [0.0] * 8 + [1.0] * 10)[0]["shrank"] is None
    assert watched(coverage=[0.0] * 15)[0]["shrank"] == 10  # there is no mean before
    assert watched(coverage=[0.51] * 30)[0]["shrank"] is None


def test_the_first_step_with_nothing_but_black_and_the_best_accuracy_before_the_warning(watched):
    run, *steps = watched(
        events=[(25, "runaway"), (27, "black")],
        black=[0.0] * 13 + [0.99, 1.0] + [0.0] * 15,
        accuracy=[0.2] * 5 + [0.8] * 20 + [1.0] * 5,
    )
    assert (run["blackened"], run["warned"], run["warning"]) == (15, 25, "runaway")
    assert run["best"] == run["at_warning"] == pytest.approx(0.8)
    assert run["steps"] == 30 and run["coverage"] == 1 and run["black"] == 0
    assert [row["n"] for row in steps] == [5, 10, 15, 20, 25, 30] and steps[2]["black"] == 1


def test_an_unknown_network_is_named_with_the_allowed():
    with pytest.raises(ValueError, match=r"must be one of tutorial, .*, not 'x'"):
        training.train("x", few(False), 0.1, 0, 1)


def test_fashion_mnist_is_read_from_the_data_folder(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    monkeypatch.setitem(third_party_images.SIZES, "fashion", (9, 3, 2))
    given = {"fashion": lambda: (pixels, np.arange(12) % 10)}
    monkeypatch.setattr(third_party_images, "_SOURCES", given)
    images = load("fashion", distorted=False)
    assert torch.equal(images.train.images * 255, torch.from_numpy(pixels[:9, None]).float())
    assert images.val.labels.tolist() == [9, 0, 1]


def test_the_command_skips_missing_data_with_a_message(tmp_path, monkeypatch):
    from torchvision.datasets import FashionMNIST

    monkeypatch.setenv("STNLIB_DATA", str(tmp_path))
    monkeypatch.setattr(FashionMNIST, "mirrors", ["file:///nowhere/"])
    idx._load.cache_clear()
    arguments = ["third-party", "fashion", "--folder", str(tmp_path / "out"), "--seeds", "1"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "skipped: FashionMNIST could not be downloaded" in done.stderr


def test_the_command_records_the_plan_of_the_images_that_it_is_told(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(recording, "record", lambda *whole: made.append(whole))
    arguments = ["third-party", "optical", "--folder", str(tmp_path / "out"), "--seeds", "1"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert made == [(what, tmp_path / "out") for what in recording.plan("optical", 1)]
    assert done.stdout == f"optical: {len(made)} trainings are recorded in {tmp_path / 'out'}\n"


def test_distorted_images_keep_their_content_and_are_always_the_same(monkeypatch):
    monkeypatch.setitem(third_party_images._SOURCES, "mnist", digits.embedded)
    monkeypatch.setitem(third_party_images.SIZES, "mnist", (400, 100, 2))
    plain, *twice = (load("mnist", distorted) for distorted in (False, True, True))
    assert twice[0].fingerprint == twice[1].fingerprint != plain.fingerprint
    inks = [images.train.images.sum((1, 2, 3)) for images in (plain, twice[0])]
    assert ((inks[1] / inks[0] - 1).abs() < 0.1).float().mean() > 0.99  # a few leave the canvas


def test_optical_digits_need_no_network_and_lie_in_the_middle_as_mnists_do():
    images = load("optical", distorted=False)
    every = torch.cat([images.train.images, images.val.images])
    assert every.shape == (1797, 1, 28, 28) and every.min() == 0 and 0.9 < every.max() <= 1
    inner = every[:, :, 4:24, 4:24]
    assert inner.sum() == pytest.approx(every.sum().item())
    pooled = F.interpolate(inner, size=(8, 8), mode="area") * 16
    pixels, labels = digits.optical()
    small = torch.tensor(pixels).float()
    assert torch.corrcoef(torch.stack([pooled.flatten(), small.flatten()]))[0, 1] > 0.95
    assert images.train.labels.tolist() == labels[:1500].tolist()


def test_what_is_recorded_is_not_made_again(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(recording, "load", lambda data, distorted: few(distorted))
    train = lambda *args, **rest: made.append(rest) or [{"kind": "run"}]  # noqa: E731
    monkeypatch.setattr(recording, "train", train)
    what = recording.plan("mnist")[0]
    assert recording.record(what, tmp_path) == recording.record(what, tmp_path)
    assert len(made) == 1


@pytest.mark.parametrize("data", DATA)
def test_the_plan_has_every_network_at_every_rate_with_controls_only_at_the_higher_ones(data):
    plan = pd.DataFrame(recording.plan(data, seeds=3, controls=1))
    steps = plan["epochs"] * -(-plan["n_train"] // 64)
    assert steps.between(300, 320).all()
    trained = plan[~plan["frozen"]].groupby(["network", "lr"])["seed"].nunique()
    assert (trained == 3).all() and len(trained) == sum(map(len, networks.RATES.values()))
    controls = plan[plan["frozen"]]
    expected = {(name, lr) for name, rates in networks.RATES.items() for lr in rates[1:]}
    assert set(zip(controls["network"], controls["lr"], strict=True)) == expected
    assert set(controls["seed"]) == {0}


def one(seed, **run):
    none = dict.fromkeys(("warned", "warning", "died", "fell", "blackened", "shrank"))
    steps = [
        {"kind": "step", "n": n, "accuracy": 0.5, "coverage": 1.0, "black": 0.0} for n in (5, 9)
    ]
    what = {"network": "keras", "data": "mnist", "lr": 0.01, "seed": seed, "frozen": False}
    return {
        "study": "wild",
        "what": what,
        "rows": [{"kind": "run", "steps": 100, **none, **run}, *steps],
    }


def test_a_runs_fate_and_its_first_sign():
    found = [
        one(0),
        one(1, warned=3, warning="runaway", died=20, blackened=12, shrank=15),
        one(2, shrank=40, blackened=7),  # black for a moment, and zoomed out at the end
        one(3, fell=50),
    ]
    table = recording.runs(found)
    assert table["fate"].tolist() == ["alive", "died", "shrunken", "died"]
    assert table["failed"].fillna(0).tolist() == [0, 12, 40, 50]


def test_runs_say_which_monitor_saw_them_where_that_makes_a_difference():
    found = [one(0), one(1), one(2)]
    found[1]["what"]["network"] = found[2]["what"]["network"] = "tanh"
    assert recording.runs(found[:2])["monitor"].fillna(0).tolist() == [0, 1]
    found[2]["what"]["monitor"] = 2
    assert recording.runs(found)["monitor"].fillna(0).tolist() == [0, 1, 2]
    found[1]["study"] = recording.STUDY
    assert recording.runs(found)["monitor"].isna().tolist() == [True, True, False]


def test_verdicts_count_each_kind_of_run_by_itself():
    found = [
        one(0),
        one(1, warned=3, died=20, blackened=12),
        one(2, warned=12, died=20, blackened=12),  # only as it fails
        one(3, warned=3, fell=5),
        one(4, warned=8),
        one(5, warned=8),
    ]
    for run in found:
        run["rows"][0]["accuracy"] = 0.5
    found[4]["what"]["lr"] = 0.1
    found[5]["what"]["frozen"] = True
    table = recording.runs(found)
    told = {what: (share.k, share.n) for what, share in recording.verdicts(table).items()}
    assert list(told.values()) == [(1, 1), (2, 3), (1, 2), (0, 1), (1, 1)]
    (low, high) = recording.ends(table).itertuples(index=False)
    assert (low.alive, low.died, high.alive, high.died) == (1, 3, 1, 0)


def drawn(axis):
    return [
        (x, round(y), line.get_marker())
        for line in axis.lines
        if line.get_marker() in ("o", "X")
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_every_loss_has_a_mark_at_its_lead_and_those_kept_are_counted():
    found = [
        one(0, warned=3, warning="runaway", died=20),
        one(1, warned=20, warning="black", died=20),  # only as it fails
        one(2),
        one(3, warned=9, warning="runaway"),
    ]
    (axis,) = figures.leads(recording.runs(found)).axes
    row = list(figures.NAMES).index("keras")
    assert sorted(drawn(axis)) == [(0.5, row, "X"), (17, row, "o")]
    assert "1 of 2" in [text.get_text() for text in axis.texts]


def test_every_training_has_a_mark_of_what_became_of_it():
    found = [one(0, died=20), one(1), one(2, shrank=9)]
    for run in found:
        run["rows"][0]["accuracy"] = 0.5
    (axis,) = figures.fates(recording.runs(found)).axes
    marks = [mark for x, _, mark in sorted(drawn(axis)) if x in (0, 1, 2)]
    assert marks == ["o", "X", "X"]
    assert [text.get_text() for text in axis.texts] == ["0.50"]


def test_a_course_says_when_it_was_warned_of():
    (axis,) = figures.courses([one(0, warned=3, warning="runaway", died=20)]).axes
    assert "warned, step 3" in [text.get_text() for text in axis.texts]
