"""What an algorithm has to beat: images drawn at random, and images drawn with the shares of the pool, without luck."""

from __future__ import annotations

import random
from collections import Counter
from typing import Sequence

from ymir_detectron2.sources.labelled_image import AnnotatedImage

PLAIN, STRATIFIED = "random", "random_stratified"
"""The first is an algorithm of the product; the second knows the hidden labels, and so cannot be one."""


def draw_start(pool: Sequence[AnnotatedImage], count: int, seed: int) -> list[AnnotatedImage]:
    """Draw the images that are labelled first, at random, again until one of them shows an object.

    Raises:
        ValueError: no image of the pool has an object.
    """
    if not any(image.boxes for image in pool):
        raise ValueError("no image of the pool shows an object: there is nothing to learn")
    rng = random.Random(seed)
    while True:
        drawn = rng.sample(list(pool), count)
        if any(image.boxes for image in drawn):
            return drawn


def draw_stratified(candidates: Sequence[AnnotatedImage], count: int, rng: random.Random) -> list[AnnotatedImage]:
    """Draw images so that every combination of classes, and the empty images, have their shares to within one image.

    A systematic sample: the candidates are sorted by what they show, shuffled among equals, and every n-th is taken
    from a random place on. What is too rare for a share of one image is drawn with its probability.

    Args:
        candidates: with their hidden labels.
        count: images to draw, at most all.
        rng: decides about the rest.
    """
    shuffled = rng.sample(list(candidates), len(candidates))
    shown = {image.path: tuple(sorted({box[0] for box in image.boxes})) for image in shuffled}
    frequency = Counter(shown.values())
    ordered = sorted(shuffled, key=lambda image: (-frequency[shown[image.path]], shown[image.path]))
    count = min(count, len(ordered))
    offset = rng.random()
    drawn = [ordered[int((place + offset) * len(ordered) / count)] for place in range(count)]
    return rng.sample(drawn, len(drawn))  # in an order that tells nothing, like that of a result.tsv
