"""The interface of a mining algorithm (active learning), and the algorithm of a task by its name.

A new algorithm is a class in a file of this folder and a line in the table of `config/mining_algorithms.py`; its
formula and source go into docs/mining.md.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any, Callable, List, Sequence, Tuple

from ..config.mining_algorithms import MINING_ALGORITHMS
from ..detections import Detections, ExtractDense, Pixels
from ..errors import ConfigError, briefly
from .explanation import Explanation

logger = logging.getLogger(__name__)

UNREADABLE_SCORE = -2.0
"""Of an image that cannot be opened, which nobody can label: below every score of every algorithm. CALD reaches down
to -1, its legacy formula to -1.3, the others to 0."""

Detect = Callable[[Sequence[Pixels]], List[Detections]]
"""Predicts boxes in images of any sizes, in pixels of the image that was given; see `Detector.detect`."""


class Algorithm:
    """Scores by how much labelling an image would teach the model: the higher, the earlier the image is mined.

    An image is one tile, or several with `tile_size`: first each tile is scored, then its tile scores and its merged
    detections give the score of the image, which depends on the image, its name, the seed and the model; not on the
    order of candidates or boxes, on batches, or on other images.
    """

    extract: ExtractDense | None = None
    """What to keep of the dense outputs of each tile; None: nothing."""
    extract_to_explain: ExtractDense | None = None
    """What `explain_tiles` needs of the dense outputs; None: what `extract` keeps."""
    score_threshold_to_explain: float | None = None
    """As `score_threshold`, for the boxes of `explain_image`; None: the same ones."""
    uses_class_weights = False
    """Whether `class_distribution_scores` has an effect."""
    score_threshold: float | None = None
    """Boxes with a higher score are needed, where that is below `conf_threshold`; None: those above it are enough."""

    def __init__(
        self,
        *,
        detect: Detect | None = None,
        seed: int = 0,
        class_names: Sequence[str] = (),
        class_distribution_scores: str = "",
        has_dense_outputs: bool = True,
    ) -> None:
        """Every algorithm takes the same options and uses those that it needs.

        Args:
            detect: called by algorithms that augment images; None where the table says that none are needed.
            seed: random seed of holes and of the random baseline.
            class_names: of the detector.
            class_distribution_scores: weights of the classes as text, see `aldd.read_class_weights`.
            has_dense_outputs: of the detector, for algorithms that can do without what they would extract.

        Raises:
            ConfigError: weights that do not fit the classes.
        """
        # one signature for all: the table then needs no more than the name of a class
        self.detect = detect
        self.seed = seed

    def score_tiles(
        self,
        names: Sequence[str],
        tiles: Sequence[Pixels],
        detections: Sequence[Detections],
        extracted: Sequence[Any],
    ) -> list[Any]:
        """Return what each tile contributes; by default None, for algorithms that score the merged detections.

        Args:
            names: of each tile: the file name of its image, with `#2` and so on appended for further tiles.
            tiles: pixels as the network gets them; they may belong to different images.
            detections: of each tile, boxes in pixels of the tile.
            extracted: what `extract` returned for each; all None without `extract`.
        """
        return [None] * len(names)

    def score_image(self, name: str, detections: Detections, tile_scores: Sequence[Any]) -> float:
        """Return the score of one image.

        Args:
            name: its file name.
            detections: of all its tiles, merged, in pixels of the original image.
            tile_scores: what `score_tiles` returned for its tiles.
        """
        raise NotImplementedError

    def describe_image(self, name: str, detections: Detections, tile_scores: Sequence[Any]) -> dict[str, Any]:
        """Return what is kept of an image, as JSON: its `score`, and what the order of all candidates needs to know.

        Args: as for `score_image`.
        """
        return {"score": self.score_image(name, detections, tile_scores)}

    def explain_tiles(
        self,
        names: Sequence[str],
        tiles: Sequence[Pixels],
        detections: Sequence[Detections],
        extracted: Sequence[Any],
    ) -> list[Tuple[Any, Any]]:
        """Return what `score_tiles` returns, each with the evidence for it, which only `explain_image` knows."""
        return [(score, None) for score in self.score_tiles(names, tiles, detections, extracted)]

    def explain_image(self, detections: Detections, evidence: Sequence[Any]) -> Explanation:
        """Return why an image has its score; by default that there is nothing to say.

        Args:
            detections: as for `score_image`.
            evidence: what `explain_tiles` returned for its tiles, after the score.
        """
        return Explanation()


def build_algorithm(
    name: str,
    *,
    detect: Detect | None = None,
    seed: int = 0,
    class_names: Sequence[str] = (),
    class_distribution_scores: str = "",
    has_dense_outputs: bool = True,
) -> Algorithm:
    """Build an algorithm by its name in config.yaml, with the options of `Algorithm`.

    Raises:
        ConfigError: an unknown name, or weights that do not fit.
    """
    # settings check the name too, but not every caller has read it from there
    if name not in MINING_ALGORITHMS:
        raise ConfigError(
            f"config.yaml: mining_algorithm: must be one of {', '.join(MINING_ALGORITHMS)}, found {briefly(name)}"
        )
    entry = MINING_ALGORITHMS[name]
    # by name: aldd imports torch, which takes seconds and is not needed to choose another
    module = importlib.import_module(f"..{entry.module}", __package__)
    algorithm_class: type[Algorithm] = getattr(module, entry.class_name)
    if class_distribution_scores.strip() and not algorithm_class.uses_class_weights:
        logger.warning("config.yaml: class_distribution_scores has no effect with %s; only aldd uses it", name)
    return algorithm_class(
        detect=detect, seed=seed, class_names=class_names, class_distribution_scores=class_distribution_scores,
        has_dense_outputs=has_dense_outputs,
    )  # fmt: skip
