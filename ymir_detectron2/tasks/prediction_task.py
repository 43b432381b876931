"""What inference and mining have in common: the candidate images of a task, its model, and the summary of its run."""

from __future__ import annotations

import functools
import json
import logging
from typing import Any, Iterable, Iterator

from ..atomic_file import atomic_write
from ..config.args_options import parse_args_options
from ..config.prediction_settings import InferSettings
from ..contract.data_issues import DataIssues
from ..contract.index_file import IndexEntry
from ..contract.model_package import ModelPackage, find_model_package
from ..dataset.candidates import CandidateIndex
from ..detections import Detector
from ..engines.base import DetectorOptions
from ..engines.registry import load_engine
from ..errors import ConfigError, ModelError
from ..inference.predict import ImagePrediction, PredictionHooks, predict_images
from ..tile_windows import Tiling
from .script import TaskRun

logger = logging.getLogger(__name__)

REPEATED_NAME = "file name that another candidate has too, left out"
"""A data issue, by which images are counted in the log and in the summary. The platform identifies an image of a result
only by its file name."""


class PredictionTask:
    """The candidate images of a mining or inference task, and the detector to run on them."""

    def __init__(self, run: TaskRun[Any]) -> None:
        """
        Args:
            run: of inference or mining.

        Raises:
            DatasetError, ConfigError: before anything slow is done.
        """
        self.run = run
        self.settings: InferSettings = run.settings
        self.issues = DataIssues()
        # everything that can be wrong with options and index, before the seconds that an engine takes to load
        self.options = parse_args_options(self.settings.args_options)
        if self.options.config_file:
            raise ConfigError(
                "args_options: --config-file is for training; a model brings its own config.yaml; remove it"
            )
        self.index = CandidateIndex(run.task.candidate_index, run.task.paths, self.issues)
        self._detector: Detector | None = None

    @property
    def package(self) -> ModelPackage:
        """The model files of the task.

        Raises:
            ModelError: none is named.
        """
        # a property, not an attribute: mining by name needs no model, and so none has to be given
        package = find_model_package(self.run.task, "model_params_path")
        if package is None:
            raise ModelError(
                "config.yaml: model_params_path is missing or empty, so there are no weights to use;"
                " list the .pth file and the config.yaml of a trained model"
            )
        return package

    @property
    def tiling(self) -> Tiling:
        """How images are cut into tiles; it may be the model that decides, which is loaded for that."""
        return Tiling.of_keys(self.settings.tile_size, self.settings.tile_overlap, self.detector().tiling)

    def detector(self) -> Detector:
        """Return the detector, loaded at the first call: a task whose rows are all on disk needs none."""
        if self._detector is None:
            options = DetectorOptions.from_settings(
                self.settings, self.run.task.gpu_ids, self.options.values, self.run.task.class_names
            )
            self._detector = load_engine(self.run.engine_name).load_detector(self.package, options)
            if size := self.tiling.size:
                why = "" if self.settings.tile_size else ", as in the training of the model"
                logger.info("images are predicted as a whole and in tiles of %d px%s", size, why)
        return self._detector

    @functools.cached_property
    def result_threshold(self) -> float:
        """Boxes of a result have a higher score; kept, since an algorithm may lower the threshold of the detector."""
        return self.detector().score_threshold

    @property
    def arithmetic(self) -> str:
        """What the detector computes in, see `Detector.arithmetic`; '' before it is loaded."""
        return "" if self._detector is None else self._detector.arithmetic

    def predict_images(
        self, entries: Iterable[IndexEntry], hooks: PredictionHooks, tiling: Tiling
    ) -> Iterator[ImagePrediction]:
        """Predict candidates with the detector and the settings of the task, see `predict.predict_images`."""
        return predict_images(
            self.detector(),
            (entry.image_path for entry in entries),
            tiling=tiling,
            hooks=hooks,
            num_workers=self.settings.num_workers,
            stop_requested=self.run.stop.requested,
        )

    def lists(self, number: int, entry: IndexEntry) -> bool:
        """Return whether a result lists this candidate: of several with one file name only the first, which counts
        the others as data issues."""
        if self.index.repeats_a_name(number):
            self.issues.add(REPEATED_NAME, entry.asset)
            return False
        return True

    def write_summary(self, name: str, figures: dict[str, Any]) -> None:
        """Write the figures and the data issues of a finished task to a JSON file next to its result."""
        # counted, not logged one by one: of a million candidates any number may be unreadable
        for sentence in self.issues.summary_lines():
            logger.warning("candidates: %s", sentence)
        with atomic_write(self.run.task.output_dir / name) as file:
            json.dump({**figures, "findings": self.issues.as_dict()}, file, indent=2, ensure_ascii=False)
