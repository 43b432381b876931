"""What inference and mining have in common: candidates, detector, progress, damaged pictures, a summary at the end."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any, Iterator

from tqdm import tqdm

from ..args_options import ArgsOptions, parse_args_options
from ..atomic_file import atomic_write
from ..contract.findings import Findings
from ..contract.index_file import IndexEntry, read_index
from ..contract.model_package import find_model_package
from ..engines.base import Detector, DetectorOptions
from ..engines.choice import load_engine
from ..errors import ConfigError, DatasetError, ModelError
from ..inference.stream import DetectedPicture, detect_windows
from ..settings import InferSettings
from .script import TaskRun

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 30.0


class Candidates:
    """The pictures of a mining or inference task, and the model that looks at them."""

    def __init__(self, run: TaskRun[Any], verb: str) -> None:
        """
        Args:
            run: of inference or mining.
            verb: what is done with a picture, for the log: "inferred", "mined".

        Raises:
            DatasetError, ModelError, ConfigError: before anything slow is done.
        """
        settings: InferSettings = run.settings
        self._run = run
        self._verb = verb
        self.findings = Findings()
        options = parse_args_options(settings.args_options)
        _require_no_training_flags(options)
        package = find_model_package(run.task, "model_params_path")
        if package is None:
            raise ModelError(
                "config.yaml: model_params_path is missing or empty, so there are no weights to use;"
                " list the .pth file and the config.yaml of a trained model"
            )
        self.entries = read_index(run.task.candidate_index, run.task.paths, self.findings, "candidate")
        self.detector: Detector = load_engine(run.engine_name).load_detector(
            package,
            DetectorOptions(
                settings=settings,
                gpu_ids=run.task.gpu_ids,
                score_threshold=settings.conf_threshold,
                batch_size=settings.batch_size,
                overrides=options.values,
                class_names=run.task.class_names,
            ),
        )

    def windows(self) -> Iterator[list[tuple[IndexEntry, DetectedPicture]]]:
        """All candidates in index order, a window at a time; progress is told when a window comes back for more."""
        start_s = last_line_s = time.monotonic()
        total, done = len(self.entries), 0
        entries = iter(self.entries)
        stream = detect_windows(
            self.detector, (entry.image_path for entry in self.entries),
            num_workers=self._run.settings.num_workers, stop_requested=self._run.stop.requested,
        )  # fmt: skip
        # a bar for a person at a terminal, lines for a log
        with tqdm(total=total, unit="image", disable=not sys.stdout.isatty()) as bar:
            for window in stream:
                for picture in window:
                    if picture.error is not None:
                        self.findings.add("unreadable picture", str(picture.error))
                yield [(next(entries), picture) for picture in window]
                done += len(window)
                bar.update(len(window))
                self._run.monitor.report(done / total)
                now_s = time.monotonic()
                if now_s - last_line_s >= _SECONDS_BETWEEN_LINES:
                    last_line_s = now_s
                    rate = done / (now_s - start_s)
                    logger.info("%s %d of %d images, %.2f images/s, %.0f min left", self._verb, done, total, rate,
                                (total - done) / rate / 60)  # fmt: skip
        if self.findings.count("unreadable picture") == total:
            raise DatasetError(
                f"{self._run.task.candidate_index}: none of its {total} pictures can be read,"
                f" {self.findings.sentences()[-1]}; check the mounted folders"
            )
        self._finish(time.monotonic() - start_s)

    def _finish(self, seconds: float) -> None:
        total = len(self.entries)
        for sentence in self.findings.sentences():
            logger.warning("candidates: %s", sentence)
        logger.info("%s %d images in %.1f s, %.2f images/s", self._verb, total, seconds, total / seconds)
        self.summary = {
            "images": total,
            "seconds": seconds,
            "images_per_second": total / seconds,
            "findings": self.findings.as_dict(),
        }

    def write_summary(self, name: str) -> None:
        """Leave the figures of a finished task beside its result."""
        path: Path = self._run.task.output_dir / name
        with atomic_write(path) as file:
            json.dump(self.summary, file, indent=2, ensure_ascii=False)


def _require_no_training_flags(options: ArgsOptions) -> None:
    if options.config_file:
        raise ConfigError("args_options: --config-file is for training; a model brings its own config.yaml; remove it")
    if options.num_gpus > 1 or options.num_machines > 1:
        raise ConfigError("args_options: --num-gpus and --num-machines are for training; remove them")
