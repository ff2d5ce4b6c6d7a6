"""Networks against Tables I, II and III, and the transformer's promises."""

import hashlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import train_epoch
from torch import nn

from stnlib import models
from stnlib.models import STN, C10Net, CMNet, LocNet, SpatialTransformer, build, count_parameters
from stnlib.models.transformer import METHODS
from stnlib.sampler import PADDINGS, SAMPLERS
from stnlib.training import rates
from stnlib.training.config import RunConfig
from stnlib.transforms import FAMILIES, window

# Tables I and II on 40×40 images of one channel: weights and biases of each layer.
LOCNET = (
    (5 * 5 * 1 * 20 + 20)  # 40 pooled to 20, convolved to 16
    + (5 * 5 * 20 * 20 + 20)  # pooled to 8, convolved to 4
    + (4 * 4 * 20 * 50 + 50)
    + (50 * 6 + 6)
)
CMNET = (
    (3 * 3 * 1 * 32 + 32)  # 40 convolved to 38, pooled to 19
    + (3 * 3 * 32 * 32 + 32)  # convolved to 17, pooled to 8
    + (8 * 8 * 32 * 256 + 256)
    + (256 * 10 + 10)
)
UNIT = 8 * 8 * 32 + 1 + 10  # what one more unit of the first dense layer costs

# Tables I and III on RGB images of 32×32 and of 64×64.
C10_CONVOLUTIONS = (
    (3 * 3 * 3 * 48 + 48)
    + (3 * 3 * 48 * 48 + 48)
    + (3 * 3 * 48 * 96 + 96)
    + (3 * 3 * 96 * 96 + 96)
    + (3 * 3 * 96 * 192 + 192)
    + (3 * 3 * 192 * 192 + 192)
)
C10_LAST = (512 * 256 + 256) + (256 * 10 + 10)
C10NET = {
    32: C10_CONVOLUTIONS + (2 * 2 * 192 * 512 + 512) + C10_LAST,
    64: C10_CONVOLUTIONS + (6 * 6 * 192 * 512 + 512) + C10_LAST,
}
LOCNET_CONVOLUTIONS = (5 * 5 * 3 * 20 + 20) + (5 * 5 * 20 * 20 + 20)
LOCNET_RGB = {
    32: LOCNET_CONVOLUTIONS + (2 * 2 * 20 * 50 + 50) + (50 * 6 + 6),  # 16, 12, 6, 2
    64: LOCNET_CONVOLUTIONS + (10 * 10 * 20 * 50 + 50) + (50 * 6 + 6),  # 32, 28, 14, 10
}


#: of the networks of Table II that seed 3 draws; all records rest on such draws
WEIGHTS = {
    "baseline": "380ba674c149b6ab",
    "baseline_wide": "b92c8fa94aed2073",
    "stn": "01fdbbdbeb6bacb7",
}


def make(name="stn", seed=0, size=40, **options):
    torch.manual_seed(seed)
    return build(name, 1, size, 10, **options)


def images(n=2, size=40, seed=0):
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(seed))


def layers(module, *kinds):
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


# The tables


def test_the_networks_have_the_parameters_of_the_tables():
    assert (LOCNET, CMNET, LOCNET + CMNET) == (26_896, 536_682, 563_578)
    assert count_parameters(LocNet(1, 40)) == LOCNET
    assert count_parameters(make("baseline")) == CMNET
    assert count_parameters(make("stn")) == count_parameters(make("stn_frozen")) == LOCNET + CMNET


@pytest.mark.parametrize(
    ("network", "table"),
    [
        (LocNet(1, 40), [(1, 20, 20), (20, 16, 16), (20, 8, 8), (20, 4, 4), (320,), (50,), (50,)]),
        (
            CMNet(),
            [
                (32, 38, 38),
                (32, 19, 19),
                (32, 19, 19),
                (32, 17, 17),
                (32, 8, 8),
                (32, 8, 8),
                (32 * 8 * 8,),
            ],
        ),
    ],
    ids=["Table I", "Table II"],
)
def test_every_layer_has_the_shape_that_the_table_gives(network, table):
    x, shapes = images(3), []
    for layer in network.features:
        x = layer(x)
        shapes.append(tuple(x.shape))
    assert shapes == [(3, *shape) for shape in table]
    assert network(images(3)).shape == (3, 6 if isinstance(network, LocNet) else 10)


@pytest.mark.parametrize("size", [32, 64])
def test_the_networks_for_cifar_have_the_parameters_of_the_tables(size):
    assert (C10NET[32], C10NET[64]) == (1_172_410, 4_318_138)
    assert (LOCNET_RGB[32], LOCNET_RGB[64]) == (15_896, 111_896)
    counts = [
        count_parameters(build(name, 3, size, 10, classifier="c10")) for name in ("baseline", "stn")
    ]
    assert counts == [C10NET[size], C10NET[size] + LOCNET_RGB[size]]


@pytest.mark.parametrize(
    ("size", "sides"),
    [(32, [32, 30, 15, 15, 13, 6, 6, 4, 2]), (64, [64, 62, 31, 31, 29, 14, 14, 12, 6])],
)
def test_every_layer_for_cifar_has_the_shape_that_table_iii_gives(size, sides):
    network, x, shapes = C10Net(size=size), torch.rand(2, 3, size, size), []
    for layer in network.features[:-1]:
        x = layer(x)
        if not isinstance(layer, nn.ReLU):
            shapes.append(tuple(x.shape))
    widths = [48] * 3 + [96] * 3 + [192] * 3
    assert shapes == [(2, n, side, side) for n, side in zip(widths, sides, strict=True)]
    units = [(layer.in_features, layer.out_features) for layer in layers(network.head, nn.Linear)]
    assert units == [(192 * sides[-1] ** 2, 512), (512, 256), (256, 10)]


def test_a_classifier_that_does_not_exist_or_does_not_fit_is_refused():
    with pytest.raises(
        ValueError, match="must be one of cm, c10, cnn, fcn, resnet, vit, not 'c11'"
    ):
        build("baseline", 3, 32, 10, classifier="c11")
    with pytest.raises(ValueError, match="at least 22 pixels for Table III's network, not 21"):
        C10Net(size=21)
    assert C10Net(size=22)(torch.rand(1, 3, 22, 22)).shape == (1, 10)


@pytest.mark.parametrize("size", [32, 64])
def test_the_wide_baseline_for_cifar_has_the_parameters_of_its_stn_too(size):
    wide = build("baseline_wide", 3, size, 10, classifier="c10")
    side = {32: 2, 64: 6}[size]
    missing = C10NET[size] + LOCNET_RGB[size] - count_parameters(wide)
    assert isinstance(wide, C10Net) and 0 <= missing < side * side * 192 + 1 + 256


@pytest.mark.parametrize(("name", "digest"), WEIGHTS.items())
def test_a_seed_draws_the_weights_that_it_always_drew(name, digest):
    weights = [value.numpy().tobytes() for value in make(name, 3).state_dict().values()]
    assert hashlib.sha256(b"".join(weights)).hexdigest()[:16] == digest


def test_the_wide_baseline_has_the_parameters_of_the_stn_to_less_than_one_unit():
    missing = LOCNET + CMNET - count_parameters(make("baseline_wide"))
    assert 0 <= missing < UNIT
    assert isinstance(make("baseline_wide"), CMNet)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 64)])
def test_other_images_fit_too(channels, size):
    x = torch.rand(2, channels, size, size)
    assert all(build(name, channels, size, 7)(x).shape == (2, 7) for name in models.MODELS)


def test_relu_after_pooling_is_the_tables_relu_before_it_in_value_and_gradient():
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 8, 3)
    order = [[nn.MaxPool2d(2), nn.ReLU()], [nn.ReLU(), nn.MaxPool2d(2)]]
    results = []
    for steps in order:
        x = (images(4) - 0.5).requires_grad_()
        y = nn.Sequential(conv, *steps)(x)
        results.append((y, *torch.autograd.grad((y**2).sum(), [x, *conv.parameters()])))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


# Initial weights


def fans(layer):
    area = math.prod(layer.weight.shape[2:])
    return area * layer.weight.shape[0], area * layer.weight.shape[1]


def test_weights_are_glorot_uniform_and_biases_zero():
    network = make("stn")
    learned = layers(network, nn.Conv2d, nn.Linear)
    last = network.transformer.localisation.theta
    assert len(learned) == 8
    for layer in (layer for layer in learned if layer is not last):
        bound = math.sqrt(6 / sum(fans(layer)))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.98 * bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert not layer.bias.any()


def test_a_layer_without_a_bias_has_none_to_set_to_zero():
    layer = nn.Linear(3, 2, bias=False)
    models.glorot(layer)
    assert layer.bias is None and layer.weight.abs().max() <= math.sqrt(6 / 5)


def test_the_localisation_begins_with_zero_weights_and_the_identity_as_bias():
    theta = make("stn").transformer.localisation.theta
    assert not theta.weight.any()
    assert theta.bias.tolist() == [1, 0, 0, 0, 1, 0]


@given(
    st.integers(0, 2**32),
    st.floats(0, 1e4, width=32),
    st.sampled_from([name for name in FAMILIES if name != "tps"]),
    st.sampled_from(PADDINGS),
    st.sampled_from([28, 40, 41]),
)
@settings(max_examples=25, deadline=None)
def test_the_transformer_begins_as_the_identity_whatever_the_image(
    seed, brightness, transform, padding, size
):
    x = images(2, size, seed) * brightness
    transformer = SpatialTransformer(LocNet(1, size, transform), transform, padding=padding)
    # Up to the rounding of a coordinate of 40 pixels, times the contrast of white noise.
    assert (transformer(x) - x).abs().max() <= 1e-5 * max(brightness, 1)


@pytest.mark.parametrize("transform", FAMILIES)
@pytest.mark.parametrize("align_corners", [True, False])
def test_every_family_begins_as_the_identity(transform, align_corners):
    localisation = LocNet(1, 40, transform)
    transformer = SpatialTransformer(localisation, transform, align_corners=align_corners)
    assert torch.allclose(transformer(images()), images(), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_baseline_and_an_stn_of_one_seed_begin_with_the_same_classifier(seed):
    baseline = make("baseline", seed).state_dict()
    for name in ("stn", "stn_frozen"):
        classifier = make(name, seed).classifier.state_dict()
        assert all(torch.equal(value, classifier[key]) for key, value in baseline.items())


def test_another_seed_draws_other_weights():
    first, second = (make("baseline", seed).head[0].weight for seed in (0, 1))
    assert not torch.equal(first, second)


# The controls


def test_the_frozen_localisation_does_not_move_in_training(few):
    config = RunConfig(data="digits", model="stn_frozen", n_train=96, weight_decay=0.1)
    network = make("stn_frozen")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    row = train_epoch(network, rates.make_optimizer(network, config), few, config)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == ("localisation" in name)
    assert row["loc_grad_norm_max"] == 0


def test_behind_the_frozen_identity_a_classifier_trains_as_without_it(few):
    losses = []
    for model in ("baseline", "stn_frozen"):
        config = RunConfig(data="digits", model=model, n_train=96)
        network = make(model)
        optimizer = rates.make_optimizer(network, config)
        losses.append(train_epoch(network, optimizer, few, config)["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_dropout_is_before_the_last_layer_and_only_in_training():
    network = make("baseline", dropout=0.5)
    assert [type(layer) for layer in network.head][-2:] == [nn.Dropout, nn.Linear]
    assert not torch.equal(network(images()), network(images()))
    assert torch.equal(network.eval()(images()), network(images()))


# The transformer with anything in it


class Constant(nn.Module):
    """A localisation that always says the same."""

    def __init__(self, theta, dtype=torch.float32):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=dtype))

    def forward(self, x):
        return self.theta.expand(len(x), -1)


@pytest.mark.parametrize("transform", FAMILIES)
@pytest.mark.parametrize(
    ("sampler", "padding"), [*(("bilinear", padding) for padding in PADDINGS), ("clipped", "zeros")]
)
def test_any_family_sampler_padding_and_output_size_trains(transform, sampler, padding):
    network = make(transform=transform, sampler=sampler, padding=padding, output_size=28)
    scores = network(images())
    assert scores.shape == (2, 10)
    scores.logsumexp(1).sum().backward()
    gradient = network.transformer.localisation.theta.weight.grad
    assert torch.isfinite(gradient).all() and gradient.any()


def test_every_sampler_that_there_is_was_tried():
    assert set(SAMPLERS) == {"bilinear", "clipped"}


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (80, 20)])
def test_any_localisation_gives_any_output_size_and_number_of_channels(size):
    transformer = SpatialTransformer(Constant([0.5, 0.1, -0.1]), "attention", size)
    assert transformer(torch.rand(3, 4, 17, 23)).shape == (3, 4, *size)


def test_a_window_is_where_the_localisation_says_and_of_its_own_size():
    x = images()
    layer = SpatialTransformer(LocNet(1, 40, window(19 / 39)), window(19 / 39), (20, 20))
    assert torch.allclose(layer(x), x[..., 10:30, 10:30], atol=1e-5)
    layer.localisation.theta.bias.data += torch.tensor([-10, 5]) * 2 / 39
    assert torch.allclose(layer(x), x[..., 15:35, 0:20], atol=1e-5)


def test_a_quarter_turn_turns_the_image_back_by_a_quarter():
    turned = SpatialTransformer(Constant([torch.pi / 2]), "rotation")(images())
    assert torch.allclose(turned, images().rot90(1, (2, 3)), atol=1e-4)


def test_a_translation_by_one_pixel_moves_the_image_by_one_pixel():
    x = images()
    moved = SpatialTransformer(Constant([2 / 39, 0.0]), "translation")(x)
    assert torch.allclose(moved[..., :-1], x[..., 1:], atol=1e-5)
    assert moved[..., -1].abs().max() < 1e-5


def test_padding_decides_what_lies_outside():
    x = torch.ones(1, 1, 5, 5)
    away = [10.0, 0.0]
    outputs = {p: SpatialTransformer(Constant(away), "translation", padding=p)(x) for p in PADDINGS}
    assert {p: y.unique().tolist() for p, y in outputs.items()} == {
        "zeros": [0],
        "border": [1],
        "reflection": [1],
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_theta_grid_and_sampling_are_float32_under_autocast(monkeypatch, dtype):
    seen = []

    def spy(image, grid, **options):
        seen.append((image.dtype, grid.dtype))
        return SAMPLERS["clipped"](image, grid, **options)

    monkeypatch.setitem(METHODS, "bilinear", spy)
    network, x = make("stn"), images().to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        theta, grid = network.transformer.locate(x)
        output = network.transformer(x)
        assert network(x).dtype == torch.bfloat16  # autocast was on
    assert theta.dtype == grid.dtype == torch.float32
    assert seen == [(torch.float32, torch.float32)] * 2
    assert output.dtype == dtype


@pytest.mark.parametrize("transform", FAMILIES)
def test_under_autocast_the_grid_is_that_of_float32(transform):
    theta = FAMILIES[transform].identity() + 0.123456
    transformer = SpatialTransformer(Constant(theta.tolist()), transform)
    expected = transformer.locate(images())[1]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(transformer.locate(images())[1], expected)


def test_a_localisation_in_bfloat16_still_gives_a_float32_grid():
    transformer = SpatialTransformer(Constant([0.5, 0.0, 0.0], torch.bfloat16), "attention")
    theta, grid = transformer.locate(images())
    assert theta.dtype == grid.dtype == torch.float32


def test_an_stn_is_its_transformer_then_its_classifier():
    network = STN(SpatialTransformer(Constant([0.5, 0.0, 0.0]), "attention"), CMNet())
    x = images()
    assert torch.equal(network(x), network.classifier(network.transformer(x)))


def test_a_network_survives_being_a_state_dict():
    first, second = make("stn", 0), make("stn", 1)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(images()), second(images()))


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: make("resnet"),
            f"model must be one of {', '.join(models.MODELS)}, not 'resnet'",
        ),
        (
            lambda: SpatialTransformer(LocNet(1, 40), padding="wrap"),
            "padding must be one of zeros, border, reflection, not 'wrap'",
        ),
        (
            lambda: SpatialTransformer(LocNet(1, 40), sampler="nearest"),
            "sampler must be one of bilinear, clipped, linearised, not 'nearest'",
        ),
        (
            lambda: make(transform="shear"),
            "family must be one of translation, attention, similarity, affine, projective, tps, "
            "rotation, not 'shear'",
        ),
        (
            lambda: SpatialTransformer(LocNet(1, 40), output_size=(0, 5)),
            "output_size must be two positive whole numbers (H, W), not (0, 5)",
        ),
        (lambda: LocNet(1, 27), "size must be at least 28 pixels for Table I's LocNet, not 27"),
        (
            lambda: CMNet(size=9),
            "size must be at least 10 pixels for Table II's network, not 9",
        ),
        (
            lambda: SpatialTransformer(Constant([1.0, 0.0]), "affine")(images()),
            "theta must have shape (N, 6) for family affine, not (2, 2)",
        ),
        (
            lambda: SpatialTransformer(Constant([math.nan, 0.0]), "translation")(images()),
            "theta must be finite, but has infinities or NaN",
        ),
    ],
    ids=lambda part: part[:20] if isinstance(part, str) else "",
)
def test_a_bad_argument_is_one_line_that_says_what_is_allowed(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_the_smallest_sizes_that_the_errors_name_work():
    assert LocNet(1, 28)(torch.rand(1, 1, 28, 28)).shape == (1, 6)
    assert CMNet(size=10)(torch.rand(1, 1, 10, 10)).shape == (1, 10)
