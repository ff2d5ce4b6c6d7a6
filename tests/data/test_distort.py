"""The distortion of CIFAR-10-DISTORTED against Pillow, and its true θ against the distortion."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from stnlib.data import distort
from stnlib.data.distort import Draws
from stnlib.transforms import family


def noise(n, channels=3, seed=0):
    """Images in which no pixel is black."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n, channels, 32, 32)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator)


def every():
    """Draws with each angle, and with each angle some of the shifts, all in all."""
    degrees = torch.arange(-20, 21).repeat_interleave(21)
    shift = torch.arange(-10, 11).repeat(41)
    x, y = shift, (shift + 10 + 5 * degrees) % 21 - 10
    return Draws(degrees, torch.stack([x, y], 1), torch.zeros(len(x), dtype=torch.bool))


def none(n):
    zero = torch.zeros(n, dtype=torch.int64)
    return Draws(zero, torch.zeros(n, 2, dtype=torch.int64), zero.bool())


def pillow(image, degrees, shift):
    """The paper's procedure, one image at a time: paste, rotate, shift."""
    canvas = Image.new("RGB", (64, 64))
    canvas.paste(Image.fromarray(image.permute(1, 2, 0).numpy()), (16, 16))
    turned = np.asarray(canvas.rotate(degrees))
    x, y = shift
    wide = np.pad(turned, ((10, 10), (10, 10), (0, 0)))
    return torch.from_numpy(wide[10 - y : 74 - y, 10 - x : 74 - x].copy()).permute(2, 0, 1)


def test_every_pixel_is_pillows_for_every_angle_and_shift():
    draws = every()
    images = noise(len(draws.degrees))
    expected = torch.stack(
        [
            pillow(image, degrees, shift)
            for image, degrees, shift in zip(
                images, draws.degrees.tolist(), draws.shift.tolist(), strict=True
            )
        ]
    )
    assert torch.equal(distort.distort(images, draws), expected)


def test_every_pair_of_shifts_puts_the_image_down_where_it_says():
    shift = torch.cartesian_prod(torch.arange(-10, 11), torch.arange(-10, 11))
    draws = none(len(shift))._replace(shift=shift)
    images = noise(len(shift), channels=1)
    seen = distort.distort(images, draws)
    for image, canvas, (x, y) in zip(images, seen, shift.tolist(), strict=True):
        assert torch.equal(canvas[:, 16 + y : 48 + y, 16 + x : 48 + x], image)
        assert (canvas > 0).sum() == 32 * 32


def test_the_image_never_leaves_the_canvas():
    seen = distort.distort(torch.full((len(every().degrees), 1, 32, 32), 255).byte(), every())
    assert (seen > 0).sum((1, 2, 3)).min() > 0.98 * 32 * 32
    assert (seen > 0).sum((1, 2, 3)).max() < 1.02 * 32 * 32


def test_without_angle_and_shift_the_image_is_in_the_centre_of_black():
    images = noise(2)
    assert torch.equal(distort.distort(images, none(2)), F.pad(images, [16] * 4))


def test_positive_shifts_go_right_and_down_and_positive_angles_counterclockwise():
    draws = none(3)
    draws.shift[0] = torch.tensor([3, 7])
    draws.degrees[1] = 20
    draws.flip[2] = True
    images = torch.zeros(3, 1, 32, 32, dtype=torch.uint8)
    images[:, :, 16, 28:] = 255  # a bar at the right
    places = [
        image[0].nonzero().double().mean(0) - 31.5 for image in distort.distort(images, draws)
    ]
    assert places[0].tolist() == [7.5, 17]
    assert places[1][0] < -2 and places[1][1] > 10  # turned up
    assert places[2].tolist() == [0.5, -14]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_and_images_are_distorted_on_their_own(channels):
    images, draws = noise(12, channels), distort.draw(torch.arange(12), "a", flip=True)
    together = distort.distort(images, draws)
    assert together.shape == (12, channels, 64, 64) and together.dtype == torch.uint8
    for i in range(12):
        one = Draws(*(part[i : i + 1] for part in draws))
        for c in range(channels):
            alone = distort.distort(images[i : i + 1, c : c + 1], one)
            assert torch.equal(alone[0, 0], together[i, c])


def test_a_flip_comes_first():
    images, draws = noise(20), distort.draw(torch.arange(20), "a", flip=True)
    plain = distort.draw(torch.arange(20), "a", flip=False)
    assert 0 < draws.flip.sum() < 20 and not plain.flip.any()
    assert torch.equal(draws.degrees, plain.degrees) and torch.equal(draws.shift, plain.shift)
    flipped = torch.where(draws.flip[:, None, None, None], images.flip(3), images)
    assert torch.equal(distort.distort(images, draws), distort.distort(flipped, plain))


def test_images_of_another_size_or_type_are_refused():
    allowed = r"images must be \(N, C, 32, 32\), uint8"
    with pytest.raises(ValueError, match=allowed + r", not \(1, 3, 28, 28\), torch.uint8"):
        distort.distort(torch.zeros(1, 3, 28, 28, dtype=torch.uint8), none(1))
    with pytest.raises(ValueError, match=allowed + r", not \(1, 3, 32, 32\), torch.float32"):
        distort.distort(torch.zeros(1, 3, 32, 32), none(1))


# Draws


def test_an_image_is_distorted_the_same_in_every_batch_and_order():
    whole = distort.draw(torch.arange(1000), "train", 3, 7, flip=True)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    for index in order.split(37):
        part = distort.draw(index, "train", 3, 7, flip=True)
        assert all(torch.equal(p, w[index]) for p, w in zip(part, whole, strict=True))


def test_draws_are_the_same_everywhere_and_for_ever():
    draws = distort.draw(torch.tensor([0, 1, 2, 44_999]), "train", 0, 1, flip=True)
    assert draws.degrees.tolist() == [-7, -14, 1, -6]
    assert draws.shift.tolist() == [[-9, -7], [-10, -1], [5, -8], [-1, -7]]
    assert draws.flip.tolist() == [False, True, True, False]


def test_draws_differ_by_seed_epoch_and_purpose():
    purposes = [("train", 0, 1), ("train", 0, 2), ("train", 1, 1), ("train", 0, 11), ("test",)]
    draws = [distort.draw(torch.arange(100), *purpose, flip=True) for purpose in purposes]
    angles = {tuple(d.degrees.tolist()) for d in draws}
    assert len(angles) == len(purposes)


def test_draws_are_uniform_and_independent():
    n = 100_000
    draws = distort.draw(torch.arange(n), "train", 0, 1, flip=True)
    x, y = draws.shift.T
    columns = [draws.degrees + 20, x + 10, y + 10, draws.flip.long()]
    sizes = (41, 21, 21, 2)
    for column, size in zip(columns, sizes, strict=True):
        counts = torch.bincount(column, minlength=size).double()
        assert len(counts) == size
        assert ((counts - n / size).abs() < 5 * (n / size) ** 0.5).all()
    following = draws.degrees.roll(1)  # the angle of the image before
    table = torch.stack([*columns, following]).double()
    correlation = torch.corrcoef(table) - torch.eye(5, dtype=torch.float64)
    assert correlation.abs().max() < 5 / n**0.5


# The true θ


def undone(images, draws, size):
    theta = distort.true_theta(draws, size)
    assert theta.shape == (len(images), 6) and theta.dtype == torch.float32
    grid = family("affine").grid(theta, (size, size))
    return F.grid_sample(images.float(), grid, mode="nearest", align_corners=True)


def test_a_shift_alone_is_undone_exactly_by_its_theta():
    draws = every()._replace(degrees=torch.zeros(len(every().degrees), dtype=torch.int64))
    images = noise(len(draws.degrees))
    seen = distort.distort(images, draws)
    assert torch.equal(undone(seen, draws, 32), images.float())
    assert torch.equal(undone(seen, draws, 64), F.pad(images, [16] * 4).float())


def test_the_true_theta_undoes_the_distortion_up_to_the_nearest_neighbour():
    draws = every()
    ramp = torch.arange(32)  # smooth, so that a neighbour is a small error, and not symmetric
    image = torch.stack([50 + 6 * ramp.expand(32, 32), 50 + 6 * ramp[:, None].expand(32, 32)])
    images = image.byte().expand(len(draws.degrees), -1, -1, -1)
    seen = distort.distort(images, draws)
    inner = slice(1, 31)  # at the very edge a neighbour may be black
    error = (undone(seen, draws, 32) - images.float())[..., inner, inner].abs()
    assert error.max() <= 6 * 1 + 1e-3  # a pixel off, at most
    assert error.mean() < 6 * 0.45
    whole = undone(seen, draws, 64)
    assert ((whole[:, :, 16:48, 16:48] - images.float())[..., inner, inner].abs()).max() <= 6
    assert not whole[:, :, :15].any() and not whole[..., 49:].any()


def test_another_theta_does_not_undo_the_distortion():
    draws = every()
    images = noise(len(draws.degrees))
    seen = distort.distort(images, draws)
    right = (undone(seen, draws, 32) == images).float().mean()
    wrong = Draws(-draws.degrees, draws.shift, draws.flip)
    mistaken = (undone(seen, wrong, 32) == images).float().mean()
    assert right > 0.75
    assert mistaken < 0.3
