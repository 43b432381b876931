"""The fuzzing: an input is known by its seed, and what a reader should not do is told from what it may do."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import weight_files, yaml_files
from fuzz.driver import READERS
from tests.running import PROJECT_DIR


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("reader", [weight_files, yaml_files])
def test_a_seed_always_makes_the_same_input(tmp_path: Path, reader: object):
    contents = [reader.write_input(tmp_path, random.Random(seed)).read_bytes() for seed in (1, 1, 2)]  # type: ignore[attr-defined]
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("reader", READERS)
def test_each_input_of_each_reader_is_announced_and_read_or_refused(reader: str):
    outcome = run(f"from fuzz.driver import try_inputs; try_inputs({reader!r}, 5, 20)")
    lines = [line.split("\t") for line in outcome.stdout.splitlines()]
    assert [line[1] for line in lines if line[0] == "begin"] == [str(seed) for seed in range(5, 25)]
    assert sum(line[0] == "end" for line in lines) == 20, outcome.stdout
    assert outcome.returncode == 0


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        ("raise RuntimeError", "violation\tRuntimeError in <string>:3"),
        ("raise reader.ConfigError('a\\nb')", "violation\tan error of several lines"),
        ("signal.raise_signal(signal.SIGALRM)", "violation\tHangError in driver.py"),
        ("signal.raise_signal(signal.SIGSEGV)", ""),
    ],
    ids=["another error", "several lines", "too long", "a crash"],
)
def test_what_a_reader_must_not_do_is_a_violation_or_ends_the_process(body: str, finding: str):
    code = f"import signal\nfrom fuzz import driver, yaml_files as reader\ndef read(path): {body}\nreader.read = read\n"
    outcome = run(code + "driver.try_inputs('yaml_files', 5, 1)")
    assert outcome.stdout.startswith(f"begin\t5\n{finding}")
    assert (outcome.returncode == 0) == bool(finding)
