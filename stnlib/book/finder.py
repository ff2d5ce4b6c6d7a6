"""How good the rates are that `stnlib.find_rates` suggests, on networks that it was not made on.

Written down before the finder was fitted or judged. Its constants may be chosen on CELLS_FITTED
alone: the paper's network on CM and on the small digits, Adam, three epochs, where the records of
`cm-map` and `recipe-judged` say what becomes of which rates. CELLS_HELD are seen once, afterwards:
other localisation networks on CM and digits, and the third-party networks on MNIST and
Fashion-MNIST, among them two that are trained by SGD.

In each held cell the suggestion is trained with seeds 0, 1 and 2; so is the plain rule, 0.01 for
the network and 0.3 of it for the localisation network, with a warm-up of 0.05 and a cosine; and
so is the best of a search of ten, which are all pairs of a rate of 0.001, 0.003, 0.01, 0.03 or 0.1
and a factor of 1 or 0.3, on the same schedule, by validation accuracy with seed 0. A transformer
looks if its view differs by half a pixel between images, coverage is at least one half, and fewer
than half of the outputs are black. Predicted:

1. At the suggestion at least 90 % of the trainings look.
2. At the suggestion none is black or out of view at the end.
3. In at least five of the eight cells the mean accuracy at the suggestion is within a point of
   that of the search's best, and in at least one it is not.
4. The finder takes less than a twentieth of the search's steps in every cell.
5. The plain rule looks less often than the suggestion, because networks trained by SGD stay idle.
"""

from __future__ import annotations

__all__ = ["CELLS_FITTED", "CELLS_HELD"]

#: data and network; of CM and digits the name of the localisation network
CELLS_FITTED = (("cm", "paper"), ("digits", "paper"))
CELLS_HELD = (
    *(("cm", "x4"), ("digits", "groupnorm")),
    *(("mnist", "tutorial"), ("mnist", "keras"), ("mnist", "tanh"), ("mnist", "tanh-adam")),
    *(("fashion", "tutorial"), ("fashion", "keras")),
)
