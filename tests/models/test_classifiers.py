"""The networks of Jaderberg et al. (2015) for distorted MNIST: their layers and their sizes."""

import pytest
import torch
from torch import nn

from stnlib.models import CLASSIFIERS, CNN, FCN, build, count_parameters

FAMILIES = ("affine", "projective", "tps")
KINDS = ("cnn", "fcn")


def made(kind, size, model="stn", **options):
    loc = {"locnet": kind} if model.startswith("stn") else {}
    return build(model, 1, size, 10, classifier=kind, **loc, **options)


def shapes(network, image):
    """Of what each convolution, pooling and dense layer gives."""
    found = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d | nn.Linear):
            layer.register_forward_hook(lambda *call: found.append(tuple(call[2].shape[1:])))
    assert network(image).shape == (len(image), 10)
    return found


def test_the_cnn_has_the_papers_layers():
    assert shapes(CNN(1, 28, hidden=32), torch.rand(2, 1, 28, 28)) == [
        (32, 20, 20), (32, 10, 10), (32, 4, 4), (32, 2, 2), (10,),
    ]  # fmt: skip
    assert count_parameters(CNN(1, 28, hidden=32)) == (
        (81 * 32 + 32) + (49 * 32 * 32 + 32) + (4 * 32 * 10 + 10)
    )


def test_the_fcn_has_two_hidden_layers():
    assert shapes(FCN(1, 28, hidden=256), torch.rand(2, 1, 28, 28)) == [(256,), (256,), (10,)]


@pytest.mark.parametrize("kind", [CNN, FCN])
def test_a_halved_image_is_its_means_of_four_pixels(kind):
    torch.manual_seed(0)
    half = kind(1, 42, hidden=8, halved=True)
    whole = kind(1, 21, hidden=8)
    whole.load_state_dict(dict(zip(whole.state_dict(), half.state_dict().values(), strict=True)))
    images = torch.rand(3, 1, 42, 42)
    means = images.unflatten(3, (21, 2)).unflatten(2, (21, 2)).mean((3, 5))
    torch.testing.assert_close(half(images), whole(means))


@pytest.mark.parametrize("size", [28, 42, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_every_network_has_400_000_parameters_or_a_few_less(kind, size):
    counts = [count_parameters(made(kind, size, "baseline"))]
    counts += [count_parameters(made(kind, size, transform=name)) for name in FAMILIES]
    assert max(counts) <= 400_000 and min(counts) > 0.97 * 400_000


@pytest.mark.parametrize("kind", KINDS)
def test_only_behind_a_transformer_and_above_28_pixels_is_an_image_halved(kind):
    def halved(network):
        return any(isinstance(layer, nn.AvgPool2d) for layer in network.features)

    assert halved(made(kind, 42).classifier)
    assert not halved(made(kind, 28).classifier) and not halved(made(kind, 42, "baseline"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_width_is_found_without_drawing_anything(kind):
    torch.manual_seed(0)
    ours = made(kind, 28).classifier.state_dict()
    width = len(next(iter(ours.values())))
    torch.manual_seed(0)
    theirs = CLASSIFIERS[kind](1, 28, hidden=width).state_dict()
    assert all(map(torch.equal, ours.values(), theirs.values()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CNN(1, 19), "size must be at least 20 pixels for the CNN, not 19"),
        (lambda: CNN(1, 39, halved=True), "size must be at least 40 pixels for the CNN, not 39"),
        (
            lambda: build("baseline_wide", 1, 28, 10, classifier="cnn"),
            "baseline_wide and shared layers are for cm and c10, not cnn",
        ),
        (
            lambda: build("stn", 1, 28, 10, classifier="fcn", locnet="shared"),
            "baseline_wide and shared layers are for cm and c10, not fcn",
        ),
    ],
)
def test_a_bad_argument_is_one_line(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message
