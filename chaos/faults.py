"""What a fault is: something that happens before, during or after one start of a task."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence

from .disk_shim import DiskShim, Watch
from .running import Start, StartOptions
from .tasks import Reference

_GOLDEN_RATIO = 0.618034
_SHARE_OF_TIMES = 0.25
"""Of the moments; the others are numbers of operations."""


@dataclass(frozen=True)
class Scene:
    """Where a case takes place."""

    root: Path
    """The task folder."""
    reference: Reference
    shim: DiskShim | None
    """None where there is no compiler."""

    @property
    def out_dir(self) -> Path:
        return self.root / "out"


class Unavailable(Exception):  # noqa: N818 - no error: this machine has not what the fault needs
    """The fault cannot be tried here; the message says why."""


class Fault:
    """One fault, chosen by random numbers; the base class does nothing.

    What is excused is declared: everything else must hold after each fault.
    """

    excuses_death = False
    """start.py itself may be killed: it has no last line then."""
    excuses_log = False
    """The log is not complete."""
    excuses_monitor = False
    """monitor.txt could not be written."""
    excuses_results = False
    """What the start leaves, if it succeeds, need not be complete: the next start completes it."""
    excuses_extras = False
    """Files from which only pages for people are made may be missing, or those of an earlier stage."""
    extra_s = 0.0
    """How much longer than without the fault the start may take."""

    def __init__(self, rng: random.Random, scene: Scene, turn: int) -> None:
        """
        Args:
            turn: how often this kind was tried before: those with a number of operations take them in turn.
        """
        self.rng = rng
        self.scene = scene
        self.turn = turn
        self.story: list[str] = []
        """What has happened, for people."""
        self.violations: list[str] = []
        """What only the fault itself could see."""
        self._watch: Watch | None = None

    def options(self) -> StartOptions:
        """Prepare the start; here its operations on /out are counted, by which moments are told."""
        if self.scene.shim is not None:
            self._watch = self.scene.shim.watch(self.scene.out_dir, self.scene.root / "disk")
        return StartOptions() if self._watch is None else self._watch.options

    def strike(self, start: Start) -> None:
        """Do it, while the start runs."""

    def repair(self) -> None:
        """Be done with it: the next start is without it."""

    def choose_moment(self) -> Callable[[Start], bool]:
        """Return a function that tells whether a moment has come: a time, or a number of operations on /out.

        Most of the time goes into imports, and how much depends on what else the machine does.
        """
        watch = self._watch
        if watch is None or self.rng.random() < _SHARE_OF_TIMES:
            moment_s = self.rng.uniform(0, self.scene.reference.wall_s)
            self.story.append(f"after {moment_s:.2f} s")
            return lambda start: start.seconds >= moment_s
        number = self.rng.randrange(sum(self.scene.reference.operations.values()))
        self.story.append(f"after {number} operations")
        return lambda start: sum(watch.operations().values()) >= number

    def wait_for_moment(self, start: Start) -> bool:
        """Wait for a moment; return False if the start ended before it came."""
        has_come = self.choose_moment()
        is_struck = start.wait_until(lambda: has_come(start))
        if not is_struck:
            self.story.append("which did not come")
        return is_struck

    def nth_operation(self, kinds: Sequence[str]) -> int:
        """Return the number of an operation of the run without faults, each in turn."""
        total = sum(self.scene.reference.operations[kind] for kind in kinds)
        # by the golden ratio, so that a few tries already reach all parts of the run, and more the gaps between them
        number = int(self.turn * _GOLDEN_RATIO % 1 * total)
        self.story.append(f"at operation {number} of {total} ({''.join(kinds)})")
        return number

    def shim(self) -> DiskShim:
        if self.scene.shim is None:
            raise Unavailable("there is no C compiler for disk_shim.c")
        return self.scene.shim
