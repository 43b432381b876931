"""What goes with the steps of a training, whichever engine takes them: progress, curves, evaluations, stages."""

from __future__ import annotations

import contextlib
import logging
import statistics
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, Mapping, Protocol

from torch import nn
from tqdm import tqdm

from ..atomic_file import atomic_write
from ..engines.base import EngineConfig, StageWeights, TrainJob, TrainSummary
from ..errors import ExecutorError, StoppedError, StorageError
from ..evaluation.loss_curve import LossHistory
from ..evaluation.metrics import Evaluation
from ..retinanet.checkpoint import write_checkpoint
from . import processes
from .best import Patience, score_of
from .board import Board
from .ema import WeightAverage
from .evaluation_log import log_metrics, log_stage
from .loop import StepStats
from .resume import ResumeFolder, takes_up

logger = logging.getLogger(__name__)

CONFIG_NAME = "config.yaml"
_LINES_PER_RUN = 100  # of the log; the platform keeps all of it in one file
_POINTS_PER_CURVE = 1000
_SECONDS_BETWEEN_STATES = 600.0  # that much is lost when the machine fails


Losses = Dict[str, float]


class ResumableTrainer(Protocol):
    """What takes the steps, as far as a new start is concerned."""

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as plain data and tensors."""

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """Go on after `step` steps."""


class TrainingRun:
    """A context around the steps of a run, told of each. Files are written in the process of rank 0 alone.

    Whatever ends the context early, the work so far is offered as a stage first.
    """

    def __init__(
        self,
        job: TrainJob,
        cfg: EngineConfig,
        model: nn.Module,
        evaluate: Callable[[], Evaluation],
        *,
        average: WeightAverage | None,
        fingerprint: Mapping[str, str],
        measure_losses: Callable[[], Losses] | None = None,
    ) -> None:
        """
        Args:
            model: its weights, under detectron2's names, are what a stage holds.
            evaluate: measures the model as it is now; called in all processes together.
            average: measured as well at each evaluation, and packed where it is better.
            fingerprint: see `resume.fingerprint`.
            measure_losses: gives the losses of the validation set; called in all processes together.
        """
        self._job = job
        self._cfg = cfg
        self._model = model
        self._evaluate = evaluate
        self._average = average
        self._fingerprint = fingerprint
        self._measure_losses = measure_losses
        self._training_losses, self._validation_losses = LossHistory(), LossHistory()
        self._max_iter: int = cfg["SOLVER.MAX_ITER"]
        self._eval_period: int = cfg["TEST.EVAL_PERIOD"]  # 0, as args_options may say: at the end only
        self._state_period: int = cfg["SOLVER.CHECKPOINT_PERIOD"]
        self._writes = processes.rank() == 0
        self._folder = ResumeFolder(job.resume_dir)
        self._patience = Patience(job.settings.patience)
        self._trainer: ResumableTrainer | None = None
        self._step = self._last_stage_step = self._measured_step = 0
        self._has_stage = False
        self._is_between_steps = False
        self._state_step = 0
        self._state_s = time.monotonic()
        self._seconds: list[float] = []
        self._board: Board | None = None
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> TrainingRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._save_unfinished(error)
        finally:
            if self._bar is not None:
                self._bar.close()
            if self._board is not None:
                self._board.close()

    def begin(self, trainer: ResumableTrainer) -> None:
        """Take up the unfinished training of the output folder, where there is one and it is this one.

        Raises:
            ConfigError: `--resume` was given, and it is another one.
        """
        self._trainer = trainer
        found = processes.from_first(self._unfinished() if self._writes else None)
        if found is not None:
            self._step = self._last_stage_step = self._state_step = found["step"]
            self._measured_step = found["measured_step"]
            self._has_stage = found["has_stage"]
            self._patience.load_state_dict(found["patience"])
            self._training_losses.load_state_dict(found["training_losses"])
            self._validation_losses.load_state_dict(found["validation_losses"])
            trainer.restore(found["trainer"], self._step)
            logger.info("going on after step %d of %d, as the unfinished training left it", self._step, self._max_iter)
        self._board = Board(self._job.tensorboard_dir, first_step=self._step + 1) if self._writes else None
        # a bar for a person at a terminal, lines for a log
        shown = self._writes and sys.stdout.isatty()
        self._bar = tqdm(total=self._max_iter, initial=self._step, unit="step", disable=not shown)
        if self._step > self._measured_step and self._is_time_for_a_stage():  # stopped just before or in the evaluation
            self._finish_stage()

    @property
    def is_over(self) -> bool:
        """Whether the run ends here, before its last step or at it."""
        return self._step >= self._max_iter or self._patience.is_over

    def after_step(self, stats: StepStats) -> None:
        """Note a finished step; at intervals, and after the last one, evaluate and offer a stage.

        Raises:
            StoppedError: a stop was requested.
        """
        self._is_between_steps = True
        self._step = stats.step
        self._seconds.append(stats.seconds)
        self._note_step(stats)
        if self._bar is not None:
            self._bar.update()
        # all together: who goes on alone would be cut off in the middle of the next step
        if not processes.all_agree(not self._job.stop_requested(), next(self._model.parameters()).device):
            raise StoppedError(f"stopped on request after step {stats.step} of {self._max_iter}")
        if self._is_time_for_a_stage():
            self._finish_stage()
        elif self._is_time_for_a_state():
            self._keep_state()
        self._is_between_steps = False

    def summary(self, device: str) -> TrainSummary:
        """What to say about the finished run."""
        return TrainSummary(self._step, statistics.median(self._seconds or [0.0]), device)

    def _unfinished(self) -> dict[str, Any] | None:
        """The state to go on from; what belongs to another training is removed."""
        demanded = self._job.must_resume
        state = self._folder.newest()
        if state is None and demanded:
            logger.info("--resume: the output folder holds no unfinished training, so this one begins at step 1")
        if state is None or not takes_up(state, self._fingerprint, demanded=demanded):
            self._folder.clear()
            return None
        self._job.on_resume()
        return state

    def _note_step(self, stats: StepStats) -> None:
        if not self._writes:
            return
        self._job.on_progress(stats.step / self._max_iter)
        self._training_losses.add(stats.step, stats.losses)
        every = max(1, self._max_iter // _POINTS_PER_CURVE)
        if self._board is not None and (stats.step % every == 0 or stats.step == 1):
            self._board.add_step(stats)
        if stats.step % max(1, self._max_iter // _LINES_PER_RUN) == 0 or stats.step == 1:
            recent = statistics.median(self._seconds[-100:])
            losses = "  ".join(f"{name} {value:.4f}" for name, value in stats.losses.items())
            logger.info(
                "step %d/%d  %s  lr %.6f  %.3f s/step  %.0f min left",
                stats.step, self._max_iter, losses, stats.learning_rate, recent,
                recent * (self._max_iter - stats.step) / 60,
            )  # fmt: skip

    def _finish_stage(self) -> None:
        """Measure the weights, and their mean, and offer the better of the two."""
        evaluation = self._measured("")
        score = self._score(evaluation)
        with contextlib.ExitStack() as stack:
            if self._average is not None:
                stack.enter_context(self._average.in_place())
                averaged = self._measured(" of the averaged weights")
                averaged_score = self._score(averaged)
                if averaged_score > score:
                    evaluation, score = averaged, averaged_score
                else:
                    stack.close()
            losses = self._measure_losses() if self._measure_losses is not None else {}
            if self._writes:
                self._note_evaluation(evaluation, losses)
                self._offer_stage(evaluation)
        self._patience.note(score)
        self._measured_step = self._step
        self._keep_state()
        if self._patience.is_over and self._step < self._max_iter:
            logger.info("step %d: no better evaluation in the last %d: training ends here",
                        self._step, self._job.settings.patience)  # fmt: skip

    def _score(self, evaluation: Evaluation) -> float:
        """The same in every process, although the first alone may have measured everything."""
        return float(processes.from_first(score_of(evaluation.metrics, self._job.settings.best_metric)))

    def _measured(self, whose: str) -> Evaluation:
        processes.share_buffers(self._model)  # else each process would measure weights of its own
        evaluation = self._evaluate()
        if self._writes:
            log_metrics(self._step, evaluation.metrics, whose)
        return evaluation

    def _note_evaluation(self, evaluation: Evaluation, losses: Losses) -> None:
        """Put the figures of the chosen weights into the log and the curves."""
        self._validation_losses.add(self._step, losses)
        if self._board is not None:
            self._board.add_metrics(self._step, evaluation.metrics)
            self._board.add_validation_losses(self._step, losses)
        log_stage(self._step, evaluation.metrics, losses)

    def _offer_stage(self, evaluation: Evaluation | None) -> None:
        name = f"iter_{self._step:07d}"
        weights = f"{name}.pth"
        metrics = None if evaluation is None else evaluation.metrics
        metadata: dict[str, Any] = {
            "iteration": self._step,
            "class_names": list(self._job.class_names),
            "ap50": None if metrics is None else metrics.ap50,
        }
        self._write_weights(self._job.models_dir / weights, metadata)
        _write_config(self._job.models_dir / CONFIG_NAME, self._cfg)
        score = score_of(metrics, self._job.settings.best_metric)
        offered = StageWeights(
            name, (weights, CONFIG_NAME), evaluation, score,
            self._training_losses.curves(), self._validation_losses.curves(),
        )  # fmt: skip
        pictures = self._job.on_stage(offered)
        if self._board is not None:
            self._board.add_pictures(self._step, pictures)
        self._last_stage_step = self._step
        self._has_stage = True

    def _write_weights(self, path: Path, metadata: Mapping[str, Any]) -> None:
        """A stage is worth more than the states that a new start would go on from: on a full disk they make room."""
        while True:
            try:
                write_checkpoint(path, self._model.state_dict(), metadata)
            except StorageError:
                if not self._folder.drop_oldest():
                    raise
            else:
                return

    def _is_time_for_a_stage(self) -> bool:
        return self._step == self._max_iter or bool(self._eval_period and self._step % self._eval_period == 0)

    def _is_time_for_a_state(self) -> bool:
        period = self._state_period
        return bool(period and self._step % period == 0) or time.monotonic() - self._state_s > _SECONDS_BETWEEN_STATES

    def _keep_state(self) -> None:
        if not self._writes or self._trainer is None:
            return
        content = {
            "fingerprint": dict(self._fingerprint),
            "has_stage": self._has_stage,
            "measured_step": self._measured_step,
            "patience": self._patience.state_dict(),
            "training_losses": self._training_losses.state_dict(),
            "validation_losses": self._validation_losses.state_dict(),
            "trainer": self._trainer.state(),
        }
        self._folder.write(self._step, content)
        self._state_step = self._step
        self._state_s = time.monotonic()

    def _save_unfinished(self, error: BaseException) -> None:
        """Keep the steps since the last stage. After anything but a stop they may have gone astray: a last resort."""
        stopped = isinstance(error, StoppedError) or self._job.stop_requested()
        worth_it = self._step > self._last_stage_step and (stopped or not self._has_stage)
        if not (self._writes and worth_it) or isinstance(error, StorageError):
            return
        logger.warning("saving the weights of step %d, which are not evaluated: their mAP counts as 0", self._step)
        try:
            self._offer_stage(None)
            # in the middle of a step part of the state belongs to the next one
            if stopped and self._is_between_steps and self._step > self._state_step:
                self._keep_state()
        except ExecutorError as second:  # the first error is the one to report
            logger.error("the weights of step %d could not be saved: %s", self._step, second)


def _write_config(path: Path, cfg: EngineConfig) -> None:
    with atomic_write(path) as file:
        file.write(cfg.to_yaml())
