"""NaN recovery: after a NaN or infinite loss or gradient, return to a snapshot and halve the learning rate."""

from __future__ import annotations

import logging
from typing import Any, Mapping

from .. import distributed
from ..errors import NonFiniteLossError
from .training_state import TrainingState

logger = logging.getLogger(__name__)

MAX_RECOVERIES = 3
_STEPS_BETWEEN_SNAPSHOTS = 500  # copying an R50 takes about 0.1 s, five hundred of its steps half a minute
_MAX_SNAPSHOTS = 2


class NanRecovery:
    """Up to two snapshots of the training state in main memory.

    The newer one may already have been diverging; a second failure before the next snapshot returns to the older one.
    """

    def __init__(self, state: TrainingState, eval_period: int) -> None:
        """
        Args:
            eval_period: steps between two evaluations, 0 for none; snapshots are at least as frequent.
        """
        self._state = state
        self._period = max(1, min(_STEPS_BETWEEN_SNAPSHOTS, eval_period or _STEPS_BETWEEN_SNAPSHOTS))
        self._snapshots: list[tuple[int, dict[str, Any]]] = []
        self.num_recoveries = 0

    @property
    def lr_scale(self) -> float:
        """Factor on the scheduled learning rate: halved by each recovery, for the rest of the run."""
        return float(0.5**self.num_recoveries)

    def snapshot(self, step: int) -> None:
        """Copy the state after `step` finished steps, if a snapshot is due or none exists."""
        if not self._snapshots or step % self._period == 0:
            self._snapshots = [*self._snapshots[-(_MAX_SNAPSHOTS - 1) :], (step, self._state.capture())]

    def recover(self, step: int, problem: str) -> None:
        """Restore the last good state, in all processes together.

        Args:
            problem: what is not finite in this process; '' if it was another process.

        Raises:
            NonFiniteLossError: three recoveries did not help; the last good state is restored all the same.
        """
        problem = next(filter(None, distributed.all_gather_object(problem)))
        # the oldest snapshot is kept: there must always be one to return to
        good_step, snapshot = self._snapshots.pop() if len(self._snapshots) > 1 else self._snapshots[0]
        self._state.restore(snapshot)
        if self.num_recoveries == MAX_RECOVERIES:
            raise NonFiniteLossError(
                f"step {step}: {problem}, for the fourth time; the weights of step {good_step} were the last good ones;"
                " lower learning_rate or raise SOLVER.WARMUP_ITERS and start again"
            )
        self.num_recoveries += 1
        if distributed.rank() == 0:
            logger.warning(
                "step %d: %s; NaN recovery %d of %d: back to the weights of step %d, with half the learning rate",
                step, problem, self.num_recoveries, MAX_RECOVERIES, good_step,
            )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        return {"used": self.num_recoveries}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if not 0 <= state["used"] <= MAX_RECOVERIES:
            raise ValueError("the number of NaN recoveries is out of range")
        self.num_recoveries = state["used"]
        self._snapshots.clear()  # they are older than the state that has just been loaded
