"""Graceful shutdown: a signal sets a flag and interrupts nothing."""

from __future__ import annotations

import os
import signal

import pytest

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
