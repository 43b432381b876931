"""The labelled sets that experiments run on, each with images to train or choose from and images to measure on.

bccd=/data/bccd    a folder in Pascal VOC form with train.txt and val.txt
pcb=/data/pcb      a folder in COCO form with pool.json (or train.json) and val.json
drawn:demo         shapes on textured backgrounds, as the demo draws them
drawn:long-tail    `long_tail.py`: one class in 1 % of the images, half of them empty, near copies
drawn:long-tail-common, drawn:boards    to train the weights that a curve on `long-tail` or on boards starts from
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Mapping, Sequence

from benchmarks.drawn_boards import CLASS_NAMES as BOARD_CLASSES
from benchmarks.drawn_boards import draw_boards
from benchmarks.long_tail import draw_common, draw_pool, draw_val
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.file_digest import file_digest
from ymir_detectron2.sources.coco import read_coco_file
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.sources.source import TRAIN, UNDIVIDED, VAL
from ymir_detectron2.sources.voc import VocSource
from ymir_detectron2.tools.draw_dataset import draw_images

_COCO_FILES = (("pool.json", "train.json"), ("val.json",))
DEMO_TRAINING, DEMO_VALIDATION = 200, 80
BOARDS_TRAINING, BOARDS_VALIDATION = 800, 100


@dataclass(frozen=True)
class LabelledSet:
    """Images with their true boxes."""

    name: str
    """For titles: "bccd"."""
    train: Sequence[AnnotatedImage]
    """The pool of an active learning experiment. File names are unique, and so are contents."""
    val: Sequence[AnnotatedImage]
    listed_classes: Sequence[str] = ()
    """Where the set gives its classes an order."""

    @property
    def class_names(self) -> list[str]:
        """Classes of both halves, as the set lists them, or sorted."""
        found = {box[0] for image in (*self.train, *self.val) for box in image.boxes}
        return list(self.listed_classes) or sorted(found)


def load_set(spec: str, drawn_dir: Path) -> LabelledSet:
    """Load a set, or draw it.

    Args:
        spec: see the head of this file; without `NAME=` the name of the folder is that of the set.
        drawn_dir: gets the images of a drawn set.

    Raises:
        ConfigError: there is no such set, or two of its images have one name.
        DatasetError: a label or an image is damaged.
    """
    kind, _, drawn = spec.partition(":")
    if kind == "drawn":
        if drawn not in DRAWN:
            raise ConfigError(f"{spec}: no such drawn set; choose one of {', '.join(DRAWN)}")
        return _checked(DRAWN[drawn](drawn, drawn_dir / "train", drawn_dir / "val"))
    name, _, folder = spec.rpartition("=")
    return _checked(_load_folder(name or Path(folder).name, Path(folder)))


def _draw_demo(name: str, train: Path, val: Path) -> LabelledSet:
    return LabelledSet(name, draw_images(train, DEMO_TRAINING, seed=1), draw_images(val, DEMO_VALIDATION, seed=2))


def _draw_long_tail(name: str, train: Path, val: Path) -> LabelledSet:
    return LabelledSet(name, draw_pool(train), draw_val(val))


def _draw_common(name: str, train: Path, val: Path) -> LabelledSet:
    return LabelledSet(name, draw_common(train), draw_val(val))


def _draw_boards(name: str, train: Path, val: Path) -> LabelledSet:
    boards = (draw_boards(train, BOARDS_TRAINING, seed=7), draw_boards(val, BOARDS_VALIDATION, seed=8))
    return LabelledSet(name, *boards, BOARD_CLASSES)


DRAWN: Mapping[str, Callable[[str, Path, Path], LabelledSet]] = {
    "demo": _draw_demo,
    "long-tail": _draw_long_tail,
    "long-tail-common": _draw_common,
    "boards": _draw_boards,
}


def _load_folder(name: str, folder: Path) -> LabelledSet:
    issues = DataIssues()
    if (folder / "train.txt").is_file():
        source = VocSource(folder, ("train.txt", "val.txt"), issues)
        return LabelledSet(name, source.read(TRAIN, issues), source.read(VAL, issues))
    pool, val = (next(filter(Path.is_file, (folder / file for file in files)), None) for files in _COCO_FILES)
    if pool is None or val is None:
        raise ConfigError(f"{folder}: has neither train.txt (Pascal VOC) nor pool.json and val.json (COCO)")
    halves = [read_coco_file(file) for file in (pool, val)]
    train_images, val_images = (half.read(UNDIVIDED, issues) for half in halves)
    names = dict.fromkeys(name for half in halves for name in half.class_names())
    return LabelledSet(name, train_images, val_images, list(names))


def _checked(given: LabelledSet) -> LabelledSet:
    """Return the set with each content once in its pool."""
    for images in (given.train, given.val):
        if len({image.path.name for image in images}) < len(images):
            raise ConfigError(f"{given.name}: two images have the same file name; rename one of them")
    distinct: dict[str, AnnotatedImage] = {}
    for image in given.train:  # the platform knows images by their content: of equal ones a task has only the first
        distinct.setdefault(file_digest(image.path, "sha1"), image)
    return replace(given, train=list(distinct.values()))
