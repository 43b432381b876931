"""Feed a reader with random inputs in child processes, and count what it should never do.

A reader is a module of this folder with `write_input(folder, rng)`, which writes one input and returns its path,
`read(path)`, and `EXPECTED`, the errors that `read` may raise. An input is known by its seed:

    python3 -m fuzz --reader weight_files --seed 1234567 --inputs 1
"""

from __future__ import annotations

import faulthandler
import importlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

READERS = (
    "weight_files", "yaml_files", "task_files", "model_packages", "model_tars", "configurations", "index_files",
    "annotation_files", "image_files", "source_sets",
    "partial_results", "stage_lists", "training_states", "training_reports", "training_statistics",
    "prediction_results",
    "small_files", "command_lines",
)  # fmt: skip

_INPUTS_PER_PROCESS = 2000
_SECONDS_PER_INPUT = 60  # then it hangs; of wall-clock time, since it may wait for something on a busy machine
_MAX_SENTENCE = 6000  # characters, of which a path may have 4096
_MEMORY_BYTES = 16 << 30  # of address space, of which torch alone takes several


@dataclass
class Findings:
    """What became of the inputs of one reader."""

    num_inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Read, or the class of an expected error."""
    violations: dict[str, int] = field(default_factory=dict)
    """Crashes, hangs and unexpected errors; with the seed of the first input of each kind."""


class HangError(Exception):
    """Reading takes too long."""


def fuzz(reader: str, seconds: float, first_seed: int) -> Findings:
    """Run child processes, one after another, until the time is over."""
    findings, seed, end = Findings(), first_seed, time.monotonic() + seconds
    while time.monotonic() < end:
        seed = _run_child(reader, seed, findings, end)
    return findings


def _run_child(reader: str, seed: int, findings: Findings, end: float) -> int:
    """Try the inputs from `seed` on in one process; return the seed that comes next."""
    count = str(_INPUTS_PER_PROCESS)
    command = [sys.executable, "-m", "fuzz", "--reader", reader, "--seed", str(seed), "--inputs", count]
    # its errors are for who repeats one input: libtiff prints a line for each damaged tag
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
    assert child.stdout is not None
    last = seed - 1
    for line in child.stdout:
        kind, _, outcome = line.rstrip("\n").partition("\t")
        if kind == "begin":
            last = int(outcome)
            findings.num_inputs += 1
        elif kind == "violation":
            findings.violations.setdefault(outcome, last)
        else:
            findings.outcomes[outcome] += 1
        if time.monotonic() > end:  # some readers take a second for one input
            child.kill()
            child.wait()
            return last + 1
    if child.wait() != 0:
        findings.violations.setdefault(f"the process ended with {child.returncode}", last)
    return last + 1


def try_inputs(reader: str, seed: int, count: int) -> None:
    """Be the child: try `count` inputs in this process and print a line before and after each."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _hang)
    module = importlib.import_module(f"fuzz.{reader}")
    for number in range(seed, seed + count):
        with tempfile.TemporaryDirectory() as folder:
            print(f"begin\t{number}", flush=True)
            path = module.write_input(Path(folder), random.Random(number))
            signal.alarm(_SECONDS_PER_INPUT)
            try:
                module.read(path)
                print("end\tread")
            except module.EXPECTED as error:
                print(f"violation\t{fault}" if (fault := _fault_of(str(error))) else f"end\t{type(error).__name__}")
            except (Exception, MemoryError) as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                print(f"violation\t{type(error).__name__} in {Path(place.filename).name}:{place.lineno}")
            finally:
                signal.alarm(0)


def _fault_of(sentence: str) -> str:
    """Return what is wrong with the sentence of an expected error; '': nothing."""
    if len(sentence.splitlines()) != 1:
        return "an error of several lines"
    return "a sentence of several pages" if len(sentence) > _MAX_SENTENCE else ""


def _hang(_signal: int, _frame: FrameType | None) -> None:
    raise HangError
