"""Small trainings, interrupted or not, that several tests make."""

import pytest
import torch

from stnlib.training import fit, rates
from stnlib.training.loop import Training, make_model


def fresh(config, few):
    """Model and optimiser as a run begins with them."""
    model = make_model(config, few).to(memory_format=torch.channels_last)
    return model, rates.make_optimizer(model, config)


def numbers(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def train_epoch(model, optimizer, data, config, epoch=1, *on_step):
    """Train for one epoch of the training, as if it were its so manyth."""
    training = Training(config, data, model)
    training.optimizer = optimizer
    training.taken = (epoch - 1) * training.steps_per_epoch
    return training.epoch(*on_step)


def interrupting(patch, epoch, error=KeyboardInterrupt):
    """Let trainings fail at the beginning of an epoch, counted from 1."""
    real = Training.epoch

    def interrupted(training, *on_step):
        if training.taken // training.steps_per_epoch + 1 == epoch:
            raise error
        return real(training, *on_step)

    patch.setattr(Training, "epoch", interrupted)


def continued(config, few, path, after, monkeypatch):
    """Train, end abruptly after so many epochs, and go on with objects made anew."""
    model, _ = fresh(config, few)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupting(patch, after + 1)
        fit.fit(model, few, config, path, progress=False)
    model, _ = fresh(config, few)
    return model, fit.fit(model, few, config, path, progress=False)
