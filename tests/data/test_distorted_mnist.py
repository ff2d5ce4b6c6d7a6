"""MNIST distorted as by Jaderberg et al.: against other people's code, and within its ranges."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates
from scipy.stats import kstest
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import rotate

from stnlib.data import catalogue, digits, jaderberg
from stnlib.data.distorted import undone
from stnlib.data.scattered import warp
from stnlib.data.sets import DataSet, Split
from stnlib.diagnostics import decompose
from stnlib.study import runs
from stnlib.training.config import RunConfig
from stnlib.transforms import apply

NUMBERS = torch.arange(4000)
PURPOSE = ("train", 0, 1)
AFFINE = ("mnist-r", "mnist-rts", "mnist-tc")


@pytest.fixture(scope="module")
def plain():
    """Digits that come with stnlib, in MNIST's place."""
    images, labels = map(torch.tensor, digits.embedded())
    whole = Split(images[::50, None], labels[::50])
    train, val, test = whole.take(slice(60)), whole.take(slice(60, 80)), whole.take(slice(80, 100))
    return DataSet("mnist", train, val, test, tuple("0123456789"), "digits", "plain")


@pytest.fixture(scope="module", params=jaderberg.NAMES)
def made(request, plain):
    return jaderberg.variant(plain, request.param)


def everything(split, seed=0, epoch=1):
    return split.batch(torch.arange(len(split)), seed, epoch)


def even(values, least, most):
    """Whether values are uniform over a range, and fill it."""
    assert least <= values.min() and values.max() <= most
    return kstest(values, "uniform", (least, most - least)).pvalue > 1e-3


def spot(pixels):
    """A bright spot in the middle of an image, so wide: (28, 28)."""
    line = torch.arange(28) - 13.5
    return torch.exp(-(line[:, None] ** 2 + line**2) / (2 * pixels**2))


def centres(images):
    """Of the light in each image, normalised (x, y), and how much there is."""
    seen = images[:, 0]
    line, mass = torch.linspace(-1, 1, seen.shape[-1]), seen.sum((1, 2))
    return torch.stack([(seen.sum(1) @ line) / mass, (seen.sum(2) @ line) / mass], 1), mass


# Each distortion


def test_a_rotation_is_torchvisions(plain):
    theta = jaderberg.rotations(torch.arange(30), PURPOSE)
    images = plain.train.images[:30].float()
    degrees = torch.rad2deg(torch.atan2(theta[:, 1], theta[:, 0])).tolist()
    for image, angle, seen in zip(images, degrees, warp(images, theta, 28), strict=True):
        assert (rotate(image, angle, InterpolationMode.BILINEAR) - seen).abs().max() < 0.1


def test_a_quarter_turn_moves_whole_pixels(plain):
    quarter = torch.tensor([[0.0, 1, 0, -1, 0, 0]]).expand(60, -1)
    turned = torch.rot90(plain.train.images, 1, (2, 3))  # counterclockwise as one sees it
    assert torch.equal(warp(plain.train.images, quarter, 28), turned)


def test_rotations_fill_their_range_and_do_nothing_else():
    parts = decompose(jaderberg.rotations(NUMBERS, PURPOSE))
    assert even(parts["rotation"], -90, 90)
    assert (parts["scale"] - 1).abs().max() < 1e-5
    assert not parts["tx"].any() and not parts["ty"].any()


def test_a_digit_that_is_placed_has_its_size_and_angle_and_stays_on_the_canvas():
    parts = decompose(jaderberg.similarities(NUMBERS, PURPOSE))
    scale = parts["scale"].double()
    assert even(parts["rotation"], -45, 45) and even(scale, 0.7 - 1e-6, 1.2 + 1e-6)
    centre = torch.stack([parts["tx"], parts["ty"]]).double() * 41 / 2
    room = (42 - 28 * scale) / 2  # to either side of a digit in the middle, in pixels
    assert all(even((one / room).clamp(-1, 1), -1, 1) for one in centre)
    assert parts["shear"].abs().max() < 1e-4


def test_a_placed_digit_can_be_seen_where_it_is_said_to_be():
    theta = jaderberg.similarities(torch.arange(50), PURPOSE)
    images = spot(2.0).expand(50, 1, 28, 28)
    centre, mass = centres(warp(images, theta, 42))
    assert (centre - theta[:, [2, 5]]).abs().max() < 0.002
    scale = decompose(theta)["scale"]
    torch.testing.assert_close(mass, images[0].sum() * scale**2, rtol=0.01, atol=0)


def test_a_projection_takes_the_corners_where_they_belong():
    """Against the eight linear equations that a projection of four points solves."""
    matrix = jaderberg.projections(NUMBERS[:50], PURPOSE)
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]).double()
    places = apply(matrix, square)
    for one, place in zip(matrix.numpy(), places.numpy(), strict=True):
        rows, wanted = [], []
        for (x, y), (u, v) in zip(square.numpy(), place, strict=True):
            rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
            wanted += [u, v]
        solved = np.append(np.linalg.solve(rows, wanted), 1).reshape(3, 3)
        np.testing.assert_allclose(one / one[2, 2], solved, atol=1e-9)


def test_projections_move_corners_by_five_pixels_and_fold_no_image():
    u = jaderberg.projections(NUMBERS, PURPOSE)
    # The whole image's corners: the matrices are of the smaller digit, at most 1/0.75 inside them.
    inner = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]).double()
    w = (inner @ u[:, 2, :2].mT).T + u[:, 2, 2:]
    assert (w > 0).all()  # no horizon within a digit
    mean = apply(u, inner).mean((0, 1))
    assert mean.abs().max() < 0.05
    middle = apply(u, inner.new_zeros(1, 2)) * 27 / 2  # moves with all corners, about half as far
    assert 2 < middle.std() < 4


def test_a_projected_spot_is_where_the_matrix_takes_it():
    dots = spot(0.8).expand(40, 1, 28, 28)
    images, _ = jaderberg._KINDS["mnist-p"](dots, torch.arange(40), PURPOSE, dots)
    place = apply(jaderberg.projections(torch.arange(40), PURPOSE), torch.zeros(1, 2).double())
    away = (centres(images)[0] - place[:, 0]).abs().amax(1) * 27 / 2  # in pixels
    assert away.median() < 0.1 and away.max() < 1  # a dot is stretched, too, and not evenly


def test_a_spline_bends_images_as_scipys_does(plain):
    images, index = plain.train.images[:6], torch.arange(6)
    seen, _ = jaderberg._KINDS["mnist-e"](images, index, PURPOSE, images)
    theta, scale = jaderberg.splines(index, PURPOSE)
    line = np.linspace(-1, 1, 4)
    control = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    pixels = np.stack(np.meshgrid(*[np.linspace(-1, 1, 28)] * 2), -1).reshape(-1, 2)
    for image, row, size, found in zip(images, theta.numpy(), scale.numpy(), seen, strict=True):
        bent = RBFInterpolator(control, control + row.reshape(16, 2), kernel="thin_plate_spline")
        x, y = (bent(pixels).T / size + 1) * 27 / 2
        read = map_coordinates(image[0].numpy().astype(float), [y, x], order=1, cval=0.0)
        differ = np.abs(read.reshape(28, 28) - found[0].numpy())
        assert np.median(differ) <= 0.51 and differ.max() < 1


def test_splines_move_their_points_by_one_and_a_half_pixels():
    theta, scale = jaderberg.splines(NUMBERS, PURPOSE)
    assert kstest((theta * 13.5 / 1.5).flatten(), "norm").pvalue > 1e-3
    assert even(scale, 0.75, 1)


def test_a_digit_among_scraps_is_whole_where_theta_says(plain):
    digits_, made = plain.test.images, jaderberg.variant(plain, "mnist-tc").test
    corners = (made.theta[:, [2, 5]] * 59 / 2 + 16).round().long()
    torch.testing.assert_close(made.theta[:, [0, 1, 3, 4]], torch.eye(2).flatten().expand(20, 4))
    for digit, image, (x, y) in zip(digits_[:, 0], made.images[:, 0], corners, strict=True):
        there = image[y : y + 28, x : x + 28]
        assert (there >= digit).all()
        rest = image.clone()
        rest[y : y + 28, x : x + 28] = 0
        assert (rest > 0).sum() <= 6 * 36
        assert (there == digit).float().mean() > 1 - 6 * 36 / 784


def test_scraps_are_of_other_digits_of_the_split(plain):
    """Each digit has a grey level of its own, and so each scrap says whose it is."""
    level = torch.arange(1, 21, dtype=torch.uint8).view(-1, 1, 1, 1).expand(20, 1, 28, 28)
    flat = replace(plain, test=replace(plain.test, images=level.contiguous()))
    made, seen = jaderberg.variant(flat, "mnist-tc").test, set()
    corners = (made.theta[:, [2, 5]] * 59 / 2 + 16).round().long()
    for own, image, (x, y) in zip(range(1, 21), made.images[:, 0], corners, strict=True):
        outside = image.clone()
        outside[y : y + 28, x : x + 28] = 0
        found = set(outside.flatten().tolist()) - {0}
        assert found <= set(range(1, 21)) - {own}
        seen |= found
    assert len(seen) > 15


def test_the_place_of_a_digit_among_scraps_is_even():
    corner, which, cut, put = jaderberg._clutter(NUMBERS, PURPOSE)
    for values, most in ((corner, 32), (cut, 22), (put, 54)):
        assert values.min() == 0 and values.max() == most
        counts = values.flatten().bincount()
        assert (counts - counts.double().mean()).abs().max() < 5 * counts.double().mean().sqrt()
    assert even(which.flatten(), 0, 1)


# As data sets


def test_training_images_are_distorted_anew_whatever_the_batch(made):
    first = everything(made.train)
    assert first.images.shape[-1] == RunConfig(data=made.name).side
    assert first.images.dtype == torch.uint8
    for other in (everything(made.train, 0, 2), everything(made.train, 1, 1)):
        assert (other.images != first.images).flatten(1).any(1).all()
    for index in torch.arange(60).split(7):
        part = made.train.batch(index, 0, 1)
        assert torch.equal(part.images, first.images[index])


def test_images_to_validate_and_to_test_are_distorted_once(made, plain):
    again = jaderberg.variant(plain, made.name)
    assert again.fingerprint == made.fingerprint != plain.fingerprint
    for part in ("val", "test"):
        ours, theirs = getattr(made, part), getattr(again, part)
        assert torch.equal(ours.images, theirs.images) and ours.images.shape[2:] == made.size
        assert torch.equal(ours.labels, getattr(plain, part).labels)


def test_the_kinds_differ_in_their_draws():
    u = [jaderberg._uniform(NUMBERS, (name, *PURPOSE), 1)[:, 0] for name in jaderberg.NAMES]
    assert abs(np.corrcoef(torch.stack(u).numpy()) - np.eye(5)).max() < 0.07


def test_the_true_theta_is_kept_where_it_is_affine(made):
    known = made.name in AFFINE
    for split in (everything(made.train), made.val, made.test):
        assert (split.theta is not None) == (split.positions is not None) == known


@pytest.mark.parametrize("name", AFFINE[:2])
def test_theta_undoes_it(plain, name):
    line = torch.linspace(-1, 1, 28)
    hill = (200 * torch.exp(-2 * (line[:, None] ** 2 + 2 * (line - 0.2) ** 2))).to(torch.uint8)
    images = hill.expand(20, 1, 28, 28).contiguous()
    made = jaderberg.variant(replace(plain, test=replace(plain.test, images=images)), name)
    seen = undone(made, 28).test.images
    inner = (..., slice(6, -6), slice(6, -6))  # nearer the edge the canvas may have cut it off
    assert (seen[inner].int() - images[inner].int()).abs().max() <= 6  # of 200: read twice
    assert (made.test.images[..., :28, :28].int() - images.int()).abs().max() > 40


# In use


@pytest.mark.parametrize("architecture", ["cnn", "fcn"])
@pytest.mark.parametrize("model", ["stn", "baseline"])
def test_a_run_on_them_is_recorded(plain, tmp_path, monkeypatch, model, architecture):
    monkeypatch.setattr(catalogue, "_load_mnist", lambda: plain)
    loc = {"locnet": architecture} if model == "stn" else {}
    config = RunConfig(
        data="mnist-rts", model=model, architecture=architecture, epochs=1, batch_size=30,
        optimizer="sgd", lr=0.1, **loc,
    )  # fmt: skip
    path = runs.run(config, "t", tmp_path, checkpoints=tmp_path / "c", progress=False)
    record = runs.store.read(path)
    assert record.config == config and 0.97 * 400_000 < record.result["parameters"] <= 4e5
    assert ("undone_rotation" in record.last) == (model == "stn")
