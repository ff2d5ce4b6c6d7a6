"""The samplers against the equation, PyTorch, finite differences and hand calculation."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from torch.autograd import gradcheck, gradgradcheck

from stnlib import sampler, transforms
from stnlib.sampler import PADDINGS, SAMPLERS, sample, sample_clipped, sample_loop, sample_native

CORRECT = (sample_loop, sample, sample_native)
AFFINE = transforms.family("affine")

few = settings(deadline=None, max_examples=20, derandomize=True)


@st.composite
def cases(draw, largest=5):
    """An image, a grid in float64 and options: any shape, points from inside to far outside."""
    batch, channels = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    height, width, rows, columns = (draw(st.integers(1, largest)) for _ in range(4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reach = draw(st.sampled_from((0.9, 1.5, 20.0)))
    options = {"padding": draw(st.sampled_from(PADDINGS)), "align_corners": draw(st.booleans())}
    image = torch.from_numpy(rng.normal(size=(batch, channels, height, width)))
    grid = torch.from_numpy(rng.uniform(-reach, reach, size=(batch, rows, columns, 2)))
    return image, grid, options


def away_from_lines(grid, size, align_corners, margin=1e-4):
    """The grid with every point at least ``margin`` pixels from where a derivative jumps."""
    out = grid.clone()
    for axis, n in ((0, size[1]), (1, size[0])):
        per_unit = ((n - 1) if align_corners else n) / 2
        pixel = sampler.to_pixels(grid[..., axis], n, align_corners)
        # Lines: pixel centres, and the mirrors at half-pixels.
        near = ((2 * pixel - torch.round(2 * pixel)) / 2).abs() < margin
        out[..., axis] += near * 4 * margin / max(per_unit, 0.5)
    return out


def value_and_gradients(method, image, grid, options, weight):
    image, grid = image.clone().requires_grad_(), grid.clone().requires_grad_()
    out = method(image, grid, **options)
    gradients = torch.autograd.grad((out * weight).sum(), (image, grid))
    return out.detach(), *gradients


@few
@given(cases())
def test_loop_vectorised_and_native_have_one_value_and_one_gradient(case):
    image, grid, options = case
    grid = away_from_lines(grid, image.shape[2:], options["align_corners"])
    weight = torch.from_numpy(
        np.random.default_rng(0).normal(size=(*image.shape[:2], *grid.shape[1:3]))
    )
    expected = value_and_gradients(sample_native, image, grid, options, weight)
    for method in (sample_loop, sample):
        for mine, theirs, tolerance in zip(
            value_and_gradients(method, image, grid, options, weight),
            expected,
            (1e-12, 1e-10, 1e-10),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance)


@few
@given(cases(largest=9))
def test_values_agree_on_grid_lines_too(case):
    image, grid, options = case
    height, width = image.shape[2:]
    grid = transforms.base_grid((height, width), options["align_corners"], dtype=torch.float64)
    grid = grid.expand(len(image), -1, -1, -1)
    native = sample_native(image, grid, **options)
    torch.testing.assert_close(sample(image, grid, **options), native, rtol=0, atol=1e-12)


@few
@given(cases())
def test_integer_kernel_picks_the_nearest_pixel_in_all_forms(case):
    image, grid, options = case
    grid = away_from_lines(grid, image.shape[2:], options["align_corners"])
    loop, vectorised, native = (f(image, grid, kernel="integer", **options) for f in CORRECT)
    torch.testing.assert_close(loop, native, rtol=0, atol=1e-12)
    torch.testing.assert_close(vectorised, native, rtol=0, atol=1e-12)


def small_case(seed, size=(3, 2), grid_size=(2, 2), reach=1.4):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(1, 2, *size, generator=generator, dtype=torch.float64)
    grid = reach * (2 * torch.rand(1, *grid_size, 2, generator=generator, dtype=torch.float64) - 1)
    return image, grid


@pytest.mark.parametrize("align_corners", (True, False))
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("method", CORRECT, ids=lambda f: f.__name__)
def test_gradients_are_those_of_finite_differences(method, padding, align_corners):
    image, grid = small_case(1)
    grid = away_from_lines(grid, image.shape[2:], align_corners)

    def f(u, g):
        return method(u, g, padding=padding, align_corners=align_corners)

    assert gradcheck(f, (image.requires_grad_(), grid.requires_grad_()))


@pytest.mark.parametrize("align_corners", (True, False))
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("method", (sample_loop, sample), ids=lambda f: f.__name__)
def test_ours_are_differentiable_twice(method, padding, align_corners):
    image, grid = small_case(2, grid_size=(1, 2))
    grid = away_from_lines(grid, image.shape[2:], align_corners)

    def f(u, g):
        return method(u, g, padding=padding, align_corners=align_corners)

    assert gradgradcheck(f, (image.requires_grad_(), grid.requires_grad_()))


def operations(tensor):
    """Names of the backward operations of a tensor's graph."""
    names, left = set(), [tensor.grad_fn]
    while left:
        node = left.pop()
        names.add(node.name())
        left += [following for following, _ in node.next_functions if following]
    return names


@pytest.mark.parametrize("padding", PADDINGS)
def test_backward_ours_uses_what_can_be_deterministic_on_cuda(padding):
    """Of the operations that PyTorch names as nondeterministic, gather, which its switch mends."""
    image, grid = (t.requires_grad_() for t in small_case(4))
    used = operations(sample(image, grid, padding=padding))
    known = "gather", "scatter", "index", "gridsampler", "put", "take", "pad", "cumsum", "interpol"
    found = {name for name in used if any(word in name.lower() for word in known)}
    assert found == {"GatherBackward0"}
    assert "GridSampler2DBackward0" in operations(sample_native(image, grid, padding=padding))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_backward_ours_is_deterministic_on_cuda_where_pytorch_is_asked_for_it():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(8, 3, 64, 64, generator=generator).cuda()
    grid = (1.6 * torch.rand(8, 128, 128, 2, generator=generator) - 0.8).cuda()
    torch.use_deterministic_algorithms(True)
    try:
        first, *others = (
            value_and_gradients(sample, image, grid, {}, torch.ones((), device="cuda"))
            for _ in range(5)
        )
        with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
            value_and_gradients(sample_native, image, grid, {}, torch.ones((), device="cuda"))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(all(map(torch.equal, first, other)) for other in others)


@pytest.mark.skipif(Version(torch.__version__) < Version("2.12"), reason="PyTorch's is new")
@pytest.mark.parametrize("padding", PADDINGS)
def test_second_derivatives_are_those_of_pytorch(padding):
    image, grid = small_case(2)
    grid = away_from_lines(grid, image.shape[2:], True)
    second = []
    for method in (sample, sample_native):
        u, g = image.clone().requires_grad_(), grid.clone().requires_grad_()
        loss = method(u, g, padding=padding).square().sum()
        first = torch.autograd.grad(loss, (u, g), create_graph=True)
        second.append(torch.autograd.grad(sum(d.square().sum() for d in first), (u, g)))
    for mine, theirs in zip(*second, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)


def test_between_pixel_centres_only_the_mixed_second_derivative_by_a_point_is_not_zero():
    image, grid = small_case(2, size=(4, 5), grid_size=(1, 1), reach=0.5)
    grid = away_from_lines(grid, image.shape[2:], True)
    curves = torch.autograd.functional.hessian(lambda g: sample(image, g).sum(), grid).view(2, 2)
    assert curves.diagonal().abs().max() == 0 and curves[0, 1] == curves[1, 0] != 0


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_integer_kernel_is_differentiable_twice_by_the_image_and_has_none_by_the_grid(padding):
    image, grid = small_case(2)
    grid = away_from_lines(grid, image.shape[2:], True).requires_grad_()

    def f(u):
        return sample(u, grid, padding=padding, kernel="integer").square()

    assert gradgradcheck(f, image.requires_grad_())
    assert torch.autograd.grad(f(image).sum(), grid, allow_unused=True) == (None,)


@pytest.mark.parametrize("name", transforms.FAMILIES)
def test_a_grid_of_any_family_is_sampled_differentiably_twice_by_theta(name):
    image, _ = small_case(2, size=(3, 4))
    member = transforms.family(name)
    theta = 0.9 * member.identity().double() + 0.0123
    theta = theta[None].requires_grad_()
    assert gradgradcheck(
        lambda u, t: sample(u, member.grid(t, (2, 3))), (image.requires_grad_(), theta)
    )


def test_clipped_gradient_is_that_of_its_own_value_away_from_its_jumps():
    image, grid = small_case(3, reach=0.9)
    assert gradcheck(sample_clipped, (image.requires_grad_(), grid.requires_grad_()))


def zoom_loss(method, scale, image, size, **options):
    """Mean of the squared output of an image zoomed by ``scale``: an integral over the output."""
    theta = scale * torch.tensor([[1.0, 0, 0, 0, 1, 0]], dtype=torch.float64)
    return method(image, AFFINE.grid(theta, size), **options).square().mean()


def derivative_and_difference(method, scale, image, size, step=0.05, **options):
    """Mean of the derivative over [scale-step, scale+step], and the difference quotient there."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    total = 0.0
    for node, weight in zip(nodes, weights, strict=True):
        s = torch.tensor(scale + step * node, dtype=torch.float64, requires_grad=True)
        total += (
            weight / 2 * torch.autograd.grad(zoom_loss(method, s, image, size, **options), s)[0]
        )
    ends = [
        zoom_loss(method, torch.tensor(scale + d, dtype=torch.float64), image, size, **options)
        for d in (-step, step)
    ]
    return float(total), float(ends[1] - ends[0]) / (2 * step)


def bright_image():
    """Not black at its border: there the boundary term lives."""
    generator = torch.Generator().manual_seed(4)
    return 0.5 + 0.5 * torch.rand(1, 1, 7, 7, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("method", (sample, sample_native), ids=lambda f: f.__name__)
@pytest.mark.parametrize("padding", PADDINGS)
def test_correct_derivative_integrates_to_the_loss_across_grid_lines(method, padding):
    derivative, difference = derivative_and_difference(
        method, 1.3, bright_image(), (24, 24), padding=padding
    )
    assert derivative == pytest.approx(difference, abs=2e-3)
    assert abs(difference) > 0.02 or padding != "zeros"


def test_clipped_derivative_misses_the_change_of_the_loss_across_the_border():
    derivative, difference = derivative_and_difference(
        sample_clipped, 1.3, bright_image(), (24, 24)
    )
    assert difference < -0.2  # zooming out puts black where the image was
    assert abs(derivative - difference) > 0.5 * abs(difference)


def test_clipped_worked_example_has_a_black_last_row_and_column():
    image = torch.arange(1.0, 17.0, dtype=torch.float64).reshape(1, 1, 4, 4)
    theta = AFFINE.identity().double().unsqueeze(0)
    out = sample_clipped(image, AFFINE.grid(theta, (4, 4)))
    # Output pixel i is read at 4i/3: 0, 4/3, 8/3 and 4, where both corners are the last pixel.
    value = [[1 + 4 / 3 * column + 16 / 3 * row for column in range(3)] for row in range(3)]
    expected = torch.zeros(4, 4, dtype=torch.float64)
    expected[:3, :3] = torch.tensor(value, dtype=torch.float64)
    torch.testing.assert_close(out[0, 0], expected, rtol=0, atol=1e-12)


@few
@given(st.integers(3, 12), st.integers(3, 12))
def test_clipped_identity_stretches_by_size_over_size_minus_one(height, width):
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64),
        torch.arange(width, dtype=torch.float64),
        indexing="ij",
    )
    ramp = torch.stack((x, y)).unsqueeze(0)
    theta = AFFINE.identity().double().unsqueeze(0)
    out = sample_clipped(ramp, AFFINE.grid(theta, (height, width)))
    # The last read before the black is at W-W/(W-1), not beyond W-1 as soon as W ≥ 2.
    inner = (slice(None), slice(None), slice(0, height - 1), slice(0, width - 1))
    stretch = torch.tensor([width / (width - 1), height / (height - 1)], dtype=torch.float64)
    torch.testing.assert_close(out[inner], (ramp * stretch.view(1, 2, 1, 1))[inner])
    assert out[..., -1, :].abs().max() < 1e-12
    assert out[..., :, -1].abs().max() < 1e-12


@few
@given(st.floats(1.01, 50.0), st.booleans(), st.booleans())
def test_clipped_is_black_without_gradient_outside(distance, left, horizontal):
    grid = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    grid[..., 0 if horizontal else 1] = -distance if left else distance
    grid.requires_grad_()
    out = sample_clipped(bright_image(), grid)
    (gradient,) = torch.autograd.grad(out.sum(), grid)
    assert out.abs().max() < 1e-9
    assert gradient.abs().max() < 1e-9


def test_clipped_falls_from_the_border_pixel_to_black_in_one_step():
    edge = 2 * 6 / 7 - 1  # pixel 6, the last of 7, in the clipped sampler's units
    grid = torch.tensor([[[[edge - 1e-9, 0.0], [edge, 0.0]]]], dtype=torch.float64)
    before, after = sample_clipped(torch.ones(1, 1, 7, 7, dtype=torch.float64), grid)[0, 0, 0]
    assert before == pytest.approx(1.0, abs=1e-6)
    assert after == pytest.approx(0.0, abs=1e-6)


def test_zero_padding_fades_over_one_pixel_with_a_gradient():
    x = torch.tensor([1 + 0.25 * 2 / 6], dtype=torch.float64, requires_grad=True)
    grid = torch.stack((x, torch.zeros_like(x)), -1).reshape(1, 1, 1, 2)
    out = sample(torch.ones(1, 1, 7, 7, dtype=torch.float64), grid)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert out.item() == pytest.approx(0.75)
    assert gradient.item() == pytest.approx(-3.0)  # one pixel is 2/6 of a unit


@pytest.mark.parametrize("name", SAMPLERS)
def test_black_gives_no_gradient_for_either_sampler(name):
    theta = torch.tensor([[1.0, 0, 5, 0, 1, 0]], dtype=torch.float64, requires_grad=True)
    out = SAMPLERS[name](bright_image(), AFFINE.grid(theta, (7, 7)))
    (gradient,) = torch.autograd.grad(out.sum(), theta)
    assert out.abs().max() < 1e-12
    assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize("name", SAMPLERS)
def test_networks_call_every_sampler_with_the_same_options(name):
    image, grid = torch.rand(2, 3, 5, 4), 2 * torch.rand(2, 6, 7, 2) - 1
    out = SAMPLERS[name](image, grid, padding="zeros", align_corners=True)
    assert out.shape == (2, 3, 6, 7)
    assert out.dtype == torch.float32


@pytest.mark.parametrize("method", CORRECT[1:], ids=lambda f: f.__name__)
def test_a_grid_at_the_ends_of_float32_gives_black_and_no_error(method):
    grid = torch.tensor([[[[1e30, 0.0], [-1e30, 1e30]]]])
    assert method(torch.ones(1, 1, 4, 4), grid).abs().max() == 0


BAD = {
    "image must have shape": (torch.zeros(3, 4, 4), torch.zeros(1, 2, 2, 2)),
    "image must have shape (N, C, H, W), not empty": (
        torch.zeros(1, 1, 0, 4),
        torch.zeros(1, 2, 2, 2),
    ),
    "grid must have shape": (torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 2, 3)),
    "grid must have shape (N, h, w, 2), not empty": (
        torch.zeros(1, 1, 4, 4),
        torch.zeros(1, 0, 2, 2),
    ),
    "grid must have batch size 2": (torch.zeros(2, 1, 4, 4), torch.zeros(3, 2, 2, 2)),
    "image and grid must have one floating-point dtype": (
        torch.zeros(1, 1, 4, 4, dtype=torch.float64),
        torch.zeros(1, 2, 2, 2),
    ),
}


@pytest.mark.parametrize("method", (*CORRECT, sample_clipped), ids=lambda f: f.__name__)
@pytest.mark.parametrize("message", BAD)
def test_bad_shapes_are_named_in_one_line(method, message):
    with pytest.raises(ValueError) as error:
        method(*BAD[message])
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", (*CORRECT, sample_clipped), ids=lambda f: f.__name__)
def test_an_unknown_padding_is_named_with_the_allowed(method):
    with pytest.raises(ValueError, match="padding must be one of zeros, border, reflection, not"):
        method(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 2, 2), padding="wrap")


@pytest.mark.parametrize("method", CORRECT, ids=lambda f: f.__name__)
def test_an_unknown_kernel_is_named_with_the_allowed(method):
    with pytest.raises(ValueError, match="kernel must be one of bilinear, integer, not 'cubic'"):
        method(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 2, 2), kernel="cubic")


@pytest.mark.parametrize("method", (sample_loop, sample), ids=lambda f: f.__name__)
def test_a_grid_that_is_not_finite_is_refused(method):
    with pytest.raises(ValueError, match="grid must be finite"):
        method(torch.zeros(1, 1, 4, 4), torch.full((1, 2, 2, 2), float("nan")))


def beyond(value):
    """A grid of nine points at pixel 1.5, of which the first has an x like none."""
    grid = torch.zeros(1, 1, 9, 2)
    grid[0, 0, 0, 0] = value
    return grid.requires_grad_()


@pytest.mark.parametrize("value", (float("nan"), float("inf"), -float("inf")))
def test_a_point_that_is_not_finite_is_nan_in_the_clipped_sampler_and_spoils_no_other(value):
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    out = sample_clipped(image, beyond(value))
    assert out[0, 0, 0, 0].isnan()
    assert torch.equal(out[0, 0, 0, 1:], sample_clipped(image, beyond(0.0))[0, 0, 0, 1:])


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_point_that_is_not_finite_does_not_crash_the_native_sampler(padding):
    """In a process of its own: PyTorch's backward pass may read such an address in memory."""
    code = f"""
import torch
from stnlib.sampler import sample_native
for value in (float("nan"), float("inf"), -float("inf"), 3e38):
    for n in (1, 9):
        grid = torch.zeros(1, 1, n, 2)
        grid[0, 0, 0, 0] = value
        grid.requires_grad_()
        image = torch.arange(16.0).reshape(1, 1, 4, 4).requires_grad_()
        out = sample_native(image, grid, padding="{padding}")
        out.sum().backward()
        assert out[0, 0, 0, 0].isfinite() == ("{padding}" != "zeros"), (value, out)
        assert out[0, 0, 0, 1:].isfinite().all() and grid.grad[0, 0, 1:].isfinite().all()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nan_counts_as_the_first_pixel_where_the_border_is_continued():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    for padding in ("border", "reflection"):
        out = sample_native(image, beyond(float("nan")), padding=padding)
        assert out[0, 0, 0, 0] == 6  # the first column's middle: (4 + 8) / 2
    far = [
        sample_native(image, beyond(v), padding="border")[0, 0, 0, 0] for v in (1e9, float("inf"))
    ]
    assert far == [9, 9]  # the last column's middle: (7 + 11) / 2


@pytest.mark.parametrize("options", ({"padding": "border"}, {"align_corners": False}))
def test_the_clipped_sampler_refuses_options_it_does_not_have(options):
    with pytest.raises(ValueError, match="the clipped sampler allows only"):
        sample_clipped(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 2, 2), **options)
