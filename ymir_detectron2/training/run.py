"""What happens around the steps of a training, for both engines: resume, log, evaluate, save stages and checkpoints.

A stage is a model that YMIR offers its user, written at an evaluation: in /out/models, iter_0000120.pth and
iter_0000120/config.yaml. A checkpoint is the whole state of an unfinished training, see checkpointing.py.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from types import TracebackType
from typing import Any, Mapping, Protocol

from torch import nn

from .. import distributed
from ..atomic_file import atomic_write
from ..config.engine_config import EngineConfig
from ..config.packed_config import packed_yaml
from ..dataset.bit_depth import STRETCH_RULE
from ..errors import ExecutorError, ModelError, StoppedError, StorageError
from ..evaluation.metrics import Evaluation
from ..retinanet.checkpoint import write_checkpoint
from ..tile_windows import Tiling
from .checkpointing import CheckpointDir, restoring
from .early_stopping import metric_value
from .end_of_training import EndOfTraining
from .evaluate import StageEvaluator
from .final_pass import final_pass_images
from .job import StageWeights, TrainJob, TrainSummary
from .metric_logger import MetricLogger, StepStats
from .state_check import require_like
from .training_plan import TrainingPlan
from .training_progress import TrainingProgress
from .training_signs import failure_signs

logger = logging.getLogger(__name__)

CONFIG_NAME = "config.yaml"
_STOP, _MOVE_END, _GO_ON = range(3)
"""What a process wants after a step; the smallest holds for all."""


class StepTrainer(Protocol):
    """Takes the training steps of one engine."""

    @property
    def skipped(self) -> set[str]:
        """Why images could not be decoded: a sentence for each, which names it."""

    def train_step(self, step: int, schedule_step: float | None = None) -> StepStats:
        """Take a step, counted from 1; its place in the learning rate schedule is counted from 0, None: the same."""

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, as plain data and tensors."""

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """Continue after `step` steps; called before the first step."""


class TrainingRun:
    """The progress of a training, from its start or newest checkpoint to its end.

    A context: whatever ends it early, the steps since the last stage are saved as a stage first. Files are written in
    the process of rank 0 only.
    """

    def __init__(
        self, job: TrainJob, cfg: EngineConfig, plan: TrainingPlan, model: nn.Module, trainer: StepTrainer,
        evaluator: StageEvaluator, progress: TrainingProgress, fingerprint: Mapping[str, str],
        tiling: Tiling = Tiling(),  # noqa: B008 - immutable
    ) -> None:  # fmt: skip
        """
        Args:
            plan: by which `progress` counts; this run moves its end.
            model: its weights, under detectron2's names, are those of a stage.
            fingerprint: see `checkpointing.fingerprint`.
            tiling: how images are cut in this training, and so in whatever its stages are used for.
        """
        self._job = job
        self._cfg = cfg
        self._model = model
        self.trainer = trainer
        self._evaluator = evaluator
        self._progress = progress
        self._tiling = tiling
        self._plan = plan
        self._metrics = MetricLogger(plan, job.tensorboard_dir)
        self._checkpoints = CheckpointDir(job.resume_dir, fingerprint, cfg["SOLVER.CHECKPOINT_PERIOD"])
        self._end = EndOfTraining(
            plan, progress.time_left, patience=job.settings.patience, max_hours=job.settings.max_hours,
            elapsed_s=job.elapsed_s,
            has_fixed_period=bool(job.settings.eval_period) or "TEST.EVAL_PERIOD" in job.overrides,
        )  # fmt: skip
        self._is_writer = distributed.rank() == 0
        self._step = self._evaluated_step = self._stage_step = 0  # the latest one of each kind
        self._has_stage = False
        self._is_between_steps = False
        self._unreadable: set[str] = set()  # as `StepTrainer.skipped`, of all processes and before a restart

    def __enter__(self) -> TrainingRun:
        return self

    def resume(self) -> None:
        """Continue from the newest sound checkpoint in the output folder that belongs to this training.

        Raises:
            ConfigError: they belong to another one, and `--resume` was given.
        """
        checkpoints = self._checkpoints.newest_first(must_resume=self._job.must_resume) if self._is_writer else iter(())
        begun: dict[str, Any] | None = None
        while (checkpoint := distributed.broadcast_object(next(checkpoints, None))) is not None:
            path, state = checkpoint
            begun = begun or self._state()
            if self._resume_from(path, state, begun):
                break
        self._metrics.open(self._step)  # only now: TensorBoard must know from which step on old points are hidden
        self._progress.open(self._step, self._evaluated_step)
        # stopped just before or during the evaluation; or at the end, with a list of stages that is lost since then
        is_missing = self._step > self._evaluated_step or (self.is_over and not self._has_stage)
        if is_missing and self.should_evaluate:
            self.evaluate_and_save_stage()
            self.save_checkpoint()

    def _resume_from(self, path: Path, state: Mapping[str, Any], begun: Mapping[str, Any]) -> bool:
        """Restore a checkpoint in all processes together, or where it is damaged the state `begun` of step 0."""
        problem = ""
        try:
            with restoring(path):
                require_like(state, begun)
                self._restore(state, state["step"])
        except ModelError as error:
            problem = str(error)
        if not distributed.all_reduce_and(not problem, next(self._model.parameters()).device):
            if self._is_writer:
                logger.warning("cannot resume from %s", problem or f"{path}: another process cannot")
            self._restore(begun, 0)
            return False
        # the task reads the list of its earlier stages, which may be lost
        self._has_stage = distributed.broadcast_object(self._job.on_resume() if self._is_writer else None)
        logger.info("resuming from step %d of %d", self._step, self._plan.end_step)
        return True

    def _restore(self, state: Mapping[str, Any], step: int) -> None:
        if not state["measured_step"] <= step <= self._plan.max_iter:
            raise ValueError("the step is out of range")
        self._step = self._stage_step = step
        self._evaluated_step = state["measured_step"]
        self._has_stage = state["has_stage"]
        self._end.load_state_dict(state["end"], step)
        self._metrics.load_state_dict(state)
        self._unreadable = set(state["unreadable"])
        self.trainer.restore(state["trainer"], step)

    @property
    def is_over(self) -> bool:
        """Whether the last step is done."""
        return self._step >= self._plan.end_step

    def next_step(self) -> tuple[int, float]:
        """Return the number of the step that begins now, counted from 1, and its place in the schedule, from 0."""
        self._is_between_steps = False
        return self._step + 1, self._plan.schedule_step(self._step)

    def end_step(self, stats: StepStats) -> None:
        """Log a finished step, and keep to `max_hours`.

        Raises:
            StoppedError: a stop was requested.
        """
        self._is_between_steps = True
        self._step = stats.step
        self._metrics.add_step(stats)
        self._progress.end_step(stats)
        # all processes stop behind the same step: one that went on would be cut off in the middle of the next
        wish = _STOP if self._job.stop_requested() else _MOVE_END if self._end.is_late(stats.step) else _GO_ON
        wish = distributed.all_reduce_min(wish, next(self._model.parameters()).device)
        if wish == _STOP:
            raise StoppedError(f"stopped on request after step {stats.step} of {self._plan.end_step}")
        if wish == _MOVE_END:
            self._end.keep_to_limit(stats.step)

    @property
    def should_evaluate(self) -> bool:
        return self._plan.is_evaluation(self._step)

    def evaluate_and_save_stage(self) -> None:
        """Evaluate the weights and their EMA, and save the better ones as a stage."""
        self._report_unreadable()
        with self._progress.evaluation(), self._evaluator.better_weights(self._step, self._metrics) as better:
            if self._is_writer:
                self._metrics.log_stage(self._step, better.evaluation.metrics, better.losses)
                self._save_stage(better.evaluation)
                self._warn(better.evaluation)
        self._evaluated_step = self._step
        self._end.add_evaluation(self._step, better.score)

    def _report_unreadable(self) -> None:
        for skipped in distributed.all_gather_object(self.trainer.skipped):
            self._unreadable |= skipped
        if self._is_writer and self._unreadable:
            self._job.on_unreadable("training", self._unreadable)

    def _warn(self, evaluation: Evaluation) -> None:
        progress = self._step / self._plan.end_step
        for sentence in failure_signs(progress, self._metrics.training_losses.curves(), evaluation.metrics):
            self._job.on_warning(sentence)

    @property
    def should_save_checkpoint(self) -> bool:
        return self._checkpoints.is_due(self._step)

    def save_checkpoint(self) -> None:
        """Write the state of the training, from which it can be resumed."""
        if self._is_writer:
            self._checkpoints.write(self._step, self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "has_stage": self._has_stage,
            "measured_step": self._evaluated_step,
            "end": self._end.state_dict(),
            "unreadable": sorted(self._unreadable | self.trainer.skipped),
            **self._metrics.state_dict(),
            "trainer": self.trainer.state(),
        }

    def _save_stage(self, evaluation: Evaluation | None) -> None:
        """Write weights and config, and offer them to the task; `evaluation` is None if there was no time for one."""
        metrics = None if evaluation is None else evaluation.metrics
        name = f"iter_{self._step:07d}"
        metadata: dict[str, Any] = {
            "iteration": self._step,
            "class_names": list(self._job.class_names),
            "ap50": None if metrics is None else metrics.ap50,
            "thresholds": {"all": None, "by_class": {}} if metrics is None else metrics.thresholds,
            **self._tiling.as_metadata(),
            "deep_images": STRETCH_RULE,  # by which a program that shows it other images has to change them
        }
        self._write_weights(f"{name}.pth", metadata)
        # in the folder of the stage, where the platform looks first: it names these weights and no others
        with atomic_write(self._job.models_dir / name / CONFIG_NAME) as file:
            file.write(packed_yaml(self._cfg, f"{name}.pth"))
        stage = StageWeights(
            name, (f"{name}.pth", CONFIG_NAME), evaluation, metric_value(metrics, self._job.settings.best_metric),
            self._metrics.training_losses.curves(), self._metrics.validation_losses.curves(),
            self._metrics.stage_metrics.curves(), self._step,
        )  # fmt: skip
        # before the plots, which take seconds: what ends the training meanwhile must not replace an evaluated stage by
        # weights that are not evaluated
        self._stage_step = self._step
        self._has_stage = True
        self._metrics.add_images(self._step, self._job.on_stage(stage))

    def _write_weights(self, name: str, metadata: Mapping[str, Any]) -> None:
        while True:
            try:
                write_checkpoint(self._job.models_dir / name, self._model.state_dict(), metadata)
                return
            except StorageError:
                # a stage is a result, a checkpoint only saves time: on a full disk the one makes room for the other
                if not self._checkpoints.drop_oldest():
                    raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._save_unfinished(error)
            if isinstance(error, StoppedError):
                # which all processes raise at the same place. None ends before the work is saved: torch's launcher
                # would kill the others half a minute later
                with contextlib.suppress(RuntimeError):  # of a connection to one that has died nevertheless
                    distributed.all_gather_object(None)
        finally:
            self._progress.close()
            self._metrics.close()

    def _save_unfinished(self, error: BaseException) -> None:
        """Save the steps since the last stage, when an error or a stop request ends the training."""
        is_stop = isinstance(error, StoppedError) or self._job.stop_requested()
        if not self._is_writer or isinstance(error, StorageError):
            return
        try:
            # after a failure the weights may be bad: worth saving only if there is nothing else
            if self._step > self._stage_step and (is_stop or not self._has_stage):
                logger.warning("saving the weights of step %d, which are not evaluated: their mAP counts as 0",
                               self._step)  # fmt: skip
                self._save_stage(None)
            # in the middle of a step, part of the state already belongs to the next one
            if is_stop and self._is_between_steps and self._step > self._checkpoints.last_step:
                self.save_checkpoint()
        except ExecutorError as second:  # the first error is the one to report
            logger.error("what was done up to step %d could not be saved: %s", self._step, second)

    def summary(self, device: str, precision: str) -> TrainSummary:
        """Return the summary of the finished run."""
        images = final_pass_images(self._cfg, self._step, distributed.world_size())
        pace_s = self._progress.seconds_per_step
        return TrainSummary(self._step, pace_s, device, precision, self._tiling.size, images)
