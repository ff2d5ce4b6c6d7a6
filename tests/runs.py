"""Small trainings, interrupted or not, that several tests make."""

import pytest
import torch

from stnlib.training import epoch, fit, rates


def fresh(config, few):
    """Model and optimiser as a run begins with them."""
    model = fit.make_model(config, few).to(memory_format=torch.channels_last)
    return model, rates.make_optimizer(model, config)


def numbers(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def continued(config, few, path, after, monkeypatch):
    """Train, end abruptly after so many epochs, and go on with objects made anew."""
    real, calls = epoch.train_epoch, []

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) > after:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    model, _ = fresh(config, few)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit, "train_epoch", interrupted)
        fit.fit(model, few, config, path, progress=False)
    model, _ = fresh(config, few)
    return model, fit.fit(model, few, config, path, progress=False)
