"""A few small pictures of what a transformer was given and gave, at a few looks."""

from __future__ import annotations

import base64
import struct
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stnlib.diagnostics.footprints import footprint

if TYPE_CHECKING:
    from stnlib.diagnostics.sampling import ForwardRecord

__all__ = ["Album", "Shot", "png", "thumbnails"]

SIDE = 64  # pixels of a small picture, at most
BEFORE = 10  # looks from the one that is shown as before the collapse to the collapse


@dataclass(frozen=True)
class Shot:
    """What one transformer did with a few images of one look.

    Parameters
    ----------
    step : int
        The monitor's step.
    output : Tensor
        (n, C, h, w), C 1 or 3.
    images : Tensor | None
        (n, C, H, W), what was sampled, where it is known.
    outline : Tensor | None
        (n, P, 2), the footprints' borders; None for volumes.

    Convention
    ----------
    The outline's points (x, y) are the *input's*, x to the right and y down, normalised so that the
    image is [-1, 1] both ways.
    """

    step: int
    output: Tensor
    images: Tensor | None
    outline: Tensor | None


class Album:
    """The first look, the last ones, and those around each collapse; all others are forgotten.

    Parameters
    ----------
    recent : int
        Looks from one judgement to the next.
    """

    def __init__(self, recent: int) -> None:
        self._first: dict[int, Shot] = {}
        self._recent: deque[dict[int, Shot]] = deque(maxlen=recent + BEFORE + 1)
        self._marked: list[tuple[str, dict[int, Shot]]] = []

    def add(self, step: int, records: Mapping[int, ForwardRecord]) -> None:
        """Keep the pictures of a look, a record for each transformer that ran, by its number."""
        shots = {n: _shot(step, record) for n, record in records.items() if record.pictures}
        self._first = shots | self._first
        self._recent.append(shots)

    def mark(self, step: int) -> None:
        """A collapse was found at this step: keep it, and a look before it, for good."""
        kept = [x for x in self._recent if x and next(iter(x.values())).step <= step]
        if kept:
            self._marked += [
                ("before the collapse", kept[max(-1 - BEFORE, -len(kept))]),
                ("at the collapse", kept[-1]),
            ]

    def pages(self, place: int) -> list[tuple[str, Shot]]:
        """What is kept of one transformer: titles and shots, each step once, in their order."""
        last = self._recent[-1] if self._recent else {}
        found: dict[int, tuple[str, Shot]] = {}
        for title, shots in [("first look", self._first), *self._marked, ("last look", last)]:
            if place in shots:
                shot = shots[place]
                both = f"{found[shot.step][0]}, {title}" if shot.step in found else title
                found[shot.step] = both, shot
        return [found[step] for step in sorted(found)]


def thumbnails(n: int, output: Tensor, images: Tensor | None) -> tuple[Tensor, ...]:
    """Small copies of the first images: of the output and, where it is known, of the input.

    Every so many pixels are taken and none computed, so that it costs next to nothing.

    Parameters
    ----------
    n : int
        How many, 0 for none at all.
    output : Tensor
        (N, C, h, w), or (N, C, d, h, w), of which the middle slice is taken.
    images : Tensor | None
        The same of the input.

    Returns
    -------
    tuple[Tensor, ...]
        None, one or two, (n, C, h, w), C 1 or 3, at most SIDE pixels high and wide.
    """
    return tuple(_small(x.detach()[:n]) for x in (output, images) if n and x is not None)


def _small(images: Tensor) -> Tensor:
    if images.ndim == 5:
        images = images[:, :, images.shape[2] // 2]
    every = -(-max(images.shape[-2:]) // SIDE)
    images = images[:, :, ::every, ::every]
    return images.clone() if images.shape[1] in (1, 3) else images.mean(dim=1, keepdim=True)


def _shot(step: int, record: ForwardRecord) -> Shot:
    output, *images = record.pictures
    n = len(output)
    outline = None
    if record.matrix is not None:
        matrix = record.matrix[:n].float()
        outline = _CORNERS.to(matrix) @ matrix[:, :, :2].mT + matrix[:, None, :, 2]
    elif record.grid is not None and record.grid.ndim == 4:
        outline = footprint(record.grid[:n].float())
    return Shot(step, output, images[0] if images else None, outline)


_CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def png(image: Tensor) -> str:
    """An image as a PNG in a data URI.

    Parameters
    ----------
    image : Tensor
        (C, H, W), C 1 or 3, in [0, 1]; what is not finite is black.

    Returns
    -------
    str
        For the attribute `href` or `src`.
    """
    channels, height, width = image.shape
    levels = (image.float().nan_to_num(0, 0, 0).clamp(0, 1) * 255).round().byte()
    rows = levels.permute(1, 2, 0).reshape(height, -1).cpu()
    lines = torch.cat([rows.new_zeros(height, 1), rows], dim=1)  # a line begins with its filter, 0
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    data = zlib.compress(bytes(lines.flatten().tolist()))
    parts = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _chunk(kind: bytes, body: bytes) -> bytes:
    end = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + end
