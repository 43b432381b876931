"""Training: index files and settings in, result.yaml with its stages out."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from ..atomic_file import atomic_write
from ..config.args_options import parse_args_options
from ..config.settings import TrainSettings
from ..contract.model_package import find_model_package
from ..contract.partial_results import PARTIAL_RESULTS_DIR
from ..contract.task import Task
from ..contract.training_result import TrainingResult
from ..dataset.conversion import coco_files, convert_task
from ..dataset.report_file import add_warning, repeat_warnings, report_anchors, report_unreadable
from ..engines.registry import load_engine
from ..engines.zoo import find_config_file
from ..errors import ConfigError
from ..training.job import TrainJob, TrainSummary
from .export import export_best_stage, require_exporter
from .script import TaskRun
from .stages import add_stage

logger = logging.getLogger(__name__)


def train(run: TaskRun[TrainSettings]) -> None:
    """Convert the dataset once, train, and list every stage in result.yaml as soon as it is evaluated."""
    task, settings = run.task, run.settings
    # everything that can be checked without torch, before anything slow
    options = parse_args_options(settings.args_options)
    if not task.class_names:
        raise ConfigError("config.yaml: class_names is missing or empty; list the classes to train")
    require_exporter(settings)
    config_file = find_config_file(options.config_file or settings.config_file, run.engine_name)
    pretrained = find_model_package(task, "pretrained_model_params")
    # once per machine; its other processes wait for the first one when they form the process group
    files = convert_task(task) if run.is_local_main else coco_files(task)

    engine = load_engine(run.engine_name)  # imports torch, which takes seconds
    resume_dir = task.output_dir / PARTIAL_RESULTS_DIR / "training"
    result = TrainingResult(
        task.models_dir, task.training_result, writes_stages=task.writes_stages, record=resume_dir / "stages.json"
    )
    job = TrainJob(
        train_json=files.train,
        val_json=files.val,
        class_names=task.class_names,
        settings=settings,
        config_file=config_file,
        overrides=options.values,
        pretrained=pretrained,
        weights_folders=weights_folders(),
        gpu_ids=task.gpu_ids,
        models_dir=task.models_dir,
        tensorboard_dir=task.tensorboard_dir,
        resume_dir=resume_dir,
        must_resume=options.resume,
        on_progress=run.monitor.report,
        on_stage=lambda weights: add_stage(result, weights),
        on_anchors=lambda shares: report_anchors(task, shares),
        on_unreadable=lambda role, sentences: report_unreadable(task, role, sentences),
        on_warning=lambda sentence: add_warning(task, sentence),
        on_resume=result.restore,
        stop_requested=run.stop.requested,
    )
    summary = engine.train(job)
    if run.is_main:
        export_best_stage(job, result)
        repeat_warnings(task)  # before the last line, which says what came out
        _write_summary(task, summary, result)
        # only now: a restart before this line resumes from the last checkpoint, at the end of the training
        shutil.rmtree(resume_dir, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: another task has partial results there
            resume_dir.parent.rmdir()


def weights_folders() -> tuple[Path, ...]:
    """Return where published pretrained weights are searched: the user's folder, the image's, one for downloads."""
    own = os.environ.get("YMIR_WEIGHTS_DIR")
    downloads = Path(tempfile.gettempdir()) / "ymir-weights"  # a container may run under any uid, which can write there
    return (*((Path(own),) if own else ()), Path("/weights"), downloads)


def _write_summary(task: Task, summary: TrainSummary, result: TrainingResult) -> None:
    best = result.best()
    logger.info(
        "trained %d steps, %.3f s each, on %s; best stage %s with AP50 %.4f",
        summary.steps, summary.seconds_per_step, summary.device, best.name, best.map50,
    )  # fmt: skip
    with atomic_write(task.output_dir / "train-summary.json") as file:
        json.dump({**summary._asdict(), "best_stage": best.name, "ap50": best.map50}, file, indent=2)
