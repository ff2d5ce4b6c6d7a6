"""The transformers that records keep: localisation networks in safetensors files."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import safetensors.torch
import torch
from torch import Tensor, nn

from stnlib.models import STN, LocNet, SpatialTransformer, build
from stnlib.records import sealed, store
from stnlib.training.config import RunConfig

__all__ = ["kept", "localisation_weights", "transformer"]


def localisation_weights(model: STN) -> bytes:
    """The localisation network's state, with the layers that it shares, as safetensors."""
    state = _state(model.transformer.localisation)
    return safetensors.torch.save({name: value.cpu().contiguous() for name, value in state.items()})


def _state(localisation: nn.Module) -> dict[str, Tensor]:
    return localisation.state_dict() | _shared(localisation).state_dict(prefix="shared.")


def _shared(localisation: nn.Module) -> nn.Module:
    """The classifier's layers that a localisation network reads; of another kind, none."""
    return localisation.shared if isinstance(localisation, LocNet) else nn.Sequential()


def kept(config: RunConfig) -> Path | None:
    """Where the weights of a configuration lie, in whichever study and folder, or None."""
    pattern = f"*/{config.key}.safetensors"
    return next((p for folder in store.folders() for p in sorted(folder.glob(pattern))), None)


def transformer(config: RunConfig, channels: int, size: int) -> SpatialTransformer:
    """The trained spatial transformer of a recorded STN.

    Parameters
    ----------
    config : RunConfig
        Of the record.
    channels, size : int
        Of the images that it was trained on, size in pixels.

    Raises
    ------
    RecordError
        When no weights were kept for this configuration, or they cannot be read or are not
        those of its network.
    """
    weights = kept(config)
    if weights is None:
        raise sealed.RecordError(f"no weights are kept for {config.changed()}: train it anew")
    found = cast(STN, build(config.model, channels, size, 10, **config.network)).transformer
    _load(found.localisation, weights)
    return found.eval()


def _load(localisation: nn.Module, path: Path) -> None:
    """Give a localisation network what `localisation_weights` stored; the error is one line."""
    try:
        state = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise sealed.RecordError(f"{path} cannot be read: {error}") from None
    if _kinds(state) != _kinds(_state(localisation)):
        raise sealed.RecordError(f"{path} does not have the weights of its record's network")
    layers = _shared(localisation)
    shared = {name: state.pop(f"shared.{name}") for name in layers.state_dict()}
    localisation.load_state_dict(state)
    layers.load_state_dict(shared)


def _kinds(state: dict[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (value.dtype, value.shape) for name, value in state.items()}
