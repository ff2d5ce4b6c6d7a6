"""Draw what the transformer of seed 0 hands on, from the published Cluttered MNIST file.

python tools/cm_pictures.py

The file need not be on the machines that build or test the book, so this picture is stored. It
shows the first twelve test images.
"""

from pathlib import Path

import torch

from stnlib.book.figures.style import image_grid, use_style
from stnlib.data.catalogue import load
from stnlib.records.weights import transformer
from stnlib.training.config import RunConfig
from stnlib.training.evaluation import to_float

PICTURE = Path(__file__).resolve().parents[1] / "book" / "images" / "cm-views.png"


def main():
    """Write the picture."""
    use_style()
    images = to_float(load("cm").test.images[:12])
    with torch.no_grad():
        views = transformer(RunConfig(data="cm", model="stn"), channels=1, size=40)(images)
    rows = [images[:6], views[:6], images[6:], views[6:]]
    figure = image_grid(rows, names=("image", "view") * 2, size=0.9)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, metadata={"Software": None})


if __name__ == "__main__":
    main()
