"""The transformers that records keep: localisation networks in safetensors files."""

from __future__ import annotations

import safetensors.torch

from stnlib import records
from stnlib.config import RunConfig
from stnlib.models import STN, SpatialTransformer, build

__all__ = ["localisation_weights", "transformer"]


def localisation_weights(model: STN) -> bytes:
    """The localisation network's state as safetensors."""
    state = model.transformer.localisation.state_dict()
    return safetensors.torch.save({name: value.cpu().contiguous() for name, value in state.items()})


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
    path = records.locate(config)
    weights = records.weights_path(path) if path else None
    if weights is None or not weights.is_file():
        raise records.RecordError(f"no weights are kept for {config.changed()}: train it anew")
    names = ("transform", "padding", "sampler", "classifier")
    options = {name: getattr(config, name) for name in names}
    model = build(config.model, channels, size, 10, output_size=config.output_size, **options)
    model.transformer.localisation.load_state_dict(safetensors.torch.load_file(weights))
    return model.transformer.eval()
