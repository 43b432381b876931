"""Annotation files: the ground-truth boxes of one image, one file per image.

    ark, 5 columns (YMIR 1.1):   0, 10, 7, 29, 21
    ark, 7 columns (>= 1.2):     0, 9, 7, 28, 21, -1.0, 0.0       class, x1, y1, x2, y2, quality, angle
    voc:                         <annotation> ... <object><name>cat</name><bndbox>...</bndbox></object>

The angle is in units of pi; a rotated box is replaced by the upright rectangle around it.

The format is recognised by the content of the file: `export_format` is ignored by YMIR 1.1, has another default in
other releases, and can be edited in the web form. Corners in the files are inclusive (x2 = x + w - 1); this module is
the only place where they become continuous, x2 exclusive.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Mapping, NamedTuple, Sequence

from ..errors import DatasetError, briefly
from ..label_geometry import FrameWH, rotated_envelope
from ..text_file import decode_text
from ..untrusted_files import read_regular
from .data_issues import ROTATED, DataIssues
from .task import class_key
from .voc_xml import NO_BOX, NotVocError, VocFile, parse_voc

MAX_LABEL_BYTES = 64 << 20
"""Of the annotation of one image: a million boxes; more would only fill the memory."""
_MAX_ID_CHARS = 100  # no class has such an id; converting thousands of digits takes quadratic time, or is refused


class Box(NamedTuple):
    """One ground-truth box in pixels of the frame that its file refers to, x2 and y2 exclusive; not clipped yet."""

    class_id: int
    x1: float
    y1: float
    x2: float
    y2: float


class LabelFile(NamedTuple):
    """The boxes of one image."""

    boxes: list[tuple[str, Box]]
    """Each with its location (`path:line`), for messages."""
    stated_wh: FrameWH | None
    """Width and height of the frame of the boxes; None: not stated, then that of the upright image."""
    is_platforms: bool
    """Whether YMIR has exported it: the size that it states is that of the pixels as stored, whatever the frame is."""


class AnnotationReader:
    """Reads annotation files for one list of class names and counts what it skips."""

    def __init__(self, class_names: Sequence[str], issues: DataIssues) -> None:
        self._num_classes = len(class_names)
        self._class_ids: Mapping[str, int] = {class_key(name): index for index, name in enumerate(class_names)}
        self._issues = issues

    def read(self, path: Path) -> LabelFile | None:
        """Return the boxes of one file; None if the whole file cannot be used, so that its image is left out.

        A line or object that cannot be used is skipped. Both are counted. An empty file is an image without objects.

        Raises:
            DatasetError: the file has a format that this executor cannot read; all files of the set then have it.
            OSError: the file cannot be read, or is a FIFO or device.
        """
        data = read_regular(path, MAX_LABEL_BYTES)
        try:
            text = decode_text(data, errors="replace").lstrip("\ufeff")  # what is appended to a mark may have its own
        except UnicodeError as error:
            self._issues.add("image whose annotation file is not text", f"{path}: {error}")
            return None
        start = text.lstrip()[:1]
        if start in ("{", "["):
            raise DatasetError(f"{path}: holds JSON; set export_format to 'ark:raw' and start the task again")
        return self._read_voc(path, text) if start == "<" else self._read_ark(path, text)

    def _read_ark(self, path: Path, text: str) -> LabelFile | None:
        boxes = []
        has_text = has_box = False
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            has_text = True
            place = f"{path}:{number}"
            columns = line.split(",")
            try:
                class_id = int(columns[0]) if len(columns[0]) <= _MAX_ID_CHARS else self._num_classes
                # quality is ignored; unpacking raises ValueError for fewer than four corners
                x1, y1, x2, y2 = map(float, columns[1:5])
                angle_rad = math.pi * float(columns[6]) if len(columns) > 6 else 0.0
                if angle_rad and not math.isfinite(angle_rad):
                    raise ValueError(columns[6])
            except ValueError:
                reason = "annotation line that is not 'class, x1, y1, x2, y2'"
                self._issues.add(reason, f"{place}: {briefly(line.strip())}")
                continue
            has_box = True
            # checked here, because -1 would silently index the last class
            if not 0 <= class_id < self._num_classes:
                self._issues.add("object of an unknown class", f"{place}: {briefly(line.strip())}")
                continue
            box = Box(class_id, x1, y1, x2 + 1, y2 + 1)  # inclusive -> exclusive
            boxes.append((place, self._envelope(place, box, angle_rad) if angle_rad else box))
        if has_text and not has_box:  # an error page, or labels of another format: not an image without objects
            self._issues.add("image whose annotation file holds no line 'class, x1, y1, x2, y2'", str(path))
            return None
        return LabelFile(boxes, None, is_platforms=True)

    def _read_voc(self, path: Path, text: str) -> LabelFile | None:
        try:
            voc = parse_voc(text)
        except NotVocError as error:
            self._issues.add("image whose annotation file is not Pascal VOC", f"{path}: {error}")
            return None
        boxes = self._voc_boxes(path, voc)
        if not boxes and any(item.finding not in ("", NO_BOX) for item in voc.objects):  # not an image without objects
            self._issues.add("image whose annotation file holds no box that can be read", str(path))
            return None
        return LabelFile(boxes, voc.stated_wh, voc.is_platforms)

    def _voc_boxes(self, path: Path, voc: VocFile) -> list[tuple[str, Box]]:
        boxes = []
        for item in voc.objects:
            place = f"{path}: object {item.number}"
            # unlike ark lines, VOC objects name their class; the platform compares names without case
            class_id = self._class_ids.get(class_key(item.name))
            if class_id is None:
                self._issues.add("object of an unknown class", f"{place}: {briefly(item.name)}")
            elif item.corners is None:
                self._issues.add("object without a readable box", f"{place}: {briefly(item.name)} {item.finding}")
            else:
                x1, y1, x2, y2 = item.corners
                box = Box(class_id, x1, y1, x2 + 1, y2 + 1)  # inclusive -> exclusive
                boxes.append((place, self._envelope(place, box, item.angle_rad) if item.angle_rad else box))
        return boxes

    def _envelope(self, place: str, box: Box, angle_rad: float) -> Box:
        self._issues.add(ROTATED, place)
        return Box(box.class_id, *rotated_envelope((box.x1, box.y1, box.x2, box.y2), angle_rad))
