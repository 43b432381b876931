"""The mining algorithms by name: where each is implemented, and whether it needs the images.

Imports nothing: the process of start.py reads this table too, and the classes are imported when they are used.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple


class MiningAlgorithm(NamedTuple):
    """Where an algorithm is implemented, and what it needs."""

    module: str
    """Below `ymir_detectron2`, with dots."""
    class_name: str
    needs_images: bool = True
    """False if it scores file names only: then neither images nor a model are loaded."""
    orders_together: bool = False
    """True if the score of an image depends on those before it: all are ordered when all are predicted."""


MINING_ALGORITHMS: Mapping[str, MiningAlgorithm] = {
    "cald": MiningAlgorithm("mining.cald", "Cald"),
    "cald_legacy": MiningAlgorithm("mining.cald_legacy", "CaldLegacy"),
    "entropy": MiningAlgorithm("mining.uncertainty", "Entropy"),
    "aldd": MiningAlgorithm("mining.aldd", "Aldd"),
    "margin": MiningAlgorithm("mining.uncertainty", "Margin"),
    "submodular": MiningAlgorithm("mining.evidence", "Submodular", orders_together=True),
    "random": MiningAlgorithm("mining.random_baseline", "RandomBaseline", needs_images=False),
}
"""In the order in which docs/mining.md and README.md list them."""
