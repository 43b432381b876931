"""infer-result.json: the boxes of every candidate, written as they are found.

    {"detection": {"8e5f.jpg": {"boxes": [
        {"box": {"x": 3, "y": 4, "w": 10, "h": 7}, "class_name": "cat", "score": 0.9}]}}}

YMIR up to 1.2 wants `annotations` in the place of `boxes` (contract, 3.4).
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, NamedTuple, Sequence

from ..atomic_file import atomic_write


class ResultBox(NamedTuple):
    """One detection, in whole pixels inside the picture; w and h are at least 1."""

    x: int
    y: int
    w: int
    h: int
    class_name: str
    score: float


class InferResultWriter:
    """Streams infer-result.json; the file appears when the `with` block ends well."""

    def __init__(self, path: Path, *, writes_stages: bool) -> None:
        self._list_key = "boxes" if writes_stages else "annotations"
        self._separator = "\n"
        self._context = atomic_write(path)

    def __enter__(self) -> InferResultWriter:
        self._file = self._context.__enter__()
        self._file.write('{"detection": {')
        return self

    def add(self, asset: str, boxes: Sequence[ResultBox]) -> None:
        """Write one picture. The platform looks at its base name alone: of several with the same one, add the first."""
        entry = {self._list_key: [_as_dict(box) for box in boxes]}
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


def _as_dict(box: ResultBox) -> dict[str, Any]:
    return {
        "box": {"x": box.x, "y": box.y, "w": box.w, "h": box.h},
        "class_name": box.class_name,
        "score": round(box.score, 6),
    }
