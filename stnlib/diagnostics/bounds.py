"""How far one step of Adam's can move a transformer: known before the first step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stnlib.checks.tensors import at_least_float32, check_fits, check_images, check_module
from stnlib.checks.values import number, require

__all__ = ["step_bound"]


@torch.no_grad()
def step_bound(localisation: nn.Module, images: Tensor, lr: float) -> dict[str, float]:
    """How far one step of Adam's can move θ, and the features φ that θ is made of.

    Adam moves a weight by about its learning rate, however small the gradient (Kingma and Ba,
    2015, Section 2.1). The layer that makes θ = Wφ + b then moves an entry of θ by up to
    lr (1 + ‖φ‖₁); and the dense layer before it, which makes φ of h, moves each feature by up to
    lr (1 + ‖h‖₁), all of them at once.

    Parameters
    ----------
    localisation : nn.Module
        Any whose last two `nn.Linear` make φ and θ.
    images : Tensor
        (N, C, H, W), floating point, as it is given them.
    lr : float
        Its own learning rate, 0 or more.

    Returns
    -------
    dict[str, float]
        Means over images: `theta`, lr (1 + ‖φ‖₁), in half image sides; `phi`, n lr (1 + ‖h‖₁) for
        n features, the most by which ‖φ‖₁ can change; and `size`, ‖φ‖₁ itself.

    Raises
    ------
    TypeError, ValueError
        When there are not two linear layers that run, or an argument is not one of the allowed.

    Convention
    ----------
    θ is in normalised coordinates, in which an image is [-1, 1] both ways: 1 is half a side.
    """
    check_module("localisation", localisation)
    check_images("images", images)
    require("lr", lr, number(least=0))
    layers = [layer for layer in localisation.modules() if isinstance(layer, nn.Linear)]
    if len(layers) < 2:
        raise ValueError(f"a localisation network needs two linear layers, this has {len(layers)}")
    check_fits(images, layers[-1].weight)
    sums: dict[nn.Module, float] = {}

    def keep(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        sums[layer] = at_least_float32(inputs[0]).abs().sum(dim=1).mean().item()

    hooks = [layer.register_forward_pre_hook(keep) for layer in layers[-2:]]
    try:
        localisation(images)
    finally:
        for hook in hooks:
            hook.remove()
    hidden, last = layers[-2:]
    if len(sums) < 2:
        raise ValueError("a localisation network must run its last two linear layers on images")
    return {
        "theta": lr * (1 + sums[last]),
        "phi": hidden.out_features * lr * (1 + sums[hidden]),
        "size": sums[last],
    }
