"""How much of a training is done, and how long the rest of it takes: steps, evaluations, and what comes after them."""

from __future__ import annotations

import statistics
import time
from typing import Callable, NamedTuple

from ..config.engine_config import EngineConfig
from .final_pass import TIME_SHARE, inference_cost
from .training_plan import TrainingPlan
from .validation_loss import MAX_IMAGES

_RECENT_STEPS = 100
"""Of which the mean is the time of a step: their images differ in size, and every so often one waits for the disk."""
_IMAGES_SHARE = 0.8
"""Of the time of an evaluation; the rest goes into metrics, plots and files."""
_ENOUGH_IMAGES = 0.02
"""Share of the images of an evaluation from which on its pace is that of the rest."""
_PAGE_S, _EXPORT_S = 3.0, 20.0
"""What the page of the results and an export take, roughly: they do not depend on the length of the training."""
_MOST_BEFORE_THE_END = 0.999


class TrainingCosts(NamedTuple):
    """What a training does besides its steps."""

    evaluation_images: int
    """Images that this process passes through the network at an evaluation, each time that it does."""
    steps_per_evaluation: float
    """What an evaluation costs, in steps, as long as none has been timed."""
    end_s: float = 0.0
    """What comes after the training and does not depend on its length: export, page of the results."""
    end_steps: float = 0.0
    """What comes after the training besides, in steps."""


def training_costs(
    cfg: EngineConfig, *, num_val_images: int, world_size: int, has_ema: bool, has_losses: bool, has_export: bool,
    views_per_image: float = 1.0, end_steps: float = 0.0,
) -> TrainingCosts:  # fmt: skip
    """Return the costs of a resolved configuration, those of an evaluation estimated from those of a step.

    Args:
        num_val_images: of the whole validation set.
        has_ema: whether the EMA of the weights is evaluated too.
        has_losses: whether the losses of some images are measured.
        has_export: whether the best stage is exported at the end.
        views_per_image: of the validation set: an image and its tiles.
        end_steps: see `TrainingCosts`.
    """
    images_with_losses = min(num_val_images, MAX_IMAGES) * has_losses
    passes = num_val_images * views_per_image * (1 + has_ema) + images_with_losses
    augmented = 1
    if cfg["TEST.AUG.ENABLED"]:
        augmented = max(1, len(cfg["TEST.AUG.MIN_SIZES"])) * (1 + bool(cfg["TEST.AUG.FLIP"]))
    # all processes share the images of a step as they share those of an evaluation: their number cancels out
    steps = inference_cost(cfg) * augmented * passes / cfg["SOLVER.IMS_PER_BATCH"]
    images = num_val_images * (1 + has_ema) + images_with_losses
    return TrainingCosts(-(-images // world_size), steps, _PAGE_S + _EXPORT_S * has_export, end_steps)


class TimeLeft:
    """Estimates the rest of a training from the time of its recent steps and of its latest evaluation."""

    def __init__(
        self, plan: TrainingPlan, costs: TrainingCosts, clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        """
        Args:
            plan: may be moved in between.
            clock: returns seconds.
        """
        self.plan = plan
        self.costs = costs
        self._clock = clock
        self._step = self._evaluated_step = self._evaluations = 0  # finished ones
        self._first_step_s: float | None = None
        self._recent_s: list[float] = []
        self._measured_s: float | None = None  # the latest evaluation
        self._evaluation_start_s: float | None = None
        self._images_evaluated = 0
        self._highest = 0.0

    def begin(self, step: int, evaluated_step: int) -> None:
        """Go on after so many finished steps of an earlier process, of which this one was evaluated last."""
        self._step, self._evaluated_step = step, evaluated_step
        self._evaluations = self.plan.evaluations_between(0, evaluated_step)

    def add_step(self, step: int, seconds: float) -> None:
        """Count a finished step."""
        self._step = step
        if self._first_step_s is None:
            self._first_step_s = seconds  # it prepares what the others only use, and says little about them
        else:
            self._recent_s = [*self._recent_s[1 - _RECENT_STEPS :], seconds]

    def begin_evaluation(self) -> None:
        """Begin an evaluation; one that was not ended is forgotten."""
        self._evaluation_start_s = self._clock()
        self._images_evaluated = 0

    def add_evaluated_image(self) -> None:
        self._images_evaluated += 1

    def end_evaluation(self) -> None:
        """Count an evaluation with all that belongs to it; those that follow are expected to take as long."""
        self._measured_s = self._elapsed_s()
        self._evaluation_start_s = None
        self._images_evaluated = 0
        self._evaluations += 1
        self._evaluated_step = self._step

    @property
    def is_evaluation_measured(self) -> bool:
        return self._measured_s is not None

    @property
    def evaluated_share(self) -> float:
        """The share of the images of the running evaluation that are done, in [0, 1]."""
        return min(1.0, self._images_evaluated / max(1, self.costs.evaluation_images))

    @property
    def seconds_per_step(self) -> float | None:
        """The mean of the recent steps; None before the first one."""
        return statistics.fmean(self._recent_s) if self._recent_s else self._first_step_s

    @property
    def seconds_per_evaluation(self) -> float | None:
        """As the latest one took; before it ends, an estimate; None before the first step."""
        if self._measured_s is not None:
            return self._measured_s
        step_s = self.seconds_per_step
        return self._running_evaluation_s(None if step_s is None else step_s * self.costs.steps_per_evaluation)

    @property
    def steps_timed(self) -> int:
        """The number of the recent steps, without the first one."""
        return len(self._recent_s)

    def closing_s(self, end_step: int) -> float:
        """Return what comes after a training of so many steps."""
        # of fewer steps than planned, the pass at the end takes fewer images
        steps = min(self.costs.end_steps, TIME_SHARE * end_step)
        return self.costs.end_s + steps * (self.seconds_per_step or 0.0)

    @property
    def left_s(self) -> float | None:
        """Seconds until the task has ended; None before the first step."""
        step_s, evaluation_s = self.seconds_per_step, self.seconds_per_evaluation
        if step_s is None or evaluation_s is None:
            return None
        evaluations = self.plan.evaluations_between(self._evaluated_step, self.plan.end_step)
        running_s = 0.0
        if self._evaluation_start_s is not None:
            evaluations -= 1
            running_s = max(0.0, (self._running_evaluation_s(evaluation_s) or 0.0) - self._elapsed_s())
        steps_s = (self.plan.end_step - self._step) * step_s
        return steps_s + max(0, evaluations) * evaluation_s + running_s + self.closing_s(self.plan.end_step)

    @property
    def done(self) -> float:
        """The share of the time of the whole training that is over, in [0, 1); it never falls."""
        step_s, evaluation_s, left_s = self.seconds_per_step, self.seconds_per_evaluation, self.left_s
        if step_s is not None and evaluation_s is not None and left_s is not None:
            done_s = self._step * step_s + self._evaluations * evaluation_s + self._elapsed_s()
            self._highest = max(self._highest, min(done_s / (done_s + left_s or 1.0), _MOST_BEFORE_THE_END))
        return self._highest

    def _elapsed_s(self) -> float:
        """Seconds since the running evaluation began; 0 while none runs."""
        return 0.0 if self._evaluation_start_s is None else self._clock() - self._evaluation_start_s

    def _running_evaluation_s(self, usual_s: float | None) -> float | None:
        """Return how long the running evaluation takes as a whole, judged by its images as soon as there are some."""
        if self.evaluated_share < _ENOUGH_IMAGES:
            return usual_s
        return self._elapsed_s() / (_IMAGES_SHARE * self.evaluated_share)
