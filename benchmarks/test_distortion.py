"""C10 to C10D: one batch of 100, uint8 to uint8, angles, shifts and flips drawn before.

Each side gets the images, and leaves the results, as it likes them best: rows of RGB or planes.
"""

import cv2
import kornia
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from stnlib.data.distort import distort, draw
from stnlib.training.malloc import keep_freed_memory

FLIP = Image.Transpose.FLIP_LEFT_RIGHT


def stnlib(planes, draws):
    return lambda: distort(planes, draws)


def paste_rotate_shift(image, degrees, shift, flip):
    """The authors' procedure on one of Pillow's images; shifting pastes, the fastest way."""
    canvas, shifted = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64))
    canvas.paste(image.transpose(FLIP) if flip else image, (16, 16))
    shifted.paste(canvas.rotate(degrees), shift)
    return shifted


def one_by_one(draws):
    shifts = map(tuple, draws.shift.tolist())
    return list(zip(draws.degrees.tolist(), shifts, draws.flip.tolist(), strict=True))


def pillow(planes, draws):
    rows, each = planes.permute(0, 2, 3, 1).contiguous().numpy(), one_by_one(draws)

    def run():
        batch = np.empty((len(rows), 64, 64, 3), np.uint8)
        for place, image, how in zip(batch, rows, each, strict=True):
            place[...] = paste_rotate_shift(Image.fromarray(image), *how)
        return batch

    return run


def pillow_images(planes, draws):
    """From Pillow's images to Pillow's images, which no network can read."""
    images = [Image.fromarray(image) for image in planes.permute(0, 2, 3, 1).contiguous().numpy()]
    each = one_by_one(draws)
    return lambda: [paste_rotate_shift(i, *how) for i, how in zip(images, each, strict=True)]


def torchvision(image, degrees, shift, flip):
    """Rotation and shift in one step, as its affine transform has them."""
    image = v2.functional.horizontal_flip(image) if flip else image
    image = v2.functional.pad(image, [16])
    return v2.functional.affine(image, -degrees, list(shift), 1.0, [0.0, 0.0])


def torchvision_tensors(planes, draws):
    each = one_by_one(draws)
    return lambda: torch.stack([torchvision(i, *how) for i, how in zip(planes, each, strict=True)])


def torchvision_pil(planes, draws):
    rows, each = planes.permute(0, 2, 3, 1).contiguous().numpy(), one_by_one(draws)

    def run():
        pairs = zip(rows, each, strict=True)
        return np.stack([torchvision(Image.fromarray(image), *how) for image, how in pairs])

    return run


def of_kornia(planes, draws):
    """In batches, but in float32 and back: it has no other."""
    shift, centre = draws.shift.float(), torch.full((len(planes), 2), 31.5)
    turn = kornia.geometry.get_rotation_matrix2d(
        centre, draws.degrees.float(), torch.ones(len(planes), 2)
    )
    turn[:, :, 2] += shift
    flip = draws.flip[:, None, None, None]

    def run():
        images = torch.where(flip, planes.flip(3), planes)
        canvas = torch.nn.functional.pad(images, [16] * 4).float()
        return kornia.geometry.warp_affine(canvas, turn, (64, 64), mode="nearest").to(torch.uint8)

    return run


def opencv(planes, draws):
    """Turned and put on the canvas in one step."""
    rows = planes.permute(0, 2, 3, 1).contiguous().numpy()
    ways = []
    for degrees, (x, y), flip in one_by_one(draws):
        way = cv2.getRotationMatrix2D((15.5, 15.5), degrees, 1.0)
        way[:, 2] += 16 + x, 16 + y
        ways.append((way, flip))

    def run():
        batch = np.empty((len(rows), 64, 64, 3), np.uint8)
        for place, image, (way, flip) in zip(batch, rows, ways, strict=True):
            image = image[:, ::-1] if flip else image
            cv2.warpAffine(image, way, (64, 64), dst=place, flags=cv2.INTER_NEAREST)
        return batch

    return run


SIDES = {
    "stnlib": stnlib,
    "Pillow": pillow,
    "Pillow, its own images": pillow_images,
    "torchvision, tensors": torchvision_tensors,
    "torchvision, Pillow": torchvision_pil,
    "kornia": of_kornia,
    "OpenCV": opencv,
}


@pytest.mark.parametrize("of", SIDES)
def test_distortion(measure, tiny, of):
    cv2.setNumThreads(1)
    keep_freed_memory()  # as in a training of ours; otherwise page faults are measured, too
    n = 100
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator)
    draws = draw(torch.arange(n), "benchmark", flip=True)
    run = SIDES[of](images, draws)
    same = agreement(run(), distort(images, draws))
    # Pillow's is the paper's procedure; the others round elsewhere.
    assert same == 1 if of.startswith(("stnlib", "Pillow")) else same > 0.999
    measure("distortion", of, run, rounds=500, images=n)


def agreement(result, planes):
    """The share of pixels that are the same, whatever form the result has."""
    if not torch.is_tensor(result):
        result = torch.from_numpy(np.stack([np.asarray(image) for image in result]))
        result = result.permute(0, 3, 1, 2)
    return (result == planes).float().mean().item()
