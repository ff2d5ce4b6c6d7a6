"""Under DDP, on two processes, a monitor's verdict is shared and replicas stay equal."""

import warnings
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn

from stnlib.diagnostics import CollapseMonitor
from stnlib.models import SpatialTransformer


def make(ours):
    """A network whose transformer runs away at the rate of these trainings."""
    torch.manual_seed(0)
    loc = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 6))
    nn.init.zeros_(loc[3].weight)
    loc[3].bias.data.copy_(torch.eye(2, 3).flatten())
    if ours:
        return nn.Sequential(SpatialTransformer(loc), nn.Flatten(), nn.Linear(64, 3))
    return HandMade(loc)


class HandMade(nn.Module):
    def __init__(self, loc):
        super().__init__()
        self.loc, self.out = loc, nn.Linear(64, 3)

    def forward(self, images):
        theta = self.loc(images).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return self.out(F.grid_sample(images, grid, align_corners=False).flatten(1))


CASES = [(ours, action) for ours in (False, True) for action in (None, "warn", "lower", "rollback")]


def work(rank, file, folder):
    """Train each case on the same weights, each rank with images of its own."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", rank=rank, world_size=2, init_method=f"file://{file}")
    found = []
    for ours, action in CASES:
        net = nn.parallel.DistributedDataParallel(make(ours))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        options = {"on_collapse": action, "snapshot_every": 3}
        monitor = CollapseMonitor(net, optimizer, **options) if action else None
        draw = torch.Generator().manual_seed(rank)
        for _ in range(12):
            images = torch.rand(8, 1, 8, 8, generator=draw) * (1 if rank else 0.3)
            loss = F.cross_entropy(net(images), torch.randint(3, (8,), generator=draw))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if monitor:
                monitor.step(loss)
        weights = torch.cat([p.detach().flatten() for p in net.parameters()])
        found.append((weights, monitor.trace.events if monitor else []))
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(work, (folder / "meet", folder), nprocs=2)
    return [dict(zip(CASES, torch.load(folder / f"{n}.pt"), strict=True)) for n in (0, 1)]


@pytest.mark.parametrize("case", CASES)
def test_replicas_stay_equal_and_the_verdict_is_shared(ranks, case):
    (weights, events), (other, others) = (rank[case] for rank in ranks)
    assert torch.equal(weights, other) and weights.isfinite().all()
    assert events == others and bool(events) == (case[1] is not None)


@pytest.mark.parametrize("ours", [False, True])
def test_a_monitor_that_only_warns_leaves_every_weight_as_it_is_without(ranks, ours):
    assert torch.equal(ranks[0][ours, None][0], ranks[0][ours, "warn"][0])
    assert not torch.equal(ranks[0][ours, None][0], ranks[0][ours, "lower"][0])


def ask_alone(rank, file, folder):
    """The first of two ranks asks its monitor for everything while looks wait to be judged."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group(
        *("gloo", f"file://{file}"), rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    net = nn.parallel.DistributedDataParallel(make(True))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    monitor = CollapseMonitor(net, optimizer, check_every=4)
    draw, lengths = torch.Generator().manual_seed(rank), []
    for n in range(12):
        loss = F.cross_entropy(net(torch.rand(8, 1, 8, 8, generator=draw)), torch.arange(8) % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        monitor.step(loss)
        if rank == 0 and n == 5:
            told = (monitor.to_frame(), monitor.state_dict()["traces"][0]["columns"]["loss"])
            lengths = [*map(len, told), "at step 4" in monitor.summary()]
            monitor.plot()
            monitor.save(f"{folder}/trace.npz")
            monitor.report(f"{folder}/report.html")
    monitor.detach()
    torch.save((lengths, monitor.trace.columns["coverage"]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_one_rank_alone_can_ask_what_was_judged_while_looks_wait(tmp_path):
    mp.spawn(ask_alone, (tmp_path / "meet", tmp_path), nprocs=2)
    (lengths, first), (_, second) = (torch.load(tmp_path / f"{n}.pt") for n in (0, 1))
    assert lengths == [4, 4, True]
    assert len(first) == 12 and first == second
