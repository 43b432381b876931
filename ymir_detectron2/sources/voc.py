"""Datasets in Pascal VOC form: XML files beside their images, or in a folder of their own, with or without lists.

    Annotations/b/1.xml  JPEGImages/b/1.jpg  ImageSets/Main/train.txt     VOC, CVAT
    annotations/1.xml    images/1.jpg        train.txt  val.txt
    1.xml  1.jpg                                                           LabelImg
    train/1.xml  train/1.jpg  valid/2.xml  valid/2.jpg                     Roboflow

No library is used: those that are kept well (torchvision, datumaro, supervision) read the first `<bndbox>` of an
object, ignore size and rotation, and take any other XML for an image without objects.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Mapping, Sequence

from ..contract.annotations import MAX_LABEL_BYTES
from ..contract.data_issues import DataIssues
from ..contract.index_file import LISTED_TWICE
from ..contract.voc_xml import NO_BOX, NotVocError, VocFile, parse_voc
from ..errors import ConfigError, DatasetError, briefly
from ..text_file import read_lines, read_text
from ..untrusted_files import is_file
from .image_files import LABEL_FOLDERS, ImageNames, by_pair_key, files_below, pair_key
from .labelled_image import MAX_PIXEL, AnnotatedImage, RawBox, RawImage, is_name, to_pixels
from .source import (
    TEST,
    TRAIN,
    UNDIVIDED,
    UNLABELLED,
    VAL,
    LabelledSource,
    require_some_labels,
    set_of_folder,
)

_OWN_IMAGE_FOLDERS = ("jpegimages", "images")
_LIST_FOLDERS = ("ImageSets/Main", "")


class VocSource(LabelledSource):
    """A Pascal VOC dataset below one folder."""

    format_name = "Pascal VOC"

    def __init__(self, root: Path, lists: Sequence[str], issues: DataIssues) -> None:
        """Find the images of every set; annotations are read later.

        Args:
            root: holds images and annotations, in whatever folders.
            lists: the list of the training set, then that of the validation set, below `root` or as a path: one image a
                line, by stem or file name. Empty: those in ImageSets/Main or in `root`, else the folders decide.
            issues: counts images that a list names twice.

        Raises:
            ConfigError: there are no images, or a list is missing.
            DatasetError: an image that a list names is missing.
        """
        self.root = root
        self._names = ImageNames(root, _own_image_folder(root))
        if not self._names.images:
            raise ConfigError(f"{root}: holds no images; give the root of a Pascal VOC set")
        self._xml_files = by_pair_key(files_below(root, (".xml",)))
        lists_of = dict(zip((TRAIN, VAL), (_given_list(root, name) for name in lists))) or _own_lists(root)
        self.sets = {
            name: [self.root / str(image) for image in images]
            for name, images in (
                {name: self._listed(file, issues) for name, file in lists_of.items()} or self._by_folder()
            ).items()
        }

    def read(self, name: str, issues: DataIssues) -> list[AnnotatedImage]:
        """Read the boxes of one set; see `LabelledSource.read`."""
        images, unlabelled = [], 0
        for path in self.sets[name]:
            xml = self._xml_of(path)
            if xml is None:
                issues.add(UNLABELLED, str(path))
                unlabelled += 1
                images.append(RawImage(path, (), str(path)))
                continue
            annotation = read_voc_file(xml)
            # the platform states the size of the stored pixels, in whatever frame the boxes are
            stated_wh = None if annotation.is_platforms else annotation.stated_wh
            images.append(RawImage(path, _boxes_of(annotation, xml, issues), str(xml), stated_wh))
        require_some_labels(images, unlabelled, self.root, "an XML file of the same name beside it or in Annotations/")
        return to_pixels(images, issues, inclusive=True)

    def _xml_of(self, image: Path) -> Path | None:
        files = self._xml_files.get(pair_key(PurePosixPath(image.relative_to(self.root).as_posix())), ())
        if len(files) > 1:
            raise DatasetError(
                f"{self.root / str(files[0])}: {files[1]} is the annotation of {image} as well; remove one of them"
            )
        return self.root / str(files[0]) if files else None

    def _listed(self, file: Path, issues: DataIssues) -> list[PurePosixPath]:
        listed: dict[PurePosixPath, None] = {}
        for number, line in enumerate(read_lines(file), start=1):
            if not line.strip():
                continue
            images = self._names.find(line)
            if not images:
                raise DatasetError(
                    f"{file}:{number}: no image named {briefly(line.strip())} in {self.root}; correct the line"
                )
            if len(images) > 1:
                raise DatasetError(
                    f"{file}:{number}: {briefly(line.strip())} may be {images[0]} or {images[1]}; add the extension"
                )
            if images[0] in listed:
                issues.add(LISTED_TWICE, f"{file}:{number}: {briefly(line.strip())}")
            listed[images[0]] = None
        return list(listed)

    def _by_folder(self) -> Mapping[str, Sequence[PurePosixPath]]:
        """Divide the images by their first folder, if that is called train, valid or the like."""
        sets: dict[str, list[PurePosixPath]] = {}
        for key, images in by_pair_key(self._names.images).items():
            if len(images) > 1 and key in self._xml_files:
                raise DatasetError(
                    f"{self.root / str(images[0])}: {images[1]} has the same annotation; remove one of the images"
                )
            sets.setdefault(set_of_folder(PurePosixPath(key).parts[0]) if "/" in key else UNDIVIDED, []).extend(images)
        return sets


def read_voc_file(file: Path) -> VocFile:
    """Return what an annotation file of a user's dataset says.

    Raises:
        DatasetError: it cannot be read or is not Pascal VOC.
    """
    try:
        return parse_voc(read_text(file, MAX_LABEL_BYTES))
    except OSError as exc:
        raise DatasetError(f"{file}: cannot be read ({exc.strerror}); correct it or take its image away") from exc
    except NotVocError as exc:
        raise DatasetError(f"{file}: {exc}; correct it, or export the dataset as Pascal VOC, COCO or YOLO") from exc


def _boxes_of(annotation: VocFile, file: Path, issues: DataIssues) -> list[RawBox]:
    """Return the boxes of a file; corners stay as written, counting from 1 too, as in the platform's import."""
    boxes = []
    for item in annotation.objects:
        place = f"{file}: object {item.number}"
        if not item.name:
            raise DatasetError(f"{place} has no <name>; correct it")
        if not is_name(item.name):
            raise DatasetError(f"{place}: {briefly(item.name)} cannot be the name of a class; correct it")
        if item.corners is not None:
            if max(map(abs, item.corners)) > MAX_PIXEL:
                corners = ", ".join(f"{corner:g}" for corner in item.corners)
                raise DatasetError(f"{place}: its corners are {corners}, expected pixels; correct it")
            boxes.append(RawBox(item.name, item.corners, item.angle_rad))
        elif item.finding == NO_BOX:  # the platform exports so what has no width or height
            issues.add("object without <bndbox>, left out", place)
        else:
            raise DatasetError(f"{place}: {item.finding}; correct it")
    return boxes


def _own_image_folder(root: Path) -> str:
    """Return VOC's folder of images, which alone counts if the annotations are in one of their own; '' for others."""
    folders = [folder.name for folder in sorted(root.iterdir()) if folder.is_dir()] if root.is_dir() else []
    if not any(name.lower() in LABEL_FOLDERS for name in folders):
        return ""
    return next((name for known in _OWN_IMAGE_FOLDERS for name in folders if name.lower() == known), "")


def _given_list(root: Path, name: str) -> Path:
    file = next(filter(is_file, (root / name, Path(name))), None)
    if file is None:
        raise ConfigError(f"{name}: no such split file, neither below {root} nor as a path")
    return file


def _own_lists(root: Path) -> dict[str, Path]:
    """Return the lists of a dataset by set: those of the first folder that has one of the training set."""
    for folder in _LIST_FOLDERS:
        found = {name: root / folder / f"{name}.txt" for name in (TRAIN, VAL, TEST)}
        if found[TRAIN].is_file():
            return {name: file for name, file in found.items() if file.is_file()}
    return {}
