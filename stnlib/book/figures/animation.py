"""Animations that play in a built page without a network, with bytes that do not change."""

from __future__ import annotations

import re
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation
from torch import Tensor

from stnlib.book.figures.theory import draw_footprint

__all__ = ["footprint_film", "to_html"]

# Matplotlib's buttons are glyphs of a font that it loads from the network; these need none.
GLYPHS = {
    "minus": "&minus;",
    "plus": "+",
    "fast-backward": "|&#x25C0;&#xFE0E;",
    "step-backward": "&#x2039;",
    "play fa-flip-horizontal": "&#x25C0;&#xFE0E;",
    "pause": "&#x275A;&#x275A;",
    "play": "&#x25B6;&#xFE0E;",
    "step-forward": "&#x203A;",
    "fast-forward": "&#x25B6;&#xFE0E;|",
}


def footprint_film(
    image: Tensor, grids: Tensor, outputs: Tensor, titles: Sequence[str]
) -> FuncAnimation:
    """One image, and a frame for each footprint on it with what it shows.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    image : Tensor
        (1, H, W) in [0, 1].
    grids, outputs : Tensor
        (N, h, w, 2), normalised, and what is read there, (N, 1, h, w) in [0, 1].
    titles : Sequence[str]
        N.

    Returns
    -------
    FuncAnimation
        N frames.
    """
    figure, axes = plt.subplots(1, 2, figsize=(4.8, 2.7), layout="none")
    figure.subplots_adjust(left=0.02, right=0.98, top=0.88, bottom=0.03, wspace=0.05)

    def draw(i: int) -> tuple:
        for axis in axes:
            axis.clear()
        draw_footprint(axes, image, grids[i], outputs[i])
        for line in axes[0].lines:  # a view that has left the image may lie pages away
            line.set_clip_on(True)
        axes[0].set_title(titles[i], fontsize="medium")
        axes[1].set_title("output", fontsize="medium")
        return ()

    return FuncAnimation(figure, draw, frames=len(grids), init_func=tuple)


def to_html(animation: FuncAnimation, name: str, description: str) -> str:
    """An animation as HTML that loads nothing and is the same at every call.

    Parameters
    ----------
    animation : FuncAnimation
        Whose figure is closed.
    name : str
        Unique in the page; stands in the place of Matplotlib's random identifier.
    description : str
        What a reader hears who cannot see it.

    Returns
    -------
    str
        A player, four frames a second.
    """
    with plt.rc_context({"savefig.dpi": 80, "figure.dpi": 80, "animation.embed_limit": 2}):
        html = animation.to_jshtml(fps=4, default_mode="once")
    plt.close(animation._fig)
    html = re.sub(r"<link rel=\"stylesheet\"\s+href=[^>]*>", "", html)
    for found in sorted(set(re.findall(r"_anim_img([0-9a-f]{32})", html))):
        html = html.replace(found, name)
    for icon, glyph in GLYPHS.items():
        html = html.replace(f'<i class="fa fa-{icon}"></i>', glyph)
    return html.replace("<img id=", f'<img alt="{description}" id=')
