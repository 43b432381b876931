"""Labels with errors that are known: what a review of labels has to find, a pure function of the labels and a seed.

Four kinds, in equal numbers, as in "Identifying Label Errors in Object Detection Datasets by Loss Inspection" (drop,
flip, shift, spawn; arXiv 2303.06999):

    removed    the label of an object is gone
    class      the label has another class
    moved      the label is shifted and resized until its IoU with the object is from 0.3 to 0.6
    added      a label where there is no object: size and class of another label of the set, away from all labels
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import NamedTuple, Sequence

from ymir_detectron2.box_geometry import pairwise_iou
from ymir_detectron2.sources.labelled_image import AnnotatedImage, LabelledBox

KINDS = ("removed", "class", "moved", "added")
_MOVED_IOU = (0.3, 0.6)
_APART_IOU = 0.1
_TRIES = 200
"""Of a place that fits: an image may be full of objects."""


class Corruption(NamedTuple):
    """One wrong label."""

    kind: str
    image: int
    """Position in the images."""
    true: LabelledBox | None
    """The label before; None for an added one."""
    false: LabelledBox | None
    """The label now; None for a removed one."""


def corrupt_labels(
    images: Sequence[AnnotatedImage], image_hws: Sequence[tuple[int, int]], share: float, seed: int
) -> tuple[list[AnnotatedImage], list[Corruption]]:
    """Make a share of the labels wrong.

    Args:
        image_hws: height and width of each image.
        share: of the labels, in [0, 1]; each label is changed once at most. With a single class, none is given another.

    Returns:
        The images with the labels as they are now, and what was changed, in the order of KINDS.
    """
    rng = random.Random(seed)
    places = [(image, box) for image, one in enumerate(images) for box in range(len(one.boxes))]
    names = sorted({box[0] for one in images for box in one.boxes})
    kinds = [kind for kind in KINDS if kind != "class" or len(names) > 1]
    count = round(share * len(places) / len(kinds))
    drawn = iter(rng.sample(places, min(len(places), count * len(kinds))))
    boxes: list[list[LabelledBox | None]] = [list(one.boxes) for one in images]
    done: list[Corruption] = []
    for kind in kinds:
        made = 0
        while made < count and (place := next(drawn, None)) is not None:
            image, index = place
            true = images[image].boxes[index]
            present = [box for box in boxes[image] if box is not None]
            if kind == "added":
                # the drawn label gives class and size; the image is any other
                image = rng.randrange(len(images))
                present = [box for box in boxes[image] if box is not None] + list(images[image].boxes)
                false = _added(true, present, image_hws[image], rng)
            elif kind == "class":
                false = (rng.choice([name for name in names if name != true[0]]), *true[1:])
            else:
                false = _moved(true, image_hws[image], rng) if kind == "moved" else None
            if false is None and kind != "removed":
                continue  # no place for it: the next label is tried
            if kind == "added":
                boxes[image].append(false)
            else:
                boxes[image][index] = false
            done.append(Corruption(kind, image, None if kind == "added" else true, false))
            made += 1
    corrupted = [
        replace(one, boxes=tuple(box for box in labels if box is not None)) for one, labels in zip(images, boxes)
    ]
    return corrupted, done


def _moved(box: LabelledBox, image_hw: tuple[int, int], rng: random.Random) -> LabelledBox | None:
    name, x1, y1, x2, y2 = box
    width, height = x2 - x1 + 1, y2 - y1 + 1
    for _ in range(_TRIES):
        new_width, new_height = (round(side * rng.uniform(0.6, 1.6)) for side in (width, height))
        left = round(x1 + (width - new_width) / 2 + rng.uniform(-0.5, 0.5) * width)
        top = round(y1 + (height - new_height) / 2 + rng.uniform(-0.5, 0.5) * height)
        moved = _inside((name, left, top, left + new_width - 1, top + new_height - 1), image_hw)
        if moved is not None and _MOVED_IOU[0] <= iou_of(box, moved) <= _MOVED_IOU[1]:
            return moved
    return None


def _added(
    model: LabelledBox, present: Sequence[LabelledBox], image_hw: tuple[int, int], rng: random.Random
) -> LabelledBox | None:
    name, x1, y1, x2, y2 = model
    width, height = min(x2 - x1 + 1, image_hw[1]), min(y2 - y1 + 1, image_hw[0])
    for _ in range(_TRIES):
        left, top = rng.randint(0, image_hw[1] - width), rng.randint(0, image_hw[0] - height)
        added = (name, left, top, left + width - 1, top + height - 1)
        if all(iou_of(added, box) < _APART_IOU for box in present):
            return added
    return None


def _inside(box: LabelledBox, image_hw: tuple[int, int]) -> LabelledBox | None:
    name, x1, y1, x2, y2 = box
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, image_hw[1] - 1), min(y2, image_hw[0] - 1)
    return (name, x1, y1, x2, y2) if x1 <= x2 and y1 <= y2 else None


def iou_of(one: LabelledBox, other: LabelledBox) -> float:
    """Return the IoU of two boxes, whatever their classes."""
    return float(pairwise_iou([_edges(one)], [_edges(other)])[0, 0])  # type: ignore[arg-type]


def _edges(box: LabelledBox) -> tuple[int, int, int, int]:
    _, x1, y1, x2, y2 = box
    return x1, y1, x2 + 1, y2 + 1
