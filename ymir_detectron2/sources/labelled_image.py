"""Images with their boxes: as a tool has written them, and in whole pixels of the upright image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Sequence, Tuple

from ..contract.data_issues import ROTATED, SCALED, TURNED, TWICE, DataIssues
from ..contract.task import class_key
from ..dataset.image_reading import ImageFrame, read_image_frame
from ..errors import DatasetError, ImageError
from ..label_geometry import (
    Corners,
    FrameMatch,
    FrameWH,
    are_relative,
    inclusive_pixels,
    match_frame,
    rotated_envelope,
    to_upright,
)

LabelledBox = Tuple[str, int, int, int, int]
"""Class name, then x1 y1 x2 y2 in pixels, both corners inclusive: a box as the platform stores it."""

MAX_PIXEL = 1e9
"""Of any image: what lies beyond is no position, and would be a number of 300 digits in the file."""
_NOT_IN_NAMES = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

UNREADABLE = "image file that cannot be read, left out"
RELATIVE = "box with corners from 0 to 1, multiplied by the size of its image"


@dataclass(frozen=True)
class AnnotatedImage:
    """An image file with its ground-truth boxes."""

    path: Path
    boxes: tuple[LabelledBox, ...] = ()
    """(class name, x1, y1, x2, y2): integer pixels of the upright image, both corners inclusive."""


class RawBox(NamedTuple):
    """One box as it is written."""

    class_name: str
    corners: Corners
    angle_rad: float = 0.0
    """The box is turned by it about its centre."""


class RawImage(NamedTuple):
    """One image as its annotation describes it."""

    path: Path
    boxes: Sequence[RawBox]
    place: str
    """Of the annotation, for messages."""
    stated_wh: FrameWH | None = None
    """The size that the annotation states, to which the boxes belong; None where it states none."""


def is_name(text: str) -> bool:
    """Return whether text can be the name of a class: on one line, and of characters that XML and UTF-8 have."""
    return bool(text.strip()) and not _NOT_IN_NAMES.search(text.strip())


def to_pixels(
    images: Sequence[RawImage], issues: DataIssues, *, inclusive: bool = False, relative: bool | None = None
) -> list[AnnotatedImage]:
    """Turn boxes as they are written into whole pixels of the upright images; what cannot be used is counted.

    Args:
        images: of one set.
        issues: counts images that are left out, and boxes that were changed.
        inclusive: x2 and y2 are the last pixels, of which fractions are cut, as the platform's import does.
        relative: corners are parts of the image; None: they are if those of all boxes are between 0 and 1.

    Raises:
        DatasetError: the size that an annotation states is not that of its image.
    """
    if relative is None:
        relative = are_relative(box.corners for image in images for box in image.boxes)
        for image in images if relative else ():
            if image.boxes:
                issues.add(RELATIVE, image.place, count=len(image.boxes))
    usable = []
    for image in images:
        try:
            frame = read_image_frame(image.path)
        except ImageError as error:
            issues.add(UNREADABLE, str(error))
            continue
        usable.append(_convert(image, frame, issues, inclusive and not relative, relative))
    return usable


def _convert(image: RawImage, frame: ImageFrame, issues: DataIssues, inclusive: bool, relative: bool) -> AnnotatedImage:
    height, width = frame.upright_hw
    stored_wh = (float(frame.stored_hw[1]), float(frame.stored_hw[0]))
    match = _match_stated_size(image, frame, stored_wh, issues)
    factors = (_known_size(image) or (width, height)) if relative else (1.0, 1.0)
    boxes: dict[tuple[str, tuple[int, int, int, int]], LabelledBox] = {}
    for box in image.boxes:
        x1, y1, x2, y2 = box.corners
        corners = (x1 * factors[0], y1 * factors[1], x2 * factors[0], y2 * factors[1])
        if inclusive:
            corners = int(x1), int(y1), int(x2) + 1, int(y2) + 1
        if box.angle_rad:
            issues.add(ROTATED, image.place)
            corners = rotated_envelope(corners, box.angle_rad)
        x1, y1, x2, y2 = to_upright(corners, match, stored_wh, frame.orientation)
        if box.angle_rad:  # corners of a turned box may be outside where the object is not
            x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
        pixels = inclusive_pixels((x1, y1, x2, y2))
        key = (class_key(box.class_name), pixels)
        if key in boxes:
            issues.add(TWICE, f"{image.place}: {box.class_name} {pixels}")
        boxes.setdefault(key, (box.class_name, *pixels))
    return AnnotatedImage(image.path, tuple(boxes.values()))


def _known_size(image: RawImage) -> FrameWH | None:
    # some tools write 0 for a size that they do not know
    return image.stated_wh if image.stated_wh and min(image.stated_wh) >= 1 else None


def _match_stated_size(image: RawImage, frame: ImageFrame, stored_wh: FrameWH, issues: DataIssues) -> FrameMatch:
    stated_wh = _known_size(image)
    if stated_wh is None:
        return FrameMatch()
    stated, (height, width) = f"{stated_wh[0]:g}x{stated_wh[1]:g}", frame.upright_hw
    match = match_frame(stated_wh, stored_wh, frame.orientation)
    if match is None:
        raise DatasetError(
            f"{image.place}: states the size {stated}, but {image.path} has {width}x{height}; correct the size, or give"
            " the image that was labelled"
        )
    for happened, reason in ((match.scaled, SCALED), (match.turned, TURNED)):
        if happened and image.boxes:
            issues.add(reason, f"{image.place}: {stated}, {image.path.name} has {width}x{height}")
    return match
