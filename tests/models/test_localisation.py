"""Localisation networks: their sizes, their first θ, and what each keeps within bounds."""

import pytest
import torch
from torch import nn

from stnlib import models, optim
from stnlib.models import LOCNETS, LocNet, SpatialTransformer, build, count_parameters
from stnlib.records import store, weights
from stnlib.study import runs
from stnlib.training.config import RunConfig
from stnlib.transforms import FAMILIES, NonFiniteError, window

SHAPES = {"cm": (1, 40), "c10": (3, 32), "c10d": (3, 64)}
SIDE = {"cm": 4, "c10": 2, "c10d": 10}  # after both convolutions of Table I


def make(kind, data="cm", seed=0, **options):
    torch.manual_seed(seed)
    classifier = "cm" if data == "cm" else "c10"
    return build("stn", *SHAPES[data], 10, classifier=classifier, locnet=kind, **options)


def locnet(kind, data="cm", **options):
    return make(kind, data, **options).transformer.localisation


def images(data="cm", n=3, scale=1.0):
    channels, size = SHAPES[data]
    generator = torch.Generator().manual_seed(0)
    return scale * torch.rand(n, channels, size, size, generator=generator)


def spoilt(network):
    """The network with a last layer that is not the identity any more."""
    torch.manual_seed(1)
    for parameter in network.theta.parameters():
        nn.init.normal_(parameter)
    return network


# Sizes


def table_i(channels, side, width=20, units=50):
    convolutions = (25 * channels * width + width) + (25 * width * width + width)
    dense = side * side * width * units + units
    return convolutions + dense + (6 * units + 6)


def expected(kind, data):
    channels, side = SHAPES[data][0], SIDE[data]
    more = {"groupnorm": 2 * 2 * 20, "deep": 2 * (9 * 20 * 20 + 20) + (50 * 50 + 50)}
    if kind == "fcn":
        pixels = channels * SHAPES[data][1] ** 2
        return (pixels * 32 + 32) + 2 * (32 * 32 + 32) + (6 * 32 + 6)
    if kind == "cnn":
        return table_i(channels, side, units=20)
    if kind == "shared":  # its convolution's input: the first block's channels, its pixels
        wide, pixels = {"cm": (32, 19), "c10": (48, 15), "c10d": (48, 31)}[data]
        side = pixels // 2 - 4
        return (25 * wide * 20 + 20) + (side * side * 20 * 50 + 50) + (6 * 50 + 6)
    factor = {"x4": 2, "x16": 4}.get(kind, 1)
    return table_i(channels, side, 20 * factor, 50 * factor) + more.get(kind, 0)


@pytest.mark.parametrize("data", SHAPES)
@pytest.mark.parametrize("kind", LOCNETS)
def test_a_kind_has_the_parameters_that_its_layers_add_up_to(kind, data):
    assert count_parameters(locnet(kind, data)) == expected(kind, data)


def test_the_docstring_tells_the_parameters():
    lines = [line.split() for line in LocNet.__doc__.splitlines()]
    rows = [words for words in lines if len(words) > 4 and words[3].replace(",", "").isdigit()]
    told = {words[0]: words[1:4] for words in rows}
    assert told == {k: [f"{expected(k, data):,}" for data in SHAPES] for k in LOCNETS}


@pytest.mark.parametrize("data", SHAPES)
@pytest.mark.parametrize(("kind", "times"), [("x4", 4), ("x16", 16)])
def test_the_wider_have_about_as_many_times_the_papers_parameters(kind, times, data):
    ratio = count_parameters(locnet(kind, data)) / count_parameters(locnet("paper", data))
    assert ratio == pytest.approx(times, rel=0.1)


@pytest.mark.parametrize("kind", [kind for kind in LOCNETS if kind != "fcn"])
def test_the_smallest_size_works_and_the_next_below_is_refused(kind):
    least, name = (22, "the shared") if kind == "shared" else (28, "Table I's")
    for size in (least, least - 1):
        block = models.CMNet(1, size).first_block if kind == "shared" else None
        if size == least:
            assert LocNet(1, size, kind=kind, shared=block)(torch.rand(2, 1, size, size)).shape == (
                2,
                6,
            )
        else:
            with pytest.raises(ValueError) as caught:
                LocNet(1, size, kind=kind, shared=block)
            message = f"size must be at least {least} pixels for {name} LocNet, not {size}"
            assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "huge"}, f"locnet must be one of {', '.join(LOCNETS)}, not 'huge'"),
        (
            {"theta_init": "zero"},
            "theta_init must be one of identity, small_random, glorot, not 'zero'",
        ),
        ({"kind": "shared"}, "shared layers are for the locnet shared, which needs them"),
        ({"shared": nn.ReLU()}, "shared layers are for the locnet shared, which needs them"),
        ({"bound": 0.0}, "limit must be a positive number or 6 of them, not 0.0"),
    ],
)
def test_a_bad_argument_is_one_line(options, message):
    with pytest.raises(ValueError) as caught:
        LocNet(1, 40, **options)
    assert str(caught.value) == message


# The first θ


@pytest.mark.parametrize("transform", FAMILIES)
@pytest.mark.parametrize("kind", LOCNETS)
def test_every_kind_begins_as_the_identity_whatever_the_image(kind, transform):
    network = locnet(kind, transform=transform, bound=0.5)
    neutral = FAMILIES[transform].identity()
    for scale in (0, 1, 1000):
        assert torch.equal(network(images(scale=scale)), neutral.expand(3, -1))


@pytest.mark.parametrize("kind", LOCNETS)
def test_a_seed_draws_the_same_classifier_for_every_kind(kind):
    ours, paper = make(kind, "c10").classifier, make("paper", "c10").classifier
    assert all(map(torch.equal, ours.state_dict().values(), paper.state_dict().values()))


def test_a_small_random_theta_is_near_the_identity_and_glorots_is_not():
    identity = torch.tensor([1.0, 0, 0, 0, 1, 0])
    distances = {}
    for name in models.THETA_INITS:
        network = locnet("paper", theta_init=name)
        distances[name] = (network(images()) - identity).abs().amax().item()
    assert 0 == distances["identity"] < distances["small_random"] < 0.2
    assert distances["glorot"] > 0.8


def test_small_random_weights_are_a_tenth_of_glorots():
    small, whole = (locnet("paper", theta_init=name).theta for name in ("small_random", "glorot"))
    assert torch.equal(small.weight, whole.weight * 0.1) and not whole.bias.any()


@pytest.mark.parametrize("kind", LOCNETS)
def test_any_kind_can_be_made_the_identity_again(kind):
    network = spoilt(locnet(kind))
    assert network(images()).std() > 0.1
    network.to_identity()
    assert network(images()).tolist() == [[1, 0, 0, 0, 1, 0]] * 3


@pytest.mark.parametrize("transform", ["attention", "similarity", "affine", "projective"])
def test_a_first_scale_shows_the_centre_pixel_by_pixel(transform):
    network = make("paper", "c10", transform=transform, output_size=22, scale_init=21 / 31)
    batch = torch.rand(3, 3, 32, 32)
    assert (network.transformer(batch) - batch[:, :, 5:27, 5:27]).abs().max() < 1e-4
    localisation = spoilt(network.transformer.localisation)
    localisation.to_identity()
    assert (network.transformer(batch) - batch[:, :, 5:27, 5:27]).abs().max() < 1e-4


@pytest.mark.parametrize("transform", ["translation", "tps", "rotation", window(0.5)])
def test_a_first_scale_needs_a_transform_that_has_it(transform):
    with pytest.raises(ValueError, match="must be 1 with a bound, translations"):
        make("paper", scale_init=0.5, transform=transform)


# Bounds


@pytest.mark.parametrize("kind", ["bounded", "normalised"])
@pytest.mark.parametrize("scale", [1, 1e6])
def test_the_bounded_and_the_normalised_features_sum_to_50_at_most(kind, scale):
    phi = locnet(kind).phi(images(scale=scale))
    assert phi.shape == (3, 50) and phi.any()
    assert phi.abs().sum(1).max() <= 50 + 1e-3
    assert locnet("paper").phi(images(scale=1e6)).abs().sum(1).min() > 1e5


@pytest.mark.parametrize("scale", [1, 1e6])
def test_centred_features_are_never_all_off_and_sum_to_25_at_most(scale):
    network = spoilt(locnet("centred"))
    with torch.no_grad():
        network.features[-3].bias.fill_(-1e3)  # with which a plain ReLU is off for every image
    phi = network.phi(images(scale=scale))
    assert phi.shape == (3, 50) and (phi > 0).any(1).all()
    assert phi.sum(1).max() <= 25 + 1e-3


@pytest.mark.parametrize("kind", ["paper", "deep", "bounded", "normalised", "centred", "fcn"])
def test_the_preactivation_is_what_the_last_activation_is_given(kind):
    network, x = spoilt(locnet(kind)), images()
    last = torch.tanh if kind == "bounded" else torch.relu
    phi = last(network.preactivation(x))
    if kind == "normalised":
        phi = torch.nn.functional.layer_norm(phi, phi.shape[1:])
    torch.testing.assert_close(phi, network.phi(x))


def test_group_normalisation_makes_the_features_forget_contrast_and_brightness():
    network = locnet("groupnorm").features[:3]
    x = images()
    assert torch.allclose(network(100 * x), network(x), atol=1e-3)


@pytest.mark.parametrize("transform", ["attention", "affine", "projective"])
def test_a_bound_keeps_theta_within_it_and_the_grid_agrees(transform):
    network = spoilt(locnet("paper", transform=transform, bound=0.3))
    theta = network(images(scale=100))
    away = (theta - FAMILIES[transform].identity()).abs()
    assert away.max() <= 0.3 + 1e-6 and away.max() > 0.29
    shown, grid = SpatialTransformer(network, transform).locate(images(scale=100))
    assert torch.equal(shown, theta)
    assert torch.equal(grid, FAMILIES[transform].grid(theta, (40, 40)))


def test_a_bounded_theta_follows_the_tanh():
    network = spoilt(locnet("paper"))
    x, identity = images(), FAMILIES["affine"].identity()
    free = network(x)
    bounded = spoilt(locnet("paper", bound=2.0))
    assert torch.allclose(bounded(x), identity + 2 * torch.tanh((free - identity) / 2))


def test_a_bounded_theta_that_is_not_finite_is_found_out():
    network = locnet("paper", bound=1.0)
    with torch.no_grad():
        network.theta.bias[0] = torch.nan
    with pytest.raises(NonFiniteError):
        network(images())


# Shared layers


def test_the_shared_block_sees_the_image_for_theta_and_is_the_classifiers():
    model = make("shared")
    network, block = spoilt(model.transformer.localisation), model.classifier.features[:3]
    x = images()
    assert torch.equal(network(x), network.theta(network.features(block(x))))
    with torch.no_grad():
        model.classifier.features[0].weight.mul_(2)
    assert torch.equal(network(x), network.theta(network.features(block(x))))


@pytest.mark.parametrize(("data", "pixels"), [("cm", 19), ("c10", 15), ("c10d", 31)])
def test_the_shared_block_ends_with_the_first_pooling_and_its_relu(data, pixels):
    block = make("shared", data).classifier.first_block
    assert block(images(data)).shape[-1] == pixels and isinstance(block[-1], nn.ReLU)


def test_shared_layers_are_trained_by_both_and_counted_once():
    model = make("shared")
    spoilt(model.transformer.localisation)
    weight = model.classifier.features[0].weight
    theta = model.transformer.localisation(images())
    assert torch.autograd.grad(theta.sum(), weight)[0].any()
    own, whole = model.transformer.localisation, count_parameters(model)
    assert whole == count_parameters(own) + count_parameters(model.classifier)
    rest, loc = optim.param_groups(model, 1.0, 0.1)
    assert {id(p) for p in loc["params"]} == {id(p) for p in own.parameters()}
    assert any(weight is p for p in rest["params"])


# In a run


@pytest.mark.parametrize("kind", LOCNETS)
def test_every_kind_trains_and_its_record_gives_the_transformer_back(kind, few, places):
    config = RunConfig(
        data="digits", n_train=96, batch_size=40, epochs=1, lr=0.01, locnet=kind, bound=0.7
    )
    kept, real = [], weights.localisation_weights
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "localisation_weights", lambda m: kept.append(m) or real(m))
        where = {"folder": places["records"], "checkpoints": places["checkpoints"]}
        path = runs.run(config, "own", data=few, keep_weights=True, progress=False, **where)
    row = store.read(path).last
    assert row["loc_grad_norm_max"] > 0 and row["black"] == 0
    again, x = weights.transformer(config, 1, 40), few.val.images[:9] / 255
    theta, first = again.localisation(x), kept[0].transformer.localisation(x)
    assert torch.allclose(theta, first, atol=1e-6)
    assert (theta - torch.tensor([1.0, 0, 0, 0, 1, 0])).abs().max() > 1e-3


# A hidden layer whose input is scaled


def dense_of(network):
    return next(layer for layer in network.features if isinstance(layer, nn.Linear))


@pytest.mark.parametrize("kind", [kind for kind in LOCNETS if kind != "shared"])
def test_with_its_hidden_input_scaled_it_is_the_same_function(kind):
    plain, scaled = (locnet(kind, hidden_scale=factor) for factor in (1.0, 8.0))
    torch.testing.assert_close(scaled.phi(images()), plain.phi(images()), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("factor", [0.125, 8.0])
def test_a_step_of_the_hidden_weights_moves_the_features_so_many_times_as_far(factor):
    moves = []
    for network in (locnet("paper"), locnet("paper", hidden_scale=factor)):
        seen = []
        dense_of(network).register_forward_hook(lambda *layer, seen=seen: seen.append(layer[-1]))
        network.phi(images())
        with torch.no_grad():
            dense_of(network).weight.add_(0.01)
        network.phi(images())
        moves.append(seen[1] - seen[0])
    torch.testing.assert_close(moves[1], factor * moves[0], atol=1e-4, rtol=1e-3)


# Several warps


class Said(nn.Module):
    """Layers that know two looks: φ says which of them it is."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        return nn.functional.one_hot(torch.tensor([len(self.seen) - 1] * len(images)), 50).float()


def test_two_warps_are_the_product_of_their_matrices_and_the_second_sees_what_the_first_shows():
    first, second = torch.tensor([[0.8, 0.1, 0.2, -0.2, 0.9, -0.1], [1.1, 0.3, -0.3, 0, 0.7, 0.2]])
    network = locnet("paper", warps=2)
    network.features = Said()
    with torch.no_grad():
        network.theta.bias.zero_()
        network.theta.weight[:, 0], network.theta.weight[:, 1] = first, second
    theta = network(images())
    bottom = torch.tensor([[0.0, 0, 1]])
    product = torch.cat([first.view(2, 3), bottom]) @ torch.cat([second.view(2, 3), bottom])
    torch.testing.assert_close(theta, product[:2].flatten().expand(3, 6))
    grid = nn.functional.affine_grid(first.view(1, 2, 3), (1, 1, 40, 40), align_corners=True)
    shown = nn.functional.grid_sample(images(), grid.expand(3, -1, -1, -1), align_corners=True)
    assert torch.equal(network.features.seen[0], images())
    torch.testing.assert_close(network.features.seen[1], shown)


@pytest.mark.parametrize("transform", [name for name in FAMILIES if name != "tps"])
@pytest.mark.parametrize("kind", ["paper", "shared"])
def test_any_number_of_warps_begins_as_the_identity_and_learns(kind, transform):
    model = make(kind, transform=transform, warps=4)
    network = model.transformer.localisation
    begins = network(images())
    torch.testing.assert_close(begins, FAMILIES[transform].identity().expand_as(begins))
    model(images()).square().sum().backward()
    assert network.theta.weight.grad.abs().max() > 0


def test_one_warp_is_the_network_as_it_was_bit_for_bit():
    plain, same = (spoilt(locnet("paper", **warps)) for warps in ({}, {"warps": 1}))
    assert torch.equal(plain(images()), same(images()))
    assert torch.equal(plain(images()), plain.theta(plain.phi(images())))


def test_a_small_step_is_taken_as_often_as_there_are_warps():
    network = locnet("paper", transform="translation", warps=4)
    with torch.no_grad():
        network.theta.bias.copy_(torch.tensor([0.01, -0.02]))
    torch.testing.assert_close(network(images()), torch.tensor([0.04, -0.08]).expand(3, 2))


def test_warps_need_matrices():
    with pytest.raises(ValueError, match=r"^warps must be 1 for family tps, which has no matrix$"):
        LocNet(1, 28, "tps", warps=2)
