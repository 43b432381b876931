"""COCO JSON, the form in which both engines read a dataset: written once per task, loaded by every process.

    {"id": 1, "image_id": 1, "category_id": 2, "iscrowd": 0, "bbox": [9, 7, 20, 15], "area": 300}

The line is that of one box. Category id = class id + 1, as COCO's own ids begin at 1. `file_name` is the absolute path.
Boxes are x, y, w, h in continuous pixels of the upright image.

Letters: N images, M boxes of all images together, G boxes of one image.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterable, NamedTuple, Sequence

import numpy as np

from ..atomic_file import atomic_write
from ..errors import DatasetError
from .records import Record

IGNORED = -1
"""Class of a box that is neither to be detected nor background; only in what a training makes of a set."""


class CocoDataset(NamedTuple):
    """A dataset in columns: as Python objects, a million boxes would take a gigabyte."""

    class_names: tuple[str, ...]
    image_paths: tuple[str, ...]
    image_hw: np.ndarray
    """(N, 2) int32: height, width."""
    box_starts: np.ndarray
    """(N + 1,) int64: the boxes of image i are rows box_starts[i] to box_starts[i + 1]."""
    boxes_xyxy: np.ndarray
    """(M, 4) float32 in pixels, x2 and y2 exclusive."""
    classes: np.ndarray
    """(M,) int64, 0-based, or IGNORED."""
    windows: np.ndarray | None = None
    """(N, 4) int32: the window of its file that each image is, see `tile_windows.Window`; None: all of the file."""
    draws: np.ndarray | None = None
    """(N,) float64 in [0, 1]: how often a pass through the set draws each image, on average; None: once."""

    def __len__(self) -> int:
        return len(self.image_paths)

    def with_columns(self, **columns: Any) -> CocoDataset:
        """Return the set with other columns; `_replace` takes the length of a set for the number of its columns."""
        return CocoDataset(**{**self._asdict(), **columns})

    def objects(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes (G, 4) and classes (G,) of one image."""
        rows = slice(self.box_starts[index], self.box_starts[index + 1])
        return self.boxes_xyxy[rows], self.classes[rows]


def write_coco_json(path: Path, records: Iterable[Record], class_names: Sequence[str]) -> None:
    """Write records as they come, without keeping them.

    Raises:
        StorageError: the file system refused.
    """
    # the annotations follow the images in the file: until then their text is kept, not their dictionaries, which for a
    # million boxes would take a gigabyte
    annotations: list[str] = []
    count = 0
    with atomic_write(path) as file:
        categories = [{"id": index, "name": name} for index, name in enumerate(class_names, start=1)]
        file.write(f'{{"info": {{}}, "licenses": [], "categories": {json.dumps(categories)},\n"images": [')
        for image_id, record in enumerate(records, start=1):
            file.write(
                f'{"," if image_id > 1 else ""}\n{{"id": {image_id}, "file_name": {json.dumps(str(record.image_path))},'
                f' "width": {record.width}, "height": {record.height}}}'
            )
            if len(record.classes):
                annotations.append(_annotations_json(image_id, count, record))
                count += len(record.classes)
        file.write('],\n"annotations": [\n' + ",\n".join(annotations) + "]}\n")


def _annotations_json(image_id: int, boxes_before: int, record: Record) -> str:
    lines = []
    rows = zip(record.boxes_xyxy.tolist(), record.classes.tolist())
    for annotation_id, ((x1, y1, x2, y2), class_id) in enumerate(rows, start=boxes_before + 1):
        width, height = x2 - x1, y2 - y1
        # nine significant digits restore every float32 exactly
        lines.append(
            f'{{"id": {annotation_id}, "image_id": {image_id}, "category_id": {class_id + 1}, "iscrowd": 0,'
            f' "bbox": [{x1:.9g}, {y1:.9g}, {width:.9g}, {height:.9g}], "area": {width * height:.9g}}}'
        )
    return ",\n".join(lines)


def load_coco_json(path: Path) -> CocoDataset:
    """Read a file that `write_coco_json` has written.

    Raises:
        DatasetError: the file cannot be read or has another structure.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images, annotations = content["images"], content["annotations"]
        image_ids = np.array([annotation["image_id"] for annotation in annotations], dtype=np.int64)
        # reshape: without annotations the array has shape (0,)
        boxes_xywh = np.array([annotation["bbox"] for annotation in annotations], dtype=np.float32).reshape(-1, 4)
        classes = np.array([annotation["category_id"] - 1 for annotation in annotations], dtype=np.int64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: is not the COCO file that this executor writes ({error!r}); run again") from error
    boxes_xyxy = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
    return CocoDataset(
        class_names=tuple(category["name"] for category in content["categories"]),
        image_paths=tuple(image["file_name"] for image in images),
        image_hw=np.array([(image["height"], image["width"]) for image in images], dtype=np.int32).reshape(-1, 2),
        # annotations are in the order of their images, whose ids are 1 to N
        box_starts=np.searchsorted(image_ids, np.arange(1, len(images) + 2)),
        boxes_xyxy=boxes_xyxy,
        classes=classes,
    )
