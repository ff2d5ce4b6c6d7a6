"""Altered images: what each alteration does, to every part of a data set alike."""

import pytest
import torch

from stnlib.data import catalogue, shapes
from stnlib.data.alter import ALTERATIONS, altered
from stnlib.data.distorted import VIEWS, distorted
from stnlib.records import store
from stnlib.study import runs
from stnlib.training import evaluation, fit
from stnlib.training.config import RunConfig

SIZES = (60, 30, 40)


@pytest.fixture(scope="module")
def plain():
    return shapes.dataset(SIZES)


@pytest.fixture(scope="module")
def turned(plain):
    return distorted(plain, "shapes10d")


def parts(dataset):
    """Images as a network sees them: to train on, to validate and to test, the probes."""
    train = dataset.train.batch(torch.arange(len(dataset.train)), 3, 2)
    probes = [make() for make in dataset.probes.values()]
    return [train, dataset.val, dataset.test, *probes]


def as_floats(images):
    return images / 255 if images.dtype == torch.uint8 else images


def expected(name, images, seen):
    """The alteration as one would write it down; `seen` is all that there is to train on."""
    x = as_floats(images).clone()
    if name == "standard":
        for c in range(x.shape[1]):
            channel = as_floats(seen)[:, c].double()
            x[:, c] = (x[:, c] - channel.mean()) / channel.std(correction=0)
    if name == "inverted":
        x = 1 - x
    if name.startswith("frame"):
        k = int(name[-1])
        x[:, :, :k] = x[:, :, -k:] = x[..., :k] = x[..., -k:] = 0
    return x


@pytest.mark.parametrize("name", ALTERATIONS)
@pytest.mark.parametrize("which", ["plain", "turned"])
def test_every_part_is_altered_alike_and_nothing_else_changes(name, which, request):
    before = request.getfixturevalue(which)
    after = altered(before, name)
    seen = before.train.batch(torch.arange(60), 0, 1).images
    pairs = list(zip(parts(before), parts(after), strict=True))
    assert len(pairs) == 3 + len(before.probes)
    for old, new in pairs:
        assert torch.allclose(as_floats(new.images), expected(name, old.images, seen), atol=1e-5)
        assert torch.equal(new.labels, old.labels)
        if old.theta is not None:
            assert torch.equal(new.theta, old.theta)
    assert after.size == before.size and after.channels == before.channels
    assert after.fingerprint == before.fingerprint


@pytest.mark.parametrize("name", ["frame1", "frame2", "inverted"])
def test_bytes_stay_bytes_and_numbers_stay_from_0_to_1(name, plain, few):
    assert altered(plain, name).val.images.dtype == torch.uint8
    for dataset in (altered(few, name), altered(plain, name)):
        images = as_floats(dataset.val.images)
        assert images.min() >= 0 and images.max() <= 1


def test_the_original_is_left_alone(few):
    before = few.val.images.clone()
    for name in ALTERATIONS:
        altered(few, name)
    assert torch.equal(few.val.images, before)


def test_standard_images_have_mean_0_and_deviation_1_and_black_is_not_0(plain):
    images = altered(plain, "standard").train.images
    assert images.dtype == torch.float32
    assert torch.allclose(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(images.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)
    assert images[plain.train.images == 0].abs().min() > 0.5


def test_an_unknown_alteration_is_refused(few):
    with pytest.raises(ValueError) as caught:
        altered(few, "blurred")
    allowed = "none, standard, frame1, frame2, inverted"
    assert str(caught.value) == f"alter must be one of {allowed}, not 'blurred'"


@pytest.mark.parametrize("model", ["stn", "baseline"])
def test_a_run_trains_and_tests_on_altered_images(model, few, tmp_path, monkeypatch):
    config = RunConfig(
        data="digits", model=model, n_train=96, batch_size=40, epochs=1, alter="inverted"
    )
    seen, real = [], evaluation.evaluate
    for module in (fit, runs):
        monkeypatch.setattr(
            module, "evaluate", lambda m, split, *rest: seen.append(split) or real(m, split, *rest)
        )
    where = {"folder": tmp_path, "checkpoints": tmp_path / "c"}
    record = store.read(runs.run(config, "s", data=few, progress=False, **where))
    assert record.config.alter == "inverted"
    assert [len(split) for split in seen] == [50, 50]
    assert all(as_floats(split.images).mean() > 0.5 for split in seen)  # mostly white
    assert torch.equal(seen[0].images, altered(few, "inverted").val.images)


def test_what_undoes_a_distortion_comes_before_the_alteration():
    whole = catalogue.load("shapes10d", n_train=10)
    undone = altered(VIEWS["oracle"](whole), "frame2")
    batch = undone.train.batch(torch.arange(10), 0, 1).images
    assert not batch[..., :2].any() and not batch[:, :, -2:].any()
