"""What a data set is here: three splits, the names of the classes, and a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from stnlib.errors import ConfigError, StnlibError

__all__ = [
    "DataError",
    "DataSet",
    "Split",
    "combined",
    "fingerprint",
    "interleaved",
    "subset_indices",
]


class DataError(StnlibError, RuntimeError):
    """Data that is missing, damaged or out of reach; one line that says what to do."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images, their labels and, where it is known, where the object is.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), float32 in [0, 1] or uint8.
    labels : Tensor
        (N,), int64.
    positions : Tensor | None
        (N, 2), float32: (x, y) of the object's centre, ``align_corners=True``; None where nobody
        knows.
    theta : Tensor | None
        (N, 6), float32: the affine θ that undoes an image's distortion, ``align_corners=True``.
    renew : Callable[[Split, Tensor, int, int], Split] | None
        Makes training images anew in each epoch: see `batch`.

    Raises
    ------
    ValueError
        If shapes, types or lengths do not fit together.
    """

    images: Tensor
    labels: Tensor
    positions: Tensor | None = None
    theta: Tensor | None = None
    renew: Callable[[Split, Tensor, int, int], Split] | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.ndim != 4 or self.images.dtype not in (torch.float32, torch.uint8):
            raise ValueError(
                "images must be (N, C, H, W), float32 or uint8, "
                f"not {tuple(self.images.shape)}, {self.images.dtype}"
            )
        if self.labels.shape != (n,) or self.labels.dtype != torch.int64:
            raise ValueError(
                f"labels must be ({n},), int64, not {tuple(self.labels.shape)}, {self.labels.dtype}"
            )
        if self.positions is not None and self.positions.shape != (n, 2):
            raise ValueError(f"positions must be ({n}, 2), not {tuple(self.positions.shape)}")
        if self.theta is not None and self.theta.shape != (n, 6):
            raise ValueError(f"theta must be ({n}, 6), not {tuple(self.theta.shape)}")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Tensor | slice) -> Split:
        """The images at `indices` (any index that a tensor takes), in that order."""
        return self._each(lambda tensor: tensor[indices])

    def to(self, device: torch.device | str) -> Split:
        """The same on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Split:
        changed: dict[str, Any] = {name: change(t) for name, t in self.tensors().items()}
        return replace(self, **changed)

    def tensors(self) -> dict[str, Tensor]:
        """Images, labels and, where they are known, positions and θ, by name."""
        names = ("images", "labels", "positions", "theta")
        return {name: t for name in names if (t := getattr(self, name)) is not None}

    def batch(self, indices: Tensor, seed: int, epoch: int) -> Split:
        """What a network gets to see of the images at `indices` in an epoch of training.

        Those images; or, where there is `renew`, ``renew(images, indices, seed, epoch)``, which
        may depend on those four alone, so that batches can be of any size.

        Parameters
        ----------
        indices : Tensor
            (B,), int64.
        seed : int
            Of the run.
        epoch : int
            From 1.
        """
        part = self._each(lambda tensor: tensor.index_select(0, indices))  # as [], but faster
        part = replace(part, renew=None)
        return part if self.renew is None else self.renew(part, indices, seed, epoch)

    def first(self, n: int) -> Split:
        """The first `n` images, or all where there are fewer."""
        return self.take(slice(0, n))


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training, validation and test images of one task.

    Parameters
    ----------
    name : str
        As `load` knows it.
    train, val, test : Split
        Of the same kind of images.
    classes : tuple[str, ...]
        ``classes[label]`` is what a label means.
    source : str
        One line for readers: what this is and where it came from.
    fingerprint : str
        First 16 hexadecimal digits of a SHA-256: of the file where there is one, else of
        the tensors (see `fingerprint`). It is that of the whole set, also where `n_train`
        took a part.
    probes : Mapping[str, Callable[[], Split]]
        Further test images, by name, made when they are asked for.
    """

    name: str
    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    source: str
    fingerprint: str
    probes: Mapping[str, Callable[[], Split]] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.val.images.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image as networks see it, in pixels."""
        height, width = self.val.images.shape[2:]
        return height, width

    def to(self, device: torch.device | str) -> DataSet:
        """The same set with its images and labels on another device."""
        moved = {part: getattr(self, part).to(device) for part in ("train", "val", "test")}
        probes = {name: lambda make=make: make().to(device) for name, make in self.probes.items()}
        return replace(self, **moved, probes=probes)

    def with_n_train(self, n_train: int | None) -> DataSet:
        """The same set with `n_train` training images, chosen by `subset_indices`."""
        if n_train is None:
            return self
        chosen = subset_indices(self.train.labels, n_train)
        return replace(self, train=self.train.take(chosen))


def interleaved(labels: ArrayLike) -> np.ndarray:
    """All indices in a random but fixed order in which every stretch has each class's share.

    Each class is shuffled, then the classes are dealt out in proportion to their sizes. Labels are
    (N,), whole numbers, also as a tensor; indices (N,), int64.
    """
    values = np.asarray(labels)
    shuffled = np.random.default_rng(0).permutation(len(values))
    place = np.empty(len(values))  # where in its class an image stands, from 0 to 1
    for label in np.unique(values):
        members = shuffled[values[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def subset_indices(labels: Tensor, n: int) -> Tensor:
    """Choose `n` images, every class in its proportion, always the same ones.

    The choice is the first `n` of `interleaved`: so subsets are nested (the 500 are among
    the 1000), and each class is within about one image of its share.

    Parameters
    ----------
    labels : Tensor
        (N,), int64.
    n : int
        From 1 to N.

    Returns
    -------
    Tensor
        (n,), int64: indices, ascending; all images are all images in their own order.

    Raises
    ------
    ConfigError
        If `n` is no whole number in that range.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= len(labels):
        raise ConfigError(f"n_train must be a whole number from 1 to {len(labels)}, not {n!r}")
    return torch.from_numpy(np.sort(interleaved(labels)[:n]))


def fingerprint(*splits: Split) -> str:
    """First 16 hexadecimal digits of the SHA-256 over the images and labels of `splits`."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(split.images.contiguous().numpy().data)
        digest.update(split.labels.contiguous().numpy().data)
    return digest.hexdigest()[:16]


def combined(printed: str, *splits: Split) -> str:
    """Fingerprint of `splits` that were made of a data set with the fingerprint `printed`."""
    return hashlib.sha256(f"{printed} {fingerprint(*splits)}".encode()).hexdigest()[:16]
