"""Datasets in COCO JSON: one file, or one for each set, and the images in a folder given or found.

annotations/instances_train2017.json  train2017/0042.jpg     COCO
annotations/instances_default.json    images/0042.jpg        CVAT
train/_annotations.coco.json          train/0042.jpg         Roboflow
result.json                           images/0042.jpg        Label Studio
"""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Sequence

from ..contract.data_issues import DataIssues
from ..errors import ConfigError, DatasetError, briefly
from .coco_file import CocoFile
from .image_files import IMAGE_SUFFIXES, files_below, find_all_named
from .labelled_image import AnnotatedImage, RawBox, RawImage, to_pixels
from .source import TEST, TRAIN, UNDIVIDED, VAL, LabelledSource, set_of_folder, set_of_name

MERGED = "image file with several entries, their boxes put together"


class CocoSource(LabelledSource):
    """One COCO file, or one for each set."""

    format_name = "COCO JSON"

    def __init__(self, root: Path, files: Mapping[str, CocoFile], images_dir: Path | None = None) -> None:
        """Find the images of every set.

        Args:
            root: the folder of the dataset.
            files: set -> its file.
            images_dir: holds the images; None: the folder below `root` that has them is looked for.

        Raises:
            DatasetError: an image is missing.
        """
        self.root = images_dir or root
        self._files = files
        self._paths = {name: _find_images(root, file, images_dir) for name, file in files.items()}
        self.sets = {name: list(dict.fromkeys(paths)) for name, paths in self._paths.items()}

    def read(self, name: str, issues: DataIssues) -> list[AnnotatedImage]:
        """Read the boxes of one set; see `LabelledSource.read`."""
        file = self._files[name]
        boxes = file.boxes(issues)
        merged: dict[Path, RawImage] = {}
        for entry, path in zip(file.images, self._paths[name]):
            image = RawImage(path, boxes[entry.key], entry.place, entry.stated_wh)
            if path in merged:
                issues.add(MERGED, f"{entry.place}: {briefly(entry.file_name)}")
                image = _merge(merged[path], image)
            merged[path] = image
        return to_pixels(list(merged.values()), issues)

    def class_names(self) -> list[str]:
        """Return the names of all categories, those without objects too, as candidates of a new model need them."""
        return list(dict.fromkeys(name for file in self._files.values() for name in file.category_names))


def read_coco_file(path: Path) -> CocoSource:
    """Return the dataset of one file as a single set, whatever the file is called.

    Raises:
        ConfigError, DatasetError: as `CocoFile` and `CocoSource`.
    """
    # of COCO itself, annotations/ is beside the folders of images
    root = path.parent.parent if path.parent.name.lower() == "annotations" else path.parent
    return CocoSource(root, {UNDIVIDED: CocoFile(path)})


def _merge(first: RawImage, second: RawImage) -> RawImage:
    if first.stated_wh != second.stated_wh:
        raise DatasetError(
            f"{second.place}: states another size than {first.place}, for the same file; correct one of them"
        )
    boxes: Sequence[RawBox] = [*first.boxes, *second.boxes]
    return first._replace(boxes=boxes)


def sets_of_files(files: Sequence[CocoFile]) -> dict[str, CocoFile]:
    """Tell the sets of several COCO files by their names, or by those of their folders.

    Of COCO's own, those that begin with `instances` are taken: the others hold keypoints of the same images.

    Raises:
        ConfigError: two files are of the same set.
    """
    instances = [file for file in files if file.path.name.startswith("instances")]
    sets: dict[str, CocoFile] = {}
    for file in instances or files:
        name = _set_of_file(file)
        if name in sets:
            raise ConfigError(
                f"{file.path.parent}: {sets[name].path.name} and {file.path.name} may both be the"
                f" {name or 'whole'} set; name them with --coco IMAGES --coco-json TRAINING.json VALIDATION.json"
            )
        sets[name] = file
    return {name: sets[name] for name in (TRAIN, VAL, TEST, UNDIVIDED) if name in sets}


def _set_of_file(file: CocoFile) -> str:
    return set_of_name(file.path.stem) or set_of_folder(file.path.parent.name)


def _find_images(root: Path, file: CocoFile, images_dir: Path | None) -> list[Path]:
    names = [image.file_name for image in file.images]
    first_missing = None
    for folders in [[images_dir or file.path.parent], *_image_folders(images_dir or root, file)]:
        matches: dict[tuple[Path, ...], Path] = {}  # two folders may lead to the same files
        for folder in folders:
            found, missing = find_all_named(folder, names)
            first_missing = first_missing or missing
            if missing is None:
                matches.setdefault(tuple(found), folder)
        if len(matches) > 1:
            one, other, *_ = matches.values()
            raise DatasetError(f"{file.path}: its images may be those of {one} or of {other}; give --coco IMAGES")
        if matches:
            return list(next(iter(matches)))
    raise DatasetError(
        f"{file.path}: image {briefly(first_missing)} is not in {images_dir or root}; give the folder that holds it,"
        " and copies in place of symbolic links"
    )


def _image_folders(root: Path, file: CocoFile) -> list[list[Path]]:
    """Return the folders below a root that may hold the images of a set: its own, those named after it, all others.

    Those of other sets are left out: their images may have the same names.
    """
    name = _set_of_file(file)
    holding = {image.parent for image in files_below(root, IMAGE_SUFFIXES)}
    folders = sorted({*holding, *(parent for folder in holding for parent in folder.parents)})
    sets_of = {folder: {set_of_folder(part) for part in folder.parts} - {UNDIVIDED} for folder in folders}
    own = [root / str(folder) for folder in folders if root / str(folder) == file.path.parent]
    named = [root / str(folder) for folder in folders if name and sets_of[folder] == {name}]
    others = [root / str(folder) for folder in folders if not sets_of[folder] or not name]
    return [own, named, others]
