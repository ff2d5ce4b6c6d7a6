"""Forks: a training at the pace of single steps, taken back and changed."""

import math
import statistics
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from runs import fresh
from typer.testing import CliRunner

from stnlib.book.autopsy import branches, interventions
from stnlib.book.autopsy.interventions import INTERVENTIONS
from stnlib.book.autopsy.replay import Walk
from stnlib.cli import app
from stnlib.errors import ConfigError
from stnlib.optim import param_groups
from stnlib.records import observations
from stnlib.sampler import sample_clipped, sample_native
from stnlib.training import fit
from stnlib.training.config import RunConfig

CONFIG = RunConfig(data="digits", n_train=96, batch_size=40, epochs=30, lr=1e-3)
DEADLY = CONFIG.replace(lr=0.1)
PLAN = {"back": 10, "steps": 15, "within": 80, "unchanged": 2, "orders": 1}
PLAN |= {"changes": ["locnet frozen"]}


def weights(model):
    return list(model.state_dict().values())


def theta(walk):
    return walk.localisation(walk.batch()[0])


# Walks


def test_a_walk_takes_the_steps_of_the_training(few):
    config = CONFIG.replace(epochs=2, schedule="cosine")
    model, _ = fresh(config, few)
    fit.fit(model, few, config, progress=False)
    walk = Walk(config, few)
    rows = list(walk.steps(6))
    assert all(map(torch.equal, weights(walk.model), weights(model)))
    assert len(rows) == walk.taken == 6


def test_a_walk_that_begins_at_a_checkpoint_goes_on_as_the_training_would(few, tmp_path):
    config = CONFIG.replace(epochs=1)
    model, _ = fresh(config, few)
    fit.fit(model, few, config, tmp_path / "c", progress=False)
    later, whole = Walk(config, few, tmp_path / "c"), Walk(config, few)
    list(whole.steps(3))
    assert later.begun == later.taken == 3
    for walk in (later, whole):
        list(walk.steps(2))
    assert all(map(torch.equal, weights(later.model), weights(whole.model)))


def test_a_walk_goes_back_to_a_state_as_often_as_one_likes(few):
    walk = Walk(CONFIG, few)
    list(walk.steps(4))
    state = walk.state()
    ends = []
    for order in (0, 0, 1):
        again = Walk(CONFIG, few, order=order)
        again.restore(state)
        list(again.steps(5))
        ends.append(weights(again.model))
    assert all(map(torch.equal, ends[0], ends[1]))
    assert not all(map(torch.equal, ends[0], ends[2]))


@pytest.mark.parametrize("change", [{"model": "baseline"}, {"augment": "warp"}])
def test_a_walk_refuses_what_it_cannot_repeat(few, change):
    with pytest.raises(ConfigError, match="a walk is for an stn with augment none"):
        Walk(CONFIG.replace(**change), few)


# Interventions

grids = st.integers(0, 2**32 - 1)


def burst(change, calm):
    """The largest step over the learning rate when large gradients follow `calm` small ones."""
    layer = torch.nn.Linear(1, 1, bias=False)
    model = torch.nn.ModuleDict({"localisation": layer})
    optimizer = torch.optim.Adam(param_groups(model, 1e-3), fused=True)
    walk = SimpleNamespace(localisation=layer, optimizer=optimizer)
    largest = 0.0
    for step in range(calm + 10):
        if step == calm:
            INTERVENTIONS[change](walk)
        before = layer.weight.item()
        layer.weight.grad = torch.full((1, 1), 1e-4 if step < calm else 1.0)
        optimizer.step()
        if step >= calm:
            largest = max(largest, abs(layer.weight.item() - before) / 1e-3)
    return largest


@pytest.mark.parametrize("calm", [1, 10, 500])
def test_adam_with_a_short_memory_takes_no_burst_after_a_calm(calm):
    assert burst("Adam's memory short", calm) < 1.05
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
def walk(few):
    walk = Walk(CONFIG, few)
    list(walk.steps(4))
    return walk


def test_halving_phi_changes_neither_theta_nor_the_first_step_of_the_other_weights(walk):
    before = theta(walk)
    INTERVENTIONS["φ halved, weights doubled"](walk)
    assert torch.allclose(theta(walk), before, atol=1e-6)
    assert torch.isfinite(next(iter(walk.steps(1)))["step"] * torch.ones(()))


def test_a_halved_phi_halves_adams_steps_of_theta(few):
    moved = []
    for change in ("none", "φ halved, weights doubled"):
        walk = Walk(CONFIG.replace(lr=1e-5), few)
        list(walk.steps(4))
        INTERVENTIONS[change](walk)
        row = next(iter(walk.steps(1)))
        moved.append(row["step"])
    assert 0.4 < moved[1] / moved[0] < 0.75  # the bias, and what φ itself moves, are as before


def test_after_halving_phi_adam_takes_the_very_steps_that_it_would_have_taken(few):
    ends = {}
    for change in ("none", "φ halved, weights doubled"):
        walk = Walk(CONFIG, few)
        list(walk.steps(4))
        INTERVENTIONS[change](walk)
        before = {n: v.clone() for n, v in walk.model.state_dict().items()}
        list(walk.steps(1))
        ends[change] = {n: v - before[n] for n, v in walk.model.state_dict().items()}
    whole, halved = ends.values()
    # Half of φ gives the doubled weights half of the gradient: of Adam's memories, that of the
    # squares must be a quarter for their step to stay, and no other weight notices.
    assert whole["transformer.localisation.theta.weight"].abs().max() > 1e-4
    for name, moved in whole.items():
        assert torch.allclose(halved[name], moved, rtol=1e-2, atol=2e-6), name


def test_a_normalised_phi_has_one_length_for_all_images(walk):
    length = walk.phi().abs().sum(dim=1).mean()
    INTERVENTIONS["φ normalised"](walk)
    assert torch.allclose(walk.phi().abs().sum(dim=1), length, rtol=1e-3)


def test_plain_descent_moves_theta_about_as_far_as_adam_did(walk):
    before = walk.state()
    with_adam = walk.trial_steps(walk.optimizer)
    INTERVENTIONS["SGD, steps of θ as large"](walk)
    assert all(map(torch.equal, weights(walk.model), before[1].values()))
    moved = statistics.median(row["step"] for row in walk.steps(10))
    assert 0.2 < moved / with_adam < 5


def test_rates_and_frozen_parts_are_what_their_names_say(few):
    for change, still in {
        "locnet frozen": "transformer",
        "classifier frozen": "classifier",
        "last layer only": "transformer.localisation.features",
    }.items():
        walk = Walk(CONFIG, few)
        list(walk.steps(2))
        before = {name: value.clone() for name, value in walk.model.state_dict().items()}
        INTERVENTIONS[change](walk)
        list(walk.steps(2))
        same = {n for n, v in walk.model.state_dict().items() if torch.equal(v, before[n])}
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
    walk = Walk(CONFIG, few)
    walk.recent_norms.extend(norms)
    INTERVENTIONS["locnet gradient clipped"](walk)
    assert walk.config == CONFIG.replace(loc_clip=limit)


@pytest.mark.parametrize(
    ("change", "localisation", "classifier"),
    [
        ("none", 1, 1),
        ("locnet rate × 0.1", 0.1, 1),
        ("classifier rate × 0.1", 1, 0.1),
        ("locnet frozen", 0, 1),
        ("classifier frozen", 1, 0),
    ],
)
def test_a_rate_is_changed_by_what_its_name_says(few, change, localisation, classifier):
    walk = Walk(CONFIG, few)
    INTERVENTIONS[change](walk)
    list(walk.steps(1))
    rates = {group["localisation"]: group["lr"] for group in walk.optimizer.param_groups}
    assert rates == pytest.approx({True: 1e-3 * localisation, False: 1e-3 * classifier})


@pytest.mark.parametrize("change", INTERVENTIONS)
@pytest.mark.parametrize("taken", [0, 4])
def test_every_intervention_can_be_walked_on_from_the_beginning_too(few, change, taken):
    walk = Walk(CONFIG, few)
    list(walk.steps(taken))
    row = branches.fork(walk, change, 3)
    assert row["after"] == 3 and 0 <= row["coverage"] <= 1 and row["largest_step"] >= 0


# Autopsies


class Dying:
    """A walk whose transformer is well for so many steps, then shows nothing but black."""

    def __init__(self, healthy):
        self.taken, self._healthy = 0, healthy

    def state(self):
        return (self.taken, {}, {}, [])

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
def test_a_death_is_forked_from_the_newest_snapshot_that_is_old_enough(healthy, back, snapshot):
    point, rows = branches.find_death(Dying(healthy), back, 500)
    assert len(rows) == healthy + 6
    assert point[0] == snapshot


def test_a_snapshot_is_of_the_step_that_it_says(few, monkeypatch):
    monkeypatch.setattr(branches, "dead", lambda rows: len(rows) == 17)
    (taken, model, *_), _ = branches.find_death(Walk(CONFIG, few), 4, 80)
    again = Walk(CONFIG, few)
    list(again.steps(10))
    assert taken == 10 and all(map(torch.equal, model.values(), weights(again.model)))


def test_where_nothing_dies_there_is_no_snapshot():
    point, rows = branches.find_death(Dying(100), 10, 100)
    assert point is None and len(rows) == 100


def test_an_autopsy_finds_the_death_and_forks_from_before_it(few, tmp_path):
    path = branches.autopsy(DEADLY, few, PLAN, tmp_path, "s", {})
    first, *rows = observations.read(path)["rows"]
    assert first["died"] and first["fork"] <= first["after"] - 10
    wanted = [("none", order) for order in (0, 1, 2)]
    wanted += [("locnet frozen", order) for order in (0, 1)]
    assert [(r["change"], r["order"]) for r in rows] == wanted
    assert rows[0]["died"] and rows[0]["after"] + first["fork"] == first["after"]


def test_an_interrupted_autopsy_makes_the_missing_forks_only(few, tmp_path, monkeypatch):
    whole = observations.read(branches.autopsy(DEADLY, few, PLAN, tmp_path / "a", "s", {}))["rows"]
    real, made = branches.fork, []

    def interrupted(walk, *rest):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(rest)
        return real(walk, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(branches, "fork", interrupted)
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
    done = CliRunner().invoke(app, ["forks", str(file), "--folder", str(tmp_path / "o")])
    assert done.exit_code == 0, done.output
    (found,) = observations.read_all("forks", [tmp_path / "o"])
    assert len(found["rows"]) == 5 and found["provenance"]["threads"] >= 1
    refused = CliRunner().invoke(app, ["sweep", str(file), "--records", str(tmp_path)])
    assert refused.exit_code == 2
    assert refused.output == f"error: {file} asks for forks: stn forks makes them\n"


def test_a_study_without_forks_is_refused_in_one_line(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('[base]\nmodel = "stn"\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["forks", str(file), "--folder", str(tmp_path)])
    assert done.exit_code == 2 and len(done.output.splitlines()) == 1
    assert (
        "[forks] must have back, steps, within, unchanged, orders, changes, not none" in done.output
    )
