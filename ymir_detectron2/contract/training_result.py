"""result.yaml: the trained models, in the order of training. Rewritten after every stage, so that none is ever lost.

    protocol_version present:   model_stages: {iter_0000100: {stage_name, files, timestamp, mAP}}, best_stage_name
                                evaluate_config, attachments: {section: [names in /out/models/attachments/section]}
    absent (YMIR <= 1.2):       model: [files of the best stage], map

All files lie flat in /out/models under names that no other stage uses: every release finds them there (contract, 3.2).
"""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Mapping

import yaml

from ..atomic_file import atomic_write

logger = logging.getLogger(__name__)

STAGES_KEPT = 10  # and the best one; the platform's own SDK keeps as many
IOU_THRESHOLD, SCORE_THRESHOLD = 0.5, 0.2
"""Where tp, fp and fn are counted."""


@dataclass(frozen=True)
class Stage:
    """One checkpoint that the platform can offer to its user."""

    name: str
    """A Python identifier, unique in the task, at most 100 characters."""
    files: tuple[str, ...]
    """Names in /out/models."""
    map50: float
    """AP at IoU 0.5 averaged over classes, in [0, 1]; NaN and the like count as 0."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Further fields that the platform knows: rates in [0, 1] such as mAR and boxAP; whole numbers tp, fp, fn."""
    timestamp_s: int = field(default_factory=lambda: int(time.time()))
    score: float = -1.0
    """What the best stage is chosen by, in [0, 1]; below 0: its AP50."""
    measured: bool = True
    """False for weights that were saved in a hurry: the next stage takes their place."""


class TrainingResult:
    """Keeps result.yaml and the weight files beside it in step: the latest ten stages and the best one."""

    def __init__(
        self, models_dir: Path, result_file: Path, *, writes_stages: bool, record: Path | None = None
    ) -> None:
        """
        Args:
            record: a file that keeps the whole list, from which `restore` takes it when the training goes on.
        """
        self._models_dir = models_dir
        self._result_file = result_file
        self._writes_stages = writes_stages
        self._record = record
        self._stages: list[Stage] = []
        self._attachments: dict[str, list[str]] = {}

    @property
    def models_dir(self) -> Path:
        return self._models_dir

    @property
    def stages(self) -> tuple[Stage, ...]:
        return tuple(self._stages)

    def best(self) -> Stage:
        """The stage with the highest score; of equals, the latest."""
        return max(reversed(self._stages), key=_score)

    def add(self, stage: Stage) -> None:
        """Offer a stage whose files are already written, then remove the files of those that are no longer kept."""
        best_before = self.best() if self._stages else None
        offered = [*self._stages, stage]
        self._stages = [old for old in self._stages if old.name != stage.name and old.measured] + [stage]
        best = self.best()
        if best is not best_before:
            self._attachments = {}  # they belong to that one
        self._stages = [old for old in self._stages[:-STAGES_KEPT] if old is best] + self._stages[-STAGES_KEPT:]
        self._write(best)
        self._write_record()
        self._remove_files([old for old in offered if old not in self._stages])

    def add_file(self, stage_name: str, name: str) -> None:
        """Pack one more file of /out/models with a stage."""
        self._stages = [
            replace(stage, files=(*stage.files, name)) if stage.name == stage_name else stage for stage in self._stages
        ]
        self._write(self.best())
        self._write_record()

    def attach(self, section: str, files: Mapping[str, bytes]) -> None:
        """Write files that belong to the best stage, and list them until another one is the best.

        Releases before 1.3 know no attachments and get none.
        """
        if not self._writes_stages:
            return
        for name, content in files.items():
            with atomic_write(self._attachment(section, name), "wb") as file:
                file.write(content)
        self._attachments[section] = list(files)
        self._write(self.best())
        self._write_record()

    def restore(self) -> None:
        """Take up the list of an earlier process, as far as the files of its stages are still there."""
        if self._record is None or not self._record.is_file():
            return
        try:
            listed = json.loads(self._record.read_text(encoding="utf-8"))
            stages = [Stage(**{**fields, "files": tuple(fields["files"])}) for fields in listed["stages"]]
            attachments = {str(section): list(names) for section, names in listed["attachments"].items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s: cannot be read (%s), so earlier stages are not offered any more", self._record, error)
            return
        self._stages = [stage for stage in stages if all((self._models_dir / name).is_file() for name in stage.files)]
        self._attachments = attachments if len(self._stages) == len(stages) else {}  # the best one may be gone
        if self._stages:
            self._write(self.best())

    def _write_record(self) -> None:
        if self._record is not None:
            with atomic_write(self._record) as file:
                json.dump(
                    {"stages": [asdict(stage) for stage in self._stages], "attachments": self._attachments}, file
                )

    def _write(self, best: Stage) -> None:
        content = self._with_stages(best) if self._writes_stages else self._legacy(best)
        with atomic_write(self._result_file) as file:
            yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)

    def _with_stages(self, best: Stage) -> dict[str, Any]:
        return {
            "best_stage_name": best.name,
            "mAP": _rate(best.map50),
            "model_stages": {
                stage.name: {
                    "stage_name": stage.name,
                    "files": list(stage.files),
                    "timestamp": stage.timestamp_s,
                    "mAP": _rate(stage.map50),
                    **{name: _figure(value) for name, value in stage.metrics.items()},
                }
                for stage in self._stages
            },
            "evaluate_config": {"iou_thr": IOU_THRESHOLD, "conf_thr": SCORE_THRESHOLD},
            **self._attachments_there(),
        }

    def _attachments_there(self) -> dict[str, Any]:
        """What is listed and lies there: the platform refuses a model for one missing file."""
        there = {
            section: [name for name in names if self._attachment(section, name).is_file()]
            for section, names in self._attachments.items()
        }
        there = {section: names for section, names in there.items() if names}
        return {"attachments": there} if there else {}

    def _attachment(self, section: str, name: str) -> Path:
        return self._models_dir / "attachments" / section / name

    @staticmethod
    def _legacy(best: Stage) -> dict[str, Any]:
        return {"model": list(best.files), "map": _rate(best.map50)}

    def _remove_files(self, dropped: list[Stage]) -> None:
        needed = {name for stage in self._stages for name in stage.files}
        for name in {name for stage in dropped for name in stage.files} - needed:
            (self._models_dir / name).unlink()


def _score(stage: Stage) -> float:
    return _rate(stage.map50 if stage.score < 0 else stage.score)


def _figure(value: float) -> float:
    """Whole numbers are counts and stay as they are, others are rates."""
    return max(value, 0) if isinstance(value, int) else _rate(value)


def _rate(value: float) -> float:
    """A number that the platform accepts: it refuses a whole model for one NaN."""
    return float(min(max(value, 0.0), 1.0)) if math.isfinite(value) else 0.0
