"""What train, predict and mine do alike: make a task folder, or find it again, run the task, and say what came out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import yaml

from ..atomic_file import atomic_write
from ..entrypoint import read_task
from ..errors import ConfigError, printable
from ..failure import print_reason
from ..tools.task_folder import TASKS
from .arguments import gpu_id_of
from .main import PROGRAM, command_line
from .run_folder import new_run, run_to_resume
from .start_process import Ended, run_start

PAGE = "report.html"
Row = Sequence[str]


class TaskKind(NamedTuple):
    """What a command runs."""

    command: str
    task: str
    """A key of `task_folder.TASKS`."""
    closing_rows: Callable[[Path], Sequence[Row]]
    """Given RUN: name and value of what came out."""
    next_steps: Callable[[Path], Sequence[str]]
    """Given RUN: commands that a user may want now."""


def run_command(
    options: argparse.Namespace, kind: TaskKind, config: Mapping[str, Any], choice: str = "", **task_options: Any
) -> int:
    """Make a new run, or find the one to resume, start it, and print what came out; return the exit status.

    Args:
        options: of the command line.
        config: for config.yaml.
        choice: what was chosen for the user, a sentence for the terminal.
        task_options: of `make_task`, as far as they differ from its defaults.

    Raises:
        ExecutorError: a mistake of the user, or a folder that cannot be written.
    """
    run = resume(options, kind, config) if options.resume else _make(options, kind, config, task_options)
    print(printable("\n".join(filter(None, [choice, f"run: {run}"]))), flush=True)
    ended = run_start(run / "in" / "env.yaml")
    return _close(run, kind, ended)


def _make(
    options: argparse.Namespace, kind: TaskKind, config: Mapping[str, Any], task_options: Mapping[str, Any]
) -> Path:
    from ..tools.make_task import parse_options, write_task

    gpu_id = gpu_id_of(options)
    with new_run(options.out, kind.command) as run:
        given = {**vars(options), "out": run, "task": kind.task, "gpu_id": "cpu" if gpu_id == "" else gpu_id}
        defaults = vars(parse_options([]))
        written = write_task(argparse.Namespace(**{**defaults, **given, **task_options}), config)
    print(printable(written.summary), flush=True)
    return run


def resume(options: argparse.Namespace, kind: TaskKind, config: Mapping[str, Any]) -> Path:
    """Return an unfinished run, with the keys of config.yaml that are given now."""
    run = run_to_resume(options.out, kind.command)
    task = read_task(run / "in" / "env.yaml")
    if (task.run_training, task.run_mining, task.run_infer) != TASKS[kind.task]:
        raise ConfigError(f"{run}: is no run of {kind.command}; name another one with --out")
    gpu_id = gpu_id_of(options)
    changed = {**config, **({} if gpu_id is None else {"gpu_id": gpu_id})}
    arguments = str(changed.get("args_options", task.config.get("args_options")) or "")
    if kind.command == "train" and "--resume" not in arguments.split() and not arguments.startswith("@"):
        # a training that other settings do not fit is then refused, in place of one that begins again
        changed["args_options"] = f"--resume {arguments}".strip()
    content = yaml.safe_dump({**task.config, **changed}, allow_unicode=True)
    with atomic_write(run / "in" / "config.yaml") as file:
        file.write(content)
    return run


def _close(run: Path, kind: TaskKind, ended: Ended) -> int:
    if ended.status == 0:
        print(f"\n{closing_table(run, kind)}", flush=True)
        return 0
    resuming = command_line(kind.command, "--resume", "--out", str(run))
    hint = f"; to go on: {resuming}" if ended.was_stopped else ""
    code, reason = ended.reason
    print_reason(printable(f"{PROGRAM} {kind.command}: {reason}{hint}"), code, sys.stderr)
    return ended.status


def closing_table(run: Path, kind: TaskKind) -> str:
    """Return what came out of a run, and what can be done with it, for a terminal."""
    rows = [*kind.closing_rows(run)]
    page = run / "out" / PAGE
    if page.is_file():
        rows.append(("page", str(page)))
    rows += [("next", step) for step in kind.next_steps(run)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(printable(f"{name:<{width}}  {value}") for name, value in rows)
