"""Shapes-10: deterministic, of CIFAR-10's format, and no task for a linear classifier."""

import pytest
import torch
import torch.nn.functional as F

from stnlib.data import shapes


@pytest.fixture(scope="module")
def data():
    return shapes.dataset()


def test_shapes_have_the_format_of_cifar(data):
    assert data.name == "shapes10" and data.size == (32, 32) and data.channels == 3
    assert data.train.images.dtype == torch.uint8 and len(data.classes) == 10
    assert (len(data.train), len(data.val), len(data.test)) == (5000, 500, 1000)
    assert "not CIFAR-10" in data.source


def test_shapes_are_the_same_everywhere_and_for_ever(data):
    assert data.fingerprint == "30fb531e8e02ba87"


def test_an_image_depends_on_the_seed_and_its_number_alone():
    whole = shapes.generate(230, seed=5)
    part = shapes.generate(120, seed=5, start=70)
    assert torch.equal(part.images, whole.images[70:190])
    assert torch.equal(part.labels, whole.labels[70:190])
    assert torch.equal(part.positions, whole.positions[70:190])
    assert not torch.equal(shapes.generate(2, seed=6).images, whole.images[:2])


def test_classes_are_about_equally_frequent(data):
    counts = data.train.labels.bincount(minlength=10).double()
    assert ((counts - 500).abs() < 4 * 500**0.5).all()


def test_the_splits_share_no_image(data):
    splits = (data.train, data.val, data.test)
    images = [image.numpy().tobytes() for split in splits for image in split.images]
    assert len(set(images)) == len(images)


def test_the_figure_is_where_its_position_says():
    split = shapes.generate(400, seed=1)
    solid = [shapes.CLASSES.index(name) for name in ("disc", "square", "cross")]
    chosen = torch.isin(split.labels, torch.tensor(solid))
    images, centre = split.images[chosen].double(), (split.positions[chosen] + 1) * 15.5
    ground = torch.cat([images[:, :, :2], images[:, :, -2:]], 2).flatten(2).median(2).values
    step = (images - ground[:, :, None, None]).abs().sum(1)
    weight = F.avg_pool2d(step[:, None], 5, 1, 2, count_include_pad=False)[:, 0] > 150
    axis = torch.arange(32.0)
    x = (weight.sum(1) * axis).sum(1) / weight.sum((1, 2))
    y = (weight.sum(2) * axis).sum(1) / weight.sum((1, 2))
    error = (torch.stack([x, y], 1) - centre).norm(dim=1)
    assert error.median() < 1.5


def test_colours_say_nothing_about_the_class(data):
    means = data.train.images.float().mean((2, 3))
    by_class = torch.stack([means[data.train.labels == label].mean(0) for label in range(10)])
    assert (by_class - means.mean(0)).abs().max() < 0.2 * means.std()


def test_a_linear_classifier_on_pixels_stays_under_one_half(data):
    torch.manual_seed(0)
    pixels = [split.images.flatten(1).float() / 255 - 0.5 for split in (data.train, data.test)]
    linear = torch.nn.Linear(3 * 32 * 32, 10)
    optimizer = torch.optim.Adam(linear.parameters(), lr=1e-3, fused=True)
    accuracies = []
    for _ in range(8):
        for index in torch.randperm(5000).split(100):
            loss = F.cross_entropy(linear(pixels[0][index]), data.train.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        guesses = linear(pixels[1]).argmax(1)
        accuracies.append((guesses == data.test.labels).float().mean().item())
    assert max(accuracies) < 0.5
    assert (linear(pixels[0]).argmax(1) == data.train.labels).float().mean() > 0.2  # it learns
