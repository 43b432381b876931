"""What the readers of all formats have in common: a dataset with its sets, whose annotations are read set by set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Mapping, Sequence

from ..contract.data_issues import DataIssues
from ..errors import DatasetError
from .labelled_image import AnnotatedImage

TRAIN, VAL, TEST, UNDIVIDED = "train", "val", "test", ""
_SET_OF_WORD = {
    "train": TRAIN, "training": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "test": TEST, "testing": TEST,
}  # fmt: skip

UNLABELLED = "image without an annotation file, taken for one without objects"


class LabelledSource:
    """A dataset in one format."""

    format_name: str
    """As in "Pascal VOC"."""
    root: Path
    """The folder that holds the images: files elsewhere are never hard-linked."""
    sets: Mapping[str, Sequence[Path]]
    """TRAIN, VAL, TEST or UNDIVIDED -> image files, in the order of the source."""

    def read(self, name: str, issues: DataIssues) -> list[AnnotatedImage]:
        """Read the annotations of one set; what was left out or changed is counted.

        Raises:
            DatasetError: an annotation is damaged or makes no sense; the message names its file and entry.
        """
        raise NotImplementedError

    def class_names(self) -> list[str]:
        """Return the class names that the source lists, in its order; [] where it lists none."""
        return []

    def describe(self) -> str:
        """Return what was recognised, for a summary or a message."""
        words = {TRAIN: "training ", VAL: "validation ", TEST: "test ", UNDIVIDED: ""}
        counts = [f"{len(self.sets[name])} {word}images" for name, word in words.items() if self.sets.get(name)]
        return f"{self.root}: a {self.format_name} dataset, {' and '.join(counts)}"


def set_of_name(name: str) -> str:
    """Return the set that a word in the name of a file or folder stands for: `instances_train2017` is TRAIN."""
    found = [_SET_OF_WORD[word] for word in re.findall("[a-z]+", name.lower()) if word in _SET_OF_WORD]
    return found[0] if found else UNDIVIDED


def set_of_folder(name: str) -> str:
    """Return the set that a folder is named after, or UNDIVIDED."""
    return _SET_OF_WORD.get(name.lower().rstrip("0123456789"), UNDIVIDED)


def require_some_labels(images: Sequence[object], unlabelled: int, place: Path, expected: str) -> None:
    """Raise DatasetError if no image has an annotation file: then they are somewhere else, or in another format."""
    if images and unlabelled == len(images):
        raise DatasetError(f"{place}: none of {len(images)} images has an annotation file; expected {expected}")
