"""Films for the built book."""

import torch

from stnlib.book.figures.animation import footprint_film, to_html
from stnlib.transforms import family


def test_an_animation_is_the_same_at_every_call_and_loads_nothing():
    grids = family("translation").grid(torch.tensor([[0.0, 0.0], [0.3, 0.0]]), (6, 6))
    images = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    html = [to_html(footprint_film(images[0], grids, images, "ab"), "x", "text") for _ in "12"]
    assert html[0] == html[1]
    assert "http" not in html[0].replace("http://www.w3.org", "")
    assert 'alt="text"' in html[0]
