"""The generator of cluttered digits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stnlib.data import cluttered, digits

EASY = dict(canvas=40, placement="uniform", patches=0)


@pytest.fixture(scope="module")
def pool():
    """Thirty real digits and their labels."""
    images, labels = digits.embedded()
    return images[::167], labels[::167]


def flat_digits(count, side=8):
    """Digits that can be told apart: number k is all of value k + 1."""
    values = np.arange(1, count + 1, dtype=np.uint8)
    return np.broadcast_to(values[:, None, None], (count, side, side)), np.arange(count) % 2


def corners(split, side):
    """Top left corners of the digits' frames in pixels, from the positions."""
    canvas = split.images.shape[-1]
    centres = (split.positions.double() + 1) / 2 * (canvas - 1)
    return (centres - (side - 1) / 2).round().long()


def test_images_are_bytes_on_a_canvas_with_labels_and_positions(pool):
    split = cluttered.generate(*pool, 7, seed=0, canvas=60)
    assert split.images.shape == (7, 1, 60, 60)
    assert split.images.dtype == torch.uint8
    assert split.labels.dtype == torch.int64
    assert split.positions.shape == (7, 2)
    assert split.positions.dtype == torch.float32


def test_the_same_seed_gives_the_same_images(pool):
    one, two = (cluttered.generate(*pool, 20, seed=(3, 1)) for _ in range(2))
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.labels, two.labels)
    assert torch.equal(one.positions, two.positions)


def test_another_seed_gives_other_images(pool):
    one, two = (cluttered.generate(*pool, 20, seed=seed) for seed in (0, 1))
    assert not torch.equal(one.images, two.images)


@settings(max_examples=25, deadline=None)
@given(
    start=st.integers(0, 100),
    n=st.integers(1, 40),
    seed=st.integers(0, 2**63),
    patches=st.integers(0, 6),
    rotation=st.sampled_from([0.0, 30.0]),
)
def test_an_image_does_not_depend_on_the_batch_it_is_made_in(
    pool, start, n, seed, patches, rotation
):
    options = dict(seed=seed, patches=patches, rotation=rotation)
    whole = cluttered.generate(*pool, n, start=start, **options)
    cut = n // 3
    parts = [cluttered.generate(*pool, n - cut, start=start + cut, **options)]
    if cut:
        parts.insert(0, cluttered.generate(*pool, cut, start=start, **options))
    for name in ("images", "labels", "positions"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(whole, name))


def test_a_digit_lies_unchanged_where_its_position_says(pool):
    images, labels = pool
    split = cluttered.generate(images, labels, 30, seed=0, **EASY)
    for image, (left, top) in zip(split.images[:, 0].numpy(), corners(split, 28), strict=True):
        frame = image[top : top + 28, left : left + 28]
        assert any(np.array_equal(frame, digit) for digit in images)
        assert image.sum() == frame.sum()


def test_a_centred_digit_has_position_zero(pool):
    split = cluttered.generate(*pool, 5, seed=0, placement="centre")
    assert torch.equal(split.positions, torch.zeros(5, 2))


def test_uniform_placement_reaches_every_place_equally_often():
    split = cluttered.generate(*flat_digits(2), 5000, seed=0, canvas=12, placement="uniform")
    for axis in (0, 1):
        counts = corners(split, 8)[:, axis].bincount(minlength=5)
        assert len(counts) == 5
        assert counts.min() > 900


def test_published_placement_puts_most_digits_at_the_bottom(pool):
    split = cluttered.generate(*pool, 4000, seed=0, placement="published")
    x, y = corners(split, 28).T
    assert x.bincount().min() > 250
    assert (x.min(), x.max()) == (0, 11)
    assert (y.min(), y.max()) == (0, 12)
    assert (y == 12).double().mean() == pytest.approx(28 / 40, abs=0.03)


def test_every_digit_is_shown_once_before_any_is_shown_again():
    split = cluttered.generate(*flat_digits(50), 100, seed=0, canvas=12, patches=0)
    shown = split.images.amax((1, 2, 3))
    for half in (shown[:50], shown[50:]):
        assert sorted(half.tolist()) == list(range(1, 51))


def test_scraps_come_from_other_digits_only():
    images, labels = flat_digits(3)
    images = images * np.uint8(10)  # 10, 20 and 30: sums of two tell what they are made of
    split = cluttered.generate(images, labels, 200, seed=0, canvas=30, patch_size=2)
    for image, (left, top) in zip(split.images[:, 0], corners(split, 8), strict=True):
        inside = image[top : top + 8, left : left + 8]
        shown = int(inside.min())
        outside = image.clone()
        outside[top : top + 8, left : left + 8] = 0
        assert shown not in outside
        assert 2 * shown not in inside


def test_no_scraps_means_a_digit_on_black_in_the_same_place(pool):
    plain, full = (cluttered.generate(*pool, 20, seed=0, patches=p) for p in (0, 5))
    assert torch.equal(plain.positions, full.positions)
    assert torch.equal(plain.labels, full.labels)
    assert (full.images >= plain.images).all()
    assert not torch.equal(full.images, plain.images)


def test_what_overlaps_is_added_and_clipped():
    images = np.full((2, 8, 8), 200, dtype=np.uint8)
    split = cluttered.generate(
        images, [0, 1], 1, seed=0, canvas=8, patch_size=8, patches=3, placement="centre"
    )
    assert (split.images == 255).all()


def test_a_digit_turned_by_almost_nothing_is_the_digit(pool):
    options = dict(seed=0, placement="uniform", patches=2)
    plain = cluttered.generate(*pool, 10, **options)
    turned = cluttered.generate(*pool, 10, rotation=1e-9, **options)
    assert torch.equal(plain.images, turned.images)
    assert torch.allclose(plain.positions, turned.positions)


def test_magnifying_by_two_covers_four_times_the_area(pool):
    options = dict(seed=0, canvas=60, placement="centre", patches=0)
    plain = cluttered.generate(*pool, 10, **options).images.double().sum()
    large = cluttered.generate(*pool, 10, scale=(2, 2), **options).images.double().sum()
    assert large / plain == pytest.approx(4, rel=0.01)


def test_turning_keeps_the_ink_and_its_place(pool):
    options = dict(seed=0, canvas=60, placement="centre", patches=0)
    plain = cluttered.generate(*pool, 30, **options).images.double()
    turned = cluttered.generate(*pool, 30, rotation=180, **options).images.double()
    assert turned.sum() / plain.sum() == pytest.approx(1, rel=0.01)
    assert not torch.equal(plain, turned)


@pytest.mark.parametrize("factor", [0.5, 1.5, 2.4])
@pytest.mark.parametrize("placement", cluttered.PLACEMENTS)
def test_scaled_digits_stay_on_the_canvas(placement, factor):
    split = cluttered.generate(
        *flat_digits(2), 300, seed=0, canvas=20, placement=placement, scale=(factor, factor)
    )
    off_centre = split.positions.abs() * (20 - 1) / 2
    assert off_centre.max() <= (20 - 8 * factor) / 2 + 1e-5


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (dict(n=0), "n must be 1 or more, not 0"),
        (dict(start=-1), "start must be 0 or more"),
        (dict(canvas=20), "canvas must hold digits of 28 pixels, not 20"),
        (dict(scale=(1, 2)), "canvas must hold digits of 56 pixels, not 40"),
        (dict(scale=(0, 1)), "scale must be"),
        (dict(placement="left"), "placement must be one of published, uniform, centre"),
        (dict(patches=-1), "patches must be 0 or more"),
        (dict(patch_size=29), "patch_size must be 1 to 28, not 29"),
        (dict(rotation=-5), "rotation must be 0 to 180"),
        (dict(seed=-1), "seed must be"),
        (dict(labels=[1, 2]), "labels must be"),
    ],
)
def test_an_impossible_parameter_is_one_clear_line(pool, option, message):
    images, labels = pool
    arguments = dict(digits=images, labels=labels, n=5, seed=0) | option
    with pytest.raises(ValueError, match=message) as caught:
        cluttered.generate(**arguments)
    assert "\n" not in str(caught.value)


def test_digits_must_be_square_bytes():
    with pytest.raises(ValueError, match=r"digits must be \(M, S, S\), uint8"):
        cluttered.generate(np.zeros((5, 28, 28)), np.zeros(5), 5, seed=0)


def test_scraps_need_a_second_digit():
    with pytest.raises(ValueError, match="digits must be 2 or more"):
        cluttered.generate(*flat_digits(1), 1, seed=0)


def test_splits_share_no_digit():
    made = cluttered.dataset(
        *flat_digits(200), name="x", source="", sizes=(120, 50, 30), canvas=16, patches=0
    )
    train, val, test = (
        set(split.images.amax((1, 2, 3)).tolist()) for split in (made.train, made.val, made.test)
    )
    assert (len(train), len(val), len(test)) == (120, 50, 30)
    assert not (train & val or train & test or val & test)


def test_scraps_come_from_digits_of_the_same_split():
    images, labels = flat_digits(60)
    options = dict(name="x", source="", sizes=(40, 10, 10), canvas=30, patch_size=2)
    plain = cluttered.dataset(images, labels, patches=0, **options)
    made = cluttered.dataset(images, labels, patches=9, **options)
    for bare, full in zip((plain.val, plain.test), (made.val, made.test), strict=True):
        scraps = full.images[bare.images == 0]
        assert set(scraps.unique().tolist()) - {0} <= set(bare.images.unique().tolist())


def test_repeats_make_several_images_of_each_digit():
    made = cluttered.dataset(
        *flat_digits(20),
        name="x",
        source="",
        sizes=(10, 5, 5),
        repeats=3,
        canvas=16,
        patches=0,
    )
    assert [len(made.train), len(made.val), len(made.test)] == [30, 15, 15]
    assert set(made.train.images.amax((1, 2, 3)).bincount()[1:].tolist()) == {0, 3}


@pytest.mark.parametrize("sizes", [(100, 50, 51), (0, 10, 10)])
def test_sizes_must_be_there(sizes):
    with pytest.raises(ValueError, match="sizes must be 1 or more and at most 200 in all"):
        cluttered.dataset(*flat_digits(200), name="x", source="", sizes=sizes)
