"""mining-explanations.json: why the first images of result.tsv have their scores. For people; no release reads it.

    {"algorithm": "cald", "images": [{"asset": "/in/assets/8e5f.jpg", "score": -0.031, "facts": [["flip", 0.02], ...],
      "boxes": [{"xyxy": [3.0, 4.5, 12.0, 10.1], "class_name": "cat", "score": 0.61, "value": 0.02,
                 "augmentation": "flip", "class_probs": [["cat", 0.61], ["dog", 0.33]]}],
      "parts": {"gain": 0.9, "novelty": 0.8, "is_unlike": true, "is_alike": false,
                "resembles": "8e60.jpg", "nothing_found": false,
                "classes": [{"class_name": "cat", "evidence": 0.96, "weight": 1.5, "before": 12.0, "gain": 0.2,
                             "is_rare": false}]}}]}

Boxes are in pixels of the upright image, x2 and y2 exclusive. `parts` is null but for algorithms whose scores depend on
the images chosen before. An image that was moved as a near-duplicate has another score in result.tsv.
"""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

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
MOST_CLASSES = 10
"""Of the parts of one score: those that add most."""
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


class ClassGain(Part):
    """What one class adds to the gain of an image, see `mining.explanation.ClassPart`."""

    class_name: Name
    evidence: Number
    weight: Number
    before: Number
    gain: Number
    is_rare: bool
    """Less than half of an equal share of what was labelled or chosen before is of this class."""


class GainParts(Part):
    """What made the score of an image whose rank depends on those before it, see `mining.explanation.ScoreParts`."""

    gain: Number
    novelty: Optional[Rate] = None
    is_unlike: bool = False
    """In the upper quarter of the novelties of all images that are compared, and above the median."""
    is_alike: bool = False
    """In the lower quarter, and below the median."""
    resembles: Name = ""
    """File name of the image chosen before that it resembles most; '': a labelled image, or nothing."""
    nothing_found: bool
    classes: Annotated[List[ClassGain], Field(max_length=MOST_CLASSES)]
    """The largest gain first."""


class ImageReason(Part):
    """Why one image has its score."""

    asset: Name
    """As in result.tsv, made `printable`."""
    score: Number
    facts: NamedNumbers = Field(default_factory=list)
    boxes: List[BoxReason] = Field(default_factory=list, max_length=MOST_BOXES)
    parts: Optional[GainParts] = None


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
