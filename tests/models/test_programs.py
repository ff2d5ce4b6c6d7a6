"""The layer in the programs that PyTorch and others make of it, against the layer as it stands."""

import warnings

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.func import functional_call, grad, stack_module_state, vmap

from stnlib.models import Filled, SpatialTransformer, build
from stnlib.sampler import PADDINGS, sample
from stnlib.transforms import FAMILIES, NonFiniteError, family, rotation, window

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.trace.* is deprecated")


ALL = (*FAMILIES.values(), rotation(1.5), window((0.5, 0.7)))
ANY = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)  # number, height and width are unknown


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def make(transform="affine", seed=0, **options):
    """A layer whose θ is near the identity and another for each image of any size."""
    torch.manual_seed(seed)
    neutral = family(transform).identity()
    theta = nn.Linear(1, len(neutral))
    with torch.no_grad():
        theta.weight.mul_(0.3)
        theta.bias.copy_(neutral)
    locnet = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), theta)
    return SpatialTransformer(locnet, transform, **options)


def compiled(layer, images):
    torch._dynamo.reset()
    return torch.compile(layer, backend="eager", fullgraph=True)


def exported(layer, images, strict=False):
    return torch.export.export(layer, (images,), dynamic_shapes=ANY, strict=strict).module()


def traced(layer, images):
    return torch.jit.trace(layer, images, check_trace=False)


def mapped(layer, images):
    return vmap(lambda image: layer(image[None])[0])


def functional(layer, images):
    return lambda x: functional_call(layer, dict(layer.named_parameters()), (x,))


WAYS = (compiled, exported, traced, mapped, functional)
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda f: f.__name__)
each_family = pytest.mark.parametrize("transform", ALL, ids=lambda f: f.name)


def is_slow(way, transform):
    """Dynamo takes seconds for a layer: of the families, one stands for all in a quick run."""
    return way is compiled and transform.name != "affine"


def assert_same(found, expected):
    """Up to the rounding of a coordinate, times half of the image's side."""
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("way", "transform"),
    [
        pytest.param(
            *(way, transform),
            id=f"{way.__name__}-{transform.name}",
            marks=[pytest.mark.slow] if is_slow(way, transform) else [],
        )
        for transform in ALL
        for way in WAYS
    ],
)
def test_a_program_gives_what_the_layer_gives_for_any_number_and_size(way, transform):
    layer, images = make(transform), draw(3, 1, 6, 9)
    program = way(layer, images)
    for other in (images, draw(2, 1, 6, 9), draw(4, 1, 8, 5)):
        assert_same(program(other), layer(other))


@each_way
def test_a_program_without_aligned_corners_gives_what_the_layer_gives(way):
    layer, images = make(align_corners=False), draw(3, 1, 6, 9)
    program = way(layer, images)
    for other in (images, draw(4, 1, 8, 5)):
        assert_same(program(other), layer(other))


@pytest.mark.parametrize("transform", ("projective", "tps"))
def test_a_layer_is_exported_strictly_too(transform):
    layer, images = make(transform), draw(3, 1, 6, 9)
    assert_same(exported(layer, images, strict=True)(images), layer(images))


@each_way
@pytest.mark.parametrize(
    ("sampler", "padding"),
    [
        *((sampler, padding) for sampler in ("bilinear", sample) for padding in PADDINGS),
        *((sampler, "zeros") for sampler in ("clipped", Filled("mean"), Filled(torch.ones(1)))),
    ],
)
def test_a_program_has_any_sampler_padding_and_output_size(way, sampler, padding):
    layer = make(sampler=sampler, padding=padding, output_size=(4, 7))
    images = draw(3, 1, 6, 9)
    assert_same(way(layer, images)(images), layer(images))


@pytest.mark.parametrize(
    "options",
    ({"bound": 0.5}, {"transform": "tps", "bound": 0.5}, {"locnet": "shared", "output_size": 28}),
    ids=str,
)
@each_way
def test_a_program_has_a_whole_network(way, options):
    torch.manual_seed(0)
    network, images = build("stn", 1, 32, 10, **options).eval(), draw(2, 1, 32, 32)
    if way is exported:  # no size is unknown to a localisation network
        program = torch.export.export(network, (images,)).module()
    else:
        program = way(network, images)
    assert_same(program(images), network(images))


@each_family
def test_the_gradient_of_each_image_is_that_of_the_image_alone(transform):
    layer, images = make(transform), draw(3, 1, 6, 9)
    parameters = dict(layer.named_parameters())

    def loss(parameters, image):
        return functional_call(layer, parameters, (image[None],)).square().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(parameters, images)
    for i, image in enumerate(images):
        expected = torch.autograd.grad(layer(image[None]).square().sum(), list(layer.parameters()))
        for each, one in zip(found.values(), expected, strict=True):
            torch.testing.assert_close(each[i], one)


@each_family
def test_an_ensemble_of_layers_is_mapped_over_its_weights(transform):
    layers, images = [make(transform, seed) for seed in range(3)], draw(2, 1, 6, 9)
    stacked = stack_module_state(layers)
    found = vmap(lambda p, b: functional_call(layers[0], (p, b), (images,)))(*stacked)
    assert_same(found, torch.stack([layer(images) for layer in layers]))


@pytest.mark.parametrize("sampler", ("bilinear", "clipped", sample, Filled(torch.ones(1))))
def test_a_trace_has_nothing_to_warn_of(sampler):
    layer, images = make(sampler=sampler), draw(3, 1, 6, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        torch.jit.trace(layer, images)


def test_exporting_a_spline_leaves_nothing_behind():
    layer, images = make("tps", output_size=(3, 11)), draw(2, 1, 6, 9)
    expected = family("tps").grid(layer.localisation(images).double(), (3, 11))
    exported(layer, images)
    assert_same(layer.locate(images)[1].double(), expected)


def test_a_spline_that_was_evaluated_in_inference_mode_can_be_trained():
    theta = torch.zeros(1, 32, dtype=torch.float64, requires_grad=True)
    with torch.inference_mode():
        family("tps").grid(theta, (3, 13))
    family("tps").grid(theta, (3, 13)).sum().backward()
    assert theta.grad.any()


# What is different in a program


@pytest.mark.parametrize(
    ("transform", "value"),
    [*((transform, float("nan")) for transform in FAMILIES), ("affine", float("inf"))],
)
def test_theta_that_is_not_finite_is_an_error_of_the_layer_and_nan_in_a_program(transform, value):
    layer, images = make(transform), draw(2, 1, 6, 9)
    with torch.no_grad():
        layer.localisation[2].bias[0] = value
    with pytest.raises(NonFiniteError, match="theta must be finite, but has infinities or NaN"):
        layer(images)
    for way in (compiled, exported, traced, mapped):
        assert way(layer, images)(images).isnan().all()


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_grid_that_is_not_finite_gives_nan_in_a_program_of_sample(padding):
    layer, images = make(sampler=sample, padding=padding), draw(2, 1, 6, 9)
    with torch.no_grad():
        layer.localisation[2].bias[0] = float("nan")
    for way in (compiled, exported, traced, mapped):
        assert way(layer, images)(images).isnan().all()


def test_under_grad_alone_theta_is_looked_at():
    layer, images = make(), draw(2, 1, 6, 9)
    bad = dict(layer.named_parameters())
    bad["localisation.2.bias"] = torch.full((6,), float("nan"))
    with pytest.raises(NonFiniteError):
        grad(lambda p: functional_call(layer, p, (images,)).sum())(bad)


def test_a_wrong_shape_of_theta_is_told_when_a_program_is_made():
    layer, images = make(), draw(2, 1, 6, 9)
    layer.localisation[2] = nn.Linear(1, 5)
    message = r"theta must have shape \(N, 6\) for family affine, not \(2, 5\)"
    with pytest.raises(ValueError, match=message):
        torch.export.export(layer, (images,))


# ONNX


@pytest.fixture
def onnx():
    """A function that makes a program of ONNX of a layer."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module, reason=f"needs {module}, of the dependency group interop")

    def export(layer, images, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own; for a spline it folds log(0)
            program = torch.onnx.export(
                layer, (images,), dynamo=True, dynamic_shapes=ANY, verbose=False, **options
            )
        return lambda x: program(x)[0]

    return export


@pytest.mark.parametrize(
    ("transform", "sampler", "padding"),
    [
        *((transform, "bilinear", "zeros") for transform in ALL),
        *(("affine", "bilinear", padding) for padding in PADDINGS if padding != "zeros"),
        ("affine", "clipped", "zeros"),
        ("affine", sample, "zeros"),
        ("affine", Filled("mean"), "zeros"),
    ],
)
def test_onnx_gives_what_the_layer_gives_for_any_number_and_size(onnx, transform, sampler, padding):
    layer, images = make(transform, sampler=sampler, padding=padding), draw(3, 1, 6, 9)
    # Of `sample` the optimiser of onnxscript 0.7 makes a program that does not load.
    program = onnx(layer, images, optimize=sampler is not sample)
    for other in (images, draw(4, 1, 8, 5)):
        assert_same(program(other), layer(other))
