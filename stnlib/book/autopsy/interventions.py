"""Interventions: one change to a training that is under way, to see what it alters.

Each takes a `Walk` at the point where it is made and changes the walk's model, optimiser or
configuration, or what it does at each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from stnlib.models.localisation import Scaled
from stnlib.sampler import sample_clipped, sample_native

if TYPE_CHECKING:
    from stnlib.book.autopsy.replay import Walk

__all__ = ["INTERVENTIONS", "Combined", "Unit", "bilinear_uncaught", "clipped_caught"]


def bilinear_uncaught(image: Tensor, grid: Tensor, **how) -> Tensor:
    """PyTorch's sampler's values; no gradient for points that lie outside of the image.

    That cuts the boundary term: the slope of the fade to 0 over the pixel outside.
    """
    inside = (grid.abs() <= 1).all(dim=-1, keepdim=True)
    return sample_native(image, torch.where(inside, grid, grid.detach()), **how)


def clipped_caught(image: Tensor, grid: Tensor, **how) -> Tensor:
    """The historical sampler's values with the gradient of PyTorch's, boundary term included."""
    smooth = sample_native(image, grid, **how)
    return smooth + (sample_clipped(image, grid.detach(), **how) - smooth).detach()


class Unit(nn.Module):
    """Features scaled to a 1-norm of `length`: (N, F) → (N, F)."""

    def __init__(self, length: float) -> None:
        super().__init__()
        self.length = length

    def forward(self, phi: Tensor) -> Tensor:
        return phi * (self.length / phi.abs().sum(dim=1, keepdim=True).clamp_min(1e-6))


class Combined:
    """Two optimisers that step as one, each with its own parameters."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self._optimizers = optimizers

    @property
    def param_groups(self) -> list[dict]:
        return [group for one in self._optimizers for group in one.param_groups]

    def zero_grad(self) -> None:
        for one in self._optimizers:
            one.zero_grad()

    def step(self) -> None:
        for one in self._optimizers:
            one.step()


def _sampled_by(sampler: str | Callable[..., Tensor]) -> Callable[[Walk], None]:
    def change(walk: Walk) -> None:
        walk.model.transformer.sampler = sampler

    return change


def _rates(localisation: float = 1.0, classifier: float = 1.0) -> Callable[[Walk], None]:
    def change(walk: Walk) -> None:
        for group in walk.optimizer.param_groups:
            group["initial_lr"] *= localisation if group["localisation"] else classifier

    return change


def _last_layer_only(walk: Walk) -> None:
    walk.localisation.features.requires_grad_(False)


def _normalised(walk: Walk) -> None:
    length = walk.phi().abs().sum(dim=1).mean().item()
    walk.localisation.features.append(Unit(length))


@torch.no_grad()
def _halved(walk: Walk) -> None:
    """φ halved and its weights doubled: the same function, and the optimiser's memory to match."""
    walk.localisation.features.append(Scaled(0.5))
    weight = walk.localisation.theta.weight
    weight.mul_(2)
    memory = walk.optimizer.state.get(weight)
    if memory:  # before the first step there is none
        memory["exp_avg"].mul_(0.5)
        memory["exp_avg_sq"].mul_(0.25)


def _forget(walk: Walk) -> None:
    for parameter in walk.localisation.parameters():
        walk.optimizer.state.pop(parameter, None)


def _forget_sooner(walk: Walk) -> None:
    """Adam's mean of squares over ten steps instead of a thousand, from the one that it has.

    A gradient that comes after a calm then moves a weight by at most the learning rate, and not
    by several times as much while the mean still holds the calm.
    """
    for group in walk.optimizer.param_groups:
        if group["localisation"]:
            (beta, old), new = group["betas"], 0.9
            group["betas"] = (beta, new)
            for parameter in group["params"]:
                if memory := walk.optimizer.state.get(parameter):
                    t = memory["step"].item()
                    memory["exp_avg_sq"].mul_((1 - new**t) / (1 - old**t))


def _plain_descent(walk: Walk) -> None:
    """SGD for the localisation network, its rate such that θ moves as much as with Adam."""
    groups = {group["localisation"]: group for group in walk.optimizer.param_groups}
    with_adam = walk.trial_steps(walk.optimizer)
    members = list(walk.localisation.parameters())
    descent = torch.optim.SGD(members, lr=1e-5)
    per_rate = walk.trial_steps(descent) / 1e-5
    rate = with_adam / per_rate if per_rate else 0.0
    group = descent.param_groups[0]
    group |= {"lr": rate, "initial_lr": rate, "localisation": True}
    walk.optimizer.param_groups.remove(groups[True])
    walk.optimizer = Combined(walk.optimizer, descent)


def _signs_at_random(walk: Walk) -> None:
    """Each entry of θ's gradient gets a sign of its own at each step, the same for all images."""
    generator = torch.Generator().manual_seed(walk.noise)

    def flip(gradient: Tensor) -> Tensor:
        signs = torch.randint(0, 2, gradient.shape[1:], generator=generator) * 2 - 1
        return gradient * signs.to(gradient)

    def hook(module: nn.Module, inputs: tuple, theta: Tensor) -> None:
        if theta.requires_grad:
            theta.register_hook(flip)

    walk.localisation.theta.register_forward_hook(hook)


def _labels_shuffled(walk: Walk) -> None:
    generator = torch.Generator().manual_seed(walk.noise)
    walk.relabel = lambda labels: labels[torch.randperm(len(labels), generator=generator)]


def _clipped_gradient(walk: Walk) -> None:
    """The localisation network's gradient at most as long as a quarter of the last 50 were."""
    norms = [n for n in walk.recent_norms if math.isfinite(n)]
    limit = torch.tensor(norms).quantile(0.25).item() if norms else 1.0
    walk.config = walk.config.replace(loc_clip=max(limit, 1e-12))


INTERVENTIONS: dict[str, Callable[[Walk], None]] = {
    "none": lambda walk: None,
    "sampler bilinear": _sampled_by("bilinear"),
    "sampler clipped": _sampled_by("clipped"),
    "bilinear, boundary term off": _sampled_by(bilinear_uncaught),
    "clipped, boundary term on": _sampled_by(clipped_caught),
    "locnet rate × 0.1": _rates(localisation=0.1),
    "classifier rate × 0.1": _rates(classifier=0.1),
    "locnet frozen": _rates(localisation=0.0),
    "classifier frozen": _rates(classifier=0.0),
    "last layer only": _last_layer_only,
    "φ normalised": _normalised,
    "φ halved, weights doubled": _halved,
    "Adam's memory reset": _forget,
    "Adam's memory short": _forget_sooner,
    "SGD, steps of θ as large": _plain_descent,
    "signs of θ's gradient at random": _signs_at_random,
    "labels shuffled": _labels_shuffled,
    "locnet gradient clipped": _clipped_gradient,
}
