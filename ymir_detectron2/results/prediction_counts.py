"""What a result of inference says as a whole, counted in one pass and in bounded memory.

For every threshold, so that the page's slider needs no boxes but those that it draws.

Letters: K classes, T = 101 thresholds.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from ..contract.infer_result import ResultBox

THRESHOLDS = tuple(step / 100 for step in range(101))
"""The same numbers as the steps of the slider in JavaScript. A box counts where its score is above, not equal, as it is
everywhere in this project."""
MOST_CLASSES = 400
"""Counted one by one, in the order of their first box; a damaged or foreign file may have a name for each box."""
OTHER_CLASSES = "(further classes)"


class CountedImage(NamedTuple):
    """An image that may be shown."""

    number: int
    """Position in the result."""
    name: str
    boxes: Sequence[ResultBox]


class PredictionCounts:
    """Boxes and images at each threshold, by class."""

    def __init__(self) -> None:
        self.images = self.boxes = 0
        self.class_names: list[str] = []
        self._class_ids: dict[str, int] = {}
        # by the highest threshold that a score is above: (T,) per class, images by their best box
        self._boxes: list[np.ndarray] = []
        self._images: list[np.ndarray] = []
        self._images_any = np.zeros(len(THRESHOLDS), np.int64)

    def add(self, boxes: Sequence[ResultBox]) -> None:
        """Count the boxes of a further image."""
        self.images += 1
        self.boxes += len(boxes)
        best: dict[int, int] = {}
        for box in boxes:
            class_id, reached = self.class_id(box.class_name), bisect_left(THRESHOLDS, box.score) - 1
            if reached < 0:  # a score of 0 is above no threshold
                continue
            self._boxes[class_id][reached] += 1
            best[class_id] = max(reached, best.get(class_id, 0))
        for class_id, reached in best.items():
            self._images[class_id][reached] += 1
        if best:
            self._images_any[max(best.values())] += 1

    def class_id(self, name: str) -> int:
        """Return the position of a class in `class_names`, new ones at the end."""
        class_id = self._class_ids.get(name)
        if class_id is None:
            if len(self.class_names) >= MOST_CLASSES:
                name = OTHER_CLASSES
            class_id = self._class_ids.setdefault(name, len(self.class_names))
            if class_id == len(self.class_names):
                self.class_names.append(name)
                self._boxes.append(np.zeros(len(THRESHOLDS), np.int64))
                self._images.append(np.zeros(len(THRESHOLDS), np.int64))
        return class_id

    def boxes_at(self) -> np.ndarray:
        """Return (K, T): how many boxes of each class have a score above each threshold."""
        return _above(np.array(self._boxes).reshape(-1, len(THRESHOLDS)))

    def images_at(self) -> np.ndarray:
        """Return (K, T): how many images have a box of the class with such a score."""
        return _above(np.array(self._images).reshape(-1, len(THRESHOLDS)))

    def images_with_boxes_at(self) -> np.ndarray:
        """Return (T,): how many images have any box with such a score."""
        return _above(self._images_any)


def _above(reached: np.ndarray) -> np.ndarray:
    """(..., T) scores by the highest threshold that they are above -> how many are above each."""
    return np.flip(np.cumsum(np.flip(reached, axis=-1), axis=-1), axis=-1)


class ImageSample:
    """Images to show: some evenly over the result and those with the most boxes, without knowing its length."""

    def __init__(self, evenly: int, most_boxes: int) -> None:
        self._evenly, self._most = evenly, most_boxes
        self._stride = 1
        self._even: list[CountedImage] = []
        self._heap: list[tuple[int, int, CountedImage]] = []  # fewest boxes first; of equals, the last

    def add(self, image: CountedImage) -> None:
        """Offer the next image."""
        if image.number % self._stride == 0:
            self._even.append(image)
            if len(self._even) > 2 * self._evenly:  # every second one goes: those that are left are as far apart again
                self._stride *= 2
                self._even = self._even[::2]
        entry = (len(image.boxes), -image.number, image)  # numbers differ: images are never compared
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def images(self) -> Iterator[CountedImage]:
        """Yield the images of the sample in the order of the result; all of a short one."""
        chosen = {image.number: image for image in _thinned(self._even, self._evenly)}
        chosen.update({image.number: image for _, _, image in self._heap})
        yield from (chosen[number] for number in sorted(chosen))


def _thinned(images: Sequence[CountedImage], count: int) -> Sequence[CountedImage]:
    if len(images) <= count:
        return images
    return [images[position] for position in np.linspace(0, len(images) - 1, count).astype(int)]
