"""Boxes as annotation tools write them, to upright boxes in pixels of the upright image. Plain floats, no NumPy.

Corners are x1 y1 x2 y2, x2 and y2 exclusive. Frames are (width, height) in pixels.
"""

from __future__ import annotations

import math
from typing import Iterable, NamedTuple, Sequence, Tuple

Corners = Tuple[float, float, float, float]
FrameWH = Tuple[float, float]

QUARTER_TURNS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


class FrameMatch(NamedTuple):
    """How boxes of the frame that an annotation states become boxes of the upright image."""

    scale_x: float = 1.0
    scale_y: float = 1.0
    turned: bool = False
    """The stated frame is that of the pixels as stored, before EXIF rotates them; scales are applied first."""

    @property
    def scaled(self) -> bool:
        return (self.scale_x, self.scale_y) != (1.0, 1.0)


def match_frame(stated_wh: FrameWH, stored_wh: FrameWH, orientation: int) -> FrameMatch | None:
    """Find how the size that an annotation states fits that of the image file.

    Where the stated size fits both the upright and the stored image (squares, images turned by 180 degrees), boxes are
    taken as upright, as tools of today write them.

    Args:
        stated_wh: width and height that the annotation states.
        stored_wh: of the pixels in the file, before EXIF rotates them.
        orientation: EXIF orientation, 1 to 8.

    Returns:
        None if the sides do not have one ratio, in either frame.
    """
    turns = orientation in QUARTER_TURNS
    upright_wh = (stored_wh[1], stored_wh[0]) if turns else stored_wh
    frames = [(upright_wh, False), (stored_wh, True)] if turns else [(upright_wh, False)]
    for same in (True, False):  # an equal size proves more than an equal ratio
        for frame_wh, turned in frames:
            if stated_wh == frame_wh if same else _have_one_ratio(stated_wh, frame_wh):
                return FrameMatch(frame_wh[0] / stated_wh[0], frame_wh[1] / stated_wh[1], turned)
    return None


def _have_one_ratio(a_wh: FrameWH, b_wh: FrameWH) -> bool:
    """Return whether both sides differ by one factor, within a pixel of the smaller image."""
    small, large = sorted((a_wh, b_wh))
    lowest = max((side - 1) / full for side, full in zip(small, large))
    highest = min((side + 1) / full for side, full in zip(small, large))
    return lowest <= highest


def to_upright(corners: Corners, match: FrameMatch, stored_wh: FrameWH, orientation: int) -> Corners:
    """Return a box of the stated frame as one of the upright image.

    Args:
        corners: in the frame that the annotation states.
        match: of `match_frame`, for the same image.
        stored_wh, orientation: as in `match_frame`.
    """
    x1, y1, x2, y2 = corners
    x1, x2, y1, y2 = x1 * match.scale_x, x2 * match.scale_x, y1 * match.scale_y, y2 * match.scale_y
    if not match.turned:
        return x1, y1, x2, y2
    width, height = stored_wh
    # transposed; each axis may be mirrored before that
    if orientation in (6, 7):
        y1, y2 = height - y2, height - y1
    if orientation in (7, 8):
        x1, x2 = width - x2, width - x1
    return y1, x1, y2, x2


def rotated_envelope(corners: Corners, angle_rad: float) -> Corners:
    """Return the upright rectangle around a box that is turned about its centre; the direction makes no difference."""
    x1, y1, x2, y2 = corners
    cosine, sine = abs(math.cos(angle_rad)), abs(math.sin(angle_rad))
    half_w, half_h = (x2 - x1) / 2, (y2 - y1) / 2
    reach_x, reach_y = half_w * cosine + half_h * sine, half_w * sine + half_h * cosine
    centre_x, centre_y = (x1 + x2) / 2, (y1 + y2) / 2
    return centre_x - reach_x, centre_y - reach_y, centre_x + reach_x, centre_y + reach_y


def polygon_envelope(coordinates: Sequence[float]) -> Corners:
    """Return the rectangle around the points x1 y1 x2 y2 ...; at least one point."""
    xs, ys = coordinates[0::2], coordinates[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def are_relative(boxes: Iterable[Corners]) -> bool:
    """Return whether all boxes of a set have corners between 0 and 1, in parts of the image: no set of pixels has.

    For corners as they are written, inclusive or not. Whole numbers only, or no boxes at all, prove nothing.
    """
    has_fractions = False
    for corners in boxes:
        if not all(0 <= value <= 1 for value in corners):
            return False
        has_fractions = has_fractions or any(value != int(value) for value in corners)
    return has_fractions


def inclusive_pixels(corners: Corners) -> tuple[int, int, int, int]:
    """Round to whole pixels, halves up, and make both corners inclusive.

    Edges are rounded, not widths, so that neighbouring boxes stay neighbours.
    """
    x1, y1, x2, y2 = (math.floor(value + 0.5) for value in corners)
    return x1, y1, x2 - 1, y2 - 1
