"""What a task has left in its folder, for pages about it: found, and read as the work of a stranger.

`report` gets folders that others have sent: whatever their env.yaml says, only files of the output folder are read as
results, and only there is a page written. Images are read from where the index says, as a task does it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Collection, Mapping

from ..contract.data_issues import DataIssues
from ..contract.index_file import index_lines, open_index
from ..contract.task import Task, load_task
from ..errors import ConfigError, DatasetError, ExecutorError
from ..untrusted_files import is_file, is_within, read_regular

PAGE_NAME = "report.html"
_MOST_JSON_BYTES = 64 << 20


@dataclass(frozen=True)
class TaskOutput:
    """The output folder of a task, with the task where its files are still at hand."""

    out_dir: Path
    task: Task | None = None
    """None: a folder that was copied without its task: names are known, images are not."""

    @property
    def page(self) -> Path:
        return self.out_dir / PAGE_NAME

    @property
    def infer_result(self) -> Path:
        return self._own("infer-result.json", None if self.task is None else self.task.infer_result)

    @property
    def mining_result(self) -> Path:
        return self._own("result.tsv", None if self.task is None else self.task.mining_result)

    @property
    def has_result(self) -> bool:
        return any(map(is_file, (self.infer_result, self.mining_result, self.training_result)))

    @property
    def models_dir(self) -> Path:
        return self._own("models", None if self.task is None else self.task.models_dir)

    @property
    def training_result(self) -> Path:
        return self._own("models/result.yaml", None if self.task is None else self.task.training_result)

    def read_json(self, name: str) -> Mapping[str, Any] | None:
        """Return the mapping in a JSON file of the folder; None if there is none that can be read."""
        return read_json_mapping(self.out_dir / name)

    def candidate_paths(self, names: Collection[str]) -> dict[str, Path]:
        """Return the image files of candidates by their base names; without those that cannot be found."""
        if self.task is None or self.task.candidate_index is None:
            return {}
        found: dict[str, Path] = {}
        try:
            with open_index(self.task.candidate_index, "candidate") as file:
                for line in index_lines(file, self.task.candidate_index, DataIssues()):
                    name = PurePosixPath(line.asset).name
                    if name in names and name not in found:  # of several with one name, results have the first
                        found[name] = self.task.paths.resolve(line.asset)
        except DatasetError:  # a page without images is better than none
            pass
        return found

    def _own(self, default: str, named: Path | None) -> Path:
        is_own = named is not None and is_within(named, self.out_dir)
        return named if named is not None and is_own else self.out_dir / default


def read_json_mapping(path: Path) -> Mapping[str, Any] | None:
    """Return the mapping in a JSON file; None if it is missing, too large, or something else."""
    try:
        content = json.loads(read_regular(path, _MOST_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def find_task_outputs(folder: Path) -> list[TaskOutput]:
    """Return the tasks whose files a person means by a folder.

    Args:
        folder: a task folder, its `out`, or a folder of task folders such as that of the demo.

    Raises:
        ConfigError: no such folder, or no task in it.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give a task folder or its out")
    found = _task_output(folder)
    outputs = [found] if found else list(filter(None, map(_task_output, sorted(folder.iterdir()))))
    if not outputs:
        raise ConfigError(f"{folder}: holds no output of a task; give a task folder, its out, or the folder of a demo")
    return outputs


def _task_output(folder: Path) -> TaskOutput | None:
    """Return the output of a task folder, or of the out of one."""
    for out_dir in (folder / "out", folder):
        if out_dir.is_dir() and _is_output(out_dir):
            return TaskOutput(out_dir, _task_of(out_dir))
    return None


def _is_output(folder: Path) -> bool:
    return any(
        is_file(folder / name) for name in ("monitor.txt", "infer-result.json", "result.tsv", "models/result.yaml")
    )


def _task_of(out_dir: Path) -> Task | None:
    """Return the task that has this output folder; None if its files are not next to it, or damaged."""
    for env_file in (out_dir.parent / "in" / "env.yaml", out_dir.parent / "env.yaml"):
        if is_file(env_file):
            try:
                return load_task(env_file)
            except ExecutorError:
                return None
    return None
