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
from ..config.resolved_config import RESOLVED_CONFIG_NAME
from ..config.train_settings import TrainSettings
from ..contract.kept_work import STAGES_RECORD, TRAINING_DIR
from ..contract.model_package import ModelPackage, find_model_package
from ..contract.task import Task
from ..contract.training_result import Stage, TrainingResult
from ..dataset.conversion import coco_files, convert_task
from ..dataset.report_file import add_warning, repeat_warnings, report_anchors, report_unreadable
from ..engines.registry import load_engine
from ..engines.zoo import find_config_file
from ..errors import ConfigError, ExecutorError, StoppedError
from ..evaluation.evaluation_file import EvaluationFile, read_evaluation
from ..evaluation.label_review_file import FILE_NAME as LABEL_REVIEW_NAME
from ..evaluation.training_history import NAME as HISTORY_NAME
from ..training.job import TrainJob, TrainSummary
from .closing import log_label_review, log_page, log_training
from .export import export_best_stage, require_exporter
from .package_statistics import add_statistics
from .report_page import add_task_page
from .script import TaskRun
from .stages import add_stage
from .training_review import review_training

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
    if _needs_torch_engine(run, pretrained):
        logger.info("engine torch (detectron2 does not train on the tiles of the chosen model): training")
        engine = load_engine("torch")
    resume_dir = task.output_dir / TRAINING_DIR
    result = TrainingResult(
        task.models_dir, task.training_result, writes_stages=task.writes_stages, record=resume_dir / STAGES_RECORD
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
        on_stage=lambda weights: add_stage(
            result, weights, task.output_dir / HISTORY_NAME, lambda image: task.paths.container_path(Path(image))
        ),
        on_config=lambda text: _write_text(task.output_dir / RESOLVED_CONFIG_NAME, text),
        on_anchors=lambda shares: report_anchors(task, shares),
        on_unreadable=lambda role, sentences: report_unreadable(task, role, sentences),
        on_warning=lambda sentence: add_warning(task, sentence),
        on_resume=result.restore,
        stop_requested=run.stop.requested,
        elapsed_s=run.elapsed_s,
    )
    try:
        summary = engine.train(job)
    except StoppedError:
        # of the stages that are there; a SIGTERM, as of `docker stop`, leaves no time for it
        if run.is_main and result.stages and run.stop.name == "SIGINT":
            log_page(add_task_page(task))
        raise
    if run.is_main:
        export_best_stage(job, result)
        evaluation = _read_evaluation(result)
        review = review_training(run, job, result.best(), summary)
        add_statistics(job, result, evaluation, () if review is None else review.seen.peaks)
        repeat_warnings(task)  # before the last lines, which say what came out
        _write_summary(task, summary, result.best(), evaluation)
        page = add_task_page(task)
        # only now: a restart before this line resumes from the last checkpoint, at the end of the training
        shutil.rmtree(resume_dir, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: another task has partial results there
            resume_dir.parent.rmdir()
        log_training(task, result.best(), evaluation, page)
        if review is not None and review.scores is not None:
            log_label_review(task.output_dir / LABEL_REVIEW_NAME, review.scores, review.seen)


def _needs_torch_engine(run: TaskRun[TrainSettings], pretrained: ModelPackage | None) -> bool:
    """Return whether `engine: auto` has to be another one, which only the file of the chosen model says."""
    if run.engine_name == "torch" or run.settings.engine != "auto" or run.settings.tile_size:
        return False
    from ..training.training_views import tiling_of  # imports torch

    return tiling_of(pretrained).size > 0


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text)


def weights_folders() -> tuple[Path, ...]:
    """Return where published pretrained weights are searched: the user's folder, the image's, one for downloads."""
    own = os.environ.get("YMIR_WEIGHTS_DIR")
    downloads = Path(tempfile.gettempdir()) / "ymir-weights"  # a container may run under any uid, which can write there
    return (*((Path(own),) if own else ()), Path("/weights"), downloads)


def _write_summary(task: Task, summary: TrainSummary, best: Stage, evaluation: EvaluationFile | None) -> None:
    logger.info(
        "trained %d steps, %.3f s each, on %s; best stage %s with AP50 %.4f",
        summary.steps, summary.seconds_per_step, summary.device, best.name, best.map50,
    )  # fmt: skip
    with atomic_write(task.output_dir / "train-summary.json") as file:
        thresholds = {"all": None, "by_class": {}} if evaluation is None else evaluation.best_thresholds
        figures = summary._asdict()
        del figures["final_pass_images"]  # of no interest to anybody else
        content = {**figures, "best_stage": best.name, "ap50": best.map50, "thresholds": thresholds}
        json.dump(content, file, indent=2)


def _read_evaluation(result: TrainingResult) -> EvaluationFile | None:
    """Return the evaluation of the best stage; None if it could not be kept."""
    try:
        return read_evaluation(result.models_dir, result.best().name)
    except ExecutorError as error:  # of an extra, and the model is there
        logger.warning("%s", error)
        return None
