"""What a deterministic backward pass of the sampler costs on a GPU, beside PyTorch's own.

python benchmarks/deterministic.py     writes benchmarks/deterministic.json for the questions page

Needs a GPU that does nothing else.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # the switch asks for it

import torch
import torch.nn.functional as F

from stnlib.sampler import sample
from stnlib.transforms import family

SHAPES = ((1, 40), (3, 64), (64, 32), (16, 128))  # channels and side, in batches of 100
AFFINE = family("affine")


def pytorch(image, grid):
    """PyTorch's own, with the book's convention."""
    return F.grid_sample(image, grid, align_corners=True)


def step(sampler, image, theta):
    """Grid and sampling, forward and backward, to image and θ."""
    theta.grad = image.grad = None
    grid = AFFINE.grid(theta, tuple(image.shape[-2:]))
    sampler(image, grid).square().sum().backward()


def milliseconds(sampler, image, theta, times=50):
    """Of one step, as the GPU's own clock has it."""
    for _ in range(5):
        step(sampler, image, theta)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    for _ in range(times):
        step(sampler, image, theta)
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / times


def same_twice(image, theta):
    """Whether two passes give the same gradients, bit for bit."""
    passes = []
    for _ in range(2):
        step(sample, image, theta)
        passes.append((image.grad.clone(), theta.grad.clone()))
    return all(torch.equal(one, other) for one, other in zip(*passes, strict=True))


def measured(channels, side):
    """The least of three measurements of each, in milliseconds."""
    image = torch.rand(100, channels, side, side, device="cuda", requires_grad=True)
    theta = torch.eye(2, 3).flatten() + 0.05 * torch.randn(100, 6)
    theta = theta.cuda().requires_grad_()
    times = {"pytorch": [], "sample": [], "sample, deterministic": []}
    for _ in range(3):
        times["pytorch"].append(milliseconds(pytorch, image, theta))
        times["sample"].append(milliseconds(sample, image, theta))
        torch.use_deterministic_algorithms(True)
        times["sample, deterministic"].append(milliseconds(sample, image, theta))
        same = same_twice(image, theta)
        torch.use_deterministic_algorithms(False)
    return {name: round(min(some), 2) for name, some in times.items()} | {"same": same}


def main():
    """Measure, print and write the results."""
    rows = {f"{channels} x {side}": measured(channels, side) for channels, side in SHAPES}
    origin = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    print(text := json.dumps({"milliseconds": rows} | origin, indent=1))
    Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
