"""A small real detector for mining tests: it finds coloured rectangles in drawn images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ymir_detectron2.detections import Detections, ExtractDense
from ymir_detectron2.tile_windows import Tiling

BLUE, GREEN, RED = 0, 1, 2
CLASS_NAMES = ("blue", "green", "red")


def find_rectangles(images, with_probs: bool = True) -> list:
    """One detection per connected patch of blue, green or red; its score is the brightness of its box."""
    return [_find_in_one(image, with_probs) for image in images]


def _find_in_one(image: np.ndarray, with_probs: bool) -> Detections:
    boxes, probs, classes = [], [], []
    for channel in (BLUE, GREEN, RED):
        mask = ((image[:, :, channel] > 60) & (image.argmax(axis=2) == channel)).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        for x, y, w, h, _ in stats[1:count]:
            boxes.append([x, y, x + w, y + h])
            probs.append(image[y : y + h, x : x + w].mean(axis=(0, 1)) / 256)
            classes.append(channel)
    probs = np.array(probs, dtype=np.float32).reshape(-1, 3)
    detections = Detections(
        boxes_xyxy=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        scores=probs.max(axis=1, initial=0.0),
        classes=np.array(classes, dtype=np.int64),
        class_probs=probs if with_probs else None,
    )
    return detections.take(np.argsort(-detections.scores, kind="stable"))


class RectangleDetector:
    """See `Detector`: gets images at half their size. Records how many images it was given at a time."""

    class_names = CLASS_NAMES
    has_dense_outputs = True
    score_threshold = 0.0
    tiling = Tiling()

    def __init__(self, preferred_chunk: int = 4) -> None:
        self.preferred_chunk = preferred_chunk
        self.chunks: list[int] = []

    def network_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        return max(1, image_hw[0] // 2), max(1, image_hw[1] // 2)

    def load(self, image_bgr: np.ndarray) -> np.ndarray:
        height, width = self.network_hw(image_bgr.shape[:2])
        return cv2.resize(image_bgr, (width, height), interpolation=cv2.INTER_AREA)

    def detect(self, pixels: list[np.ndarray]) -> list:
        self.chunks.append(len(pixels))
        return [
            boxes.take(np.flatnonzero(boxes.scores > self.score_threshold)) if len(boxes) else boxes
            for boxes in find_rectangles(pixels)
        ]

    def detect_and_extract(self, pixels: list[np.ndarray], extract: ExtractDense) -> list:
        return [(detections, extract(ColourMaps(image))) for detections, image in zip(self.detect(pixels), pixels)]


def draw(*rectangles, height: int = 96, width: int = 128) -> np.ndarray:
    """A dark image with (x1, y1, x2, y2, channel, brightness) rectangles."""
    image = np.full((height, width, 3), 20, dtype=np.uint8)
    for x1, y1, x2, y2, channel, brightness in rectangles:
        image[y1:y2, x1:x2, channel] = brightness
    return image


def drawn_set(count: int) -> tuple:
    """Names and images of several sizes; the first has no rectangle."""
    rng = np.random.default_rng(7)
    images = [draw()]
    for index in range(1, count):
        height, width = [(96, 128), (128, 96), (80, 80)][index % 3]
        corners = rng.integers(5, 45, size=(1 + index % 4, 2))
        images.append(
            draw(
                *[(x, y, x + 25, y + 20, int(rng.integers(3)), int(rng.integers(80, 256))) for x, y in corners],
                height=height,
                width=width,
            )
        )
    return [f"photos/{index}.jpg" for index in range(count)], images


@dataclass(frozen=True)
class ColourMaps:
    """Dense outputs of the same detector: how bright an image is in each class, at two strides."""

    image_bgr: np.ndarray

    @property
    def score_maps(self) -> list:
        colours = torch.from_numpy(self.image_bgr.copy()).permute(2, 0, 1).float() / 256  # (3, H, W)
        return [torch.nn.functional.avg_pool2d(colours, stride) for stride in (4, 8)]

    @property
    def features(self) -> list:
        return self.score_maps
