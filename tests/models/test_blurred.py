"""A Gaussian blur, against SciPy's, and a transformer that reads through it."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from stnlib.models import LocNet, SpatialTransformer
from stnlib.models.blurred import blurred


def draw(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5, 4.0])
def test_it_is_scipys_with_black_outside(sigma):
    images = draw(2, 3, 17, 24)
    expected = gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode="constant", truncate=3.0)
    np.testing.assert_allclose(blurred(images, sigma), expected, atol=1e-12)


def test_without_a_width_it_gives_the_very_images():
    images = draw(2, 3, 5, 6)
    assert blurred(images, 0.0) is images


def test_a_transformer_reads_through_its_blur_in_training_alone():
    images = draw(2, 1, 28, 28).float()
    layer = SpatialTransformer(LocNet(1, 28))  # begins as the identity
    sharp = layer(images)
    layer.blur = 2.0
    torch.testing.assert_close(layer(images), blurred(images, 2.0), atol=1e-5, rtol=0)
    assert torch.equal(layer.eval()(images), sharp)


def test_a_blurred_image_is_felt_from_further_away():
    image = torch.zeros(1, 1, 28, 28)
    image[..., 20] = 1
    slopes = []
    for blur in (0.0, 4.0):
        layer = SpatialTransformer(LocNet(1, 28), output_size=(1, 1))  # reads the centre alone
        layer.blur = blur
        layer(image).sum().backward()
        slopes.append(layer.localisation.theta.bias.grad[2].item())
    assert slopes[0] == 0 and slopes[1] > 0.1
