"""Trainings that are run once, however many curves of an experiment need them, and their models while these are needed.

    OUT/trainings.jsonl      {"key": "3f5c...", "ap50": 0.41, "ap50_by_class": {"disc": 0.6}, ..}
    OUT/models/GROUP/KEY/    in/config.yaml and out/models/ of the task, as a later task needs them

The key is a digest of all that decides the result: the settings, the seed, and the labelled images in their order.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

import yaml

from benchmarks.experiment import PROJECT_DIR, Journal, run_timed_task
from benchmarks.labelled_sets import LabelledSet
from benchmarks.measuring import has_bf16
from ymir_detectron2.config.common_settings import CommonSettings
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.evaluation.evaluation_file import read_evaluation
from ymir_detectron2.file_digest import file_digest
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tools.task_folder import write_task_folder

_SMALL = str(PROJECT_DIR / "configs" / "CPU" / "retinanet_R_18_FPN_small.yaml")
_COMPUTING = re.compile(r"computing in (.+?), process")
"""What a training logs: "computing in bf16 on CPU (AVX512, 1 threads), process 1 of 1"."""


@dataclass(frozen=True)
class SharedTraining:
    """Result of one training."""

    key: str
    ap50: float
    ap50_by_class: Mapping[str, float]
    """Of the classes that the validation set holds."""
    processor_s: float
    """Processor time of the task."""
    device: str
    """And its arithmetic: "bf16 on CPU (AVX512, 1 threads)"."""


class SharedTrainings:
    """The trainings of an experiment. Thread-safe: a second thread that needs a running training waits for it."""

    def __init__(self, out: Path, data: LabelledSet, form: Mapping[str, Any], start: Path | None = None) -> None:
        """Read the results of earlier runs.

        Args:
            form: keys of config.yaml for every training, without `seed`.
            start: weights that every training starts from; None: what `form` says.
        """
        self._out, self._data, self._form = out, data, dict(form)
        # files by their content: an experiment may move
        config = {"config_file": file_digest(Path(form["config_file"]))} if "config_file" in form else {}
        self._decisive: list[Any] = [{**form, **config}, [image.path.name for image in data.val]]
        if start:
            self._decisive.append(file_digest(start))
            options = f"MODEL.WEIGHTS {start.resolve()} {form.get('args_options', '')}"
            self._form["args_options"] = options.strip()
        self._journal = Journal(out / "trainings.jsonl", SharedTraining)
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()

    def result(self, group: str, labelled: Sequence[AnnotatedImage], seed: int, *, keep: bool) -> SharedTraining:
        """Return what a training on `labelled` reaches; train if it has not been done.

        Args:
            group: of the models that `remove_models` removes together.
            keep: whether its model is needed later.
        """
        key = self.key(labelled, seed)
        with self._lock(key):
            done = self._journal.find(key=key)
            return done if done is not None else self._train(key, group, labelled, seed, keep)

    def model(self, group: str, labelled: Sequence[AnnotatedImage], seed: int) -> Path:
        """Return /out/models of that training; train again if it was removed."""
        key = self.key(labelled, seed)
        with self._lock(key):
            models = self._folder(group, key) / "out" / "models"
            if not models.is_dir():
                self._train(key, group, labelled, seed, keep=True)
        return models

    def remove_models(self, group: str) -> None:
        """Remove the models of a group: no further round starts from them."""
        shutil.rmtree(str(self._out / "models" / group), ignore_errors=True)

    def key(self, labelled: Sequence[AnnotatedImage], seed: int) -> str:
        """Return the digest of all that decides the result of a training."""
        decisive = [*self._decisive, seed, [image.path.name for image in labelled]]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()[:20]

    def _lock(self, key: str) -> threading.Lock:
        with self._locks_lock:
            return self._locks.setdefault(key, threading.Lock())

    def _folder(self, group: str, key: str) -> Path:
        return self._out / "models" / group / key

    def _train(
        self, key: str, group: str, labelled: Sequence[AnnotatedImage], seed: int, keep: bool
    ) -> SharedTraining:
        root = self._out / "tasks" / key
        form = {**self._form, "seed": seed}
        sets = {"train": labelled, "val": self._data.val}
        processor_s = run_whole_task(root, task="train", class_names=self._data.class_names, **sets, config=form)
        evaluation = read_evaluation(root / "out" / "models")
        assert evaluation is not None  # a training that succeeds leaves one
        by_class = {one.name: round(one.ap50, 4) for one in evaluation.classes if one.ap50 is not None}
        computing = _COMPUTING.search((root / "log.txt").read_text(encoding="utf-8", errors="replace"))
        device = computing.group(1) if computing else ""
        done = SharedTraining(key, round(evaluation.ap50, 4), by_class, processor_s, device)
        if keep:
            _keep_model(root, self._folder(group, key))
        shutil.rmtree(str(root))
        if self._journal.find(key=key) is None:  # not of a model that was trained again
            self._journal.add(done)
        return done


def add_training_options(parser: argparse.ArgumentParser, default_set: str, steps: int) -> None:
    """Add the options that decide how a training goes; `steps` is their default."""
    parser.add_argument("--set", default=default_set, help="see benchmarks/labelled_sets.py (%(default)s)")
    parser.add_argument("--start", type=Path, metavar="FILE.pth", help="weights to start from; else random ones")
    parser.add_argument("--start-config", default=_SMALL, metavar="FILE.yaml", help="of these weights (%(default)s)")
    parser.add_argument("--steps", type=int, default=steps, help="of a training (%(default)s)")
    parser.add_argument("--image-size", type=int, default=160, help="shorter side in pixels (%(default)s)")
    parser.add_argument("--training", nargs="+", default=[], metavar="KEY=VALUE", help="keys of a training task")
    parser.add_argument("--args-options", default="", help="of a training task")
    parser.add_argument("--precision", default="bf16" if has_bf16("cpu") else "auto", help="(%(default)s here)")


def training_form(options: argparse.Namespace) -> dict[str, Any]:
    """Return config.yaml of a training with one evaluation, at its end, so that no lucky stage is chosen."""
    size = options.image_size
    return {
        "engine": "torch", "config_file": str(Path(options.start_config).resolve()), "batch_size": 4,
        "max_iter": options.steps, "eval_period": options.steps, "num_workers": 1, "precision": options.precision,
        "args_options": f"INPUT.MIN_SIZE_TRAIN ({size},) INPUT.MIN_SIZE_TEST {size} {options.args_options}".strip(),
        **read_pairs(options.training, TrainSettings),
    }  # fmt: skip


def read_pairs(pairs: Sequence[str], settings_class: type[CommonSettings]) -> dict[str, Any]:
    """Return the keys of config.yaml for "KEY=VALUE" texts.

    Raises:
        ConfigError: the task has no such key. It would only warn, and its results would pass for those of the key.
    """
    known = {field.name for field in dataclasses.fields(settings_class)}
    form = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in known or not value:
            raise ConfigError(f"{pair!r} is no KEY=VALUE of a task ({settings_class.__name__}); correct it")
        form[key] = yaml.safe_load(value)
    return form


def _keep_model(root: Path, folder: Path) -> None:
    """Move the model of a task, with the config.yaml that holds its class names, and nothing else."""
    if folder.exists():  # of an interrupted run
        shutil.rmtree(str(folder))
    (folder / "in").mkdir(parents=True)
    shutil.move(str(root / "in" / "config.yaml"), str(folder / "in"))
    shutil.move(str(root / "out" / "models"), str(folder / "out" / "models"))


def run_whole_task(root: Path, **content: Any) -> float:
    """Write a task folder and run it; return its processor time in seconds, to a tenth.

    Raises:
        CalledProcessError: the task failed; its log.txt names the reason.
    """
    if root.exists():  # of an interrupted run
        shutil.rmtree(str(root))
    status, processor_s = run_timed_task(write_task_folder(root, **content), root / "log.txt")
    if status:
        raise subprocess.CalledProcessError(status, f"start.py, see {root / 'log.txt'}")
    return round(processor_s, 1)
