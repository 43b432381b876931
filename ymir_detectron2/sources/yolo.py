"""Datasets in YOLO form: one text file per image, `class x y w h` a line, in parts of the upright image.

Not by ultralytics, whose licence and size do not fit: it also leaves out whole images for one bad line.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Sequence

from ..contract.annotations import MAX_LABEL_BYTES
from ..contract.data_issues import DataIssues
from ..contract.index_file import LISTED_TWICE
from ..errors import ConfigError, DatasetError, briefly
from ..label_geometry import Corners, polygon_envelope
from ..text_file import read_lines
from ..untrusted_files import is_file
from .image_files import IMAGE_FOLDERS
from .labelled_image import AnnotatedImage, RawBox, RawImage, to_pixels
from .source import UNLABELLED, LabelledSource, require_some_labels
from .yolo_layout import find_layout

POLYGON = "polygon, replaced by the box around it"
_ROUNDING = 0.01
"""How far beyond the image rounded numbers may lead."""


class YoloSource(LabelledSource):
    """A YOLO dataset below one folder."""

    format_name = "YOLO"

    def __init__(self, path: Path, class_names: Sequence[str], issues: DataIssues) -> None:
        """Find the images of every set.

        Args:
            path: the folder of the dataset, or its data.yaml or obj.data.
            class_names: of the user, by class number; used where the dataset names none.
            issues: counts images that are named twice.

        Raises:
            ConfigError, DatasetError: as `find_layout`; or there are no images, or no class names.
        """
        self.root = path.parent if path.is_file() else path
        layout = find_layout(path)
        self._keypoints = layout.keypoints
        self._class_names = layout.class_names or list(class_names)
        if not any(layout.sets.values()):
            raise ConfigError(f"{path}: holds no images; give the folder or data.yaml of a YOLO dataset")
        self.sets = {name: list(dict.fromkeys(images)) for name, images in layout.sets.items()}
        for images in layout.sets.values():
            for image, count in Counter(images).items():
                if count > 1:
                    issues.add(LISTED_TWICE, str(image), count=count - 1)

    def class_names(self) -> list[str]:
        """Return the names by class number."""
        return list(self._class_names)

    def read(self, name: str, issues: DataIssues) -> list[AnnotatedImage]:
        """Read the boxes of one set; see `LabelledSource.read`.

        Raises:
            ConfigError: no file of the dataset, and no option, names its classes.
        """
        if not self._class_names:
            raise ConfigError(f"{self.root}: no class names: add a data.yaml or classes.txt, or give --classes a,b,c")
        images, unlabelled = [], 0
        for path in self.sets[name]:
            file = label_file(path)
            if not is_file(file):
                issues.add(UNLABELLED, str(path))
                unlabelled += 1
            boxes = self._read_labels(file, issues) if is_file(file) else []
            images.append(RawImage(path, boxes, str(file)))
        require_some_labels(images, unlabelled, self.root, f"{label_file(self.sets[name][0])} and so on")
        return to_pixels(images, issues, relative=True)

    def _read_labels(self, file: Path, issues: DataIssues) -> list[RawBox]:
        try:
            lines = read_lines(file, MAX_LABEL_BYTES)
        except OSError as exc:
            raise DatasetError(f"{file}: cannot be read ({exc.strerror}); correct it") from exc
        boxes = []
        for number, line in enumerate(lines, start=1):
            if line.strip():
                boxes.append(self._read_line(line.split(), f"{file}:{number}", issues))
        return boxes

    def _read_line(self, columns: Sequence[str], place: str, issues: DataIssues) -> RawBox:
        try:
            values = [float(column) for column in columns]
        except ValueError:
            values = [math.nan]
        if not all(map(math.isfinite, values)) or not values[0].is_integer():
            found = briefly(" ".join(columns))
            raise DatasetError(f"{place}: holds {found}, expected numbers: class x y w h; correct the line")
        class_id, coordinates = int(values[0]), values[1:]
        if not 0 <= class_id < len(self._class_names):
            names = f"{len(self._class_names)} class names"
            raise DatasetError(f"{place}: class {briefly(class_id)} is not one of the {names}; correct the file")
        return RawBox(self._class_names[class_id], self._corners(coordinates, place, issues))

    def _corners(self, coordinates: Sequence[float], place: str, issues: DataIssues) -> Corners:
        count = len(coordinates)
        if count not in (4, 4 + self._keypoints) and (self._keypoints or count < 6 or count % 2):
            raise DatasetError(f"{place}: has {count + 1} columns, expected 5: class x y w h; correct the line")
        is_polygon = count != 4 and not self._keypoints
        checked = coordinates if is_polygon else coordinates[:4]
        if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in checked):
            raise DatasetError(
                f"{place}: holds {briefly(list(checked))}, expected parts of the image, 0 to 1; correct the line"
            )
        if is_polygon:  # of a segmentation or rotated-box dataset
            issues.add(POLYGON, place)
            return polygon_envelope(coordinates)
        x, y, w, h = checked
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def label_file(image: Path) -> Path:
    """Return the place of an image's labels: labels/ in place of the last images/ of its path, else beside it.

    In both places the one that exists; where neither does, labels/ if the image is in images/.
    """
    beside = image.with_name(f"{image.stem}.txt")
    positions = [index for index, part in enumerate(image.parts[:-1]) if part.lower() in IMAGE_FOLDERS]
    if not positions:
        return beside
    parts = list(image.parts)
    places = []
    for folder in ("labels", "Labels", "label"):
        parts[positions[-1]] = folder
        places.append(Path(*parts).with_name(beside.name))
    return next((place for place in [*places, beside] if is_file(place)), places[0])
