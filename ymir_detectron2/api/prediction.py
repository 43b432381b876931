"""What `Model.predict` returns of one image.

Letters: N boxes, H and W height and width of the image in pixels.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, NamedTuple, Union

import numpy as np

from ..dataset.image_reading import image_to_bgr, read_image_bgr
from ..errors import ConfigError, ImageError, StorageError, briefly

if TYPE_CHECKING:
    from PIL import Image

ImageArgument = Union[str, "os.PathLike[str]", np.ndarray, "Image.Image"]
"""A path; an (H, W, 3) uint8 array, BGR as `cv2.imread` returns it, upright; or an image of Pillow."""


class DetectedObject(NamedTuple):
    """One box of a prediction."""

    name: str
    """Of its class."""
    score: float
    """In [0, 1]."""
    box_xyxy: tuple[float, float, float, float]
    """x1 y1 x2 y2 in pixels of the upright image, x2 and y2 exclusive: x2 - x1 is the width."""


@dataclass(frozen=True, eq=False)  # arrays have no equality that is True or False
class Prediction:
    """The objects that were detected in one image, best score first. Iterating yields each as a `DetectedObject`."""

    boxes_xyxy: np.ndarray
    """(N, 4) float32: x1 y1 x2 y2 in pixels of the upright image in its own size, x2 and y2 exclusive."""
    scores: np.ndarray
    """(N,) float32 in [0, 1]."""
    classes: np.ndarray
    """(N,) int64: positions in `class_names`."""
    class_names: tuple[str, ...]
    """All classes of the model."""
    image_hw: tuple[int, int]
    """Height and width of the upright image (after the rotation that EXIF asks for) in pixels."""
    image: ImageArgument = field(repr=False)
    """The image, as it was given to `predict`."""
    findings: tuple[str, ...] = ()
    """What is to be known of an image that was used, but not as it is, e.g. that its file has no end."""

    @property
    def names(self) -> list[str]:
        """N names: the class of each box."""
        return [self.class_names[class_id] for class_id in self.classes.tolist()]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[DetectedObject]:
        for name, score, box in zip(self.names, self.scores.tolist(), self.boxes_xyxy.tolist()):
            yield DetectedObject(name, score, tuple(box))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a dictionary for each box, of plain numbers and text: `name`, `class`, `score`, `box_xyxy`."""
        return [
            {"name": name, "class": class_id, "score": score, "box_xyxy": list(box)}
            for (name, score, box), class_id in zip(self, self.classes.tolist())
        ]

    def to_json(self) -> str:
        """Return `to_dicts` as JSON on one line."""
        return json.dumps(self.to_dicts(), ensure_ascii=False)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Image.Image:
        """Draw the boxes with names and scores into a copy of the image.

        Args:
            path: where to save it as well, in the format of the suffix, such as .jpg or .png; None: nowhere.

        Returns:
            An RGB image of Pillow, upright and in the size of the original.

        Raises:
            ImageError: the image was given as a path, and cannot be read any more.
            ConfigError: the suffix names no image format.
            StorageError: the file cannot be written.
        """
        from PIL import Image

        from ..evaluation.box_drawing import draw_detections  # matplotlib's fonts take a second

        pixels = draw_detections(
            pixels_bgr(self.image)[:, :, ::-1], self.boxes_xyxy, self.scores, self.classes, self.class_names
        )
        drawn = Image.fromarray(pixels)
        if path is not None:
            _save(drawn, Path(path))
        return drawn


def pixels_bgr(image: ImageArgument) -> np.ndarray:
    """Return the upright pixels of an image as (H, W, 3) uint8 BGR.

    Raises:
        ImageError: it cannot be read, or is an array of another kind.
    """
    source = as_source(image)
    return source if isinstance(source, np.ndarray) else read_image_bgr(source)


def as_source(image: ImageArgument) -> Path | np.ndarray:
    """Return an image as `inference.predict_images` takes it: the path of a file, or upright BGR pixels.

    Raises:
        ImageError: it is neither a path nor an image.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ImageError(
                f"an array of shape {image.shape} and type {image.dtype} is no image; give (H, W, 3) uint8, BGR as"
                " cv2.imread returns it"
            )
        return image
    if isinstance(image, (str, os.PathLike)):
        return Path(image)
    if hasattr(image, "getexif"):  # Pillow, which need not be imported to tell
        return image_to_bgr(image)
    raise ImageError(f"{briefly(image)} is no image; give a path, an array or an image of Pillow")


def _save(image: Image.Image, path: Path) -> None:
    try:
        image.save(path)
    except (ValueError, KeyError) as error:  # of Pillow, for a suffix that it does not know
        raise ConfigError(f"{path}: its suffix names no image format; end the name in .jpg or .png") from error
    except OSError as error:
        raise StorageError.from_os_error(path, error) from error
