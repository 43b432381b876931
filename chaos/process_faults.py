"""Signals to the processes of a task, and the end of whoever reads its log."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

from .faults import Fault, Scene
from .running import POLL_S, Start, StartOptions, command_of, send


class KillParent(Fault):
    """SIGKILL to start.py alone."""

    excuses_death = True

    def strike(self, start: Start) -> None:
        if self.wait_for_moment(start):
            send(start.process.pid, signal.SIGKILL)


class KillAll(Fault):
    """SIGKILL to all processes at once, as when a container is killed."""

    excuses_death = True

    def strike(self, start: Start) -> None:
        if self.wait_for_moment(start):
            start.kill()


class KillOne(Fault):
    """SIGKILL to one process that start.py has started: a step, torch's launcher, a rank, a reader of images."""

    def strike(self, start: Start) -> None:
        if not self.wait_for_moment(start):
            return
        generations = start.generations()[1:]
        if generations:
            pid = self.rng.choice(self.rng.choice(generations))
            self.story.append(f"to {command_of(pid)[:120]}")
            send(pid, signal.SIGKILL)


class KillAtWrite(Fault):
    """SIGKILL to a process in front of an operation below /out."""

    excuses_death = True
    _KINDS = "owsru"

    def options(self) -> StartOptions:
        number = self.nth_operation(self._KINDS)
        watch = self.shim().watch(
            self.scene.out_dir, self.scene.root / "disk", action="kill", kinds=self._KINDS, first=number, last=number
        )
        return watch.options


class Stop(Fault):
    """SIGTERM or SIGINT to start.py."""

    number = signal.SIGTERM
    times = 1
    to_group = False

    def __init__(self, rng: random.Random, scene: Scene, turn: int) -> None:
        super().__init__(rng, scene, turn)
        # one that comes when result.tsv is there ends in success, without the reasons of the ranking
        self.excuses_extras = "mining" in scene.reference.task

    def strike(self, start: Start) -> None:
        if not self.wait_for_moment(start):
            return
        for _ in range(self.times):
            self._send(start)
            time.sleep(self.rng.uniform(0.0, 1.0))

    def _send(self, start: Start) -> None:
        # as a terminal does, and some init programs
        for pid in start.family() if self.to_group else [start.process.pid]:
            if start.process.poll() is None:
                send(pid, self.number)


class Terminate(Stop):
    """SIGTERM to start.py."""


class Interrupt(Stop):
    """SIGINT to start.py."""

    number = signal.SIGINT


class StopTwice(Stop):
    """SIGTERM to start.py, and once more within a second."""

    times = 2


class InterruptTwice(Stop):
    """SIGINT to start.py, and once more within a second, as an impatient person does."""

    number = signal.SIGINT
    times = 2


class StopAll(Stop):
    """SIGTERM to all processes of the task."""

    to_group = True


class Pause(Fault):
    """SIGSTOP to one process or all of them for a few seconds, then SIGCONT."""

    extra_s = 5.0

    def strike(self, start: Start) -> None:
        if not self.wait_for_moment(start):
            return
        family = start.family()
        chosen = family if self.rng.random() < 0.3 else family[-1:]
        for pid in chosen:
            send(pid, signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.5, self.extra_s - 1))
        for pid in chosen:
            send(pid, signal.SIGCONT)


class LogReaderDies(Fault):
    """The pipe of the log is closed at its other end."""

    excuses_log = True

    def options(self) -> StartOptions:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        return StartOptions(environment=super().options().environment, log=self._write_fd)

    def strike(self, start: Start) -> None:
        os.close(self._write_fd)
        has_come = self.choose_moment()
        with start.log.open("ab", buffering=0) as log:
            # read until then: a full pipe would hold the task
            while start.process.poll() is None and not has_come(start):
                with contextlib.suppress(BlockingIOError):
                    log.write(os.read(self._read_fd, 1 << 16))
                time.sleep(POLL_S)
        os.close(self._read_fd)
