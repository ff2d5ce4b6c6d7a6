"""Distorted data sets: what is drawn anew and what stays, the controls, and runs on them."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from runs import train_epoch

from stnlib import models
from stnlib.data import augment, catalogue, distort, shapes
from stnlib.data.distorted import VIEWS, cropped, distorted, undone
from stnlib.records import store
from stnlib.study import runs
from stnlib.training import fit, rates
from stnlib.training.config import RunConfig
from stnlib.training.loop import make_model

SIZES = (60, 30, 700)  # more to test than are distorted at a time


@pytest.fixture(scope="module")
def plain():
    return shapes.dataset(SIZES)


@pytest.fixture(scope="module")
def small(plain):
    return distorted(plain, "shapes10d")


def everything(split, seed=0, epoch=1):
    return split.batch(torch.arange(len(split)), seed, epoch)


def same(a, b):
    return torch.equal(a.images, b.images) and torch.equal(a.theta, b.theta)


def test_a_distorted_set_has_the_canvas_the_labels_and_the_true_theta(plain, small):
    assert small.name == "shapes10d" and small.size == (64, 64) and small.channels == 3
    for split, origin in ((small.val, plain.val), (small.test, plain.test)):
        assert torch.equal(split.labels, origin.labels) and split.renew is None
        assert split.images.dtype == torch.uint8 and split.theta.shape == (len(origin), 6)
        assert torch.equal(split.positions, split.theta[:, [2, 5]])
    assert small.fingerprint != plain.fingerprint and plain.source in small.source


def test_training_images_are_distorted_anew_in_each_epoch_and_run(plain, small):
    first = everything(small.train)
    assert first.images.shape == (60, 3, 64, 64) and torch.equal(first.labels, plain.train.labels)
    assert same(everything(small.train), first)
    for seed, epoch in ((0, 2), (1, 1)):
        assert (everything(small.train, seed, epoch).theta != first.theta).any(1).sum() > 50


def test_a_training_image_is_the_same_in_a_batch_of_any_size_and_order(small):
    whole = everything(small.train, 3, 7)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    for size in (1, 7, 60):
        for index in order.split(size):
            part = small.train.batch(index, 3, 7)
            assert same(part, whole.take(index)) and part.renew is None


def test_images_to_validate_and_to_test_are_fixed(small):
    for split in (small.val, small.test):
        assert same(everything(split, 1, 1), split) and same(everything(split, 2, 5), split)


def test_training_and_validation_images_are_flipped_and_test_images_are_not(plain, small):
    def unflipped(split, origin):
        """How many images, undone, are the plain ones rather than their mirror images."""
        grid = F.affine_grid(split.theta.view(-1, 2, 3), [len(split), 3, 64, 64], True)
        seen = F.grid_sample(split.images.float(), grid, mode="nearest", align_corners=True)
        seen, origin = seen[..., 16:48, 16:48], origin.images.float()
        return [((seen - x).abs().mean((1, 2, 3))) for x in (origin, origin.flip(3))]

    for split, origin, share in (
        (everything(small.train), plain.train, 0.5),
        (small.val, plain.val, 0.5),
        (small.test, plain.test, 1),
    ):
        right, mirrored = unflipped(split, origin)
        assert (right < mirrored).float().mean() == pytest.approx(share, abs=(1 - share) / 2)


def test_a_subset_of_the_training_images_is_distorted_too(small):
    few = small.with_n_train(20)
    assert everything(few.train).images.shape == (20, 3, 64, 64)
    assert everything(few.train.first(5)).images.shape == (5, 3, 64, 64)


def test_data_that_does_not_change_gives_its_own_images_in_every_epoch(plain):
    index = torch.tensor([5, 3])
    batch = plain.train.batch(index, 1, 9)
    assert torch.equal(batch.images, plain.train.images[index])
    assert torch.equal(batch.positions, plain.train.positions[index])


def test_a_theta_of_another_length_is_refused(small):
    with pytest.raises(ValueError, match=r"theta must be \(30, 6\), not \(2, 6\)"):
        replace(small.val, theta=torch.zeros(2, 6))


# The controls


def test_the_oracle_sees_upright_images_in_the_centre(plain, small):
    seen = undone(small)
    assert seen.size == (64, 64) and len(seen.test) == 700
    upright = F.pad(plain.test.images, [16] * 4).float()
    before = (small.test.images.float() - upright).abs().mean()
    after = (seen.test.images.float() - upright).abs().mean()
    assert after < 0.35 * before
    batch = everything(seen.train)
    assert batch.images.shape == (60, 3, 64, 64) and batch.images.dtype == torch.uint8
    assert not batch.images[..., :14, :].any() and not batch.images[..., -14:].any()


def test_a_crop_is_the_centre_of_the_canvas(small):
    seen = cropped(small)
    assert seen.size == (32, 32)
    assert torch.equal(seen.test.images, small.test.images[..., 16:48, 16:48])
    expected = everything(small.train).images[..., 16:48, 16:48]
    assert torch.equal(everything(seen.train).images, expected)


def test_a_small_oracle_sees_the_image_alone(plain, small):
    seen = undone(small, 32)
    inner = undone(small).test.images[..., 16:48, 16:48]
    assert (seen.test.images.int() - inner.int()).abs().max() <= 1  # coordinates round


@pytest.mark.parametrize("view", VIEWS.values())
def test_only_what_is_distorted_can_be_undone(plain, view):
    with pytest.raises(ValueError, match="data must be distorted, which 'shapes10' is not"):
        view(plain)


def test_flips_are_those_of_a_coin_and_leave_the_rest_alone(plain):
    images = plain.test.images.float()
    seen = augment.apply("flip", images, torch.Generator().manual_seed(0))
    kept, flipped = ((seen == x).flatten(1).all(1) for x in (images, images.flip(3)))
    assert (kept | flipped).all() and 0.4 < kept.float().mean() < 0.6


# By name, and in runs


def test_names_lead_to_the_data():
    whole = catalogue.load("shapes10d", n_train=100)
    assert whole.name == "shapes10d" and len(whole.train) == 100 and whole.size == (64, 64)
    assert torch.equal(whole.test.labels, catalogue.load("shapes10").test.labels)


@pytest.mark.parametrize("model", ["stn", "oracle", "crop"])
def test_a_run_on_distorted_images_is_recorded(small, places, model):
    config = RunConfig(data="shapes10d", model=model, n_train=12, epochs=1, batch_size=6)
    tiny = replace(small, val=small.val.first(5), test=small.test.first(10)).with_n_train(12)
    path = runs.run(config, "own", places["records"], data=tiny, progress=False)
    record = store.read(path)
    assert record.provenance["data"] == small.fingerprint
    assert record.provenance["precision"] == "float32"
    size = 32 if model == "crop" else 64
    network = models.build(model, 3, size, 10, classifier="c10")
    assert record.result["parameters"] == models.count_parameters(network)


def test_an_epoch_trains_on_the_images_of_its_number(small, monkeypatch):
    seen = []
    real = distort.draw
    monkeypatch.setattr(
        distort, "draw", lambda index, *key, **flip: seen.append(key) or real(index, *key, **flip)
    )
    config = RunConfig(data="shapes10d", model="crop", batch_size=30, seed=4)
    network = make_model(config, cropped(small))
    seen.clear()
    optimizer = rates.make_optimizer(network, config)
    train_epoch(network, optimizer, cropped(small), config, 3)
    assert [key for key in seen if key[0] == "train"] == [("train", 4, 3)] * 2


def test_the_probe_is_turned_further_as_pillow_turns(plain, small):
    probe = small.probes["turned_30"]()
    assert torch.equal(probe.labels, plain.test.labels)
    draws = distort.draw(torch.arange(700), "test", 30, flip=False, most=30)
    assert draws.degrees.min() == -30 and draws.degrees.max() == 30
    same = 0.0
    for i in range(40):
        canvas = Image.new("RGB", (64, 64))
        canvas.paste(Image.fromarray(plain.test.images[i].permute(1, 2, 0).numpy()), (16, 16))
        seen = Image.new("RGB", (64, 64))
        seen.paste(canvas.rotate(int(draws.degrees[i])), tuple(draws.shift[i].tolist()))
        found = probe.images[i].permute(1, 2, 0).numpy()
        same += (np.asarray(seen) == found).all(-1).mean() / 40
    assert same > 0.999


def test_views_have_no_probes(small):
    assert small.probes and not undone(small).probes and not cropped(small).probes


@pytest.mark.slow
def test_a_run_records_the_pose_the_thetas_and_the_probe(small, tmp_path):
    config = RunConfig(data="shapes10d", n_train=60, epochs=1, batch_size=30)
    small = dataclasses.replace(small, val=small.val.first(60), test=small.test.first(60))
    record = store.read(runs.run(config, "s", tmp_path, data=small, checkpoints=tmp_path / "c"))
    row, result = record.history[0], record.result
    assert 0 <= result["turned_30_accuracy"] <= 1
    assert 0 < row["object_coverage"] <= 1 and row["theta_error"] > 0
    thetas = torch.tensor(row["thetas"])
    assert thetas.shape == (fit.N_THETAS, 6)
    assert (thetas - torch.tensor([1.0, 0, 0, 0, 1, 0])).abs().max() < 1
