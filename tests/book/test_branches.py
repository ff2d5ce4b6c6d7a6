"""Branches: a training at the pace of single steps, taken back and changed."""

import math
import re
import statistics
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from runs import fresh
from typer.testing import CliRunner

from stnlib.book import remedies
from stnlib.book.autopsy import branches, interventions
from stnlib.book.autopsy.interventions import IDS, INTERVENTIONS
from stnlib.book.autopsy.replay import Replay
from stnlib.cli import app
from stnlib.errors import ConfigError
from stnlib.optim import param_groups
from stnlib.records import observations, studyfile
from stnlib.sampler import sample_clipped, sample_native
from stnlib.training import fit
from stnlib.training.config import RunConfig
from stnlib.training.evaluation import to_float

ROOT = Path(__file__).parents[2]
CONFIG = RunConfig(data="digits", n_train=96, batch_size=40, epochs=30, lr=1e-3)
DEADLY = CONFIG.replace(lr=0.1)
PLAN = {"back": 10, "steps": 15, "within": 80, "unchanged": 2, "orders": 1}
PLAN |= {"changes": ["locnet frozen"]}


def weights(model):
    return list(model.state_dict().values())


def theta(replay):
    return replay.localisation(to_float(replay.batch().images))


# Replays


def test_a_replay_takes_the_steps_of_the_training(few):
    config = CONFIG.replace(epochs=2, schedule="cosine")
    model, _ = fresh(config, few)
    fit.fit(model, few, config, progress=False)
    replay = Replay(config, few)
    rows = list(replay.steps(6))
    assert all(map(torch.equal, weights(replay.model), weights(model)))
    assert len(rows) == replay.taken == 6


def test_a_replay_that_begins_at_a_checkpoint_goes_on_as_the_training_would(few, tmp_path):
    config = CONFIG.replace(epochs=1)
    model, _ = fresh(config, few)
    fit.fit(model, few, config, tmp_path / "c", progress=False)
    later, whole = Replay(config, few, tmp_path / "c"), Replay(config, few)
    list(whole.steps(3))
    assert later.begun == later.taken == 3
    for replay in (later, whole):
        list(replay.steps(2))
    assert all(map(torch.equal, weights(later.model), weights(whole.model)))


def test_a_replay_goes_back_to_a_state_as_often_as_one_likes(few):
    replay = Replay(CONFIG, few)
    list(replay.steps(4))
    state = replay.state()
    ends = []
    for order in (0, 0, 1):
        again = Replay(CONFIG, few, order=order)
        again.restore(state)
        list(again.steps(5))
        ends.append(weights(again.model))
    assert all(map(torch.equal, ends[0], ends[1]))
    assert not all(map(torch.equal, ends[0], ends[2]))


@pytest.mark.parametrize("change", [{"model": "baseline"}, {"augment": "warp"}, {"dropout": 0.5}])
def test_a_replay_refuses_what_it_cannot_repeat(few, change):
    with pytest.raises(ConfigError, match="a replay needs an stn, augment none"):
        Replay(CONFIG.replace(**change), few)


# Interventions

grids = st.integers(0, 2**32 - 1)


def burst(change, calm):
    """The largest step over the learning rate when large gradients follow `calm` small ones."""
    layer = torch.nn.Linear(1, 1, bias=False)
    model = torch.nn.ModuleDict({"localisation": layer})
    optimizer = torch.optim.Adam(param_groups(model, 1e-3), fused=True)
    replay = SimpleNamespace(localisation=layer, optimizer=optimizer)
    largest = 0.0
    for step in range(calm + 10):
        if step == calm:
            INTERVENTIONS[change].apply(replay)
        before = layer.weight.item()
        layer.weight.grad = torch.full((1, 1), 1e-4 if step < calm else 1.0)
        optimizer.step()
        if step >= calm:
            largest = max(largest, abs(layer.weight.item() - before) / 1e-3)
    return largest


@pytest.mark.parametrize("calm", [1, 10, 500])
def test_adam_with_a_short_memory_takes_no_burst_after_a_calm(calm):
    assert burst("loc_beta2_0.9", calm) < 1.05
    if calm == 500:
        assert burst("none", calm) > 3


def sampled(sampler, seed):
    """Values and the gradient of the grid for a random image and grid, points outside included."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 1, 6, 6, generator=generator, dtype=torch.float64)
    grid = torch.rand(1, 4, 4, 2, generator=generator, dtype=torch.float64) * 3 - 1.5
    grid.requires_grad_()
    values = sampler(image, grid, padding="zeros", align_corners=True)
    weight = torch.rand(values.shape, generator=generator, dtype=torch.float64)
    (values * weight).sum().backward()
    return values.detach(), grid.grad, (grid.detach().abs() <= 1).all(dim=-1, keepdim=True)


@given(seed=grids)
def test_cutting_the_boundary_term_leaves_values_and_the_gradient_inside(seed):
    values, gradient, inside = sampled(sample_native, seed)
    cut_values, cut, _ = sampled(interventions.bilinear_uncaught, seed)
    assert torch.equal(values, cut_values)
    assert torch.allclose(cut, gradient * inside)


@given(seed=grids)
def test_the_clipped_samplers_values_can_have_the_boundary_term(seed):
    values, _, _ = sampled(sample_clipped, seed)
    _, gradient, _ = sampled(sample_native, seed)
    caught_values, caught, _ = sampled(interventions.clipped_caught, seed)
    assert torch.allclose(values, caught_values, atol=1e-12)
    assert torch.allclose(caught, gradient)


@pytest.fixture
def replay(few):
    replay = Replay(CONFIG, few)
    list(replay.steps(4))
    return replay


def test_halving_phi_changes_neither_theta_nor_the_first_step_of_the_other_weights(replay):
    before = theta(replay)
    INTERVENTIONS["phi_halved_weights_doubled"].apply(replay)
    assert torch.allclose(theta(replay), before, atol=1e-6)
    assert torch.isfinite(next(iter(replay.steps(1)))["step"] * torch.ones(()))


def test_a_halved_phi_halves_adams_steps_of_theta(few):
    moved = []
    for change in ("none", "phi_halved_weights_doubled"):
        replay = Replay(CONFIG.replace(lr=1e-5), few)
        list(replay.steps(4))
        INTERVENTIONS[change].apply(replay)
        row = next(iter(replay.steps(1)))
        moved.append(row["step"])
    assert 0.4 < moved[1] / moved[0] < 0.75  # the bias, and what φ itself moves, are as before


def test_after_halving_phi_adam_takes_the_very_steps_that_it_would_have_taken(few):
    ends = {}
    for change in ("none", "phi_halved_weights_doubled"):
        replay = Replay(CONFIG, few)
        list(replay.steps(4))
        INTERVENTIONS[change].apply(replay)
        before = {n: v.clone() for n, v in replay.model.state_dict().items()}
        list(replay.steps(1))
        ends[change] = {n: v - before[n] for n, v in replay.model.state_dict().items()}
    whole, halved = ends.values()
    # Half of φ gives the doubled weights half of the gradient: of Adam's memories, that of the
    # squares must be a quarter for their step to stay, and no other weight notices.
    assert whole["transformer.localisation.theta.weight"].abs().max() > 1e-4
    for name, moved in whole.items():
        assert torch.allclose(halved[name], moved, rtol=1e-2, atol=2e-6), name


def test_a_normalised_phi_has_one_length_for_all_images(replay):
    length = replay.phi().abs().sum(dim=1).mean()
    INTERVENTIONS["phi_normalised"].apply(replay)
    assert torch.allclose(replay.phi().abs().sum(dim=1), length, rtol=1e-3)


def test_plain_descent_moves_theta_about_as_far_as_adam_did(replay):
    before = replay.state()
    with_adam = replay.trial_steps(replay.optimizer)
    INTERVENTIONS["loc_sgd"].apply(replay)
    assert all(map(torch.equal, weights(replay.model), before["model"].values()))
    moved = statistics.median(row["step"] for row in replay.steps(10))
    assert 0.2 < moved / with_adam < 5


def test_rates_and_frozen_parts_are_what_their_names_say(few):
    for change, still in {
        "loc_lr_x0": "transformer",
        "classifier_lr_x0": "classifier",
        "last_layer_only": "transformer.localisation.features",
    }.items():
        replay = Replay(CONFIG, few)
        list(replay.steps(2))
        before = {name: value.clone() for name, value in replay.model.state_dict().items()}
        INTERVENTIONS[change].apply(replay)
        list(replay.steps(2))
        same = {n for n, v in replay.model.state_dict().items() if torch.equal(v, before[n])}
        assert same == {name for name in before if name.startswith(still)}


@pytest.mark.parametrize(
    ("norms", "limit"),
    [
        (
            [float(n) for n in range(1, 61)],
            11 + 49 / 4,
        ),  # of the last 50, from 11 to 60: the 25th percentile
        ([math.nan, 3.0, math.inf, 1.0, 5.0, 2.0, 4.0], 2.0),
        ([0.0] * 9, 1e-12),
        ([], 1.0),
    ],
)
def test_the_gradient_is_clipped_at_the_lower_quartile_of_the_last_fifty(few, norms, limit):
    replay = Replay(CONFIG, few)
    replay.recent_norms.extend(norms)
    INTERVENTIONS["loc_clipped"].apply(replay)
    assert replay.config == CONFIG.replace(loc_clip=limit)


@pytest.mark.parametrize(
    ("change", "localisation", "classifier"),
    [
        ("none", 1, 1),
        ("loc_lr_x0.1", 0.1, 1),
        ("classifier_lr_x0.1", 1, 0.1),
        ("loc_lr_x0", 0, 1),
        ("classifier_lr_x0", 1, 0),
    ],
)
def test_a_rate_is_changed_by_what_its_name_says(few, change, localisation, classifier):
    replay = Replay(CONFIG, few)
    INTERVENTIONS[change].apply(replay)
    list(replay.steps(1))
    rates = {group["localisation"]: group["lr"] for group in replay.optimizer.param_groups}
    assert rates == pytest.approx({True: 1e-3 * localisation, False: 1e-3 * classifier})


@pytest.mark.parametrize("change", INTERVENTIONS)
@pytest.mark.parametrize("taken", [0, 4])
def test_every_intervention_can_be_gone_on_from_the_beginning_too(few, change, taken):
    replay = Replay(CONFIG, few)
    list(replay.steps(taken))
    row = branches.branch(replay, INTERVENTIONS[change].label, 3)
    assert row["after"] == 3 and 0 <= row["coverage"] <= 1 and row["largest_step"] >= 0


@pytest.mark.parametrize("path", sorted((ROOT / "book" / "autopsies").glob("*.toml")))
def test_every_change_that_a_study_file_asks_for_has_a_plain_id(path):
    labels = studyfile.branches(path)["changes"]
    assert labels and set(labels) <= set(IDS)
    assert len(set(IDS.values())) == len(IDS) == len(INTERVENTIONS)
    assert all(re.fullmatch(r"[a-z][a-z0-9_.]*", name) for name in INTERVENTIONS)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("loc_lr_x0.1", {"loc_lr_factor": 0.1}),
        ("loc_lr_x0", {"loc_lr_factor": 0.0}),
        ("loc_beta2_0.9", {"loc_beta2": 0.9}),
        ("loc_clipped", {"loc_clip": 1.0}),
        ("sampler_clipped", {"sampler": "clipped"}),
    ],
)
def test_a_change_that_a_configuration_can_ask_for_has_the_id_of_that_remedy(name, setting):
    assert name in INTERVENTIONS and remedies.named(RunConfig(**setting)).id == name


# Autopsies


class Dying:
    """A replay whose transformer is well for so many steps, then shows nothing but black."""

    def __init__(self, healthy):
        self.taken, self._healthy = 0, healthy

    def state(self):
        return {"taken": self.taken}

    def steps(self, n):
        for _ in range(n):
            self.taken += 1
            yield {"black": float(self.taken > self._healthy), "coverage": 1.0}


@pytest.mark.parametrize(
    ("healthy", "back", "snapshot"),
    [
        (84, 10, 80),  # dead at 90, after six of ten steps black; a snapshot every ten steps
        (83, 10, 70),  # dead at 89: the one at 80 is too young
        (84, 40, 50),
        (84, 41, 40),
        (60, 1, 60),
        (7, 10, 0),  # dead at 13: 3 is no snapshot, the beginning is
        (5, 40, 0),  # dead at 11: nothing is old enough but the beginning will do
    ],
)
def test_a_death_is_gone_back_from_the_newest_snapshot_that_is_old_enough(healthy, back, snapshot):
    point, rows = branches.find_death(Dying(healthy), back, 500)
    assert len(rows) == healthy + 6
    assert point["taken"] == snapshot


def test_a_snapshot_is_of_the_step_that_it_says(few, monkeypatch):
    monkeypatch.setattr(branches, "dead", lambda rows: len(rows) == 17)
    point, _ = branches.find_death(Replay(CONFIG, few), 4, 80)
    again = Replay(CONFIG, few)
    list(again.steps(10))
    assert point["taken"] == 10
    assert all(map(torch.equal, point["model"].values(), weights(again.model)))


def test_where_nothing_dies_there_is_no_snapshot():
    point, rows = branches.find_death(Dying(100), 10, 100)
    assert point is None and len(rows) == 100


def test_an_autopsy_finds_the_death_and_branches_off_before_it(few, tmp_path):
    path = branches.autopsy(DEADLY, few, PLAN, tmp_path, "s", {})
    first, *rows = observations.read(path)["rows"]
    assert first["died"] and first["fork"] <= first["after"] - 10
    wanted = [("none", order) for order in (0, 1, 2)]
    wanted += [("locnet frozen", order) for order in (0, 1)]
    assert [(r["change"], r["order"]) for r in rows] == wanted
    assert rows[0]["died"] and rows[0]["after"] + first["fork"] == first["after"]


def test_an_interrupted_autopsy_makes_the_missing_branches_only(few, tmp_path, monkeypatch):
    whole = observations.read(branches.autopsy(DEADLY, few, PLAN, tmp_path / "a", "s", {}))["rows"]
    real, made = branches.branch, []

    def interrupted(replay, *rest):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(rest)
        return real(replay, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(branches, "branch", interrupted)
        branches.autopsy(DEADLY, few, PLAN, tmp_path / "b", "s", {})
    path = branches.autopsy(DEADLY, few, PLAN, tmp_path / "b", "s", {})
    assert observations.read(path)["rows"] == whole


def test_an_autopsy_begun_where_the_training_dies_elsewhere_is_left_as_it_is(few, tmp_path):
    path = branches.autopsy(DEADLY, few, PLAN, tmp_path, "s", {})
    begun = observations.read(path)
    begun["rows"][0]["after"] += 1
    unfinished = [begun["what"], begun["rows"][:-1], begun["provenance"]]
    observations.write(tmp_path, "s", *unfinished)
    left = path.read_bytes()
    with pytest.raises(ConfigError, match=r"dies at step \d+ here, at \d+ where it was begun"):
        branches.autopsy(DEADLY, few, PLAN, tmp_path, "s", {})
    assert path.read_bytes() == left


def test_a_table_of_branches_has_their_ids_and_leaves_the_training_itself_out(few, tmp_path):
    found = observations.read(branches.autopsy(DEADLY, few, PLAN, tmp_path, "s", {}))
    table = branches.table([found])
    assert set(table["point"]) == {found["key"]}
    assert table[["id", "change", "order"]].to_numpy().tolist() == [
        ["none", "none", 1],
        ["none", "none", 2],
        ["loc_lr_x0", "locnet frozen", 0],
        ["loc_lr_x0", "locnet frozen", 1],
    ]


def test_a_training_that_does_not_die_is_one_row(few, tmp_path):
    path = branches.autopsy(CONFIG.replace(lr=1e-5), few, PLAN | {"within": 15}, tmp_path, "s", {})
    assert [row["died"] for row in observations.read(path)["rows"]] == [False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"back": 0}, r"\[forks\] back must be a whole number"),
        ({"changes": ["prayer"]}, r"\[forks\] changes must be of none, .*, not 'prayer'"),
        ({"more": 1}, r"\[forks\] must have back, steps, within, unchanged, orders, changes"),
    ],
)
def test_a_wrong_plan_is_one_line(change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        branches.check_plan(PLAN | change)
    assert "\n" not in str(caught.value)


STUDY = """
[base]
data = "digits"
n_train = 96
batch_size = 40
epochs = 30
lr = 0.1
[forks]
back = 10
steps = 5
within = 60
unchanged = 1
orders = 1
changes = ["locnet frozen"]
"""


def test_the_command_writes_one_observation_a_training_and_a_sweep_refuses_the_file(tmp_path):
    file = tmp_path / "forks.toml"
    file.write_text(STUDY, encoding="utf-8")
    done = CliRunner().invoke(app, ["branches", str(file), "--folder", str(tmp_path / "o")])
    assert done.exit_code == 0, done.output
    (found,) = observations.read_all("forks", [tmp_path / "o"])
    assert len(found["rows"]) == 5 and found["provenance"]["threads"] >= 1
    refused = CliRunner().invoke(app, ["sweep", str(file), "--records", str(tmp_path)])
    assert refused.exit_code == 2
    assert refused.output == f"error: {file} asks for branches: stn branches makes them\n"


def test_a_study_without_branches_is_refused_in_one_line(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('[base]\nmodel = "stn"\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["branches", str(file), "--folder", str(tmp_path)])
    assert done.exit_code == 2 and len(done.output.splitlines()) == 1
    assert (
        "[forks] must have back, steps, within, unchanged, orders, changes, not none" in done.output
    )
