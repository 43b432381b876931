"""Pascal VOC: what one XML file says, whoever has written it.

    <annotation> <size>...</size> <object><name>cat</name><bndbox>...</bndbox></object> </annotation>

Besides the platform's own files this reads what annotation tools make of the format: several <bndbox> in an object, a
namespace, CVAT's attribute `rotation` in degrees, roLabelImg's <robndbox> in radians.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Iterator, NamedTuple, Sequence

from ..errors import briefly
from ..label_geometry import Corners, FrameWH
from ..xml_file import NotXmlError, parse_xml

if TYPE_CHECKING:
    from xml.etree import ElementTree

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_TURNED_BOX = ("cx", "cy", "w", "h", "angle")
NO_BOX = "has no <bndbox>"
_PLATFORM_FOLDER = "/in/assets/"  # its <filename> is a path in the container; tools write the bare name


class NotVocError(ValueError):
    """The text is not Pascal VOC; the message says what was found instead."""


class VocObject(NamedTuple):
    """A box of an object; an object with several has as many of these, one without a readable box has one."""

    number: int
    """Of its <object> in the file, from 1."""
    name: str
    """'' where there is none."""
    corners: Corners | None
    """As written, both inclusive; None if the object has no readable box."""
    angle_rad: float
    """The box is turned by it about its centre."""
    finding: str = ""
    """Why it has no readable box."""


class VocFile(NamedTuple):
    """One annotation file."""

    objects: list[VocObject]
    stated_wh: FrameWH | None
    """<size>; None where there is none, or zero, as some tools write it."""
    is_platforms: bool
    """Whether YMIR has exported it. Its <size> is that of the pixels as stored, whatever the boxes refer to."""


def parse_voc(text: str) -> VocFile:
    """Read the text of an annotation file.

    Raises:
        NotVocError: it is not XML, declares an entity, or is not <annotation>.
    """
    try:
        root = parse_xml(text)
    except NotXmlError as error:
        raise NotVocError(f"is not valid XML: {error}") from error
    items = list(root.iter("object"))
    if not items:  # none, or with a prefix or in capitals
        for element in root.iter():
            element.tag = _plain(element.tag)
        items = list(root.iter("object"))
    # an image without objects has an empty <annotation>; an error page or CVAT's own form must not be taken for one
    if not items and root.tag != "annotation":
        raise NotVocError(f"has <{root.tag[:50]}> where Pascal VOC has <annotation> with <object>")
    objects = [box for number, item in enumerate(items, start=1) for box in _boxes(number, item)]
    is_platforms = (root.findtext("filename") or "").startswith(_PLATFORM_FOLDER)
    return VocFile(objects, _stated_wh(root), is_platforms)


def _plain(tag: str) -> str:
    return tag.rpartition(":")[2].lower()


def _boxes(number: int, item: ElementTree.Element) -> Iterator[VocObject]:
    name = (item.findtext("name") or "").strip()
    found = False
    for box in item.iterfind("bndbox"):
        found = True
        # of a box, by the platform in units of pi; of an object, by CVAT in degrees
        turns = _number(box.findtext("rotate_angle", "0"), empty=0.0)
        angle_rad = math.pi * turns + math.radians(_cvat_rotation(item))
        x1, y1, x2, y2 = _numbers(box, _CORNERS)
        yield _object(number, name, (x1, y1, x2, y2), angle_rad, _finding(box, _CORNERS))
    for box in item.iterfind("robndbox"):
        found = True
        x, y, w, h, angle_rad = _numbers(box, _TURNED_BOX)
        corners = (x - w / 2, y - h / 2, x + w / 2 - 1, y + h / 2 - 1)
        yield _object(number, name, corners, angle_rad, _finding(box, _TURNED_BOX))
    if not found:  # the platform writes no <bndbox> for a box of zero width or height
        yield VocObject(number, name, None, 0.0, NO_BOX)


def _cvat_rotation(item: ElementTree.Element) -> float:
    """Return CVAT's attribute in degrees; 0 where there is none."""
    for attribute in item.iterfind("attributes/attribute"):
        if attribute.findtext("name") == "rotation":
            return _number(attribute.findtext("value"), empty=0.0)
    return 0.0


def _stated_wh(root: ElementTree.Element) -> FrameWH | None:
    size = root.find("size")
    if size is None:
        return None
    width, height = _numbers(size, ("width", "height"))
    return (width, height) if math.inf > width > 0 and math.inf > height > 0 else None


def _object(number: int, name: str, corners: Corners, angle_rad: float, finding: str) -> VocObject:
    if not finding and not all(map(math.isfinite, (*corners, angle_rad))):
        finding = "has a rotation or a size that is not a finite number"
    return VocObject(number, name, None if finding else corners, angle_rad, finding)


def _finding(box: ElementTree.Element, tags: Sequence[str]) -> str:
    """Name the first value of a box that is not a finite number; '' if all are."""
    for tag in tags:
        if not math.isfinite(_number(box.findtext(tag))):
            return f"<{tag}> holds {briefly(box.findtext(tag))}, expected a number"
    return ""


def _numbers(parent: ElementTree.Element, tags: Sequence[str]) -> list[float]:
    return [_number(parent.findtext(tag)) for tag in tags]


def _number(text: str | None, *, empty: float = math.nan) -> float:
    """Return a number, NaN for another text; `empty` for none."""
    try:
        return float(text) if text and text.strip() else empty
    except ValueError:
        return math.nan
