"""Classifiers of today against torchvision's own, and the training of each on distorted shapes."""

from dataclasses import replace

import pytest
import torch
import torchvision
from runs import continued, fresh, numbers
from torch import nn

from stnlib.models import ResNet, ViT, build, count_parameters
from stnlib.training import fit
from stnlib.training.config import RunConfig
from stnlib.training.loop import Training, batches

WIDTH = {"resnet": 16, "vit": 32}
KINDS = tuple(WIDTH)


@pytest.fixture(scope="module")
def fewer(shapes):
    return replace(shapes, train=shapes.train.first(12), val=shapes.val.first(8))


def setting(classifier, **changes):
    small = {"data": "shapes10d", "n_train": 12, "batch_size": 6, "epochs": 2}
    usual = {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "cosine", "warmup": 0.05}
    return RunConfig(architecture=classifier, width=WIDTH[classifier], **(small | usual | changes))


# Sizes


def test_resnet_has_the_parameters_of_torchvisions_but_for_its_smaller_first_layer():
    known = count_parameters(torchvision.models.resnet18(num_classes=10))
    assert count_parameters(ResNet(3, 64, 10, 64)) == known - 64 * 3 * (7 * 7 - 3 * 3)


def test_resnet_computes_what_torchvisions_does_with_its_weights():
    torch.manual_seed(0)
    ours, known = ResNet(3, 32, 10, 64).eval(), torchvision.models.resnet18(num_classes=10).eval()
    known.conv1, known.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    for module in [*known.modules()]:
        if hasattr(module, "relu"):
            module.relu = nn.GELU()
    values = ours.state_dict().values()
    known.load_state_dict(dict(zip(known.state_dict(), values, strict=True)))
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), known(x))


def test_vit_has_the_parameters_that_its_layers_add_up_to():
    width, tokens = 192, 16 * 16 + 1
    block = 2 * 2 * width + 4 * width * (width + 1) + (2 * width * 4 * width + 5 * width)
    ends = (4 * 4 * 3 + 1) * width + width + tokens * width + 2 * width + (width + 1) * 10
    assert count_parameters(ViT(3, 64, 10, width)) == 6 * block + ends


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 64)])
def test_each_takes_images_of_its_size_and_no_others(kind, channels, size):
    network = build("baseline", channels, size, 7, classifier=kind, width=WIDTH[kind])
    assert network(torch.rand(2, channels, size, size)).shape == (2, 7)
    with pytest.raises(ValueError, match="images must have shape"):
        network(torch.rand(2, channels, size + 4, size + 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": "vit", "width": 48}, "width must be a multiple of 32 for ViT, not 48"),
        ({"classifier": "resnet", "width": 8}, "width must be a multiple of 16 for ResNet, not 8"),
        ({"classifier": "vit", "size": 30}, "size must be a multiple of 4 for ViT, not 30"),
        ({"width": 8}, "width is for the classifiers resnet and vit, not cm"),
        (
            {"classifier": "resnet", "locnet": "shared"},
            "baseline_wide and shared layers are for cm and c10, not resnet",
        ),
    ],
)
def test_a_bad_choice_is_one_line(options, message):
    with pytest.raises(ValueError) as caught:
        build(**{"name": "stn", "channels": 3, "size": 64, "classes": 10} | options)
    assert str(caught.value) == message


def test_dropout_is_before_the_last_layer_alone():
    for kind in KINDS:
        network = build("baseline", 3, 32, 10, classifier=kind, width=32, dropout=1.0)
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
        nn.init.ones_(last.weight)
        assert torch.equal(network(torch.rand(2, 3, 32, 32)), last.bias.expand(2, -1))


# Behind a transformer


@pytest.mark.parametrize("locnet", ["paper", "canonical"])
@pytest.mark.parametrize("kind", KINDS)
def test_behind_a_transformer_each_begins_as_it_is_without_one(kind, locnet):
    options = {"classifier": kind, "width": WIDTH[kind]}
    torch.manual_seed(0)
    plain = build("baseline", 3, 64, 10, **options).eval()
    torch.manual_seed(0)
    stn = build("stn", 3, 64, 10, locnet=locnet, **options).eval()
    x = torch.rand(2, 3, 64, 64)
    identity = torch.tensor([1.0, 0, 0, 0, 1, 0]).expand(2, -1)
    torch.testing.assert_close(stn.transformer.localisation(x), identity, atol=1e-6, rtol=0)
    torch.testing.assert_close(stn(x), plain(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "locnet"), [("resnet", "paper"), ("vit", "canonical")])
def test_some_steps_on_a_batch_lower_its_loss_and_move_the_transformer(kind, locnet, fewer):
    config = setting(kind, model="stn", locnet=locnet, epochs=20, warmup=0.0, lr=3e-3)
    training = Training(config, fewer, fresh(config, fewer)[0].train())
    batch = next(batches(fewer.train, config, 1))
    losses = [training.step(batch)[0].item() for _ in range(6)]
    assert losses[-1] < losses[0] - 0.2
    theta = training.model.transformer.localisation(batch.images / 255)
    assert (theta - torch.tensor([1.0, 0, 0, 0, 1, 0])).abs().max() > 1e-3


# What a training changes besides weights


def test_batch_statistics_go_back_with_a_training_that_is_restored(fewer):
    config = setting("resnet", model="stn")
    training = Training(config, fewer, fresh(config, fewer)[0].train())
    before = training.state()
    for batch in batches(fewer.train, config, 1):
        training.step(batch)
    now = training.model.state_dict()
    moved = {k for k, v in now.items() if not torch.equal(v, before["model"][k])}
    buffers = {name for name, _ in training.model.named_buffers()}
    assert len(buffers) == 3 * 20  # mean, variance and count of each normalisation
    assert buffers < moved
    training.restore(before)
    assert all(torch.equal(v, before["model"][k]) for k, v in training.model.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_was_interrupted_ends_as_if_it_never_was(
    kind, fewer, tmp_path, monkeypatch
):
    config = setting(kind, model="stn")
    whole, _ = fresh(config, fewer)
    history = fit.fit(whole, fewer, config, progress=False)
    again, rest = continued(config, fewer, tmp_path / "c.pt", 1, monkeypatch)
    assert numbers(rest) == numbers(history)
    assert all(map(torch.equal, again.state_dict().values(), whole.state_dict().values()))
