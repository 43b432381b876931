"""The boxes of an annotation file, in whatever frame they are, as boxes of the upright image."""

from __future__ import annotations

from ..contract.annotations import Box, LabelFile
from ..contract.data_issues import SCALED, TURNED, DataIssues
from ..label_geometry import QUARTER_TURNS, Corners, FrameMatch, match_frame, to_upright
from .image_reading import ImageFrame


def to_upright_image(
    labels: LabelFile, frame: ImageFrame, place: str, issues: DataIssues
) -> list[tuple[str, Box]] | None:
    """Return the boxes in pixels of the upright image; None if they are not those of this image.

    Args:
        frame: of the image file.
        place: the annotation file, for messages.
        issues: counts images that are left out, and those whose boxes are scaled or turned.
    """
    if _are_relative(labels, frame):
        issues.add("image whose boxes have corners from 0 to 1, not in pixels, left out", place)
        return None
    if labels.stated_wh is None and frame.orientation not in QUARTER_TURNS:  # nearly all files in ark format
        return labels.boxes
    stored_wh, (height, width) = frame.stored_hw[::-1], frame.upright_hw
    match: FrameMatch | None = FrameMatch()
    stated = "no size"
    if labels.stated_wh is not None:
        match = match_frame(labels.stated_wh, stored_wh, frame.orientation)
        stated = "{:g}x{:g}".format(*labels.stated_wh)
    sizes = f"{place}: states {stated}, the upright image has {width}x{height}"
    if match is None:
        issues.add("image of another size than its annotation states, left out", sizes)
        return None
    # YMIR keeps boxes as they were imported, and states the size of the pixels as stored: the boxes have to show it
    if labels.is_platforms and (match.turned or labels.stated_wh is None):
        match = match._replace(turned=_show_the_stored_frame(labels, match, frame))
    for is_so, reason in ((match.scaled, SCALED), (match.turned, TURNED)):
        if is_so and labels.boxes:
            issues.add(reason, sizes)
    if match == FrameMatch():
        return labels.boxes
    return [
        (line, Box(box.class_id, *to_upright(_corners(box), match, stored_wh, frame.orientation)))
        for line, box in labels.boxes
    ]


def _corners(box: Box) -> Corners:
    return box.x1, box.y1, box.x2, box.y2


def _are_relative(labels: LabelFile, frame: ImageFrame) -> bool:
    """Return whether all boxes have corners from 0 to 1: parts of the image, of which imports cut the fractions."""
    if not labels.boxes or max(frame.stored_hw) <= 2:
        return False
    return all(box.x1 >= 0 and box.y1 >= 0 and box.x2 - 1 <= 1 and box.y2 - 1 <= 1 for _, box in labels.boxes)


def _show_the_stored_frame(labels: LabelFile, match: FrameMatch, frame: ImageFrame) -> bool:
    """Return whether all boxes fit the image as stored, and one has its centre outside the upright one.

    The centre, since a box that is only drawn a little over the edge must not turn the others.
    """
    (stored_h, stored_w), (height, width) = frame.stored_hw, frame.upright_hw
    if (stored_w, stored_h) == (width, height):
        return False
    scaled = [to_upright(_corners(box), match._replace(turned=False), (0, 0), 1) for _, box in labels.boxes]
    is_outside = any(x1 + x2 > 2 * width or y1 + y2 > 2 * height for x1, y1, x2, y2 in scaled)
    # a pixel more: in 1-based sets the last corner is one too high
    return is_outside and all(x2 <= stored_w + 1 and y2 <= stored_h + 1 for _, _, x2, y2 in scaled)
