"""The images of a task, from the dataset that the options of make_task name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple, Sequence

from ..contract.data_issues import DataIssues
from ..contract.task import class_key
from ..errors import ConfigError, briefly
from ..sources.candidate_files import find_candidates
from ..sources.coco import CocoSource
from ..sources.coco_file import CocoFile
from ..sources.labelled_image import AnnotatedImage, is_name
from ..sources.recognise import UnlabelledError, read_coco_folder, recognise
from ..sources.source import TRAIN, VAL, LabelledSource
from ..sources.splitting import read_training_sets
from ..sources.voc import VocSource
from ..sources.yolo import YoloSource
from ..untrusted_files import is_file

SPLITS = (TRAIN, VAL)


class TrainingImages(NamedTuple):
    """What a training gets."""

    train: list[AnnotatedImage]
    val: list[AnnotatedImage]
    class_names: list[str]


class CandidateImages(NamedTuple):
    """What mining and inference get."""

    candidates: list[Path]
    class_names: list[str]
    source_dir: Path


def _places(options: argparse.Namespace) -> list[Path]:
    """Return the datasets that the options name, by whatever option."""
    return [
        place
        for place in (options.voc, options.coco, options.yolo, options.source, options.data)
        if place is not None
    ]


def open_source(options: argparse.Namespace, issues: DataIssues) -> LabelledSource:
    """Return the dataset that the options name.

    Raises:
        ConfigError: none or several are named, or its format is not recognised.
        DatasetError: an image of it is missing.
    """
    places = _places(options)
    if len(places) != 1:
        raise ConfigError("give one source: a folder, or --voc DIR, --coco DIR or --yolo DIR")
    (place,) = places
    if max(len(options.split), len(options.coco_json)) > len(SPLITS):
        raise ConfigError("--split and --coco-json take two files: that of the training, that of the validation")
    if options.split and options.coco_json:
        raise ConfigError("--split is for Pascal VOC and --coco-json for COCO; give one of them")
    if options.voc is not None or options.split:
        return VocSource(place, options.split, issues)
    if options.coco_json:
        files = {name: CocoFile(_named_file(place, file)) for name, file in zip(SPLITS, options.coco_json)}
        return CocoSource(place, files, place)
    if options.coco is not None:
        return read_coco_folder(place)
    if options.yolo is not None:
        return YoloSource(place, listed_classes(options), issues)
    return recognise(place, listed_classes(options), issues)


def _named_file(place: Path, file: Path) -> Path:
    """Return a file that is named as a path or, like those of --split, as a file of the dataset."""
    in_dataset = place / file
    return in_dataset if not is_file(file) and is_file(in_dataset) else file


def training_images(options: argparse.Namespace, source: LabelledSource, issues: DataIssues) -> TrainingImages:
    """Read both sets of a training, with class names as the platform stores them.

    Raises:
        ConfigError: there are no images or no classes.
        DatasetError: an annotation is damaged.
    """
    sets = read_training_sets(source, issues, val_share=options.val_share, seed=options.seed)
    train, val = ([_with_class_keys(image) for image in images] for images in sets)
    class_names = listed_classes(options) or _all_classes([*train, *val])
    for image in (*train, *val):
        for box in image.boxes:
            if box[0] not in class_names:
                issues.add("box of a class that --classes does not name, left out", f"{image.path}: {box[0]}")
    return TrainingImages(train, val, class_names)


def candidate_images(
    options: argparse.Namespace, model_class_names: Sequence[str], issues: DataIssues
) -> CandidateImages:
    """Find the candidates and the class names of a mining or inference task.

    Without --candidates, a source gives its validation set, or all its images if it has none.

    Args:
        options: of the command line.
        model_class_names: of the model's training, which take precedence as on the platform; [] if not known.
        issues: counts what the source holds and cannot be used.

    Raises:
        ConfigError: no images, or no class names.
        DatasetError: an image is missing.
    """
    named = options.candidates or []
    if not named or (len(named) == 1 and named[0] in SPLITS):
        candidates, source_dir = _candidates_of_source(options, named[0] if named else None, issues)
    else:
        paths = [Path(name) for name in named]
        candidates = [image for path in paths for image in find_candidates(path)]
        source_dir = paths[0] if paths[0].is_dir() else paths[0].parent  # files elsewhere are copied
    class_names = list(model_class_names) or listed_classes(options)
    if not class_names and (not options.model or _places(options)):
        class_names = _classes_of_source(options, issues)  # else the weights may name them, which only torch can read
    return CandidateImages(candidates, class_names, source_dir)


def _candidates_of_source(
    options: argparse.Namespace, named: str | None, issues: DataIssues
) -> tuple[list[Path], Path]:
    try:
        source = open_source(options, issues)
    except UnlabelledError:
        place = options.source or options.data
        if named:
            raise
        return find_candidates(place), place if place.is_dir() else place.parent
    if named and not source.sets.get(named):
        raise ConfigError(f"{source.describe()}; it has no {named} set: leave --candidates out, or give a folder")
    names = [named] if named else [VAL] if source.sets.get(VAL) else list(source.sets)
    return [path for name in names for path in source.sets[name]], source.root


def _classes_of_source(options: argparse.Namespace, issues: DataIssues) -> list[str]:
    try:
        source = open_source(options, issues)
    except UnlabelledError as exc:
        raise ConfigError(f"no class names: give --model or --classes a,b,c ({exc})") from exc
    listed = sorted({class_key(name) for name in source.class_names()})
    if listed:
        return listed
    images = (image for name in source.sets for image in source.read(name, issues))
    return _all_classes([_with_class_keys(image) for image in images])


def listed_classes(options: argparse.Namespace) -> list[str]:
    """Return the class names of --classes.

    Raises:
        ConfigError: no class can have one of the names.
    """
    names = [class_key(name) for name in (options.classes or "").split(",") if name.strip()]
    for name in names:
        if not is_name(name):
            raise ConfigError(f"--classes: {briefly(name)} cannot be the name of a class; correct it")
    return names


def _with_class_keys(image: AnnotatedImage) -> AnnotatedImage:
    return AnnotatedImage(image.path, tuple((class_key(box[0]), *box[1:]) for box in image.boxes))


def _all_classes(images: Sequence[AnnotatedImage]) -> list[str]:
    # sorted: class ids must not depend on the order of the images
    names = sorted({box[0] for image in images for box in image.boxes})
    if not names:
        raise ConfigError("no class names: the source holds no boxes; give --classes a,b,c")
    return names
