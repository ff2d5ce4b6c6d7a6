"""A colour outside of the image, against a larger canvas of that colour."""

import pickle

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from stnlib.models import Filled, SpatialTransformer
from stnlib.sampler import sample, sample_clipped, sample_loop, sample_native
from stnlib.transforms import family

COLOUR = torch.tensor([0.2, -1.5, 3.0], dtype=torch.float64)
METHODS = (sample_loop, sample, sample_native)
every_align_corners = pytest.mark.parametrize("align_corners", [True, False])


def draw(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def case():
    """Images and a grid that in part lies outside of them."""
    return draw(2, 3, 5, 8), 2.4 * draw(2, 4, 6, 2) - 1.2


def on_canvas(images, colours, grid, align_corners, margin=4):
    """Sample the images laid on a canvas of colours (N, 3), so large that nothing is outside."""
    height, width = images.shape[2:]
    canvas = F.pad(torch.ones_like(images), [margin] * 4)
    canvas = F.pad(images, [margin] * 4) + (1 - canvas) * colours[:, :, None, None]
    size, less = torch.tensor([width, height]).double(), int(align_corners)
    smaller = grid * (size - less) / (size + 2 * margin - less)
    return sample(canvas, smaller, align_corners=align_corners)


@every_align_corners
@pytest.mark.parametrize("method", METHODS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("fill", [0.7, COLOUR, "mean"], ids=["number", "colour", "mean"])
def test_it_is_as_if_the_image_lay_on_a_canvas_of_the_colour(fill, method, align_corners):
    images, grid = case()
    if isinstance(fill, str):
        colours = torch.stack([image.flatten(1).mean(dim=1) for image in images])
    else:
        colours = torch.as_tensor(fill, dtype=torch.float64).expand(2, 3)
    expected = on_canvas(images, colours, grid, align_corners)
    shown = Filled(fill, method)(images, grid, align_corners=align_corners)
    torch.testing.assert_close(shown, expected, rtol=0, atol=1e-12)


def test_far_outside_there_is_nothing_but_the_colour():
    images, grid = case()
    shown = Filled(COLOUR)(images, grid + 9)
    assert torch.equal(shown, COLOUR.view(1, 3, 1, 1).expand(2, 3, 4, 6))


@pytest.mark.parametrize("method", [*METHODS, sample_clipped], ids=lambda f: f.__name__)
def test_zeros_are_bit_for_bit_what_the_sampler_gives_without(method):
    images, grid = (tensor.float() for tensor in case())
    for fill in (0, 0.0, torch.zeros(3)):
        assert torch.equal(Filled(fill, method)(images, grid), method(images, grid))


def test_images_normalised_and_padded_with_black_are_those_padded_and_then_normalised():
    """The frame of a normalised image is grey: 0, not -mean / std."""
    images, grid = case()
    mean, std = draw(3) + 0.2, draw(3) + 0.5
    black = Filled(-mean / std)

    def normalise(x):
        return (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)

    after = normalise(sample_native(images, grid))
    torch.testing.assert_close(black(normalise(images), grid), after, rtol=0, atol=1e-12)
    assert (sample_native(normalise(images), grid) - after).abs().max() > 0.5


@pytest.mark.parametrize("fill", [0.7, COLOUR, "mean"], ids=["number", "colour", "mean"])
def test_its_gradients_are_those_of_finite_differences(fill):
    images, grid = (tensor.requires_grad_() for tensor in case())
    assert gradcheck(Filled(fill), (images, grid))


class Away(torch.nn.Module):
    """A localisation that looks past the image."""

    def forward(self, images):
        return torch.tensor([[9.0, 0.0]], device=images.device).expand(len(images), 2)


@pytest.mark.parametrize("fill", [0.5, torch.tensor([0.5] * 3)], ids=["number", "colour"])
def test_the_layer_takes_it_for_a_sampler_in_every_format_and_is_saved_with_it(fill, device, dtype):
    layer = SpatialTransformer(Away(), "translation", (4, 5), sampler=Filled(fill))
    images = draw(2, 3, 6, 7).to(device, dtype)
    for one in (layer, pickle.loads(pickle.dumps(layer))):
        assert torch.equal(one(images), torch.full((2, 3, 4, 5), 0.5, device=device, dtype=dtype))


def test_within_the_image_it_changes_no_more_than_the_rounding():
    images = draw(2, 3, 9, 9).float()
    grid = family("affine").grid(torch.tensor([[0.6, 0.2, 0.1, -0.2, 0.6, 0.0]] * 2), (9, 9))
    shown = Filled("mean")(images, grid)
    torch.testing.assert_close(shown, sample_native(images, grid), rtol=0, atol=3e-7)


def test_another_padding_is_refused():
    images, grid = case()
    with pytest.raises(ValueError, match="padding must be zeros with a fill, not 'border'"):
        Filled(0.5)(images, grid, padding="border")


@pytest.mark.parametrize("fill", ["black", None, float("nan"), [0.5, 0.5, 0.5], True])
def test_what_is_no_colour_is_refused(fill):
    with pytest.raises(ValueError, match="fill must be a finite number, a colour"):
        Filled(fill)


def test_a_colour_of_other_channels_is_refused():
    images, grid = case()
    with pytest.raises(ValueError, match="a value for each of 3 channels, not 4"):
        Filled(torch.zeros(4))(images, grid)
