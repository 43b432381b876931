"""How many images may pass through the network once more when a training has ended.

By count, not by clock: a training that was resumed, or ran on a slower machine, looks at the same images.
"""

from __future__ import annotations

import statistics
from typing import Any, Mapping

FORWARD_SHARE = 0.4
"""Time of an image in inference as a share of that in training. Published for RetinaNet on a V100 (detectron2's model
zoo, seconds per image in training and inference): R50 0.40, R101 0.37; measured on a CPU with R18: 0.38."""
MOST_IMAGES = 4_000
TIME_SHARE = 0.1
"""Of the steps: what the pass may take."""
_FEWEST_IMAGES = 8
"""Fewer are left out as a whole: after 20 steps of two images a network has no opinion on their labels."""


def inference_cost(cfg: Mapping[str, Any]) -> float:
    """Return the time of an image in inference as a share of that in training, for the sizes of a configuration."""
    train_edge = statistics.mean(cfg["INPUT.MIN_SIZE_TRAIN"])
    # an edge of 0 leaves images at their own size, which is taken for the same in both
    known = train_edge and cfg["INPUT.MIN_SIZE_TEST"]
    return FORWARD_SHARE * ((cfg["INPUT.MIN_SIZE_TEST"] / train_edge) ** 2 if known else 1.0)


def final_pass_images(cfg: Mapping[str, Any], steps: int, world_size: int) -> int:
    """Return how many images one process may predict after a training, for a tenth of the time of its steps.

    Args:
        cfg: detectron2's dotted keys.
        steps: that were taken.
        world_size: processes that shared them; one of them makes the pass.
    """
    trained = steps * cfg["SOLVER.IMS_PER_BATCH"] / world_size
    count = min(MOST_IMAGES, int(TIME_SHARE * trained / inference_cost(cfg)))
    return count if count >= _FEWEST_IMAGES else 0


def final_pass_steps(cfg: Mapping[str, Any], steps: int, world_size: int, num_images: int) -> float:
    """Return what the pass over sets of so many images costs, in steps."""
    count = min(num_images, final_pass_images(cfg, steps, world_size))
    return count * inference_cost(cfg) * world_size / cfg["SOLVER.IMS_PER_BATCH"]
