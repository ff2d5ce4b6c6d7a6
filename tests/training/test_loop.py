"""Training: an epoch against a plain loop, and resuming against not being interrupted."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from runs import continued, fresh, numbers, train_epoch

from stnlib import models, optim
from stnlib.data import augment, catalogue, sets
from stnlib.errors import ConfigError
from stnlib.training import checkpoint, device, evaluation, fit, loop, rates
from stnlib.training.config import RunConfig
from stnlib.training.rates import set_rates
from stnlib.training.seeds import derive_seed


def state(optimizer):
    states = optimizer.state_dict()["state"]
    return [states[i][name] for i in sorted(states) for name in sorted(states[i])]


# Batches


@pytest.mark.parametrize("at_once", [2, 3, 10])
@pytest.mark.parametrize("name", ["digits", "shapes10d"])
def test_how_many_batches_are_made_at_a_time_changes_nothing_in_them(config, name, at_once):
    split = catalogue.load(name, n_train=70).train
    config = config.replace(data=name, n_train=70, batch_size=16)
    one, several = (list(loop.batches(split, config, 2, at_once=n)) for n in (1, at_once))
    assert [len(batch) for batch in one] == [16, 16, 16, 16, 6]
    for batch, other in zip(one, several, strict=True):
        for part in ("images", "labels", "positions", "theta"):
            made, also = getattr(batch, part), getattr(other, part)
            assert made is also is None or torch.equal(made, also)
    labels = torch.cat([batch.labels for batch in one])
    assert torch.equal(labels, split.labels[loop.order(70, config, 2)])


# Resuming


RESUMED = [
    ("adam", "float32"),
    ("adamw", "bfloat16"),
    ("keras_adam", "float32"),
    ("sgd", "float32"),
]


@pytest.mark.parametrize(("optimizer", "precision"), RESUMED)
def test_a_run_resumed_after_any_epoch_equals_one_never_interrupted(
    config, few, tmp_path, monkeypatch, optimizer, precision
):
    decay = 0 if optimizer == "keras_adam" else 0.01
    config = config.replace(optimizer=optimizer, precision=precision, weight_decay=decay)
    whole, _ = fresh(config, few)
    history = fit.fit(whole, few, config, tmp_path / "whole", progress=False)
    for after in range(config.epochs):
        path = tmp_path / f"after-{after}"
        model, resumed = continued(config, few, path, after, monkeypatch)
        assert numbers(resumed) == numbers(history)
        assert all(map(torch.equal, model.state_dict().values(), whole.state_dict().values()))
        ends = []
        for file in (tmp_path / "whole", path):
            model, optimiser = fresh(config, few)
            key = checkpoint.run_key(config, few)
            assert checkpoint.load_checkpoint(file, model, optimiser, key)
            ends.append(state(optimiser))
        assert len(ends[0]) == len(ends[1]) and (optimizer == "sgd" or ends[0])
        assert all(map(torch.equal, *ends))


RANDOM = [{"sampler": "linearised"}, {"blur": 3.0}, {"warps": 2}]


@pytest.mark.parametrize("change", RANDOM, ids=str)
def test_other_peoples_cures_are_resumed_as_if_never_interrupted(
    config, few, tmp_path, monkeypatch, change
):
    config = config.replace(**change)
    whole, _ = fresh(config, few)
    history = fit.fit(whole, few, config, progress=False)
    model, resumed = continued(config, few, tmp_path / "one", 1, monkeypatch)
    assert numbers(resumed) == numbers(history)
    assert all(map(torch.equal, model.state_dict().values(), whole.state_dict().values()))


def test_a_blur_is_whole_for_a_tenth_of_the_steps_and_gone_at_half(few, config, monkeypatch):
    training = loop.Training(config.replace(blur=4.0, epochs=10, batch_size=96), few)
    seen = []
    for batch in [few.train.first(8)] * 10:
        training.step(batch)
        seen.append(training.model.transformer.blur)
    assert seen == pytest.approx([4, 4, 3, 2, 1, 0, 0, 0, 0, 0])


# One epoch


def plainly(model, config, few, epochs):
    """The training loop as a tutorial writes it, on the same order of images."""
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    rows = []
    for epoch in range(1, epochs + 1):
        model.train()
        losses, hits = 0.0, 0
        for index in loop.order(len(few.train), config, epoch).split(config.batch_size):
            x, y = few.train.images[index].float() / 255, few.train.labels[index]
            logits = model(x)
            loss = F.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += loss.item() * len(index)
            hits += (logits.argmax(1) == y).sum().item()
        n = len(few.train)
        rows.append({"train_loss": losses / n, "train_accuracy": hits / n})
    return rows


@pytest.mark.parametrize("model", ["baseline", "stn"])
def test_an_epoch_is_the_plain_loop_bit_for_bit(few, model):
    config = RunConfig(data="digits", model=model, n_train=96, batch_size=40)
    network, optimizer = fresh(config, few)
    rows = [train_epoch(network, optimizer, few, config, e) for e in (1, 2)]
    plain, _ = fresh(config, few)
    for ours, theirs in zip(rows, plainly(plain, config, few, 2), strict=True):
        assert ours["train_accuracy"] == theirs["train_accuracy"]
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-6)
    assert all(map(torch.equal, network.parameters(), plain.parameters()))


def test_a_step_is_the_plain_steps_and_says_what_it_found(few, config):
    (model, optimizer), (plain, adam) = fresh(config, few), fresh(config, few)
    for network in (model, plain):
        network.eval()  # without dropout, so that both see the same
    images, labels = few.train.images[:20] / 255, few.train.labels[:20]
    loss, correct, norms = loop.train_step(model, optimizer, images, labels, config)
    logits = plain(images)
    F.cross_entropy(logits, labels).backward()
    adam.step()
    assert loss == F.cross_entropy(logits, labels) and not loss.requires_grad
    assert correct == (logits.argmax(1) == labels).sum()
    assert torch.equal(norms, loop.gradient_norms(plain))
    assert all(map(torch.equal, model.parameters(), plain.parameters()))


def test_an_epoch_says_how_large_the_gradients_were(config, few):
    model, optimizer = fresh(config, few)
    steps = []
    row = train_epoch(model, optimizer, few, config, 1, lambda *_: steps.append(1))
    assert len(steps) == 3
    for name in ("grad_norm", "loc_grad_norm"):
        assert 0 < row[f"{name}_mean"] <= row[f"{name}_max"]
    plain = RunConfig(data="digits", model="baseline")
    row = train_epoch(*fresh(plain, few), few, plain)
    assert "grad_norm_mean" in row and "loc_grad_norm_mean" not in row


def test_each_networks_gradient_norm_has_its_name(few):
    config = RunConfig(data="digits", n_train=96, batch_size=96)  # an epoch of one step
    (model, optimizer), (plain, _) = fresh(config, few), fresh(config, few)
    row = train_epoch(model, optimizer, few, config, 1)
    F.cross_entropy(plain.train()(few.train.images / 255), few.train.labels).backward()
    lengths = {"grad_norm": plain.classifier, "loc_grad_norm": plain.transformer.localisation}
    for name, part in lengths.items():
        length = math.sqrt(sum(p.grad.double().square().sum() for p in part.parameters()))
        assert row[f"{name}_mean"] == row[f"{name}_max"] == pytest.approx(length, rel=1e-3)
    assert row["grad_norm_max"] != pytest.approx(row["loc_grad_norm_max"], rel=0.1)


def test_dropout_differs_by_epoch_and_seed_and_is_drawn_from_them_alone(few, config):
    config = config.replace(augment="none", shuffle=False)
    losses = {}
    for seed, epoch in ((0, 1), (0, 2), (0, 12), (1, 1), (1, 2)):
        for disturbed in (False, True):
            model, optimizer = fresh(config, few)  # always the same weights, on the same images
            first = []
            torch.manual_seed(99 if disturbed else 7)
            train_epoch(
                model,
                optimizer,
                few,
                config.replace(seed=seed),
                epoch,
                lambda _, loss, __, first=first: first.append(loss.item()),
            )
            losses[seed, epoch, disturbed] = first[0]
    drawn_first = {key[:2]: loss for key, loss in losses.items() if not key[2]}
    assert len(set(drawn_first.values())) == 5
    assert all(losses[(*key, True)] == loss for key, loss in drawn_first.items())


def test_the_batch_order_differs_by_epoch_and_seed_and_is_drawn_from_them_alone():
    config = RunConfig()
    orders = [
        loop.order(50, c, epoch).tolist()
        for c in (config, config.replace(seed=1))
        for epoch in (1, 2)
    ]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    torch.manual_seed(3)
    assert loop.order(50, config.replace(lr=0.5, model="baseline"), 1).tolist() == orders[0]


def test_without_shuffling_the_order_is_the_files():
    assert loop.order(5, RunConfig(shuffle=False), 3).tolist() == [0, 1, 2, 3, 4]


def test_seeds_are_derived_as_they_always_were():
    assert derive_seed(0, "weights") == 133441691874178746
    assert derive_seed(3, "order", 7) == 8403337869328738062
    purposes = [(0, "weights"), (0, "order", 1), (0, "order", 11), (0, "order1", 1), (1, "order")]
    seeds = {derive_seed(*parts) for parts in purposes}
    assert len(seeds) == 5 and all(0 <= seed < 2**63 for seed in seeds)


# A network that diverged


def test_an_stn_whose_theta_is_not_finite_ends_its_epoch_as_not_a_number(config, few):
    model, optimizer = fresh(config, few)
    with torch.no_grad():
        model.transformer.localisation.theta.bias[0] = math.nan
    row = train_epoch(model, optimizer, few, config, 1)
    assert math.isnan(row["train_loss"]) and math.isnan(row["train_accuracy"])
    row = evaluation.evaluate(model, few.val)
    assert math.isnan(row["loss"]) and math.isnan(row["accuracy"])


@pytest.mark.parametrize("model", ["stn", "baseline"])
def test_a_run_that_diverges_stops_and_says_so(few, model):
    config = RunConfig(data="digits", model=model, n_train=96, batch_size=40, epochs=9, lr=1e30)
    network, _ = fresh(config, few)
    history = fit.fit(network, few, config, progress=False)
    assert 1 <= len(history) < 9
    assert fit.stopped(history) == "diverged"


def test_a_run_is_stopped_by_black_only_without_any_gradient_of_theta():
    alive = {"train_loss": 1.0, "val_loss": 1.0, "black": 1.0, "loc_grad_norm_max": 1e-9}
    assert fit.stopped([]) is None
    assert fit.stopped([alive]) is None
    assert fit.stopped([alive | {"loc_grad_norm_max": 0.0}]) == "black"
    assert fit.stopped([alive | {"loc_grad_norm_max": 0.0, "black": 0.99}]) is None
    assert fit.stopped([{"train_loss": 1.0, "val_loss": math.inf}]) == "diverged"


# Evaluation


@pytest.mark.parametrize("model", ["baseline", "stn"])
def test_evaluation_is_the_plain_mean_over_all_images(few, model, config):
    network, _ = fresh(RunConfig(data="digits", model=model), few)
    split = catalogue.load("digits").val.take(torch.arange(500).repeat(2)[:770])  # not one batch
    row = evaluation.evaluate(network, split)
    with torch.no_grad():
        logits = network.eval()(split.images / 255)
    assert row["loss"] == pytest.approx(F.cross_entropy(logits, split.labels).item(), rel=1e-5)
    hits = (logits.argmax(1) == split.labels).float().mean().item()
    assert row["accuracy"] == pytest.approx(hits, abs=1e-6)
    if model == "stn":
        assert row["coverage"] == 1 and row["black"] == 0
        assert row["scale_mean"] == 1 and row["rotation_std"] == 0
    else:
        assert set(row) == {"loss", "accuracy"}


def test_evaluation_sees_an_stn_that_has_gone_black(few, config):
    network, _ = fresh(config, few)
    with torch.no_grad():
        network.transformer.localisation.theta.bias[2] = 50
    row = evaluation.evaluate(network, few.val)
    assert row["coverage"] == 0 and row["black"] == 1 and row["tx_mean"] == 50


class LooksAway(torch.nn.Module):
    """A localisation network that looks beside the images whose first pixel is white."""

    def forward(self, images):
        theta = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(len(images), 1)
        theta[:, 2] = 50 * (images[:, 0, 0, 0] == 1)
        return theta


def test_what_a_transformer_shows_is_averaged_over_images_and_not_over_batches(few, config):
    network, _ = fresh(config, few)
    network.transformer.localisation = LooksAway()
    images = torch.randint(180, 255, (250, 1, 40, 40), dtype=torch.uint8, generator=drawn())
    images[100:130, :, 0, 0] = images[200:, :, 0, 0] = 255  # by hundreds: none, 30, all of 50
    split = sets.Split(images, torch.arange(250) % 10)
    row = evaluation.evaluate(network, split)
    assert row["coverage"] == pytest.approx(170 / 250)
    assert row["black"] == pytest.approx(80 / 250)
    assert row["tx_mean"] == pytest.approx(50 * 80 / 250)
    backwards = evaluation.evaluate(network, split.take(torch.arange(249, -1, -1)))
    assert backwards == pytest.approx(row, rel=1e-5)


def test_evaluation_changes_no_weight_and_no_random_state(few, config):
    network, _ = fresh(config, few)
    before = [parameter.clone() for parameter in network.parameters()]
    state_before = torch.get_rng_state()
    first = evaluation.evaluate(network, few.val)
    assert evaluation.evaluate(network, few.val) == first  # no dropout
    assert torch.equal(torch.get_rng_state(), state_before)
    assert all(map(torch.equal, before, network.parameters()))


def test_bytes_become_numbers_from_0_to_1():
    images = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    assert evaluation.to_float(images).flatten().tolist() == pytest.approx([0, 0.2, 1])
    assert evaluation.to_float(images / 255).dtype == torch.float32


# Optimiser and learning rates


def test_the_localisation_network_has_a_learning_rate_of_its_own(config, few):
    model, optimizer = fresh(config.replace(lr=0.02, loc_lr_factor=0.1, weight_decay=0.3), few)
    rest, loc = optimizer.param_groups
    assert (rest["lr"], loc["lr"]) == (0.02, pytest.approx(0.002))
    assert rest["weight_decay"] == loc["weight_decay"] == 0.3
    theirs = {id(p) for p in model.transformer.localisation.parameters()}
    assert {id(p) for p in loc["params"]} == theirs
    assert {id(p) for p in rest["params"]} == {id(p) for p in model.classifier.parameters()}


def test_a_network_without_localisation_has_one_parameter_group():
    (group,) = optim.param_groups(models.CMNet(), 0.5)
    assert group["lr"] == group["initial_lr"] == 0.5


def test_a_factor_for_a_localisation_network_that_has_another_name_is_refused():
    network = torch.nn.ModuleDict({"localization": torch.nn.Linear(2, 6)})
    with pytest.raises(ValueError, match="no submodule is named localisation") as caught:
        optim.param_groups(network, 0.5, 0.1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW")])
def test_the_optimizer_is_the_one_that_is_named(name, kind, config, few):
    _, optimizer = fresh(config.replace(optimizer=name), few)
    assert type(optimizer).__name__ == kind
    assert optimizer.defaults["eps"] == 1e-8 and optimizer.defaults["betas"] == (0.9, 0.999)


def test_the_localisation_network_alone_may_forget_squares_sooner(config, few):
    _, optimizer = fresh(config.replace(loc_beta2=0.9), few)
    betas = {group["localisation"]: group["betas"] for group in optimizer.param_groups}
    assert betas == {False: (0.9, 0.999), True: (0.9, 0.9)}


def test_sgd_steps_against_the_gradient_by_each_groups_rate(few):
    config = RunConfig(data="digits", optimizer="sgd", lr=0.5, loc_lr_factor=0.1, weight_decay=0.01)
    model = loop.make_model(config, few)
    optimizer = rates.make_optimizer(model, config)
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(2):  # the second as the first: nothing is carried on
        old = [p.detach().clone() for p in model.parameters()]
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()
        for (name, p), was in zip(model.named_parameters(), old, strict=True):
            rate = 0.05 if "localisation" in name else 0.5
            torch.testing.assert_close(p.detach(), was - rate * (1 + 0.01 * was))
    assert not any(map(torch.equal, before, model.parameters()))


def keras_adam(p, gradients, lr):
    """Keras 2.1.2, `Adam.get_updates`, in NumPy: the weights after each step."""
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(gradients, start=1):
        lr_t = lr * (np.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t))
        m = (0.9 * m) + (1.0 - 0.9) * g
        v = (0.999 * v) + (1.0 - 0.999) * np.square(g)
        p = p - lr_t * m / (np.sqrt(v) + 1e-8)
        yield p


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-8])  # the smaller, the more eps counts
def test_keras_adam_takes_kerass_steps(scale):
    generator = np.random.default_rng(0)
    start, gradients = generator.normal(size=50), scale * generator.normal(size=(30, 50))
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    group = {"params": [weight], "lr": 1e-3, "initial_lr": 1e-3}
    optimizer = optim.KerasAdam([group], fused=True)
    for gradient, expected in zip(gradients, keras_adam(start, gradients, 1e-3), strict=True):
        weight.grad = torch.from_numpy(gradient)
        optimizer.step()
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=0, atol=1e-12)


def test_keras_adam_differs_from_pytorchs_where_gradients_are_tiny():
    ends = []
    for kind in (optim.KerasAdam, torch.optim.Adam):
        weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        optimizer = kind([weight], lr=1e-3)
        weight.grad = torch.full_like(weight, 1e-8)
        optimizer.step()
        ends.append(-weight.item())
    small = 1e-8 * math.sqrt(1 - 0.999)  # √v after the first step
    assert ends == pytest.approx([1e-3 * small / (small + 1e-8), 1e-3 / 2])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("GenuineIntel avx512_bf16 amx_bf16", "bfloat16"),
        ("GenuineIntel avx512_bf16", "float32"),  # which it has, at half the speed
        ("AuthenticAMD avx512_bf16", "bfloat16"),
        ("asimd bf16", "bfloat16"),
        ("AuthenticAMD avx2", "float32"),
        ("", "float32"),
    ],
)
def test_automatic_precision_is_bfloat16_where_the_processor_gains_by_it(
    few, config, monkeypatch, words, expected
):
    monkeypatch.setattr(device, "processor_words", lambda: frozenset(words.split()))
    assert device.resolved(torch.device("cpu"), "auto") == expected
    network, _ = fresh(config, few)
    rows = [evaluation.evaluate(network, few.val, name) for name in ("auto", expected)]
    assert rows[0] == rows[1]
    for name in ("float32", "bfloat16"):
        assert device.resolved(torch.device("cpu"), name) == name


def test_the_schedule_runs_over_all_epochs_and_keeps_the_factor(config, few, monkeypatch):
    config = config.replace(lr=0.1, loc_lr_factor=0.5, warmup=0.0, schedule="cosine")
    model, optimizer = fresh(config, few)
    rates = []

    def note(*_):
        rates.append([group["lr"] for group in optimizer.param_groups])

    for epoch in (1, 2, 3):
        train_epoch(model, optimizer, few, config, epoch, note)
    expected = [0.1 * (1 + math.cos(math.pi * step / 9)) / 2 for step in range(9)]
    assert [rate for rate, _ in rates] == pytest.approx(expected)
    assert [rate for _, rate in rates] == pytest.approx([rate / 2 for rate in expected])


@pytest.mark.parametrize(
    ("part", "expected"),
    [("both", (0, 0)), ("localisation", (0.1, 0)), ("classifier", (0, 0.05))],
)
def test_a_warm_up_is_for_the_part_that_it_names(config, few, part, expected):
    config = config.replace(
        lr=0.1, loc_lr_factor=0.5, schedule="constant", warmup=0.5, warmup_of=part
    )
    _, optimizer = fresh(config, few)
    for progress, done in ((0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.9, 1.0)):
        set_rates(optimizer, config, progress)
        found = [group["lr"] for group in optimizer.param_groups]
        whole = (0.1, 0.05)
        wanted = [e or done * w for e, w in zip(expected, whole, strict=True)]
        assert found == pytest.approx(wanted)


def test_on_a_plateau_of_the_validation_loss_the_rates_fall_and_a_resumed_run_knows(
    config, few, tmp_path, monkeypatch
):
    config = config.replace(lr=0.1, schedule="plateau", warmup=0, epochs=6)
    rates, real = [], loop.train_step

    def step(model, optimizer, *batch):
        rates.append([group["lr"] for group in optimizer.param_groups])
        return real(model, optimizer, *batch)

    def losses(model, split, precision):
        return {"loss": 1.0 + len(rates) // 3 % 2, "accuracy": 0.5, "black": 0.0}

    monkeypatch.setattr(loop, "train_step", step)
    monkeypatch.setattr(fit, "evaluate", losses)  # 2, 1, 2, 1, 2, 1: better once
    network, _ = fresh(config, few)
    fit.fit(network, few, config, progress=False)
    whole = rates.copy()
    assert [rate for rate, _ in whole[::3]] == pytest.approx([0.1] * 4 + [0.01] * 2)
    assert all(loc == pytest.approx(rate / 2) for rate, loc in whole)
    rates.clear()
    continued(config, few, tmp_path / "c", 5, monkeypatch)
    assert rates == whole


# Augmentation

NAMES = ["none", "warp", "clutter", "warp+clutter"]


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(6, 1, 40, 40), (2, 3, 32, 24), (1, 1, 9, 9)])
def test_augmented_images_keep_their_shape_and_range_and_follow_the_generator(name, shape):
    images = torch.rand(shape, generator=drawn())
    before = images.clone()
    first = augment.apply(name, images, drawn(1))
    assert first.shape == images.shape and first.dtype == torch.float32
    assert first.min() >= 0 and first.max() <= 1 + 1e-6
    assert torch.equal(augment.apply(name, images, drawn(1)), first)
    assert torch.equal(images, before)
    if name != "none" and len(images) > 1:
        assert not torch.equal(augment.apply(name, images, drawn(2)), first)


def test_warping_by_nothing_and_cluttering_with_nothing_change_nothing():
    images = torch.rand(4, 2, 17, 17, generator=drawn())
    warped = augment.warp(images, drawn(), degrees=0, scale=0, shift=0)
    assert torch.allclose(warped, images, atol=1e-5)
    assert torch.equal(augment.clutter(images, drawn(), patches=0), images)
    assert torch.equal(augment.apply("none", images, drawn()), images)


def test_clutter_only_brightens_in_patches_that_come_from_other_images():
    images = torch.stack([torch.full((1, 20, 20), value) for value in (0.1, 0.5, 0.9)])
    out = augment.clutter(images, drawn(), patches=1, patch_size=5)
    assert (out >= images).all()
    assert torch.equal(out[2], images[2])  # nothing is brighter than the brightest
    assert {round(value, 1) for value in out[0].unique().tolist()} > {0.1}
    assert ((out != images).flatten(1).sum(1) <= 25).all()


def test_warping_brings_in_black_from_outside_and_treats_each_image_on_its_own():
    images = torch.ones(2, 1, 30, 30)
    out = augment.warp(images, drawn(), degrees=0, scale=0, shift=0.5)
    assert out.min() == 0 and out.max() <= 1 + 1e-6
    assert not torch.equal(out[0], out[1])


def test_a_flip_exchanges_left_and_right_of_about_every_second_image():
    n = 2000
    images = torch.rand(n, 2, 3, 4, generator=drawn())
    flipped = augment.apply("flip", images, drawn(1))
    mirrored = torch.from_numpy(images.numpy()[..., ::-1].copy())
    kept, turned = ((flipped == x).flatten(1).all(1) for x in (images, mirrored))
    assert (kept ^ turned).all()
    assert turned.sum().item() == pytest.approx(n / 2, abs=4 * (n / 4) ** 0.5)
    repeated = (turned[1:] == turned[:-1]).sum().item()  # each image has a coin of its own
    assert repeated == pytest.approx(n / 2, abs=4 * (n / 4) ** 0.5)


def test_flips_are_drawn_from_the_generator_alone():
    images = torch.rand(50, 1, 2, 3, generator=drawn())
    first = augment.apply("flip", images, drawn(1))
    torch.manual_seed(3)
    state_before = torch.get_rng_state()
    assert torch.equal(augment.apply("flip", images, drawn(1)), first)
    assert torch.equal(torch.get_rng_state(), state_before)
    assert torch.equal(augment.apply("flip", images + 1, drawn(1)), first + 1)
    assert not torch.equal(augment.apply("flip", images, drawn(2)), first)


def test_training_sees_flips_that_differ_by_epoch_and_validation_sees_none(few, monkeypatch):
    config = RunConfig(data="digits", n_train=96, batch_size=96, augment="flip", shuffle=False)
    model, optimizer = fresh(config, few)
    plain, seen, real = few.train.images / 255, [], loop.train_step

    def step(model, optimizer, images, *rest):
        seen.append(images)
        return real(model, optimizer, images, *rest)

    monkeypatch.setattr(loop, "train_step", step)
    for epoch in (1, 1, 2):
        train_epoch(model, optimizer, few, config, epoch)
    flips = [(images == plain.flip(3)).flatten(1).all(1) for images in seen]
    for images, flipped in zip(seen, flips, strict=True):
        assert torch.equal(images[~flipped], plain[~flipped]) and 24 < flipped.sum() < 72
    assert torch.equal(flips[0], flips[1]) and not torch.equal(flips[0], flips[2])
    with torch.no_grad():
        loss = F.cross_entropy(model.eval()(few.val.images / 255), few.val.labels).item()
    assert evaluation.evaluate(model, few.val)["loss"] == pytest.approx(loss, rel=1e-5)


def test_a_warp_turns_by_up_to_15_degrees_zooms_by_up_to_15_percent_and_shifts_by_a_tenth():
    n, side = 3000, 21
    line = torch.linspace(-1, 1, side, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    ramps = torch.stack([x, y, torch.ones_like(x)]).float()  # bilinear sampling keeps them exactly
    warped = augment.warp(ramps.expand(n, 3, side, side), drawn()).double()
    inside = (warped[:, 2] > 1 - 1e-6).flatten(1).double()
    where = torch.stack([x, y, torch.ones_like(x)], -1).view(1, -1, 3) * inside[..., None]
    read = warped[:, :2].flatten(2).mT * inside[..., None]
    a, b, tx, c, d, ty = torch.linalg.lstsq(where, read).solution.mT.flatten(1).T
    angles = torch.rad2deg(torch.stack([torch.atan2(c, a), torch.atan2(-b, d)]))
    assert torch.allclose(angles[0], angles[1], atol=1e-3)  # no shear: both axes turn alike
    zooms = torch.hypot(a, c) - 1, torch.hypot(b, d) - 1
    most_of = ((15, angles[0]), (0.15, zooms[0]), (0.15, zooms[1]), (0.1, tx), (0.1, ty))
    for most, values in most_of:
        assert 0.98 * most < values.max() < 1.001 * most
        assert 0.98 * most < -values.min() < 1.001 * most
        assert values.std() == pytest.approx(most / 3**0.5, rel=0.05)  # uniform


def test_clutter_puts_three_scraps_of_5_by_5_pixels():
    images = torch.stack([torch.zeros(1, 60, 60), torch.ones(1, 60, 60)])
    counts = [int(augment.clutter(images, drawn(seed))[0].sum()) for seed in range(40)]
    assert max(counts) == counts[0] == 3 * 5 * 5 > min(counts)  # less where they overlap


def test_scraps_come_from_every_place_and_reach_every_place():
    images = torch.stack([torch.zeros(1, 7, 9), torch.arange(1, 64).view(1, 7, 9) / 63])
    seen = [augment.clutter(images, drawn(seed), patches=1)[0, 0] for seed in range(300)]
    assert (torch.stack(seen).amax(0) > 0).all()
    assert torch.equal(torch.cat(seen).unique(), torch.arange(64) / 63)


@pytest.mark.parametrize(("count", "there"), [(0, []), (1, ["cuda", "cuda:0"]), (2, ["cuda:1"])])
def test_a_device_is_one_that_the_machine_has(count, there, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert device.pick_device("cpu").type == "cpu"
    assert device.pick_device("auto").type == ("cuda" if count else "cpu")
    for name in there:
        assert device.pick_device(name) == torch.device(name)
    with pytest.raises(ConfigError, match=f"is not there: this machine has {count} CUDA devices"):
        device.pick_device(f"cuda:{count}")
    with pytest.raises(ConfigError, match="device must be auto, cpu, cuda or cuda:N, not 'gpu'"):
        device.pick_device("gpu")
