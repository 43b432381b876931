"""mining-explanations.json: why the first images of result.tsv have their scores. For people; no release reads it.

    {"algorithm": "cald", "images": [{"asset": "/in/assets/8e5f.jpg", "score": -0.031, "facts": [["flip", 0.02], ...],
      "boxes": [{"xyxy": [3.0, 4.5, 12.0, 10.1], "class_name": "cat", "score": 0.61, "value": 0.02,
                 "augmentation": "flip", "class_probs": [["cat", 0.61], ["dog", 0.33]]}]}]}

Boxes are in pixels of the upright image, x2 and y2 exclusive. An image that was moved as a near-duplicate has another
score in result.tsv.
"""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

from pydantic import Field
from typing_extensions import Annotated

from ..atomic_file import atomic_write
from ..errors import ExecutorError
from ..evaluation.result_file import Name, Part, Rate, parse_result_file

FILE_NAME = "mining-explanations.json"
MOST_SHOWN = 48
"""Images at the head of result.tsv that the page shows, and that may therefore be explained."""
MOST_BOXES = 50
"""Of one image: those that come first."""
_MOST_IMAGES = 1000
_MOST_BYTES = 64 << 20

Number = Annotated[float, Field(gt=-1e9, lt=1e9)]  # NaN is neither
NamedNumbers = Annotated[List[Tuple[Name, Number]], Field(max_length=1000)]


class BoxReason(Part):
    """A box that took part in a score."""

    xyxy: Tuple[Number, Number, Number, Number]
    class_name: Name
    score: Rate
    value: Number
    """What it contributed, in the unit of the algorithm."""
    augmentation: Name = ""
    """The augmented copy in which it was detected; '': the image itself."""
    class_probs: NamedNumbers = Field(default_factory=list)


class ImageReason(Part):
    """Why one image has its score."""

    asset: Name
    """As in result.tsv, made `printable`."""
    score: Number
    facts: NamedNumbers = Field(default_factory=list)
    boxes: List[BoxReason] = Field(default_factory=list, max_length=MOST_BOXES)


class MiningExplanations(Part):
    """The content of the file."""

    algorithm: Name
    images: Annotated[List[ImageReason], Field(max_length=_MOST_IMAGES)]


def write_explanations(path: Path, explanations: MiningExplanations) -> None:
    """Write the file atomically, the same bytes for the same reasons.

    Raises:
        StorageError: the file system refused.
    """
    with atomic_write(path, "wb") as file:
        file.write(explanations.as_bytes())


def read_explanations(path: Path) -> MiningExplanations | None:
    """Return the content of a file that may come from anywhere; None if there is none, or it is something else."""
    try:
        return parse_result_file(path, MiningExplanations, _MOST_BYTES)
    except ExecutorError:
        return None
