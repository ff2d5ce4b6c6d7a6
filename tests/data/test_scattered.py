"""Images scattered over a canvas: how strongly, that θ undoes it, and runs on them."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stnlib.book.figures.scattered import payoff
from stnlib.data import catalogue, digits, idx, shapes
from stnlib.data.distorted import cropped, undone
from stnlib.data.scattered import poses, scattered, warp
from stnlib.diagnostics import decompose
from stnlib.errors import ConfigError
from stnlib.records import store
from stnlib.study import runs
from stnlib.training.config import RunConfig

SIZES = (40, 20, 30)


@pytest.fixture(scope="module")
def plain():
    return shapes.dataset(SIZES)


@pytest.fixture(scope="module")
def strong(plain):
    return scattered(plain, 1.0)


@settings(max_examples=30, deadline=None)
@given(strength=st.floats(0, 1), side=st.integers(8, 40), seed=st.integers(0, 99))
def test_poses_keep_within_what_the_strength_allows(strength, side, seed):
    parts = decompose(poses(torch.arange(200), strength, side, "train", seed).double())
    slack = 1e-4
    assert parts["scale"].min() >= 1 - strength / 2 - slack and parts["scale"].max() <= 1 + slack
    assert parts["rotation"].abs().max() <= 90 * strength + 0.01
    pixels = torch.stack([parts["tx"], parts["ty"]]) * (2 * side - 1) / 2
    assert pixels.abs().max() <= strength * side / 2 + slack * side
    assert parts["shear"].abs().max() < slack


def test_poses_fill_their_ranges_evenly():
    parts = decompose(poses(torch.arange(4000), 1.0, 32, "test"))
    for name, least, most in (
        ("scale", 0.5, 1),
        ("rotation", -90, 90),
        ("tx", -32 / 63, 32 / 63),
        ("ty", -32 / 63, 32 / 63),
    ):
        counts = np.histogram(parts[name], bins=10, range=(least - 1e-4, most + 1e-4))[0]
        assert counts.sum() == 4000 and counts.min() > 320 and counts.max() < 480  # 4σ of 400
    table = np.corrcoef([parts[name].numpy() for name in ("scale", "rotation", "tx", "ty")])
    assert abs(table - np.eye(4)).max() < 0.07


def test_without_strength_images_lie_in_the_middle(plain):
    still = scattered(plain, 0.0)
    assert still.size == (64, 64)
    # The coordinates round, so a grey level may; nothing moves.
    inner = still.test.images[..., 16:48, 16:48].int()
    assert (inner - plain.test.images.int()).abs().max() <= 1
    outside = still.test.images.clone()
    outside[..., 16:48, 16:48] = 0
    assert not outside.any()


def test_pixels_are_those_of_pillow():
    images = torch.rand(20, 1, 32, 32)
    theta = poses(torch.arange(20), 1.0, 32, "test")
    found = warp(images, theta)
    for image, row, seen in zip(images, theta.double(), found, strict=True):
        canvas = Image.new("F", (64, 64))
        canvas.paste(Image.fromarray(image[0].numpy()), (16, 16))
        linear = np.linalg.inv(row.view(2, 3)[:, :2].numpy())
        shift = row.view(2, 3)[:, 2].numpy() * 63 / 2
        centre = np.array([32.0, 32.0])  # Pillow counts from a pixel's corner
        offset = centre - linear @ (centre + shift)
        matrix = np.column_stack([linear, offset]).ravel()
        back = canvas.transform(
            canvas.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
        assert np.abs(seen[0].numpy() - np.asarray(back)).max() < 1e-3


def test_theta_undoes_it(plain):
    ramp = torch.linspace(40, 215, 32)
    smooth = ((ramp[:, None] + ramp.flip(0)) / 2 + ramp).div(2).to(torch.uint8)
    images = smooth.expand(30, 3, 32, 32).contiguous()
    made = scattered(replace(plain, test=replace(plain.test, images=images)), 0.4)
    inner = (..., slice(4, -4), slice(4, -4))  # the rim blurs into the black around it
    seen = undone(made, 32).test.images
    assert (seen[inner].int() - images[inner].int()).abs().max() <= 3
    whole = undone(made).test.images
    assert whole.shape[-1] == 64 and (whole[..., 20:44, 20:44].int() > 0).all()
    assert not whole[..., :14, :].any() and not whole[..., -14:].any()


def everything(split, seed=0, epoch=1):
    return split.batch(torch.arange(len(split)), seed, epoch)


def test_training_images_are_scattered_anew_whatever_the_batch(strong):
    first = everything(strong.train)
    assert first.images.shape == (40, 3, 64, 64) and first.images.dtype == torch.uint8
    assert (everything(strong.train, 0, 2).theta != first.theta).any(1).all()
    assert (everything(strong.train, 1, 1).theta != first.theta).any(1).all()
    for index in torch.arange(40).split(7):
        part = strong.train.batch(index, 0, 1)
        assert torch.equal(part.images, first.images[index])
        assert torch.equal(part.positions, part.theta[:, [2, 5]])


def test_each_strength_is_a_data_set_of_its_own(plain, strong):
    weak = scattered(plain, 0.5)
    assert len({plain.fingerprint, weak.fingerprint, strong.fingerprint}) == 3
    assert weak.fingerprint == scattered(plain, 0.5).fingerprint
    assert "strength 0.5" in weak.source


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_an_impossible_strength_is_refused(plain, strength):
    with pytest.raises(ValueError, match="strength must be within 0 to 1, not"):
        scattered(plain, strength)


def test_a_crop_may_be_wider_but_not_than_the_canvas(strong):
    assert cropped(strong, 39).size == (39, 39)
    assert torch.equal(cropped(strong, 64).test.images, strong.test.images)
    with pytest.raises(ValueError, match="size must be at most the canvas's 64 pixels, not 65"):
        cropped(strong, 65)
    config = RunConfig(data="shapes10", distortion=1.0, model="crop", output_size=65, batch_size=9)
    with pytest.raises(ConfigError, match="output_size must be at most the canvas's 64 pixels"):
        runs.prepare(config, torch.device("cpu"), strong)


# By name, and in runs


def test_a_configuration_says_what_can_be_scattered():
    with pytest.raises(
        ConfigError, match="distortion is for data mnist, fashion, c10, shapes10, not 'cm'"
    ):
        RunConfig(data="cm", distortion=0.5)
    with pytest.raises(ConfigError, match="distortion must be a number >= 0 and <= 1 or None"):
        RunConfig(data="mnist", distortion=1.5)
    assert RunConfig(data="mnist", distortion=0.5, model="oracle", output_size=28).distorted
    with pytest.raises(ConfigError, match="output_size is for models with a transformer"):
        RunConfig(data="mnist", distortion=0.5, model="baseline", output_size=28)


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_what_is_like_mnist_is_split_and_scattered(name, monkeypatch):
    images, labels = digits.embedded()
    parts = {"train": (images, labels), "test": (images[:50], labels[:50])}
    monkeypatch.setattr(idx, name, parts.get)
    whole = catalogue.load(name)
    assert [len(part) for part in (whole.train, whole.val, whole.test)] == [4000, 1000, 50]
    assert whole.size == (28, 28) and whole.train.images.dtype == torch.uint8
    made = catalogue.load(name, n_train=30, distortion=0.5)
    assert made.size == (56, 56) and len(made.train) == 30


@pytest.mark.parametrize("model", ["stn", "oracle", "crop"])
def test_a_run_on_scattered_images_is_recorded(strong, places, model):
    config = RunConfig(data="shapes10", distortion=1.0, model=model, output_size=32)
    config = config.replace(epochs=1, batch_size=20)
    path = runs.run(config, "own", places["records"], data=strong, progress=False)
    record = store.read(path)
    assert record.provenance["data"] == strong.fingerprint
    if model == "stn":
        row = record.history[0]
        assert {"undone_scale", "undone_rotation", "undone_tx"} <= row.keys()


# The figure of what it brings


def test_the_figure_draws_the_means_and_leaves_out_what_is_not_known():
    table = pd.DataFrame(
        [
            {"model": "stn", "distortion": d, "test_accuracy": 0.9 - d / 10 + s / 100}
            | {"undone_shift": d, "undone_scale": math.nan, "undone_rotation": 0.0}
            for d in (0.5, 1.0)
            for s in (0, 2)
        ]
        + [{"model": "baseline", "distortion": 1.0, "test_accuracy": 0.5}]
    )
    above, below = payoff(table).axes
    lines = [line for line in above.get_lines() if line.get_linestyle() == "-"]
    assert lines[0].get_ydata() == pytest.approx([0.86, 0.81])
    assert {text.get_text().strip() for text in above.texts} == {"transformer", "no transformer"}
    said = {text.get_text().strip() for text in below.texts}
    assert said == {"shift", "rotation", "ignored", "undone", "n = 2", "1"}
