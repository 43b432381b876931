"""A picture as the parts that the network looks at: the whole, and on request overlapping tiles at a larger scale."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Sequence

import numpy as np

from ..engines.base import Detections, Detector, Pixels

MERGE_IOU = 0.5
"""Of two boxes of one class from different parts with a larger IoU the weaker goes: the NMS threshold of RetinaNet."""
CUT_COVERED = 0.8
"""A box that its tile cuts goes as well when another box of its class covers this much of it."""
_CUT_WITHIN = 2.0  # pixels of the original picture: how near to an inner edge of its tile a cut box ends


class Window(NamedTuple):
    """A rectangle of the picture, in its pixels."""

    x: int
    y: int
    width: int
    height: int


class Part(NamedTuple):
    """What the network looks at in one go."""

    window: Window
    pixels: Pixels
    """The window, resized for the network."""


class Tiling(NamedTuple):
    """How pictures are cut."""

    size: int = 0
    """Side of a tile in pixels of the picture; 0: no tiles."""
    overlap: int = 0
    """Pixels that neighbours share, at least; below `size`."""

    def windows(self, image_hw: tuple[int, int]) -> list[Window]:
        """The whole picture first, for what is larger than a tile; then the tiles, where it is larger than one.

        All tiles have the same size, so that they share batches: the last of a row overlaps more instead.
        """
        height, width = image_hw
        whole = Window(0, 0, width, height)
        if not self.size or max(height, width) <= self.size:
            return [whole]
        w, h = min(self.size, width), min(self.size, height)
        return [whole, *(Window(x, y, w, h) for y in self._starts(height) for x in self._starts(width))]

    def _starts(self, side: int) -> list[int]:
        last = max(side - self.size, 0)
        return [*range(0, last, self.size - self.overlap), last]


def cut(image_bgr: np.ndarray, tiling: Tiling, detector: Detector) -> Iterator[Part]:
    """The parts of an upright (H, W, 3) picture, made one after the other."""
    height, width = image_bgr.shape[:2]
    for window in tiling.windows((height, width)):
        x, y, w, h = window
        yield Part(window, detector.load(image_bgr[y : y + h, x : x + w]))


def to_picture(found: Detections, window: Window, pixels_hw: Sequence[int]) -> Detections:
    """From pixels of a part to those of its picture, as detectron2's postprocessing does it: scaled, clipped to the
    window, boxes that lose their area dropped."""
    ratio = np.array([window.width / pixels_hw[1], window.height / pixels_hw[0]] * 2, dtype=np.float32)
    limit = np.array([window.width, window.height] * 2, dtype=np.float32)
    boxes = np.clip(found.boxes_xyxy * ratio, np.float32(0), limit)
    keep = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    return found.take(keep, boxes_xyxy=boxes[keep] + np.array([window.x, window.y] * 2, dtype=np.float32))


def merge(found: Sequence[Detections], windows: Sequence[Window], image_hw: tuple[int, int]) -> Detections:
    """The detections of all parts as those of the picture, best score first, every object once.

    Args:
        found: of each part, in pixels of the picture.
    """
    if len(found) == 1:
        return found[0]
    together = Detections.concatenated(found)
    is_cut = np.concatenate([_cut_by(window, part.boxes_xyxy, image_hw) for part, window in zip(found, windows)])
    order = np.argsort(-together.scores, kind="stable")
    together, is_cut = together.take(order), is_cut[order]
    together = together.take(_not_covered(together, is_cut))
    return together.take(_strongest(together))


def _cut_by(window: Window, boxes_xyxy: np.ndarray, image_hw: tuple[int, int]) -> np.ndarray:
    """(n,) bool: the box ends at an edge of its window that is not an edge of the picture."""
    x, y, w, h = window
    x1, y1, x2, y2 = boxes_xyxy.T
    left, top = x > 0, y > 0
    right, bottom = x + w < image_hw[1], y + h < image_hw[0]
    touches: np.ndarray = (
        (left & (x1 - x < _CUT_WITHIN)) | (right & (x + w - x2 < _CUT_WITHIN))
        | (top & (y1 - y < _CUT_WITHIN)) | (bottom & (y + h - y2 < _CUT_WITHIN))
    )  # fmt: skip
    return touches


def _not_covered(found: Detections, is_cut: np.ndarray) -> np.ndarray:
    """Which boxes stay: all that are whole, and the cut ones that no whole box of their class covers."""
    whole = found.take(np.flatnonzero(~is_cut))
    keep = ~is_cut
    for index in np.flatnonzero(is_cut):
        x1, y1, x2, y2 = found.boxes_xyxy[index]
        same = whole.boxes_xyxy[whole.classes == found.classes[index]]
        width = np.clip(np.minimum(same[:, 2], x2) - np.maximum(same[:, 0], x1), 0, None)
        height = np.clip(np.minimum(same[:, 3], y2) - np.maximum(same[:, 1], y1), 0, None)
        keep[index] = not (width * height >= CUT_COVERED * (x2 - x1) * (y2 - y1)).any()
    return np.flatnonzero(keep)


def _strongest(found: Detections) -> np.ndarray:
    """Non-maximum suppression per class, by torchvision: a scene has a hundred thousand boxes."""
    import torch  # the scripts read their files before torch is imported
    from torchvision.ops import nms

    boxes, scores = torch.from_numpy(found.boxes_xyxy), torch.from_numpy(found.scores)
    kept = [
        members[nms(boxes[members], scores[members], MERGE_IOU).numpy()]
        for members in (np.flatnonzero(found.classes == class_id) for class_id in np.unique(found.classes))
    ]
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, dtype=np.int64)
