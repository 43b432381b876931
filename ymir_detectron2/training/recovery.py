"""What is done about a loss or a gradient that is no number: back to the last good weights, at half the rate."""

from __future__ import annotations

import logging
from typing import Any, Mapping

from ..errors import NonFiniteLossError
from . import processes
from .state import TrainingState

logger = logging.getLogger(__name__)

ATTEMPTS = 3
_STEPS_BETWEEN_COPIES = 500  # a copy of an R50 takes about 0.1 s, five hundred of its steps half a minute
_COPIES = 2


class Recovery:
    """Keeps up to two copies of the state in main memory, and returns to them.

    The newer copy may already have been on its way to infinity; a second failure goes back to the older one.
    """

    def __init__(self, state: TrainingState, eval_period: int) -> None:
        self._state = state
        self._every = max(1, min(_STEPS_BETWEEN_COPIES, eval_period or _STEPS_BETWEEN_COPIES))
        self._copies: list[tuple[int, dict[str, Any]]] = []
        self.used = 0
        """How often the run went back."""

    @property
    def rate_scale(self) -> float:
        """What the learning rate of the schedule is multiplied with."""
        return float(0.5**self.used)

    def note_good(self, step: int) -> None:
        """Offer the state after a finished step; a copy is made now and then."""
        if not self._copies or step % self._every == 0:
            self._copies = [*self._copies[-(_COPIES - 1) :], (step, self._state.capture())]

    def recover(self, step: int, finding: str) -> None:
        """Put the last good state back, in all processes together.

        Args:
            finding: what is wrong in this process; '' where it was another one.

        Raises:
            NonFiniteLossError: that has not helped three times; the last good state is in place all the same.
        """
        finding = next(filter(None, processes.gather(finding)))
        good_step, copy = self._copies.pop() if len(self._copies) > 1 else self._copies[0]
        self._state.restore(copy)
        if self.used == ATTEMPTS:
            raise NonFiniteLossError(
                f"step {step}: {finding}, for the fourth time; the weights of step {good_step} were the last good ones;"
                " lower learning_rate or raise SOLVER.WARMUP_ITERS and start again"
            )
        self.used += 1
        if processes.rank() == 0:
            logger.warning(
                "step %d: %s; going on from the weights of step %d with half the learning rate (%d of %d times)",
                step, finding, good_step, self.used, ATTEMPTS,
            )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        return {"used": self.used}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.used = state["used"]
        self._copies.clear()


def is_finite(value: float) -> bool:
    """Neither NaN nor infinite."""
    return -float("inf") < value < float("inf")
