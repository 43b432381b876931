"""Graceful shutdown: a signal sets a flag and interrupts nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.running import PROJECT_DIR
from ymir_detectron2.stop_signal import StopSignal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_flag_and_its_name(number: signal.Signals):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop = StopSignal().install()
    try:
        assert not stop.requested()
        assert stop.name == ""
        os.kill(os.getpid(), number)
        assert stop.requested()
        assert stop.name == number.name
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_that_are_held_back_arrive_in_the_program_that_handles_them(number: signal.Signals):
    """As from start.sh to start.py, and from the image's own code to that of a mounted checkout."""
    importing = "import os, sys; from ymir_detectron2.stop_signal import StopSignal; "
    second = importing + "print(StopSignal().install().name)"
    first = importing + (
        f"StopSignal.hold_back(); os.kill(os.getpid(), {int(number)});"
        f" os.execv(sys.executable, [sys.executable, '-c', {second!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", first], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{number.name}\n")
