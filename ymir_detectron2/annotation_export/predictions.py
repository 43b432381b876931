"""The predictions of a finished task, each image with its file, its size and the name that its user knows."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Iterable, Mapping, NamedTuple, Sequence

from ..contract.data_issues import DataIssues
from ..contract.infer_result import ResultBox, read_infer_result
from ..dataset.image_reading import read_image_frame
from ..errors import ConfigError, ImageError, printable
from ..results.task_output import TaskOutput, read_json_mapping
from ..sources.candidate_files import find_candidates
from ..sources.labelled_image import is_name
from ..tools.file_names import readable_names
from ..tools.task_folder import CANDIDATE_SOURCES
from .own_names import own_names

MISSING = "image that is not at hand, left out"
UNREADABLE = "image file that cannot be read, left out"
OUTSIDE = "box outside of its image, left out"


class PredictedImage(NamedTuple):
    """One image and its boxes."""

    name: PurePosixPath
    """As its user knows it, see `own_names`."""
    file: Path
    width: int
    height: int
    """Of the upright image, in pixels, as the boxes."""
    boxes: Sequence[ResultBox]


class Predictions(NamedTuple):
    """What a task has predicted."""

    images: Sequence[PredictedImage]
    class_names: Sequence[str]
    """Of the task, in the order of their ids; then others that have boxes."""
    model_version: str
    """Names the model, for a tool that shows predictions of several."""
    issues: DataIssues
    """What was left out."""


def read_predictions(output: TaskOutput, *, threshold: float = 0.0, images_dir: Path | None = None) -> Predictions:
    """Read the boxes of a task of inference, or of mining and inference.

    Args:
        output: of the task.
        threshold: boxes have a higher score.
        images_dir: holds the images, if they are no more where the task has found them.

    Raises:
        DatasetError: there is no result, or it is damaged.
        ConfigError: none of the images is at hand.
    """
    issues = DataIssues()
    boxes_of = {
        name: [box for box in boxes if box.score > threshold] for name, boxes in read_infer_result(output.infer_result)
    }
    files, sources = _images(output, boxes_of, images_dir)
    names = own_names(list(boxes_of), sources)
    images = []
    for name, boxes in boxes_of.items():
        image = _image(names[name], files.get(name), boxes, issues)
        if image is not None:
            images.append(image)
    if boxes_of and not images:
        raise ConfigError(f"{output.out_dir}: none of its {len(boxes_of)} images is at hand; give --images FOLDER")
    return Predictions(images, _class_names(output, images), _model_version(output), issues)


def _images(
    output: TaskOutput, names: Iterable[str], images_dir: Path | None
) -> tuple[Mapping[str, Path], Mapping[str, str]]:
    """Return the files of images, and where their user has them, both by the names in the result."""
    wanted = set(names)
    if images_dir is not None:
        # named as a task folder of these images would name them
        found = {name: file.absolute() for file, name in readable_names(find_candidates(images_dir)).items()}
        return found, {name: str(file) for name, file in found.items()}
    files = output.candidate_paths(wanted)
    in_dir = output.task.paths.in_dir if output.task is not None else None
    sources = read_json_mapping(in_dir / CANDIDATE_SOURCES) if in_dir is not None else None
    return files, sources or {}


def _image(
    name: PurePosixPath, file: Path | None, boxes: Sequence[ResultBox], issues: DataIssues
) -> PredictedImage | None:
    if file is None or not file.is_file():
        issues.add(MISSING, str(name))
        return None
    try:
        height, width = read_image_frame(file).upright_hw
    except ImageError as error:
        issues.add(UNREADABLE, str(error))
        return None
    inside = [_clipped(box, width, height) for box in boxes]
    if None in inside:
        issues.add(OUTSIDE, str(name), count=inside.count(None))
    return PredictedImage(name, file, width, height, [box for box in inside if box is not None])


def _clipped(box: ResultBox, width: int, height: int) -> ResultBox | None:
    """Return the part of a box that is in the image; those of this project always are."""
    x1, y1, x2, y2 = max(box.x, 0), max(box.y, 0), min(box.x + box.w, width), min(box.y + box.h, height)
    label = box.class_name if is_name(box.class_name) else " ".join(printable(box.class_name).split()) or "unnamed"
    return ResultBox(x1, y1, x2 - x1, y2 - y1, label.strip(), box.score) if x1 < x2 and y1 < y2 else None


def _class_names(output: TaskOutput, images: Iterable[PredictedImage]) -> list[str]:
    of_task = [] if output.task is None else [name for name in output.task.class_names if is_name(name)]
    return list(dict.fromkeys([*of_task, *(box.class_name for image in images for box in image.boxes)]))


def _model_version(output: TaskOutput) -> str:
    """Return the stem of the weight file, e.g. `iter_0000120`."""
    listed = [] if output.task is None else output.task.config.get("model_params_path") or []
    files = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    weights = next((PurePosixPath(name).stem for name in files if name.endswith((".pth", ".pkl"))), "")
    return " ".join(printable(weights).split()) or "ymir-detectron2"
