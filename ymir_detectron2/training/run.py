"""What goes with the steps of a training, whichever engine takes them: progress, curves, evaluations, stages."""

from __future__ import annotations

import logging
import statistics
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Mapping

from torch import Tensor
from tqdm import tqdm

from ..atomic_file import atomic_write
from ..engines.base import EngineConfig, StageWeights, TrainJob, TrainSummary
from ..errors import ExecutorError, StoppedError, StorageError
from ..evaluation.metrics import Metrics
from ..retinanet.checkpoint import write_checkpoint
from . import processes
from .board import Board
from .loop import StepStats

logger = logging.getLogger(__name__)

CONFIG_NAME = "config.yaml"
_LINES_PER_RUN = 100  # of the log; the platform keeps all of it in one file
_POINTS_PER_CURVE = 1000


class TrainingRun:
    """A context around the steps of a run, told of each. Files are written in the process of rank 0 alone.

    Whatever ends the context early, the work so far is offered as a stage first.
    """

    def __init__(
        self,
        job: TrainJob,
        cfg: EngineConfig,
        state_dict: Callable[[], Mapping[str, Tensor]],
        evaluate: Callable[[], Metrics],
    ) -> None:
        """
        Args:
            state_dict: the weights as they are now, under detectron2's names.
            evaluate: measures the model as it is now; called in all processes together.
        """
        self._job = job
        self._cfg = cfg
        self._state_dict = state_dict
        self._evaluate = evaluate
        self._max_iter: int = cfg["SOLVER.MAX_ITER"]
        self._eval_period: int = cfg["TEST.EVAL_PERIOD"]  # 0, as args_options may say: at the end only
        self._writes = processes.rank() == 0
        self._step = 0
        self._last_stage_step = 0
        self._has_stage = False
        self._seconds: list[float] = []
        self._board: Board | None = None

    def __enter__(self) -> TrainingRun:
        self._board = Board(self._job.tensorboard_dir) if self._writes else None
        # a bar for a person at a terminal, lines for a log
        self._bar = tqdm(total=self._max_iter, unit="step", disable=not (self._writes and sys.stdout.isatty()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._save_unfinished(error)
        finally:
            self._bar.close()
            if self._board is not None:
                self._board.close()

    def after_step(self, stats: StepStats) -> None:
        """Note a finished step; at intervals, and after the last one, evaluate and offer a stage.

        Raises:
            StoppedError: a stop was requested.
        """
        self._step = stats.step
        self._seconds.append(stats.seconds)
        self._note_step(stats)
        self._bar.update()
        if self._job.stop_requested():
            raise StoppedError(f"stopped on request after step {stats.step} of {self._max_iter}")
        if stats.step == self._max_iter or (self._eval_period and stats.step % self._eval_period == 0):
            self._finish_stage()

    def summary(self, device: str) -> TrainSummary:
        """What to say about the finished run."""
        return TrainSummary(self._max_iter, statistics.median(self._seconds), device)

    def _note_step(self, stats: StepStats) -> None:
        if not self._writes:
            return
        self._job.on_progress(stats.step / self._max_iter)
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
        metrics = self._evaluate()
        if not self._writes:
            return
        by_class = "  ".join(f"{name} {value:.3f}" for name, value in metrics.ap50_by_class.items())
        logger.info(
            "step %d: AP50 %.4f  AP %.4f  AP75 %.4f  AR %.4f  AP50 by class: %s",
            self._step, metrics.ap50, metrics.ap, metrics.ap75, metrics.ar100, by_class or "no labelled object",
        )  # fmt: skip
        if self._board is not None:
            self._board.add_metrics(self._step, metrics)
        self._offer_stage(metrics)

    def _offer_stage(self, metrics: Metrics | None) -> None:
        name = f"iter_{self._step:07d}"
        weights = f"{name}.pth"
        metadata: dict[str, Any] = {
            "iteration": self._step,
            "class_names": list(self._job.class_names),
            "ap50": None if metrics is None else metrics.ap50,
        }
        write_checkpoint(self._job.models_dir / weights, self._state_dict(), metadata)
        _write_config(self._job.models_dir / CONFIG_NAME, self._cfg)
        self._job.on_stage(StageWeights(name, (weights, CONFIG_NAME), metrics))
        self._last_stage_step = self._step
        self._has_stage = True

    def _save_unfinished(self, error: BaseException) -> None:
        """Keep the steps since the last stage. After anything but a stop they may have gone astray: a last resort."""
        stopped = isinstance(error, StoppedError) or self._job.stop_requested()
        worth_it = self._step > self._last_stage_step and (stopped or not self._has_stage)
        if not (self._writes and worth_it) or isinstance(error, StorageError):
            return
        logger.warning("saving the weights of step %d, which are not evaluated: their mAP counts as 0", self._step)
        try:
            self._offer_stage(None)
        except ExecutorError as second:  # the first error is the one to report
            logger.error("the weights of step %d could not be saved: %s", self._step, second)


def _write_config(path: Path, cfg: EngineConfig) -> None:
    with atomic_write(path) as file:
        file.write(cfg.to_yaml())
