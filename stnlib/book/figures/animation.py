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

    Parameters
    ----------
    image : (1, H, W) in [0, 1].
    grids : (N, h, w, 2), normalised; outputs : (N, 1, h, w); titles : N.
    """
    fig, axes = plt.subplots(1, 2, figsize=(4.8, 2.7), layout="none")
    fig.subplots_adjust(left=0.02, right=0.98, top=0.88, bottom=0.03, wspace=0.05)

    def draw(i: int) -> tuple:
        for ax in axes:
            ax.clear()
        draw_footprint(axes, image, grids[i], outputs[i])
        for line in axes[0].lines:  # a view that has left the image may lie pages away
            line.set_clip_on(True)
        axes[0].set_title(titles[i], fontsize="medium")
        axes[1].set_title("output", fontsize="medium")
        return ()

    return FuncAnimation(fig, draw, frames=len(grids), init_func=tuple)


def to_html(
    animation: FuncAnimation, name: str, description: str, *, fps: float = 4, dpi: float = 80
) -> str:
    """The animation as HTML that loads nothing and is the same at every call.

    Parameters
    ----------
    name : unique in the page; stands in the place of Matplotlib's random identifier.
    description : what a reader hears who cannot see it.
    """
    with plt.rc_context({"savefig.dpi": dpi, "figure.dpi": dpi, "animation.embed_limit": 2}):
        html = animation.to_jshtml(fps=fps, default_mode="once")
    plt.close(animation._fig)
    html = re.sub(r"<link rel=\"stylesheet\"\s+href=[^>]*>", "", html)
    for found in sorted(set(re.findall(r"_anim_img([0-9a-f]{32})", html))):
        html = html.replace(found, name)
    for icon, glyph in GLYPHS.items():
        html = html.replace(f'<i class="fa fa-{icon}"></i>', glyph)
    return html.replace("<img id=", f'<img alt="{description}" id=')
