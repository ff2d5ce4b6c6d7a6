"""The callbacks for Lightning and Hugging Face's Trainer, in trainings by the real libraries."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from stnlib.diagnostics import CollapseMonitor, CollapseWarning, Criteria

# The frameworks' own advice, such as to use more workers.
pytestmark = pytest.mark.filterwarnings("ignore:(?!step |.* number ):Warning")

SIDE, CLASSES, RATE = 12, 3, 1e-4
EVERYTHING = Criteria(step=1e-30)  # is a collapse


class Network(nn.Module):
    """A transformer with a grid by PyTorch, before a linear classifier."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.loc = nn.Linear(SIDE * SIDE, 6)
        self.loc.weight.data.mul_(0.1)
        self.loc.bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
        self.head = nn.Linear(SIDE * SIDE, CLASSES)

    def forward(self, images):
        theta = self.loc(images.flatten(1)).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return self.head(F.grid_sample(images, grid, align_corners=False).flatten(1))


def data(batches, size=4):
    """Images and labels."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(batches * size, 1, SIDE, SIDE, generator=generator)
    labels = torch.randint(CLASSES, (batches * size,), generator=generator)
    return images, labels


def by_hand(batches, accumulate=1, epochs=1):
    """What a monitor records in a plain loop of SGD over the same data."""
    images, labels = data(batches)
    network = Network()
    optimizer = torch.optim.SGD(network.parameters(), RATE)
    with CollapseMonitor(network, optimizer) as monitor:
        for _ in range(epochs):
            for i in range(batches):
                part = slice(4 * i, 4 * i + 4)
                loss = F.cross_entropy(network(images[part]), labels[part])
                (loss / accumulate).backward()
                if (i + 1) % accumulate == 0:
                    optimizer.step()
                    monitor.step(loss)
                    optimizer.zero_grad()
    return monitor.trace


def same(trace, expected, *names):
    """Compare columns of two traces."""
    for name in names or ("coverage", "step", "corner_spread", "loc_grad", "rest_grad"):
        assert trace.columns[name] == pytest.approx(expected.columns[name], rel=1e-4), name
    assert trace.columns["step_number"] == expected.columns["step_number"]


@pytest.fixture
def kit(tmp_path):
    """A function that trains with Lightning, and what it needs."""
    reason = "needs lightning, of the dependency group frameworks"
    pl = pytest.importorskip("lightning.pytorch", reason=reason)
    from stnlib.diagnostics.lightning_callback import CollapseCallback

    class Module(pl.LightningModule):
        """Its training_step calls the network, so that the module's own forward never runs."""

        def __init__(self, overflows=None):
            super().__init__()
            self.network, self.overflows = Network(), overflows

        def training_step(self, batch, number):
            loss = F.cross_entropy(self.network(batch[0]), batch[1])
            return loss * 1e38 if number == self.overflows else loss

        def validation_step(self, batch, _):
            self.log("seen", self.network(batch[0]).mean())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), RATE)

    def fit(callback, module=None, resume=None, **options):
        loader = DataLoader(TensorDataset(*data(6)), batch_size=4)
        trainer = pl.Trainer(
            accelerator="cpu",
            callbacks=[callback],
            default_root_dir=tmp_path,
            enable_progress_bar=False,
            enable_model_summary=False,
            **{"max_epochs": 1, "logger": False, "enable_checkpointing": False} | options,
        )
        trainer.fit(module or Module(), loader, loader, ckpt_path=resume)
        return trainer

    return SimpleNamespace(fit=fit, Module=Module, Callback=CollapseCallback, plugins=pl.plugins)


def test_lightning_records_what_a_plain_loop_does_and_no_validation(kit):
    watch = kit.Callback()
    kit.fit(watch, max_epochs=2, val_check_interval=2)
    expected = by_hand(6, epochs=2)
    same(watch.monitor.trace, expected)
    same(watch.monitor.trace, expected, "loss")


def test_with_lightnings_accumulation_a_look_belongs_to_a_step_of_the_optimiser(kit):
    watch = kit.Callback()
    kit.fit(watch, accumulate_grad_batches=3)
    assert watch.monitor.steps == 2
    expected = by_hand(6, accumulate=3)
    same(watch.monitor.trace, expected)
    same(watch.monitor.trace, expected, "loss")


def test_a_step_that_lightnings_scaler_skips_is_no_look(kit):
    scaler = torch.amp.GradScaler("cpu", init_scale=8)
    half = kit.plugins.MixedPrecision("16-mixed", "cpu", scaler=scaler)
    watch = kit.Callback()
    kit.fit(watch, kit.Module(overflows=2), plugins=[half])
    assert scaler.get_scale() < 8  # it has skipped
    assert watch.monitor.steps == 5
    assert min(watch.monitor.trace.columns["step"]) > 0


def test_lightning_goes_on_from_a_checkpoint_as_if_it_had_not_ended(kit, tmp_path):
    whole, part = kit.Callback(), kit.Callback()
    kit.fit(whole, max_epochs=2)
    trainer = kit.fit(part)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    again = kit.Callback()
    kit.fit(again, max_epochs=2, resume=tmp_path / "half.ckpt")
    assert again.monitor.steps == whole.monitor.steps == 12
    same(again.monitor.trace, whole.monitor.trace)


def test_lightning_ends_a_training_at_a_collapse_where_it_shall_stop(kit):
    watch = kit.Callback(on_collapse="stop", criteria=EVERYTHING)
    with pytest.warns(CollapseWarning, match="θ moves by"):
        trainer = kit.fit(watch)
    assert watch.monitor.steps == 1 == trainer.global_step
    assert watch.monitor.collapse.kind == "runaway"


def test_an_error_of_a_function_reaches_the_caller_of_fit_and_leaves_no_hook(kit):
    def fail(collapse):
        raise KeyError(collapse.kind)

    module = kit.Module()
    watch = kit.Callback(on_collapse=fail, criteria=EVERYTHING)
    with pytest.warns(CollapseWarning), pytest.raises(KeyError, match="runaway"):
        kit.fit(watch, module)
    CollapseMonitor(module).detach()  # would be refused beside another


def test_lightnings_loggers_get_the_numbers_of_the_steps_that_they_ask_for(kit, tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    watch = kit.Callback(every=1)
    kit.fit(watch, logger=CSVLogger(tmp_path, "log", "0"), log_every_n_steps=2)
    lines = (tmp_path / "log" / "0" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    head = lines[0].split(",")
    place, step = head.index("stn/sampler_0/coverage"), head.index("step")
    logged = {int(x[step]): float(x[place]) for line in lines[1:] if (x := line.split(","))[place]}
    coverage = watch.monitor.trace.columns["coverage"]
    assert logged == pytest.approx({step: coverage[step - 1] for step in (2, 4, 6)})


# Hugging Face


class Items(Dataset):
    """The same data as dicts."""

    def __init__(self, batches):
        self.images, self.labels = data(batches)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return {"pixel_values": self.images[i], "labels": self.labels[i]}


class WithLoss(nn.Module):
    """What the Trainer takes for a model."""

    def __init__(self, overflows=None):
        super().__init__()
        self.network, self.overflows, self.calls = Network(), overflows, 0

    def forward(self, pixel_values, labels):
        logits = self.network(pixel_values)
        loss = F.cross_entropy(logits, labels)
        self.calls += 1
        return {"loss": loss * 1e38 if self.calls - 1 == self.overflows else loss, "logits": logits}


@pytest.fixture
def hugging(tmp_path):
    """A function that trains with the Trainer, in the data's order; and our callback."""
    for module in ("accelerate", "transformers"):
        reason = f"needs {module}, of the dependency group frameworks"
        hf = pytest.importorskip(module, reason=reason)
    from stnlib.diagnostics.trainer_callback import CollapseTrainerCallback

    class InOrder(hf.Trainer):
        def _get_train_sampler(self, *_):
            return None

    def train(callback, model=None, scaler=None, resume=None, **options):
        model = model or WithLoss()
        usual = {"save_strategy": "no", "num_train_epochs": 1, "max_grad_norm": 0}
        arguments = hf.TrainingArguments(
            output_dir=str(tmp_path / "out"),
            per_device_train_batch_size=4,
            per_device_eval_batch_size=4,
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            lr_scheduler_type="constant",
            **usual | options,
        )
        trainer = InOrder(
            model,
            arguments,
            train_dataset=Items(6),
            eval_dataset=Items(2),
            optimizers=(torch.optim.SGD(model.parameters(), RATE), None),
            callbacks=[callback],
        )
        trainer.accelerator.scaler = scaler  # accelerate has one on a GPU only
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return train, CollapseTrainerCallback


def test_the_trainer_records_what_a_plain_loop_does_and_no_evaluation(hugging):
    train, Callback = hugging
    watch = Callback()
    train(watch, num_train_epochs=2, eval_strategy="steps", eval_steps=2)
    same(watch.monitor.trace, by_hand(6, epochs=2))
    assert all(map(math.isnan, watch.monitor.trace.columns["loss"]))


def test_with_the_trainers_accumulation_a_look_belongs_to_a_step_of_the_optimiser(hugging):
    train, Callback = hugging
    watch = Callback()
    train(watch, gradient_accumulation_steps=3)
    assert watch.monitor.steps == 2
    same(watch.monitor.trace, by_hand(6, accumulate=3))


def test_a_step_that_the_trainers_scaler_skips_is_no_look(hugging):
    train, Callback = hugging
    watch = Callback()
    scaler = torch.amp.GradScaler("cpu", init_scale=8)
    train(watch, WithLoss(overflows=2), scaler)
    assert scaler.get_scale() < 8  # it has skipped
    assert watch.monitor.steps == 5
    assert min(watch.monitor.trace.columns["step"]) > 0


def test_the_trainer_goes_on_from_a_checkpoint_as_if_it_had_not_ended(hugging, tmp_path):
    train, Callback = hugging
    whole, again = Callback(), Callback()
    saving = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 5}
    train(whole, **saving)
    train(again, **saving, resume=str(tmp_path / "out" / "checkpoint-5"))
    assert again.monitor is not whole.monitor and again.monitor.steps == 12
    same(again.monitor.trace, whole.monitor.trace)


def test_the_trainer_ends_a_training_at_a_collapse_where_it_shall_stop(hugging):
    train, Callback = hugging
    watch = Callback(on_collapse="stop", criteria=EVERYTHING)
    with pytest.warns(CollapseWarning, match="θ moves by"):
        trainer = train(watch)
    assert watch.monitor.steps == 1 == trainer.state.global_step


def test_the_trainers_callback_logs_to_a_function(hugging):
    train, Callback = hugging
    rows = []
    watch = Callback(every=1, log_to=rows.append)
    train(watch)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    coverage = [row["stn/sampler_0/coverage"] for row in rows]
    assert coverage == watch.monitor.trace.columns["coverage"]


def test_where_several_processes_train_the_trainers_callback_may_only_warn(hugging):
    _, Callback = hugging

    class Several:
        world_size = 2

    with pytest.raises(ValueError, match="on_collapse must be warn where several processes"):
        Callback(on_collapse="rollback").on_train_begin(Several(), None, None, Network(), None)
