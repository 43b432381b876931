"""infer-result.json: the detections of every candidate.

    {"detection": {"8e5f.jpg": {"boxes": [
        {"box": {"x": 3, "y": 4, "w": 10, "h": 7}, "class_name": "cat", "score": 0.9}]}}}

YMIR up to 1.2 calls the list `annotations`. Coordinates are integers: no release accepts x = 1.5.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, BinaryIO, Iterator, Mapping, NamedTuple, Sequence

from ..atomic_file import atomic_write
from ..errors import DatasetError, error_summary
from ..untrusted_files import open_regular, read_regular

_FIRST_LINE = b'{"detection": {'
_MOST_LINE_BYTES = 64 << 20
"""Of the line of one image: half a million boxes."""
_MOST_FOREIGN_BYTES = 512 << 20
"""Of a file that another executor has laid out, which has to be read as a whole."""
_MOST_PIXELS = 1 << 31


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


def read_infer_result(path: Path) -> Iterator[tuple[str, list[ResultBox]]]:
    """Yield the base name and the boxes of each image of an infer-result.json, in the order of the file.

    A file of `InferResultWriter` has a line per image and is read line by line, however many there are; one of another
    executor is read as a whole.

    Raises:
        DatasetError: the file is missing, damaged, or something else; found when the damaged image is reached.
    """
    try:
        with open_regular(path) as file:
            if file.readline(_MOST_LINE_BYTES).strip() == _FIRST_LINE:
                entries = _entries_by_line(file)
            else:
                entries = iter(json.loads(read_regular(path, _MOST_FOREIGN_BYTES))["detection"].items())
            for name, entry in entries:
                yield name, _boxes(entry)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); run inference first") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        finding = error_summary(error)[:200]
        raise DatasetError(f"{path}: is not a result of inference ({finding}); run inference again") from error


def _entries_by_line(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    while True:
        line = file.readline(_MOST_LINE_BYTES).strip()
        if line == b"}}":
            return
        # ValueError at the end of a file that breaks off
        ((name, entry),) = json.loads(b"{" + line.rstrip(b",") + b"}").items()
        yield name, entry


def _boxes(entry: Mapping[str, Any]) -> list[ResultBox]:
    return [_box(item) for item in (entry["boxes"] if "boxes" in entry else entry["annotations"])]


def _box(item: Mapping[str, Any]) -> ResultBox:
    frame = item["box"]
    box = ResultBox(frame["x"], frame["y"], frame["w"], frame["h"], item["class_name"], item["score"])
    is_sane = all(-_MOST_PIXELS < number < _MOST_PIXELS for number in box[:4]) and 0 <= box.score <= 1
    if not (can_be_result_box(list(box)) and is_sane):
        raise ValueError(f"{str(box)[:100]} cannot be a box")
    return box
