"""Digits that move, and small networks that are asked about them."""

import pytest
import torch
from torch import nn

from stnlib.book.moves import accuracy, moved, plain_digits, trained
from stnlib.data.sets import Split


def spot(row, column):
    """An image, black but for one pixel."""
    image = torch.zeros(1, 1, 40, 40)
    image[0, 0, row, column] = 1
    return image


def peak(image):
    return divmod(int(image.argmax()), 40)


def test_images_move_to_the_right_turn_clockwise_and_grow():
    assert peak(moved(spot(10, 20), right=4)) == (10, 24)
    up = (spot(10, 19) + spot(10, 20)) / 2
    row, column = peak(moved(up, turn=90))
    assert row in {19, 20} and column == 29  # what was above is now at the right
    row, column = peak(moved(spot(15, 25), zoom=2))
    assert abs(row - (19.5 - 2 * 4.5)) <= 1 and abs(column - (19.5 + 2 * 5.5)) <= 1


class Side(nn.Module):
    """Class 1 where the right half is the brighter one, else 0."""

    def forward(self, images):
        left, right = images[..., :20].sum((1, 2, 3)), images[..., 20:].sum((1, 2, 3))
        return torch.stack((left, right), dim=1)


def test_accuracy_is_of_the_images_after_they_have_moved():
    images = (255 * torch.cat((spot(10, 15), spot(10, 25)))).to(torch.uint8)
    split = Split(images, torch.tensor([0, 1]))
    assert accuracy(Side(), split) == 1.0
    assert accuracy(Side(), split, right=10) == 0.5


@pytest.mark.parametrize(("placement", "spread"), [("centre", 0), ("uniform", 12)])
def test_digits_are_centred_or_lie_up_to_six_pixels_off(placement, spread):
    positions = plain_digits(placement, 300).train.positions * 39 / 2
    assert (positions.amax(0) - positions.amin(0)).tolist() == pytest.approx([spread] * 2, abs=0.1)


def test_a_training_learns_digits_where_they_are():
    data = plain_digits("centre", 400)
    network = trained(data, seed=0, epochs=3)
    assert accuracy(network, data.test) > 0.5 and not network.training
