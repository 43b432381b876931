"""What inference and mining start from: the pictures of a task, and the model that looks at them."""

from __future__ import annotations

import json
import logging
from typing import Any, Iterable, Iterator

from ..args_options import parse_args_options
from ..atomic_file import atomic_write
from ..contract.findings import Findings
from ..contract.index_file import IndexEntry
from ..contract.model_package import ModelPackage, find_model_package
from ..dataset.candidates import CandidateIndex
from ..engines.base import Detector, DetectorOptions
from ..engines.choice import load_engine
from ..errors import ConfigError, ModelError
from ..inference.parts import Tiling
from ..inference.pixel_boxes import pixel_boxes
from ..inference.stream import LookedAt, Wanted, look_at
from ..settings import InferSettings
from .script import TaskRun

logger = logging.getLogger(__name__)

REPEATED_NAME = "file name that another candidate has too, left out"
"""A finding: results name pictures by their file names alone."""


class Candidates:
    """The pictures of a mining or inference task, and the model that looks at them."""

    def __init__(self, run: TaskRun[Any]) -> None:
        """
        Args:
            run: of inference or mining.

        Raises:
            DatasetError, ConfigError: before anything slow is done.
        """
        self.run = run
        self.settings: InferSettings = run.settings
        self.findings = Findings()
        self.options = parse_args_options(self.settings.args_options)
        if self.options.config_file:
            raise ConfigError(
                "args_options: --config-file is for training; a model brings its own config.yaml; remove it"
            )
        self.index = CandidateIndex(run.task.candidate_index, run.task.paths, self.findings)
        self._detector: Detector | None = None

    @property
    def package(self) -> ModelPackage:
        """The model of the task.

        Raises:
            ModelError: none is named.
        """
        package = find_model_package(self.run.task, "model_params_path")
        if package is None:
            raise ModelError(
                "config.yaml: model_params_path is missing or empty, so there are no weights to use;"
                " list the .pth file and the config.yaml of a trained model"
            )
        return package

    @property
    def tiling(self) -> Tiling:
        """How pictures are cut."""
        size = self.settings.tile_size
        return Tiling(size, self.settings.tile_overlap or size // 5)

    def detector(self) -> Detector:
        """The model, loaded when it is first asked for: a task that has only to be written up needs none."""
        if self._detector is None:
            options = DetectorOptions(
                settings=self.settings,
                gpu_ids=self.run.task.gpu_ids,
                score_threshold=self.settings.conf_threshold,
                batch_size=self.settings.batch_size,
                overrides=self.options.values,
                class_names=self.run.task.class_names,
            )
            self._detector = load_engine(self.run.engine_name).load_detector(self.package, options)
        return self._detector

    def look_at(self, entries: Iterable[IndexEntry], wanted: Wanted, tiling: Tiling) -> Iterator[LookedAt]:
        """Look at pictures with the detector and the settings of the task."""
        return look_at(
            self.detector(), (entry.image_path for entry in entries), tiling=tiling, wanted=wanted,
            num_workers=self.settings.num_workers, stop_requested=self.run.stop.requested,
        )  # fmt: skip

    def boxes(self, picture: LookedAt) -> list[list[Any]]:
        """What was found in a picture, as `ResultBox` fields."""
        if picture.detections is None or picture.image_hw is None:
            return []
        return [list(box) for box in pixel_boxes(picture.detections, picture.image_hw, self.detector().class_names)]

    def write_summary(self, name: str, figures: dict[str, Any]) -> None:
        """Leave the figures of a finished task beside its result."""
        for sentence in self.findings.sentences():
            logger.warning("candidates: %s", sentence)
        with atomic_write(self.run.task.output_dir / name) as file:
            json.dump({**figures, "findings": self.findings.as_dict()}, file, indent=2, ensure_ascii=False)
