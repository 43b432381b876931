"""The mining algorithms by name, as the key `mining_algorithm` of config.yaml has them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Callable, Mapping, Sequence

from ..errors import ConfigError, briefly
from ..settings import MINING_ALGORITHMS
from .cald import Cald
from .cald_legacy import CaldLegacy
from .chance import Chance
from .class_weights import KEY as CLASS_WEIGHTS_KEY
from .class_weights import read_class_weights
from .entropy import Entropy
from .margin import Margin
from .view_comparison import Detect

if TYPE_CHECKING:
    from .algorithm import Algorithm

logger = logging.getLogger(__name__)

ALGORITHMS: tuple[str, ...] = MINING_ALGORITHMS
UNREADABLE_SCORE = -2.0
"""Of a picture that cannot be opened, which nobody can label: below every score of every algorithm. CALD reaches down
to -1, its legacy formula to -1.3, the others to 0."""


def build_algorithm(
    name: str, *, detect: Detect, seed: int, class_names: Sequence[str], class_distribution_scores: str
) -> Algorithm:
    """Make an algorithm ready to score.

    Args:
        name: one of ALGORITHMS.
        detect: finds boxes in pictures as they are, see `Detector.detect`.
        seed: changes holes and chance.
        class_names: of the detector.
        class_distribution_scores: weights of the classes, see `class_weights.py`; only aldd uses them.

    Raises:
        ConfigError: an unknown name, or weights that do not fit.
    """
    if name == "aldd":
        weights = read_class_weights(class_distribution_scores, class_names)
        from .aldd import Aldd  # imports torch; all else here does without

        return Aldd(weights)
    builders: Mapping[str, Callable[[], Algorithm]] = {
        "cald": lambda: Cald(detect, seed=seed),
        "cald_legacy": lambda: CaldLegacy(detect, seed=seed),
        "entropy": Entropy,
        "margin": Margin,
        "random": lambda: Chance(seed=seed),
    }
    if name not in builders:
        raise ConfigError(
            f"config.yaml: mining_algorithm: must be one of {', '.join(ALGORITHMS)}, found {briefly(name)}"
        )
    if class_distribution_scores.strip():
        logger.warning("config.yaml: %s has no effect with %s; only aldd uses it", CLASS_WEIGHTS_KEY, name)
    return builders[name]()
