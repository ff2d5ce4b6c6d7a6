"""The step bound: the most that one step of Adam's can do to θ and to φ."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stnlib.diagnostics import step_bound
from stnlib.models import LOCNETS, LocNet


def images(n=1):
    return torch.rand(n, 1, 40, 40, generator=torch.Generator().manual_seed(0))


def network(seed=0, kind="paper"):
    torch.manual_seed(seed)
    net = LocNet(1, 40, kind=kind)
    nn.init.normal_(net.theta.weight)
    return net


def step(net, images, lr, loss):
    """One step of Adam's on the last two linear layers alone."""
    dense = [layer for layer in net.modules() if isinstance(layer, nn.Linear)][-2]
    members = [*dense.parameters(), *net.theta.parameters()]
    optimizer = torch.optim.Adam(members, lr=lr)
    loss(net(images), net.phi(images)).backward()
    optimizer.step()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-5, 1e-3))
def test_a_step_moves_the_features_no_further_than_their_bound(seed, lr):
    net, one = network(seed), images()
    can = step_bound(net, one, lr)
    before = net.phi(one)
    step(net, one, lr, lambda theta, phi: theta.sum())
    assert (net.phi(one) - before).abs().sum().item() <= can["phi"] * 1.001
    assert before.abs().sum().item() == pytest.approx(can["size"], rel=1e-5)


def test_where_all_weights_agree_a_step_goes_as_far_as_that():
    net, one, lr = network(), images(), 1e-4
    dense = net.features[5]
    can = step_bound(net, one, lr)
    seen = []
    dense.register_forward_hook(lambda layer, given, made: seen.append(made.detach()))
    step(net, one, lr, lambda theta, phi: -net.features[:6](one).sum())  # as if all were alive
    net.phi(one)
    moved = (seen[-1] - seen[0]).sum().item()
    assert moved == pytest.approx(can["phi"], rel=1e-3)


def test_in_double_precision_the_size_is_that_of_the_features_to_the_last_digits():
    net, some = network().double(), images(3).double()
    size = net.phi(some).abs().sum(dim=1).mean().item()
    assert step_bound(net, some, 1e-3)["size"] == pytest.approx(size, rel=1e-13)


def test_theta_moves_by_the_rate_times_the_features_at_most():
    net, one, lr = network(), images(), 1e-4
    can, phi = step_bound(net, one, lr), net.phi(one)
    theta = net.theta(phi)
    with torch.no_grad():
        net.theta.weight.add_(lr)
        net.theta.bias.add_(lr)
    torch.testing.assert_close(net.theta(phi) - theta, torch.full_like(theta, can["theta"]))


@pytest.mark.parametrize("kind", [kind for kind in LOCNETS if kind != "shared"])
def test_every_kind_has_a_bound_in_proportion_to_its_rate(kind):
    slow, fast = (step_bound(network(kind=kind), images(3), lr) for lr in (1e-3, 1e-2))
    assert fast["phi"] == pytest.approx(10 * slow["phi"]) and fast["size"] == slow["size"]


def test_a_network_of_someone_elses_has_one_too():
    head = nn.Sequential(nn.Flatten(), nn.Linear(1600, 32), nn.ReLU(), nn.Linear(32, 6))
    assert step_bound(head, images(), 0.01)["phi"] == pytest.approx(
        32 * 0.01 * (1 + images().sum().item()), rel=1e-5
    )
    assert not any(layer._forward_pre_hooks for layer in head.modules())


def test_one_linear_layer_is_refused():
    with pytest.raises(ValueError, match="needs two linear layers, this has 1"):
        step_bound(nn.Sequential(nn.Flatten(), nn.Linear(1600, 6)), images(), 0.01)
