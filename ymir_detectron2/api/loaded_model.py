"""A trained model in a Python program, see `ymir_detectron2.load_model`: the code that an inference task runs."""

from __future__ import annotations

import os
import re
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence, Union, overload

import numpy as np

from ..config.prediction_settings import InferSettings
from ..config.read_settings import read_settings
from ..contract.model_package import ModelPackage, model_package
from ..detections import Detections, Detector
from ..engines.base import DetectorOptions
from ..engines.registry import choose_engine, load_engine
from ..errors import ConfigError, NoGpuError, briefly
from ..failure import as_executor_error
from ..inference.predict import ImagePrediction, predict_images
from ..tile_windows import Tiling
from ..tools.model_argument import open_model
from .prediction import ImageArgument, Prediction, as_source

ModelArgument = Union[str, "os.PathLike[str]", Sequence[Union[str, "os.PathLike[str]"]]]
Threshold = Union[float, Mapping[str, float], None]
_DEFAULT_THRESHOLD = InferSettings.conf_threshold
_NO_GPU = "this process sees no such GPU; choose 'cpu' or 'auto', or check the driver"
_CUDA = re.compile(r"cuda(?::(\d{1,3}))?")


class Thresholds(NamedTuple):
    """The score thresholds with the best F1 on the validation set, which a training stores in its model."""

    all: float | None
    """Of all classes together; None: not known."""
    by_class: Mapping[str, float]
    """By class name; classes of which nothing was detected correctly are missing."""


class Model:
    """A loaded model. Threads may share it: their calls of `predict` run one after the other."""

    def __init__(self, detector: Detector, tiling: Tiling, thresholds: Thresholds, source: str) -> None:
        """
        Args:
            source: what it was loaded from, for people.
        """
        self._detector, self._tiling, self._source = detector, tiling, source
        self._lock = threading.Lock()
        self.thresholds = thresholds

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their ids."""
        return self._detector.class_names

    @property
    def default_threshold(self) -> float:
        """Of `predict`: the best one over all classes where the model knows it, else 0.2."""
        return _DEFAULT_THRESHOLD if self.thresholds.all is None else self.thresholds.all

    def __repr__(self) -> str:
        names = ", ".join(self.class_names[:5]) + (", ..." if len(self.class_names) > 5 else "")
        return (
            f"<Model {self._source}: {len(self.class_names)} classes ({names}), threshold {self.default_threshold:.3g},"
            f" {self._detector.arithmetic}>"
        )

    @overload
    def predict(self, images: ImageArgument, threshold: Threshold = None) -> Prediction: ...

    @overload
    def predict(self, images: list[Any] | tuple[Any, ...], threshold: Threshold = None) -> list[Prediction]: ...

    def predict(self, images: Any, threshold: Threshold = None) -> Prediction | list[Prediction]:
        """Detect the objects in one image or several.

        A list gives the boxes that an inference task writes for these candidates with `conf_threshold` at this
        threshold, before they are rounded to whole pixels; its images share batches and are read in the background.

        Args:
            images: a path; an (H, W, 3) uint8 array, **BGR** as `cv2.imread` returns it, upright; an image of Pillow,
                of which EXIF is obeyed; or a list or tuple of these.
            threshold: boxes must have a higher score, in [0, 1); a dictionary has one for each class name, others have
                `default_threshold`, which None means for all.

        Returns:
            A prediction, or a list of one for each image, in their order.

        Raises:
            ImageError: an image cannot be read, the first of them.
            ConfigError: the threshold is none.
            OutOfMemoryError: also with a single image at a time.
        """
        several = isinstance(images, (list, tuple))
        given: Sequence[ImageArgument] = images if several else [images]
        limits = self._limits(threshold)
        with self._lock, _translated_errors():
            self._detector.score_threshold = float(limits.min())
            # closed, so that after an image that cannot be read no other one is
            with closing(predict_images(self._detector, map(as_source, given), tiling=self._tiling)) as found:
                predictions = [self._prediction(image, one, limits) for image, one in zip(given, found)]
        return predictions if several else predictions[0]

    def _prediction(self, image: ImageArgument, found: ImagePrediction, limits: np.ndarray) -> Prediction:
        if found.error is not None:
            raise found.error
        assert found.detections is not None  # since there is no error
        assert found.image_hw is not None
        detections: Detections = found.detections
        kept = detections.take(np.flatnonzero(detections.scores > limits[detections.classes]))
        return Prediction(
            kept.boxes_xyxy, kept.scores, kept.classes, self.class_names, found.image_hw, image, found.findings
        )

    def _limits(self, threshold: Threshold) -> np.ndarray:
        """Return the threshold of each class, (K,) float64."""
        limits = dict.fromkeys(self.class_names, self.default_threshold)
        if isinstance(threshold, Mapping):
            unknown = [name for name in threshold if name not in limits]
            if unknown:
                known = briefly(list(self.class_names))
                raise ConfigError(f"threshold: {briefly(unknown[0])} is no class of the model; its classes are {known}")
            limits.update(threshold)
        elif threshold is not None:
            limits = dict.fromkeys(self.class_names, threshold)
        for value in limits.values():
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < 1:
                raise ConfigError(f"threshold: {briefly(value)} must be at least 0 and below 1; correct it")
        return np.array([limits[name] for name in self.class_names], dtype=np.float64)


def load_model(model: ModelArgument, device: str, **settings: Any) -> Model:
    """See `ymir_detectron2.load_model`.

    Args:
        settings: keys of an inference task.
    """
    try:
        chosen = read_settings(InferSettings, settings)
    except ConfigError as error:
        raise ConfigError(str(error).replace("config.yaml: ", "load_model: ", 1)) from error
    gpu_ids = _gpu_ids(device)
    source = Path(model) if isinstance(model, (str, os.PathLike)) else [Path(file) for file in model]
    with _translated_errors(), open_model(source) as stage:
        package = model_package([file for _, file in stage.files], stage.folder, "load_model")
        package = replace(package, class_names=tuple(stage.class_names) or package.class_names)
        engine = load_engine(choose_engine(chosen.engine)[0])
        try:
            detector = engine.load_detector(package, DetectorOptions.from_settings(chosen, gpu_ids, {}))
        except NoGpuError as error:
            raise NoGpuError(f"load_model: device {device!r}: {_NO_GPU}") from error
        thresholds = _stored_thresholds(package, detector.class_names)
    tiling = Tiling.of_keys(chosen.tile_size, chosen.tile_overlap, detector.tiling)
    return Model(detector, tiling, thresholds, str(model))


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn what torch and the system raise within the block into errors of one sentence, as a task does."""
    try:
        yield
    except Exception as error:
        known = as_executor_error(error)
        if known is error:
            raise
        raise known from error


def _gpu_ids(device: str) -> tuple[int, ...] | None:
    if device in ("cpu", "auto"):
        return () if device == "cpu" else None
    match = _CUDA.fullmatch(device) if isinstance(device, str) else None
    if match is None:
        raise ConfigError(f"load_model: device: must be 'auto', 'cpu', 'cuda' or 'cuda:1', found {briefly(device)}")
    return (int(match[1] or 0),)


def _stored_thresholds(package: ModelPackage, class_names: Iterable[str]) -> Thresholds:
    """Read the thresholds from the file of the weights; those of a program that means something else by the key count
    as not known."""
    from ..retinanet.checkpoint import read_checkpoint  # imports torch

    # a second time: an engine keeps nothing of the file but the network, and reading it is a tenth of loading a model
    stored = read_checkpoint(package.weights).metadata.get("thresholds")
    stored = stored if isinstance(stored, dict) else {}
    by_class = stored.get("by_class")
    known = {name: _threshold(by_class.get(name)) for name in class_names} if isinstance(by_class, dict) else {}
    return Thresholds(
        _threshold(stored.get("all")), {name: value for name, value in known.items() if value is not None}
    )


def _threshold(value: object) -> float | None:
    return value if isinstance(value, float) and 0 <= value < 1 else None
