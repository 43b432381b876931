"""Ctrl-C at a terminal: what the person sees, and the signals that reach the child. SIGTERM is in test_launch.py."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.running import PROJECT_DIR
from tests.terminal import Terminal
from ymir_detectron2.stopping import interrupts_blocked

PARENT = """
import logging, signal, subprocess, sys
from ymir_detectron2.stop_signal import StopSignal
from ymir_detectron2.stopping import interrupts_blocked, wait_for_child
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
stop = StopSignal().install()
with interrupts_blocked():
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True)
status = wait_for_child(
    child, stop, patient_signal=signal.SIGINT, grace_s=0.01, report_overdue=lambda: print("overdue")
)
print("status", status)
"""
CHILD = """
import sys, time
from ymir_detectron2.stop_signal import StopSignal
stop = StopSignal().install()
print("42 %, step 3/9 |###  |", end="", flush=True)
while not stop.requested(): time.sleep(0.02)
time.sleep({seconds})
print("saved after", stop.name)
"""
TOLD = "WARNING Ctrl-C: the step that is running may finish, and its work is saved, however long that takes;" \
       " a second Ctrl-C ends the task at once"  # fmt: skip


def start(seconds: float) -> Terminal:
    command = [sys.executable, "-c", PARENT, CHILD.format(seconds=seconds)]
    terminal = Terminal(command, {"PYTHONPATH": str(PROJECT_DIR)})
    wait_for_text(terminal, "42 %")
    return terminal


def wait_for_text(terminal: Terminal, text: str) -> None:
    deadline_s = time.monotonic() + 60
    while text not in terminal.received:
        assert time.monotonic() < deadline_s, terminal.received
        time.sleep(0.02)


def test_a_ctrl_c_lets_the_child_save_and_says_so_below_the_bar():
    terminal = start(1)
    terminal.press("\x03")
    assert terminal.finish() == ["42 %, step 3/9 |###  |^C", TOLD, "saved after SIGINT", "status 0", ""]


def test_a_second_ctrl_c_ends_it_at_once():
    terminal = start(600)
    terminal.press("\x03")
    wait_for_text(terminal, "at once")
    terminal.press("\x03")
    assert terminal.finish() == ["42 %, step 3/9 |###  |^C", TOLD, "^C", "status -9", ""]


@pytest.mark.parametrize("is_blocked", [True, False])
def test_a_process_may_begin_with_sigint_blocked(is_blocked: bool):
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    if is_blocked:
        with interrupts_blocked():
            shown = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout
    else:
        shown = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert shown == f"{is_blocked}\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
