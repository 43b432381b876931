"""Summary of one converted set, for dataset-report.json and the log."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ..box_geometry import box_areas
from ..contract.data_issues import DataIssues
from .records import Record

# COCO's limits: small below 32 x 32 pixels, large from 96 x 96
_SMALL_AREA = 32**2
_LARGE_AREA = 96**2


class SetSummary:
    """Counts records while they are streamed to the COCO file."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._class_names = class_names
        self._boxes_per_class = np.zeros(len(class_names), dtype=np.int64)
        self._sizes = np.zeros(3, dtype=np.int64)
        self._widths: list[int] = []
        self._heights: list[int] = []
        self.images_without_boxes = 0

    @property
    def images(self) -> int:
        return len(self._widths)

    @property
    def boxes(self) -> int:
        return int(self._boxes_per_class.sum())

    @property
    def boxes_per_class(self) -> dict[str, int]:
        return dict(zip(self._class_names, self._boxes_per_class.tolist()))

    def add(self, record: Record) -> Record:
        """Count a record and return it."""
        self._widths.append(record.width)
        self._heights.append(record.height)
        self.images_without_boxes += not len(record.classes)
        if len(record.classes):
            self._boxes_per_class += np.bincount(record.classes, minlength=len(self._class_names))
            sizes = np.digitize(box_areas(record.boxes_xyxy), (_SMALL_AREA, _LARGE_AREA))  # (G,), 0 small to 2 large
            self._sizes += np.bincount(sizes, minlength=3)
        return record

    def as_dict(self, issues: DataIssues) -> dict[str, Any]:
        """Return the report of this set; JSON types only."""
        return {
            "images": self.images,
            "images_without_boxes": self.images_without_boxes,
            "boxes": self.boxes,
            "boxes_per_class": self.boxes_per_class,
            "boxes_by_size": dict(zip(("small", "medium", "large"), self._sizes.tolist())),
            "image_width": _spread(self._widths),
            "image_height": _spread(self._heights),
            "findings": issues.as_dict(),
        }


def _spread(values: Sequence[int]) -> dict[str, int]:
    if not values:
        return {}
    return {"min": int(min(values)), "median": int(np.median(values)), "max": int(max(values))}
