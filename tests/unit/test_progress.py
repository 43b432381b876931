"""Durations in words, when lines of progress come, and the bar at a real (pseudo) terminal."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.running import PROJECT_DIR
from tests.terminal import Terminal
from ymir_detectron2.progress import LogPace, describe_duration

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.2, "1 s"), (40, "40 s"), (59.4, "59 s"), (59.7, "1 min"), (90, "1 min 30 s"),
        (9 * MINUTE_S + 59.8, "10 min"), (12 * MINUTE_S + 20, "12 min"), (HOUR_S - 1, "1 h"),
        (3 * HOUR_S + 5 * MINUTE_S, "3 h 5 min"), (13 * HOUR_S + 5 * MINUTE_S, "13 h"), (DAY_S - 1, "1 day"),
        (28 * HOUR_S, "1 day 4 h"), (2 * DAY_S, "2 days"), (9.9 * DAY_S, "9 days 22 h"), (42_759_900, "495 days"),
    ],
)  # fmt: skip
def test_a_duration_in_words(seconds: float, text: str):
    assert describe_duration(seconds) == text


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def times_of_lines(run_s: int, share: float, done_at: float = 1.0) -> list[int]:
    """The seconds at which a run asks once a second and gets a line; its work is done after a share of its time."""
    clock = Clock()
    pace = LogPace(share, clock)
    times = []
    for second in range(run_s):
        clock.now_s = 1000.0 + second
        if pace.is_due(min(1.0, second / (run_s * done_at))):
            times.append(second)
    return times


def test_a_fast_run_has_a_line_with_each_share_of_the_work():
    pace = LogPace(0.01, Clock())
    due = [step for step in range(1, 5001) if pace.is_due(step / 5000)]
    assert due == [1, *range(50, 5001, 50)]


def test_a_slow_run_has_a_line_every_thirty_seconds_in_its_first_hour():
    times = times_of_lines(10 * DAY_S, 0.1)
    assert [time_s for time_s in times if time_s <= HOUR_S] == [0, *range(30, HOUR_S + 1, 30)]


def test_a_run_of_ten_days_has_a_line_every_five_minutes_at_least_and_a_few_thousand_in_all():
    times = times_of_lines(10 * DAY_S, 0.01)
    assert max(later - earlier for earlier, later in zip(times, times[1:])) == 300
    assert len(times) < 4000


def test_time_counts_from_the_last_line_whatever_it_came_for():
    times = times_of_lines(100, 0.5)
    assert times == [0, 30, 50, 80]


# A process of its own for each: the bar looks at sys.stdout, and log handlers belong to a process.
PROGRAM = """
import logging, sys, time
from ymir_detectron2.entrypoint import _configure_log
from ymir_detectron2.progress import ProgressBar
_configure_log(logging.INFO)
with ProgressBar(is_shown=True) as bar:
    for number in range(60):
        bar.update(number / 60, f"step {number} of 60")
        logging.getLogger("a").info("line %d of \\x1b[31m a name", number)
        time.sleep(0.02)
logging.getLogger("a").info("after the bar")
"""


def test_at_a_terminal_no_line_of_the_log_breaks_the_bar():
    terminal = Terminal([sys.executable, "-c", PROGRAM], {"PYTHONPATH": str(PROJECT_DIR)})
    lines = [line for line in terminal.finish() if line]
    # the bar is gone in the end, and was there in between
    expected = [*(f"line {number} of \\x1b[31m a name" for number in range(60)), "after the bar"]
    assert [line.partition("] a: ")[2] for line in lines] == expected
    assert re.search(r"\d+ %, step \d+ of 60 \|", terminal.received)
    assert "100 %" not in terminal.received


def test_where_the_output_is_no_terminal_there_is_no_bar():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT_DIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=True,
    )  # fmt: skip
    assert "%" not in done.stdout
    assert "\r" not in done.stdout
    assert len(done.stdout.splitlines()) == 61
