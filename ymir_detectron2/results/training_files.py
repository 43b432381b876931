"""What a training has left in its output folder, as far as it can be read; a sentence for what is missing.

Trainings that were interrupted, those of earlier versions, and folders that others have sent lack files or have damaged
ones: a page shows what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Collection, Mapping, NamedTuple, TypeVar

from ..config.resolved_config import RESOLVED_CONFIG_NAME
from ..contract.data_issues import DataIssues
from ..contract.index_file import index_lines, open_index
from ..contract.task import Task
from ..errors import ConfigError, DatasetError, ExecutorError, printable, without_credentials
from ..evaluation.evaluation_file import EvaluationFile, read_evaluation
from ..evaluation.training_history import TrainingHistory, read_training_history
from ..untrusted_files import is_file
from ..yaml_file import load_yaml_mapping
from .task_output import TaskOutput

_SETTINGS_NAMES = (RESOLVED_CONFIG_NAME, "models/config.yaml")
"""Of /out: the resolved configuration, or that of the best stage, which holds the same but for its weights."""
_MOST_SETTINGS = 2000
_MOST_STAGES = 100
_MOST_CHARACTERS = 200
"""Of the value of a setting."""

_Content = TypeVar("_Content")


class ListedStage(NamedTuple):
    """A stage of result.yaml."""

    name: str
    """'' in the result.yaml of a release before 1.3, which names none."""
    ap50: float | None
    ap: float | None
    is_best: bool


@dataclass(frozen=True)
class TrainingFiles:
    """The files of a training; None and empty where there is none."""

    stages: tuple[ListedStage, ...]
    evaluation: EvaluationFile | None
    """Of the best stage."""
    history: TrainingHistory | None
    summary: Mapping[str, Any]
    """train-summary.json, unchecked."""
    dataset: Mapping[str, Any]
    """dataset-report.json, unchecked."""
    settings: tuple[tuple[str, str], ...]
    """The resolved configuration: dotted key and value."""
    form: tuple[tuple[str, str], ...]
    """config.yaml of the task."""
    missing: tuple[str, ...]
    """A sentence for everything that a finished training has and this folder lacks."""

    @property
    def best_stage(self) -> str:
        """Name of the best stage; '' if there is none."""
        if self.evaluation is not None:
            return self.evaluation.stage
        return next((stage.name for stage in self.stages if stage.is_best), "")


def read_training_files(output: TaskOutput) -> TrainingFiles | None:
    """Read the output of a training; None where the folder holds nothing of one."""
    missing: list[str] = []
    stages: tuple[ListedStage, ...] = _read(lambda: _read_stages(output.training_result), missing, ())
    history = _read(lambda: read_training_history(output.out_dir), missing, None)
    summary = output.read_json("train-summary.json") or {}
    if not (stages or history or summary or (output.task is not None and output.task.run_training)):
        return None
    evaluation = _read(lambda: read_evaluation(output.models_dir), missing, None)
    best = next((stage for stage in stages if stage.is_best), None)
    if not summary:
        reached = f" It was evaluated last at step {history.step}." if history is not None else ""
        missing.append(f"This training has not come to its end.{reached}")
    if evaluation is not None and best is not None and best.name not in ("", evaluation.stage):
        missing.append(f"evaluation.json is that of {evaluation.stage}, not of {best.name}, and is left out.")
        evaluation = None
    elif evaluation is None:
        missing.append(_no_evaluation(best))
    if best is not None and history is None:
        missing.append("training-history.json is not there, as after trainings of earlier versions: no curves.")
    form = {} if output.task is None else output.task.config
    return TrainingFiles(
        stages,
        evaluation,
        history,
        summary,
        output.read_json("dataset-report.json") or {},
        _read(lambda: _read_settings(output.out_dir), missing, ()),
        tuple(_flattened(form)),
        tuple(missing),
    )


def validation_paths(output: TaskOutput, names: Collection[str]) -> dict[str, Path]:
    """Return the validation images by their names in evaluation.json; without those that the index does not list."""
    return {} if output.task is None else _listed_paths(output.task, output.task.val_index, "validation", names)


def training_paths(output: TaskOutput, names: Collection[str]) -> dict[str, Path]:
    """Return the training images by their names in label-review.tsv; without those that the index does not list."""
    return {} if output.task is None else _listed_paths(output.task, output.task.train_index, "training", names)


def _listed_paths(task: Task, index: Path | None, role: str, names: Collection[str]) -> dict[str, Path]:
    """Return images of a set by their names.

    Only what the platform's index lists is opened: names lie in a folder that others can write to.
    """
    found: dict[str, Path] = {}
    if index is None:
        return found
    try:
        with open_index(index, role) as file:
            for line in index_lines(file, index, DataIssues()):
                path = task.paths.resolve(line.asset)
                name = printable(task.paths.container_path(path))
                if name in names:
                    found[name] = path
    except DatasetError:  # a page without images is better than none
        pass
    return found


def _read(read: Callable[[], _Content], missing: list[str], otherwise: _Content) -> _Content:
    try:
        return read()
    except ExecutorError as error:
        missing.append(str(error))
        return otherwise


def _no_evaluation(best: ListedStage | None) -> str:
    if best is None:
        return "There is no model yet: the training has not reached its first evaluation."
    if best.ap is None and best.name:
        return f"{best.name} was saved without an evaluation: no classes, no threshold and no images are shown."
    return (
        "models/attachments/evaluation/evaluation.json is not there, as after trainings of earlier versions: no"
        " classes, no threshold and no images are shown."
    )


def _read_stages(result_file: Path) -> tuple[ListedStage, ...]:
    """Return the stages of result.yaml of any release, of which the best may be missing."""
    if not is_file(result_file):
        return ()
    content = load_yaml_mapping(result_file, ConfigError, "train again to have it")
    best, listed = content.get("best_stage_name"), content.get("model_stages")
    if not isinstance(listed, dict):  # of a release before 1.3: the files of one stage, and its AP50
        return (ListedStage("", _rate(content.get("map")), None, True),) if "model" in content else ()
    return tuple(
        ListedStage(str(name), _rate(entry.get("mAP")), _rate(entry.get("boxAP")), name == best)
        for name, entry in list(listed.items())[-_MOST_STAGES:]
        if isinstance(entry, dict)
    )


def _read_settings(out_dir: Path) -> tuple[tuple[str, str], ...]:
    file = next((out_dir / name for name in _SETTINGS_NAMES if is_file(out_dir / name)), None)
    return () if file is None else tuple(_flattened(load_yaml_mapping(file, ConfigError, "train again to have it")))


def _flattened(content: Mapping[Any, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return dotted keys and short values of nested mappings, at most _MOST_SETTINGS."""
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        if len(rows) >= _MOST_SETTINGS:
            break
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            rows += _flattened(value, f"{name}.")
        else:
            text = without_credentials(str(value))  # config.yaml may have a token in args_options
            rows.append((name, text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"))
    return rows[:_MOST_SETTINGS]


def _rate(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and 0 <= value <= 1 else None
