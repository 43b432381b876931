"""Memory, clocks, images and other starts: what surrounds a task."""

from __future__ import annotations

import os
import resource
import secrets
import time
from pathlib import Path

from .faults import Fault, Unavailable
from .running import Start, StartOptions

_MIB = 1 << 20


class AddressSpace(Fault):
    """A limit of address space (RLIMIT_AS) for start.py and all that it starts."""

    excuses_death = True  # Python itself may not be able to begin
    excuses_extras = True

    def options(self) -> StartOptions:
        limit_mib = self.rng.choice((300, 600, 1000, 1500, 2500, 4000, 6000))
        self.story.append(f"{limit_mib} MiB")
        limit = limit_mib * _MIB
        return StartOptions(in_child=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))


class MemoryLimit(Fault):
    """A limit of memory for all processes together, as of a container, where this process may set one (cgroup)."""

    excuses_extras = True

    def options(self) -> StartOptions:
        limit_mib = self.rng.randrange(100, 900) * self.scene.reference.processes
        self.story.append(f"{limit_mib} MiB")
        try:
            self._group = _make_group(limit_mib * _MIB)
        except OSError as error:
            raise Unavailable(f"no cgroup for memory can be made ({error})") from error
        members = self._group / "cgroup.procs"

        def join() -> None:
            members.write_text(str(os.getpid()))

        return StartOptions(in_child=join)

    def repair(self) -> None:
        for _ in range(500):
            try:
                self._group.rmdir()
                return
            except OSError:  # the kernel has not let go of the last process yet
                time.sleep(0.01)


def _make_group(limit_bytes: int) -> Path:
    """Make a group with a limit; version 1 has a hierarchy per controller."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root, f"chaos-{secrets.token_hex(4)}")
        if Path(root, "cgroup.procs").exists():
            group.mkdir()
            if (group / limit).exists():
                (group / limit).write_text(str(limit_bytes))
                return group
            group.rmdir()
    raise FileNotFoundError("no memory controller")


class TwoStarts(Fault):
    """A second start on the same /out while the first one works."""

    def strike(self, start: Start) -> None:
        lock, has_come = self.scene.out_dir / ".lock-0", self.choose_moment()
        if not start.wait_until(lambda: has_come(start) and lock.exists()):  # before that, it may be refused itself
            return
        second = Start(self.scene.root, "second")
        second.wait(self.scene.reference.wall_s * 4 + 60)
        ending = second.ending
        if start.process.poll() is None and "another start is working on this output folder" not in ending:
            self.violations.append(f"the second start was not refused: {ending[:300]!r}")


class Clock(Fault):
    """The start is killed, and the files in /out are then of yesterday or of tomorrow."""

    excuses_death = True

    def strike(self, start: Start) -> None:
        if self.wait_for_moment(start):
            start.kill()

    def repair(self) -> None:
        for path in self.scene.out_dir.rglob("*"):
            moment_s = time.time() + self.rng.choice((-1, 1)) * 86_400
            os.utime(path, (moment_s, moment_s))


class ImagesVanish(Fault):
    """The folder of the images, or all of /in, is not there for a while."""

    excuses_results = True  # images that cannot be read are left out, with a warning
    excuses_monitor = True  # without env.yaml it is not known where that is

    def options(self) -> StartOptions:
        self._name = self.rng.choice(("in", "in/assets"))
        self.is_away_from_start = self.rng.random() < 0.3
        if self.is_away_from_start:
            self._name = "in/assets"
            self._move(away=True)
        return super().options()

    def strike(self, start: Start) -> None:
        self.story.append(self._name)
        if not self.is_away_from_start and self.wait_for_moment(start):
            self._move(away=True)
        time.sleep(self.rng.uniform(0.1, 5.0))
        self.repair()

    def repair(self) -> None:
        if (self.scene.root / f"{self._name}-away").exists():
            self._move(away=False)

    def _move(self, *, away: bool) -> None:
        here, there = self.scene.root / self._name, self.scene.root / f"{self._name}-away"
        (here if away else there).rename(there if away else here)
