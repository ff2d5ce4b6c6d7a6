"""A training by `stnlib` is, number for number, what plain NumPy makes of the papers' equations."""

import numpy as np
import pytest
import torch
import witness

from stnlib.data.catalogue import load
from stnlib.models import build
from stnlib.training.config import RunConfig
from stnlib.training.loop import train_step
from stnlib.training.rates import make_optimizer

NAMES = {  # stnlib's, and the witness's
    "transformer.localisation.features.1": "loc.conv1",
    "transformer.localisation.features.3": "loc.conv2",
    "transformer.localisation.features.5": "loc.hidden",
    "transformer.localisation.theta": "loc.theta",
    "classifier.features.0": "conv1",
    "classifier.features.3": "conv2",
    "classifier.head.0": "hidden",
    "classifier.head.3": "scores",
}
STEPS, BATCH = 20, 16


def witness_name(name):
    module, _, kind = name.rpartition(".")
    return f"{NAMES[module]}.{kind}"


@pytest.mark.parametrize("sampler", ["bilinear", "clipped"])
def test_twenty_steps_are_those_of_an_independent_implementation(sampler):
    torch.manual_seed(0)
    model = build("stn", 1, 40, 10, sampler=sampler).double()
    # Not the identity itself: on a pixel's centre the slope is that of either side.
    off = torch.tensor([-0.13, 0.02, 0.017, -0.03, -0.11, -0.023], dtype=torch.float64)
    with torch.no_grad():
        model.transformer.localisation.theta.bias.add_(off)
    config = RunConfig(data="digits", sampler=sampler, optimizer="keras_adam", lr=1e-3)
    optimizer = make_optimizer(model, config)
    weights = {witness_name(n): p.detach().numpy().copy() for n, p in model.named_parameters()}
    assert len(weights) == 16
    adam = witness.Adam(weights)
    read = {"bilinear": witness.read_bilinear, "clipped": witness.read_clipped}[sampler]
    train = load("digits").train
    thetas = []
    model.transformer.localisation.register_forward_hook(lambda *a: thetas.append(a[2].detach()))
    for step in range(STEPS):
        batch = train.take(slice(step * BATCH, (step + 1) * BATCH))
        images = batch.images.double() / 255
        loss, grads, theta = witness.loss_and_gradients(
            weights, images.numpy(), batch.labels.numpy(), read
        )
        ours, _, _ = train_step(model, optimizer, images, batch.labels, config)
        assert ours.item() == pytest.approx(loss, abs=1e-9)
        np.testing.assert_allclose(thetas.pop().numpy(), theta, rtol=0, atol=1e-9)
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(
                parameter.grad.numpy(), grads[witness_name(name)], rtol=0, atol=1e-9
            )
        adam.step(grads)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(
            parameter.detach().numpy(), weights[witness_name(name)], rtol=0, atol=1e-9
        )
