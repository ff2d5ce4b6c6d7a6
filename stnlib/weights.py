"""The transformers that records keep: localisation networks in safetensors files."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch

from stnlib import records
from stnlib.config import RunConfig
from stnlib.models import STN, SpatialTransformer, build

__all__ = ["kept", "localisation_weights", "transformer"]


def localisation_weights(model: STN) -> bytes:
    """The localisation network's state, with the layers that it shares, as safetensors."""
    localisation = model.transformer.localisation
    state = localisation.state_dict() | localisation.shared.state_dict(prefix="shared.")
    return safetensors.torch.save({name: value.cpu().contiguous() for name, value in state.items()})


def kept(config: RunConfig) -> Path | None:
    """Where the weights of a configuration lie, in whichever study and folder, or None."""
    pattern = f"*/{config.key}.safetensors"
    return next((p for folder in records.folders() for p in sorted(folder.glob(pattern))), None)


def transformer(config: RunConfig, channels: int, size: int) -> SpatialTransformer:
    """The trained spatial transformer of a recorded STN.

    Parameters
    ----------
    channels, size : of the images that it was trained on, size in pixels.

    Raises
    ------
    RecordError
        When no weights were kept for this configuration.
    """
    weights = kept(config)
    if weights is None:
        raise records.RecordError(f"no weights are kept for {config.changed()}: train it anew")
    model = build(config.model, channels, size, 10, **config.network)
    localisation, state = model.transformer.localisation, safetensors.torch.load_file(weights)
    shared = {name: state.pop(f"shared.{name}") for name in localisation.shared.state_dict()}
    localisation.load_state_dict(state)
    localisation.shared.load_state_dict(shared)
    return model.transformer.eval()
