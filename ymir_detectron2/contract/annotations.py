"""Annotation files: the ground-truth boxes of one image, one file per image.

    ark, 5 columns (YMIR 1.1):   0, 10, 7, 29, 21
    ark, 7 columns (>= 1.2):     0, 9, 7, 28, 21, -1.0, 0.0       class, x1, y1, x2, y2, quality, angle
    voc:                         <annotation> ... <object><name>cat</name><bndbox>...</bndbox></object>

The format is recognised by the content of the file: `export_format` is ignored by YMIR 1.1, has another default in
other releases, and can be edited in the web form. Corners in the files are inclusive (x2 = x + w - 1); this module is
the only place where they become continuous, x2 exclusive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, NamedTuple, Sequence

from ..errors import DatasetError, briefly
from ..untrusted_files import read_regular
from ..xml_file import NotXmlError, parse_xml
from .data_issues import DataIssues
from .task import class_key

_MAX_BYTES = 64 << 20
"""A million boxes in one image; more would only fill the memory."""
_MAX_ID_CHARS = 100  # no class has such an id; converting thousands of digits takes quadratic time, or is refused


class Box(NamedTuple):
    """One ground-truth box in pixels of the upright image, x2 and y2 exclusive; not clipped to the image yet."""

    class_id: int
    x1: float
    y1: float
    x2: float
    y2: float


class AnnotationReader:
    """Reads annotation files for one list of class names and counts what it skips."""

    def __init__(self, class_names: Sequence[str], issues: DataIssues) -> None:
        self._num_classes = len(class_names)
        self._class_ids: Mapping[str, int] = {class_key(name): index for index, name in enumerate(class_names)}
        self._issues = issues

    def read(self, path: Path) -> list[tuple[str, Box]]:
        """Return the boxes of one file, each with its location (`path:line`) for messages.

        A line or object that cannot be used is skipped and counted. An empty file is an image without objects.

        Raises:
            DatasetError: the file has a format that this executor cannot read; all files of the set then have it.
            OSError: the file cannot be read, or is a FIFO or device.
        """
        # not encoding="utf-8-sig": its incremental decoder is slow, which 100,000 small files make noticeable
        text = read_regular(path, _MAX_BYTES).decode("utf-8", errors="replace").lstrip("\ufeff")
        start = text.lstrip()[:1]
        if start == "<":
            return self._read_voc(path, text)
        if start in ("{", "["):
            raise DatasetError(f"{path}: holds JSON; set export_format to 'ark:raw' and start the task again")
        return self._read_ark(path, text)

    def _read_ark(self, path: Path, text: str) -> list[tuple[str, Box]]:
        boxes = []
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            columns = line.split(",")
            try:
                class_id = int(columns[0]) if len(columns[0]) <= _MAX_ID_CHARS else self._num_classes
                # quality and angle are ignored; unpacking raises ValueError for fewer than four corners
                x1, y1, x2, y2 = map(float, columns[1:5])
            except ValueError:
                reason = "annotation line that is not 'class, x1, y1, x2, y2'"
                self._issues.add(reason, f"{place}: {briefly(line.strip())}")
                continue
            # checked here, because -1 would silently index the last class
            if not 0 <= class_id < self._num_classes:
                self._issues.add("object of an unknown class", f"{place}: {briefly(line.strip())}")
                continue
            boxes.append((place, Box(class_id, x1, y1, x2 + 1, y2 + 1)))  # inclusive -> exclusive
        return boxes

    def _read_voc(self, path: Path, text: str) -> list[tuple[str, Box]]:
        try:
            root = parse_xml(text)
        except NotXmlError as error:
            self._issues.add("annotation file that is no valid XML", f"{path}: {error}")
            return []
        boxes = []
        for number, item in enumerate(root.iter("object"), start=1):
            place = f"{path}: object {number}"
            # unlike ark lines, VOC objects name their class; the platform compares names without case
            name = item.findtext("name") or ""
            corners = [item.findtext(f"bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax")]
            class_id = self._class_ids.get(class_key(name))
            if class_id is None:
                self._issues.add("object of an unknown class", f"{place}: {briefly(name)}")
                continue
            try:
                # the platform writes no <bndbox> for a box of zero width or height: float("") raises ValueError
                x1, y1, x2, y2 = (float(corner or "") for corner in corners)
            except ValueError:
                self._issues.add("object without a readable box", f"{place}: {briefly(corners)}")
                continue
            boxes.append((place, Box(class_id, x1, y1, x2 + 1, y2 + 1)))  # inclusive -> exclusive
        return boxes
