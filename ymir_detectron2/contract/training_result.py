"""result.yaml: the stages (trained models) of a training, in the order of training.

    protocol_version present:   model_stages: {iter_0000100: {stage_name, files, timestamp, mAP}}, best_stage_name
                                evaluate_config, attachments: {section: [names in /out/models/attachments/section]}
    absent (YMIR <= 1.2):       model: [files of the best stage], map

The platform packs whatever result.yaml lists, even when the training has failed or was stopped: it is rewritten after
every stage. All files are in /out/models itself, under names that no other stage uses: every release finds them there.
Only config.yaml has one name in all stages, although each names other weights. That of each stage is in
/out/models/<stage>, where YMIR looks first from 1.3 on; that of the best stage is in /out/models too, for all others.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

import yaml

from ..atomic_file import atomic_write
from ..errors import briefly
from ..untrusted_files import path_below
from .import_limit import IMPORT_LIMIT_BYTES, tar_bytes

logger = logging.getLogger(__name__)

STAGES_KEPT = 10  # and the best one, as in the platform's own SDK; fewer where together they are too large to import
IOU_THRESHOLD, SCORE_THRESHOLD = 0.5, 0.2
"""Thresholds for tp, fp and fn: the form's default `conf_threshold`, with which whoever turns no key infers, and the
same for all stages and trainings, so that their counts can be compared."""


@dataclass(frozen=True)
class Stage:
    """One checkpoint that the platform can offer to its user."""

    name: str
    """A Python identifier, unique in the task, at most 100 characters."""
    files: tuple[str, ...]
    """Names in the stage's own folder, /out/models/<stage>, or in /out/models."""
    map50: float
    """AP at IoU 0.5 averaged over classes, in [0, 1]; NaN and infinity count as 0."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Further fields that the platform knows: rates in [0, 1] such as mAR and boxAP; integers tp, fp, fn."""
    timestamp_s: int = field(default_factory=lambda: int(time.time()))
    score: float = -1.0
    """Decides which stage is best, in [0, 1]; below 0: `map50` does."""
    measured: bool = True
    """False for weights that were saved without an evaluation, e.g. on a stop: the next stage replaces them."""
    best_threshold: float | None = None
    """The score threshold with the highest F1, in [0, 1]; None where no detection is a true positive."""


class TrainingResult:
    """Keeps result.yaml and the weight files in step: the best stage and up to ten of the latest.

    YMIR packs all of them as one model: as many are kept as it imports, but always the best and the latest one.
    """

    def __init__(
        self, models_dir: Path, result_file: Path, *, writes_stages: bool, record: Path | None = None
    ) -> None:
        """
        Args:
            models_dir: /out/models.
            result_file: result.yaml.
            writes_stages: `Task.writes_stages`; False for YMIR up to 1.2.
            record: file that keeps the whole list, from which `restore` takes it when a training is resumed.
        """
        self._models_dir = models_dir
        self._result_file = result_file
        self._writes_stages = writes_stages
        self._record = record
        self._stages: list[Stage] = []
        self._attachments: dict[str, list[str]] = {}
        self._dropped: list[str] = []
        """Files and folders of stages that are not kept: on record first, since a kill may prevent their removal."""
        self._has_said_limit = False

    @property
    def models_dir(self) -> Path:
        return self._models_dir

    @property
    def stages(self) -> tuple[Stage, ...]:
        return tuple(self._stages)

    def best(self) -> Stage:
        """Return the stage with the highest score; of equals, the latest."""
        # max returns the first of equals
        return max(reversed(self._stages), key=lambda stage: _rate(stage.map50 if stage.score < 0 else stage.score))

    def add(self, stage: Stage) -> None:
        """Add a stage whose files are already written, then remove the files of stages that are no longer kept."""
        best_before = self.best() if self._stages else None
        offered = [*self._stages, stage]
        self._stages = [old for old in self._stages if old.name != stage.name and old.measured] + [stage]
        best = self.best()
        if best is not best_before:
            self._attachments = {}  # they belong to the former best stage
            self._copy_own_files(best)
        self._stages = [old for old in self._stages[:-STAGES_KEPT] if old is best] + self._stages[-STAGES_KEPT:]
        self._save_what_fits(offered)

    def _save_what_fits(self, offered: Sequence[Stage]) -> None:
        """Drop the oldest stages until YMIR imports the others; save the list, then remove files that are not in it."""
        best, latest = self.best(), self._stages[-1]
        droppable = [stage for stage in self._stages if stage is not best and stage is not latest]
        # YMIR up to 1.2 packs the files of the best one only
        while self._writes_stages and droppable and self._packed_bytes() >= IMPORT_LIMIT_BYTES:
            self._stages.remove(droppable.pop(0))
            if not self._has_said_limit:
                self._has_said_limit = True
                logger.info("%s keeps the best stage and the latest ones, fewer than %d: YMIR imports a model of less"
                            " than 1,024 MB", self._models_dir, STAGES_KEPT)  # fmt: skip
        self._dropped = [name for old in offered if old not in self._stages for name in (*old.files, old.name)]
        self._save()
        # only after result.yaml is replaced: the platform refuses the whole model for one missing file
        self._remove_dropped()

    def _packed_bytes(self) -> int:
        places = [self._place(stage, name) for stage in self._stages for name in stage.files]
        places += [self._attachment(section, name) for section, names in self._attachments.items() for name in names]
        return tar_bytes(place.stat().st_size for place in places if place.is_file())

    def _place(self, stage: Stage, name: str) -> Path:
        """Return where the platform finds a file of a stage from 1.3 on."""
        own = self._models_dir / stage.name / name
        return own if own.is_file() else self._models_dir / name

    def _remove_dropped(self) -> None:
        """Remove files and folders of stages that are not kept, unless one that is kept has the same name."""
        # a config.yaml in /out/models itself is that of the best stage
        needed = {name for kept in self._stages for name in (*kept.files, kept.name)}
        for name in set(self._dropped) - needed:
            path = self._models_dir / name
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)  # a few kilobytes, which nothing lists any more
            else:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()

    def _check_names(
        self, stages: Iterable[Stage], attachments: Mapping[str, list[str]], dropped: Sequence[str]
    ) -> None:
        """Raise ValueError for names that lead out of /out/models: files and folders of these names are removed."""
        names = [*dropped, *(name for stage in stages for name in (stage.name, *stage.files))]
        names += [f"attachments/{section}/{name}" for section, files in attachments.items() for name in files]
        for name in names:
            if path_below(self._models_dir, name) is None:
                raise ValueError(f"{briefly(name)} is not the name of a file in {self._models_dir}")

    def _copy_own_files(self, stage: Stage) -> None:
        """Copy what a stage has in its own folder into /out/models: YMIR up to 1.2 and the verifier look only there."""
        for name in stage.files:
            own = self._models_dir / stage.name / name
            if own.is_file():
                with atomic_write(self._models_dir / name, "wb") as file:
                    file.write(own.read_bytes())

    def add_file(self, stage_name: str, name: str) -> None:
        """Add a file in /out/models to a stage, e.g. its ONNX export."""
        offered = self._stages
        self._stages = [
            replace(stage, files=(*stage.files, name)) if stage.name == stage_name else stage for stage in offered
        ]
        self._save_what_fits(offered)

    def add_own_file(self, stage_name: str, name: str, content: bytes) -> None:
        """Write a file that has one name in all stages, as config.yaml has, and list it among those of its stage.

        Into the folder of the stage, where the platform looks from 1.3 on; of the best one into /out/models too.
        """
        folders = [self._models_dir / stage_name, *([self._models_dir] if self.best().name == stage_name else [])]
        for folder in folders:
            with atomic_write(folder / name, "wb") as file:
                file.write(content)
        # listed only now that it is there: the platform refuses the whole model for one missing file
        offered = self._stages
        self._stages = [
            replace(stage, files=tuple(dict.fromkeys((*stage.files, name)))) if stage.name == stage_name else stage
            for stage in offered
        ]
        self._save_what_fits(offered)

    def attach(self, section: str, files: Mapping[str, bytes]) -> None:
        """Write files that belong to the best stage; they are listed until another stage is the best.

        Releases before 1.3 know no attachments: for them the files are there, and not listed.
        """
        for name, content in files.items():
            with atomic_write(self._attachment(section, name), "wb") as file:
                file.write(content)
        self._attachments[section] = list(dict.fromkeys([*self._attachments.get(section, []), *files]))
        self._save_what_fits(list(self._stages))

    def restore(self) -> bool:
        """Read the list of an earlier process and keep the stages whose files are still there.

        Returns:
            Whether there is any; else the training has to make one, even at its last step.
        """
        if self._record is None or not self._record.is_file():
            return False
        try:
            listed = json.loads(self._record.read_text(encoding="utf-8"))
            stages = [_read_stage(fields) for fields in listed["stages"]]
            attachments = {section: _read_names(names) for section, names in listed["attachments"].items()}
            dropped = _read_names(listed.get("dropped", []))  # a record of an earlier version has none
            self._check_names(stages, attachments, dropped)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            # a resumed training is worth more than its earlier stages
            logger.warning("%s: cannot be read (%s), so earlier stages are not offered any more", self._record,
                           briefly(str(error)))  # fmt: skip
            return False
        self._stages = [stage for stage in stages if all((self._models_dir / name).is_file() for name in stage.files)]
        self._attachments = attachments if len(self._stages) == len(stages) else {}  # the best stage may be gone
        self._dropped = dropped
        self._remove_dropped()
        if self._stages:
            self._copy_own_files(self.best())
            self._write_result()
        return bool(self._stages)

    def _save(self) -> None:
        self._write_result()
        if self._record is not None:
            with atomic_write(self._record) as file:
                stages = [asdict(stage) for stage in self._stages]
                json.dump({"stages": stages, "attachments": self._attachments, "dropped": self._dropped}, file)

    def _write_result(self) -> None:
        best = self.best()
        content: dict[str, Any]
        if self._writes_stages:
            content = {
                "best_stage_name": best.name,
                "mAP": _rate(best.map50),
                "model_stages": {
                    stage.name: {
                        "stage_name": stage.name,
                        "files": list(stage.files),
                        "timestamp": stage.timestamp_s,
                        "mAP": _rate(stage.map50),
                        # integers are counts (tp, fp, fn), other numbers are rates
                        **{
                            name: max(value, 0) if isinstance(value, int) else _rate(value)
                            for name, value in stage.metrics.items()
                        },
                    }
                    for stage in self._stages
                },
                "evaluate_config": _evaluate_config(best),
                **self._existing_attachments(),
            }
        else:
            # not for newer releases as well: the key `model` hides model_stages
            content = {"model": list(best.files), "map": _rate(best.map50)}
        with atomic_write(self._result_file) as file:
            yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)

    def _existing_attachments(self) -> dict[str, Any]:
        """Return the listed attachments that exist: the platform refuses the whole model for one missing file."""
        existing = {
            section: [name for name in names if self._attachment(section, name).is_file()]
            for section, names in self._attachments.items()
        }
        existing = {section: names for section, names in existing.items() if names}
        return {"attachments": existing} if existing else {}

    def _attachment(self, section: str, name: str) -> Path:
        return self._models_dir / "attachments" / section / name


def _evaluate_config(best: Stage) -> dict[str, float]:
    """Return where the counts of the stages were made, and the best threshold: floats only, or the model is refused."""
    config = {"iou_thr": IOU_THRESHOLD, "conf_thr": SCORE_THRESHOLD}
    if best.best_threshold is not None:
        config["best_conf_thr"] = _rate(best.best_threshold)  # passed over by YMIR, which packs it with the model
    return config


def _read_stage(fields: Mapping[str, Any]) -> Stage:
    """Return a stage of the record.

    Raises:
        ValueError, TypeError and others: it is none that this class has written.
    """
    stage = Stage(**{**fields, "files": tuple(_read_names(fields["files"]))})
    names = (stage.name, *stage.metrics)
    best_threshold = 0.0 if stage.best_threshold is None else stage.best_threshold
    numbers = (stage.map50, stage.score, best_threshold, *stage.metrics.values())
    if not (stage.name.isidentifier() and all(type(name) is str for name in names) and type(stage.measured) is bool):
        raise ValueError("a stage has a name that is none")
    # NaN and infinity are floats, and count as 0; an integer beyond 64 bits is no count
    are_numbers = all(type(n) is float or (type(n) is int and _is_count(abs(n))) for n in numbers)
    if not (are_numbers and _is_count(stage.timestamp_s)):
        raise ValueError("a stage has a number that is none")
    return stage


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _read_names(names: Any) -> list[str]:
    if type(names) is not list or not all(type(name) is str for name in names):
        raise ValueError(f"{briefly(names)} is no list of names")
    return names


def _rate(value: float) -> float:
    """Return a number that the platform accepts: it refuses the whole model for one NaN or mAP of 55."""
    return float(min(max(value, 0.0), 1.0)) if math.isfinite(value) else 0.0
