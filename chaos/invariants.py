"""What holds after every fault, for a start that has ended and for what it leaves in /out."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

from tests.error_lines import error_line
from tests.platform_reader import MonitorLine, PlatformRefusal, read_monitor, read_training_result

from .faults import Fault
from .results import file_names, read_for_people, read_results
from .running import Start
from .tasks import Reference

_BUG = "please report"


def check_end(start: Start, fault: Fault) -> Iterator[str]:
    """Yield what is wrong with the end of a start: its exit status, the end of its log, monitor.txt, its processes."""
    status, lines = start.process.returncode, start.lines
    yield from (f"outlives start.py: {command}" for command in start.survivors())
    if any(_BUG in line for line in lines):
        yield "the log asks to report a bug: " + next(line for line in lines if _BUG in line)[-300:]
    if status not in (0, 1):
        if not fault.excuses_death:
            yield f"start.py ended with {status}"
        return
    monitor = None
    try:
        monitor = read_monitor((start.root / "out" / "monitor.txt").read_text(encoding="utf-8"))
    except (OSError, PlatformRefusal) as error:
        if not (fault.excuses_monitor or fault.excuses_death):
            yield f"monitor.txt: {error}"
    yield from _contradictions(status, lines, monitor, fault)


def _contradictions(status: int, lines: list[str], monitor: MonitorLine | None, fault: Fault) -> Iterator[str]:
    reason, complaint = "", ""
    try:
        reason = error_line("\n".join(lines))
    except AssertionError as error:
        complaint = str(error)
    if status == 0 and (reason or any(line.startswith("ERROR ") for line in lines[-1:])):
        yield f"it succeeded, and the log ends with {lines[-1][:200]!r}"
    if status == 1 and complaint and not fault.excuses_log:
        ending = " / ".join(lines[-2:])[-300:]
        yield f"it failed, and the end of the log is wrong: {complaint.splitlines()[0]} {ending!r}"
    if monitor is None or fault.excuses_monitor:
        return
    if status == 0 and (monitor.state_code or monitor.percent != 1.0):
        yield f"it succeeded, and monitor.txt says {monitor}"
    if status == 1 and not monitor.state_code:
        yield f"it failed, and monitor.txt says {monitor}"
    elif status == 1 and reason and reason != f"ERROR {monitor.state_code}: {monitor.state_message}":
        yield f"the log says {reason[:200]!r}, and monitor.txt says {monitor}"


def check_results(out_dir: Path, reference: Reference) -> Iterator[str]:
    """Yield what is wrong with results after a fault: each is complete, and as without the fault, or absent."""
    replaceable = {"models/result.yaml", "models/config.yaml"}  # these change with each stage
    try:
        if (out_dir / "models" / "result.yaml").exists():
            stages = read_training_result(out_dir / "models").stages
            # weights that a stop has saved without an evaluation; the restart replaces them
            replaceable |= {f"models/{name}.pth" for name, stage in stages.items() if not stage.metrics}
        found = read_results(out_dir)
    except Exception as error:  # whatever it is, the platform would meet it
        yield f"a result cannot be read: {type(error).__name__}: {error}"
        return
    expected = reference.results()
    for name, content in found.items():
        if name not in replaceable and name in expected and content != expected[name]:
            yield f"{name} differs"


def check_outcome(out_dir: Path, reference: Reference, *, excuses_extras: bool = False) -> Iterator[str]:
    """Yield what differs from the run without faults, after a start that has succeeded.

    Args:
        excuses_extras: see `Fault`.
    """
    expected, found = reference.results(), read_results(out_dir)
    if not excuses_extras:
        expected.update(read_for_people(reference.folder / "out"))
        found.update(read_for_people(out_dir))
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            is_there = {True: "differs", False: "is missing" if name in expected else "is additional"}
            yield f"{name} {is_there[name in expected and name in found]}"
    left = file_names(out_dir) - file_names(reference.folder / "out") - set(found)
    if left:
        yield f"left over: {' '.join(sorted(left))}"

