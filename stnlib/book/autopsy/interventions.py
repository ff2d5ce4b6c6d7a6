"""Interventions: one change to a training that is under way, to see what it alters.

Each takes a `Replay` at the point where it is made and changes the replay's model, optimiser or
configuration, or what it does at each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from stnlib.models.localisation import Scaled
from stnlib.sampler import sample_clipped, sample_native

if TYPE_CHECKING:
    from stnlib.book.autopsy.replay import Replay

__all__ = ["IDS", "INTERVENTIONS", "Intervention", "bilinear_uncaught", "clipped_caught"]


def bilinear_uncaught(image: Tensor, grid: Tensor, **how: Any) -> Tensor:
    """PyTorch's sampler's values; no gradient for points that lie outside of the image.

    That cuts the boundary term: the slope of the fade to 0 over the pixel outside.

    Convention: see `stnlib.sampler`.

    Parameters
    ----------
    image, grid : Tensor
        (N, C, H, W) and (N, h, w, 2).
    **how : Any
        As for `stnlib.sampler.sample_native`.

    Returns
    -------
    Tensor
        (N, C, h, w).
    """
    inside = (grid.abs() <= 1).all(dim=-1, keepdim=True)
    return sample_native(image, torch.where(inside, grid, grid.detach()), **how)


def clipped_caught(image: Tensor, grid: Tensor, **how: Any) -> Tensor:
    """The historical sampler's values with the gradient of PyTorch's, boundary term included.

    Convention: see `stnlib.sampler`.

    Parameters
    ----------
    image, grid : Tensor
        (N, C, H, W) and (N, h, w, 2).
    **how : Any
        As for `stnlib.sampler.sample_clipped`.

    Returns
    -------
    Tensor
        (N, C, h, w).
    """
    smooth = sample_native(image, grid, **how)
    return smooth + (sample_clipped(image, grid.detach(), **how) - smooth).detach()


class _Unit(nn.Module):
    """Features scaled to a 1-norm of `length`: (N, F) → (N, F)."""

    def __init__(self, length: float) -> None:
        super().__init__()
        self.length = length

    def forward(self, phi: Tensor) -> Tensor:
        return phi * (self.length / phi.abs().sum(dim=1, keepdim=True).clamp_min(1e-6))


class _Combined:
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


def _sampled_by(sampler: str | Callable[..., Tensor]) -> Callable[[Replay], None]:
    def change(replay: Replay) -> None:
        replay.model.transformer.sampler = sampler

    return change


def _rates(localisation: float = 1.0, classifier: float = 1.0) -> Callable[[Replay], None]:
    def change(replay: Replay) -> None:
        for group in replay.optimizer.param_groups:
            group["initial_lr"] *= localisation if group["localisation"] else classifier

    return change


def _last_layer_only(replay: Replay) -> None:
    replay.localisation.features.requires_grad_(False)


def _normalised(replay: Replay) -> None:
    length = replay.phi().abs().sum(dim=1).mean().item()
    replay.localisation.features.append(_Unit(length))


@torch.no_grad()
def _halved(replay: Replay) -> None:
    """φ halved and its weights doubled: the same function, and the optimiser's memory to match."""
    replay.localisation.features.append(Scaled(0.5))
    weight = replay.localisation.theta.weight
    weight.mul_(2)
    memory = replay.optimizer.state.get(weight)
    if memory:  # before the first step there is none
        memory["exp_avg"].mul_(0.5)
        memory["exp_avg_sq"].mul_(0.25)


def _forget(replay: Replay) -> None:
    for parameter in replay.localisation.parameters():
        replay.optimizer.state.pop(parameter, None)


def _forget_sooner(replay: Replay) -> None:
    """Adam's mean of squares over ten steps instead of a thousand, from the one that it has.

    A gradient that comes after a calm then moves a weight by at most the learning rate, and not
    by several times as much while the mean still holds the calm.
    """
    for group in replay.optimizer.param_groups:
        if group["localisation"]:
            (beta, old), new = group["betas"], 0.9
            group["betas"] = (beta, new)
            for parameter in group["params"]:
                if memory := replay.optimizer.state.get(parameter):
                    t = memory["step"].item()
                    memory["exp_avg_sq"].mul_((1 - new**t) / (1 - old**t))


def _plain_descent(replay: Replay) -> None:
    """SGD for the localisation network, its rate such that θ moves as much as with Adam."""
    groups = {group["localisation"]: group for group in replay.optimizer.param_groups}
    with_adam = replay.trial_steps(replay.optimizer)
    members = list(replay.localisation.parameters())
    descent = torch.optim.SGD(members, lr=1e-5)
    per_rate = replay.trial_steps(descent) / 1e-5
    rate = with_adam / per_rate if per_rate else 0.0
    group = descent.param_groups[0]
    group |= {"lr": rate, "initial_lr": rate, "localisation": True}
    replay.optimizer.param_groups.remove(groups[True])
    replay.optimizer = _Combined(replay.optimizer, descent)


def _signs_at_random(replay: Replay) -> None:
    """Each entry of θ's gradient gets a sign of its own at each step, the same for all images."""
    generator = torch.Generator().manual_seed(replay.noise)

    def flip(gradient: Tensor) -> Tensor:
        signs = torch.randint(0, 2, gradient.shape[1:], generator=generator) * 2 - 1
        return gradient * signs.to(gradient)

    def hook(module: nn.Module, inputs: tuple, theta: Tensor) -> None:
        if theta.requires_grad:
            theta.register_hook(flip)

    replay.localisation.theta.register_forward_hook(hook)


def _labels_shuffled(replay: Replay) -> None:
    generator = torch.Generator().manual_seed(replay.noise)
    replay.relabel = lambda labels: labels[torch.randperm(len(labels), generator=generator)]


def _clipped_gradient(replay: Replay) -> None:
    """The localisation network's gradient at most as long as a quarter of the last 50 were."""
    norms = [n for n in replay.recent_norms if math.isfinite(n)]
    limit = torch.tensor(norms).quantile(0.25).item() if norms else 1.0
    replay.config = replay.config.replace(loc_clip=max(limit, 1e-12))


class Intervention(NamedTuple):
    """A change.

    Parameters
    ----------
    label : str
        The words that study files and observations have for it.
    apply : Callable[[Replay], None]
        Makes it.
    """

    label: str
    apply: Callable[[Replay], None]


#: by an id, which `stnlib.book.remedies` shares where a configuration asks for the same
INTERVENTIONS = {
    "none": Intervention("none", lambda replay: None),
    "sampler_bilinear": Intervention("sampler bilinear", _sampled_by("bilinear")),
    "sampler_clipped": Intervention("sampler clipped", _sampled_by("clipped")),
    "bilinear_no_boundary": Intervention(
        "bilinear, boundary term off", _sampled_by(bilinear_uncaught)
    ),
    "clipped_boundary": Intervention("clipped, boundary term on", _sampled_by(clipped_caught)),
    "loc_lr_x0.1": Intervention("locnet rate × 0.1", _rates(localisation=0.1)),
    "classifier_lr_x0.1": Intervention("classifier rate × 0.1", _rates(classifier=0.1)),
    "loc_lr_x0": Intervention("locnet frozen", _rates(localisation=0.0)),
    "classifier_lr_x0": Intervention("classifier frozen", _rates(classifier=0.0)),
    "last_layer_only": Intervention("last layer only", _last_layer_only),
    "phi_normalised": Intervention("φ normalised", _normalised),
    "phi_halved_weights_doubled": Intervention("φ halved, weights doubled", _halved),
    "adam_reset": Intervention("Adam's memory reset", _forget),
    "loc_beta2_0.9": Intervention("Adam's memory short", _forget_sooner),
    "loc_sgd": Intervention("SGD, steps of θ as large", _plain_descent),
    "random_signs": Intervention("signs of θ's gradient at random", _signs_at_random),
    "labels_shuffled": Intervention("labels shuffled", _labels_shuffled),
    "loc_clipped": Intervention("locnet gradient clipped", _clipped_gradient),
}
IDS = {one.label: name for name, one in INTERVENTIONS.items()}
