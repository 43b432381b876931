"""One case: a task, a number of processes and one or two faults, all of them decided by a seed."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Iterable

from . import disk_faults, power_cut, process_faults, surroundings
from .disk_shim import DiskShim
from .faults import Fault, Scene, Unavailable
from .invariants import check_end, check_outcome, check_results
from .running import Start
from .tasks import PROCESSES, TASKS, prepare

FAULTS: dict[str, type[Fault]] = {
    "kill-all": process_faults.KillAll,
    "kill-one": process_faults.KillOne,
    "kill-parent": process_faults.KillParent,
    "kill-at-write": process_faults.KillAtWrite,
    "terminate": process_faults.Terminate,
    "interrupt": process_faults.Interrupt,
    "stop-twice": process_faults.StopTwice,
    "interrupt-twice": process_faults.InterruptTwice,
    "stop-all": process_faults.StopAll,
    "pause": process_faults.Pause,
    "log-reader-dies": process_faults.LogReaderDies,
    "disk-full": disk_faults.DiskFull,
    "quota-exceeded": disk_faults.QuotaExceeded,
    "disk-broken": disk_faults.DiskBroken,
    "read-only": disk_faults.ReadOnly,
    "slow-disk": disk_faults.SlowDisk,
    "short-writes": disk_faults.ShortWrites,
    "temporary-files-full": disk_faults.TemporaryFilesFull,
    "power-cut": power_cut.PowerCut,
    "damaged-newest": power_cut.DamageNewest,
    "address-space": surroundings.AddressSpace,
    "memory-limit": surroundings.MemoryLimit,
    "two-starts": surroundings.TwoStarts,
    "clock": surroundings.Clock,
    "images-vanish": surroundings.ImagesVanish,
}
_ROUND = (*FAULTS, *["power-cut"] * 3, *["disk-full"] * 2, "disk-broken", "kill-at-write")
"""The faults that follow each other, those at chosen operations more often: there are many operations."""
_STARTS_AFTERWARDS = 3
_SECOND_FAULT_SHARE = 0.2
_SLACK_S = 120.0
"""Beyond four times what the task takes: the machine may be busy with other things."""


class Case:
    """What a seed means. Neighbouring seeds take faults and tasks in turn."""

    def __init__(self, seed: int) -> None:
        past_rounds, place = divmod(seed, len(_ROUND))
        rng = random.Random(f"case {seed}")
        # an image that was in work when memory ran out twice is left out: no second limit of memory
        others = [name for name in FAULTS if name != "memory-limit"]
        second = [rng.choice(others)] if rng.random() < _SECOND_FAULT_SHARE else []
        self.seed = seed
        self.faults = (_ROUND[place], *second)
        self.turn = past_rounds * _ROUND.count(_ROUND[place]) + _ROUND[:place].count(_ROUND[place])
        """How many smaller seeds have the same first fault."""
        self.task = TASKS[(past_rounds + place) % len(TASKS)]  # each round begins with another one
        self.processes = rng.choices(PROCESSES, (4, 1))[0]
        self.story: list[str] = []
        """What has happened, a line per start."""
        self.violations: list[str] = []
        self.skipped = ""
        """Why the case could not be tried; "" if it was."""

    def __str__(self) -> str:
        return f"seed {self.seed}: {' then '.join(self.faults)}, {self.task} with {self.processes} process(es)"

    def run(self, work: Path, shim: DiskShim | None) -> None:
        """Try it in a folder below `work`, which is kept if something was violated."""
        root = work / f"seed-{self.seed}"
        shutil.rmtree(root, ignore_errors=True)
        reference = prepare(work, self.task, self.processes, shim)
        reference.copy_to(root)
        scene = Scene(root, reference, shim)
        rng = random.Random(f"faults {self.seed}")
        try:
            self._run(scene, [FAULTS[name](rng, scene, self.turn) for name in self.faults])
        except Unavailable as reason:
            self.skipped = str(reason)
        if not self.violations:
            shutil.rmtree(root)

    def _run(self, scene: Scene, faults: list[Fault]) -> None:
        """Start with each fault, then without until a start succeeds."""
        is_complete, are_excused = False, any(fault.excuses_extras for fault in faults)

        def outcome() -> Iterable[str]:
            return check_outcome(scene.out_dir, scene.reference, excuses_extras=are_excused)

        for number, fault in enumerate(faults):
            is_complete = self._start(scene, f"fault {number}", fault) and not fault.excuses_results
            if is_complete:
                self._note(f"success in spite of fault {number}", outcome())
            elif not fault.excuses_results:
                self._note(f"after fault {number}", check_results(scene.out_dir, scene.reference))
        for number in range(_STARTS_AFTERWARDS):
            if is_complete:
                return
            is_complete = self._start(scene, f"start {number} afterwards", Fault(random.Random(0), scene, 0))
            if is_complete:
                self._note("in the end", outcome())
            else:
                self.violations.append(f"start {number} afterwards fails, see above")

    def _start(self, scene: Scene, name: str, fault: Fault) -> bool:
        """Start once; return whether it succeeded."""
        start = Start(scene.root, name.replace(" ", "-"), fault.options())
        try:
            fault.strike(start)
            timeout_s = 4 * scene.reference.wall_s + _SLACK_S + fault.extra_s
            if start.wait(timeout_s):
                self._note(name, check_end(start, fault))
            else:
                self.violations.append(f"{name}: no end after {timeout_s:.0f} s")
        finally:
            start.kill()
            fault.repair()
        happened = [*fault.story, f"status {start.process.returncode} after {start.seconds:.1f} s", start.ending[:300]]
        self.story.append(f"{name}: {'; '.join(happened)}")
        self._note(name, fault.violations)
        return start.process.returncode == 0

    def _note(self, when: str, violations: Iterable[str]) -> None:
        self.violations += [f"{when}: {violation}" for violation in violations]
