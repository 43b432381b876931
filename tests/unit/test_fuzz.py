"""The fuzzing: an input is known by its seed, and what a reader should not do is told from what it may do."""

from __future__ import annotations

import importlib
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.driver import READERS
from tests.running import PROJECT_DIR


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("reader", READERS)
def test_a_seed_always_makes_the_same_input(tmp_path: Path, reader: str):
    module = importlib.import_module(f"fuzz.{reader}")

    def content_of(seed: int) -> dict[str, bytes]:
        folder = tmp_path / "input"
        folder.mkdir()
        module.write_input(folder, random.Random(seed))
        files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        shutil.rmtree(folder)
        return files

    contents = [content_of(seed) for seed in (1, 1, 2, 3, 4)]
    assert contents[0] == contents[1]
    assert any(content != contents[0] for content in contents[2:])


@pytest.mark.parametrize("reader", READERS)
def test_each_input_of_each_reader_is_announced_and_read_or_refused(reader: str):
    count = 3 if reader == "training_states" else 20  # each of them is a small training that is resumed
    outcome = run(f"from fuzz.driver import try_inputs; try_inputs({reader!r}, 5, {count})")
    lines = [line.split("\t") for line in outcome.stdout.splitlines()]
    assert [line[1] for line in lines if line[0] == "begin"] == [str(seed) for seed in range(5, 5 + count)]
    assert sum(line[0] == "end" for line in lines) == count, outcome.stdout
    assert outcome.returncode == 0


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        ("raise RuntimeError", "violation\tRuntimeError in <string>:3"),
        ("raise reader.ConfigError('a\\nb')", "violation\tan error of several lines"),
        ("raise reader.ConfigError('a' * 10**5)", "violation\ta sentence of several pages"),
        ("signal.raise_signal(signal.SIGALRM)", "violation\tHangError in driver.py"),
        ("signal.raise_signal(signal.SIGSEGV)", ""),
    ],
    ids=["another error", "several lines", "several pages", "too long", "a crash"],
)
def test_what_a_reader_must_not_do_is_a_violation_or_ends_the_process(body: str, finding: str):
    code = f"import signal\nfrom fuzz import driver, yaml_files as reader\ndef read(path): {body}\nreader.read = read\n"
    outcome = run(code + "driver.try_inputs('yaml_files', 5, 1)")
    assert outcome.stdout.startswith(f"begin\t5\n{finding}")
    assert (outcome.returncode == 0) == bool(finding)


def test_the_command_counts_inputs_and_kinds_of_violations_and_fails_for_one():
    command = [sys.executable, "-m", "fuzz", "--reader", "index_files", "--minutes", "0.05", "--seed", "5"]
    good = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    reader_line, total_line = good.stdout.splitlines()
    counts = re.fullmatch(r"index_files: (\d+) inputs from seed 5 on: .*", reader_line)
    assert counts is not None
    assert total_line == f"total: {counts[1]} inputs over 1 readers, 0 kinds of violations"
