"""infer-result.json: the detections of every candidate.

    {"detection": {"8e5f.jpg": {"boxes": [
        {"box": {"x": 3, "y": 4, "w": 10, "h": 7}, "class_name": "cat", "score": 0.9}]}}}

YMIR up to 1.2 calls the list `annotations`. Coordinates are integers: no release accepts x = 1.5.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, NamedTuple, Sequence

from ..atomic_file import atomic_write


class ResultBox(NamedTuple):
    """One detection in whole pixels inside the image; w and h are at least 1."""

    x: int
    y: int
    w: int
    h: int
    class_name: str
    score: float


def can_be_result_box(fields: Any) -> bool:
    """Return whether the fields of a list, as read from JSON, are those of a `ResultBox`."""
    if type(fields) is not list or len(fields) != len(ResultBox._fields):
        return False
    *xywh, class_name, score = fields
    return all(type(number) is int for number in xywh) and type(class_name) is str and type(score) in (int, float)


class InferResultWriter:
    """Streams infer-result.json, so that memory does not grow with the candidates.

    A context manager: the file appears when the `with` block ends without an error.
    """

    def __init__(self, path: Path, *, writes_stages: bool) -> None:
        """
        Args:
            path: infer-result.json.
            writes_stages: `Task.writes_stages`; False for YMIR up to 1.2.
        """
        self._list_key = "boxes" if writes_stages else "annotations"
        self._separator = "\n"
        self._context = atomic_write(path)

    def __enter__(self) -> InferResultWriter:
        self._file = self._context.__enter__()
        self._file.write('{"detection": {')
        return self

    def add(self, asset: str, boxes: Sequence[ResultBox]) -> None:
        """Write one image. The key is its base name only: of several images with one base name, add the first."""
        entry = {
            self._list_key: [
                {  # exactly these keys: releases before 2.1 refuse a box with any other
                    "box": {"x": box.x, "y": box.y, "w": box.w, "h": box.h},
                    "class_name": box.class_name,
                    "score": round(box.score, 6),
                }
                for box in boxes
            ]
        }
        self._file.write(f"{self._separator}{json.dumps(PurePosixPath(asset).name)}: {json.dumps(entry)}")
        self._separator = ",\n"

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if error is None:
            self._file.write("\n}}\n")
        return self._context.__exit__(error_type, error, traceback)
