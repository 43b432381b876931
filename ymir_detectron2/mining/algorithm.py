"""What every mining algorithm offers to the task that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Sequence

if TYPE_CHECKING:
    from ..engines.base import Detections, Pixels, ReadDense


class Algorithm(Protocol):
    """One way to say how much labelling a picture would teach: a number, the higher the earlier it is mined.

    A picture is looked at in one part, or in several where it is cut into tiles: first each part gives a value, then
    the values of a picture give its score. A score depends on the picture, its name, the seed and the model; not on
    the order of candidates or boxes, on batches, or on other pictures.
    """

    read: ReadDense | None
    """What to take out of the dense outputs of each part; None: nothing."""

    def part_values(
        self, names: Sequence[str], parts: Sequence[Pixels], found: Sequence[Detections], readings: Sequence[Any]
    ) -> list[Any]:
        """What each part contributes; the parts may belong to different pictures.

        Args:
            names: of each part: the file name of its picture, with `#2` and so on behind it for further tiles.
            parts: pixels as the network looked at them.
            found: what it found there, boxes in pixels of the part.
            readings: what `read` made of each; all None without `read`.
        """

    def score(self, name: str, found: Detections, values: Sequence[Any]) -> float:
        """The score of one picture.

        Args:
            name: its file name.
            found: its detections, of all parts together, in pixels of the original picture.
            values: what `part_values` gave for its parts.
        """
