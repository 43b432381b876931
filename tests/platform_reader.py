"""The platform's own parsing rules, release by release: the judge of every file that a test run writes.

Restated from the platform's sources; it shares no code with the executor. Whatever a release of YMIR would refuse,
misread or lose raises PlatformRefusal with the rule that was broken. The last part restates what the third-party
verifier (ymir-executor-verifier) asserts.
"""

from __future__ import annotations

import datetime
import json
import math
import shutil
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import yaml

RELEASES = (
    "1.1.0",
    "1.2.1dev",
    "1.3.0dev",
    "2.0.0",
    "2.0.1",
    "2.0.2",
    "2.1.0",
    "2.2.0",
    "2.3.0",
    "2.4.0",
    "2.5.0",
)
LEGACY_STAGE = "default_best_stage"
MOST_BOXES_BEFORE_2_1 = 50
MOST_STACK_LINES = 99
LARGEST_INT32 = 2**31 - 1


class PlatformRefusal(AssertionError):  # noqa: N818 - it refuses, it does not err
    """The platform would refuse, misread or lose this."""


def _require(holds: object, broken_rule: str) -> None:
    if not holds:
        raise PlatformRefusal(broken_rule)


def _since(release: str, first: str) -> bool:
    return RELEASES.index(release) >= RELEASES.index(first)


def _converted(convert: Callable[[Any], Any], value: Any, broken_rule: str) -> Any:
    try:
        return convert(value)
    except (TypeError, ValueError, OverflowError) as exc:
        raise PlatformRefusal(f"{broken_rule}, found {value!r}") from exc


def _load_yaml_mapping(path: Path) -> dict[str, Any]:
    _require(path.is_file(), f"{path.name} must exist")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as exc:
        raise PlatformRefusal(f"{path.name} must be plain YAML: {exc}") from exc
    _require(isinstance(content, dict), f"{path.name} must hold a mapping, found {type(content).__name__}")
    return dict(content)


# --- env.yaml, written by the platform (tests hold the project's own task folders against it) --------------------

_INPUT_KEYS = {
    "root_dir",
    "assets_dir",
    "annotations_dir",
    "models_dir",
    "config_file",
    "training_index_file",
    "val_index_file",
    "candidate_index_file",
}
_OUTPUT_KEYS = {
    "root_dir",
    "models_dir",
    "tensorboard_dir",
    "training_result_file",
    "mining_result_file",
    "infer_result_file",
    "monitor_file",
}


def read_env(path: Path, release: str = "2.5.0") -> dict[str, Any]:
    """Read an env.yaml and hold its keys against those that the release writes."""
    env = _load_yaml_mapping(path)
    expected = {"task_id", "run_training", "run_mining", "run_infer", "input", "output"}
    expected |= {"protocol_version"} if _since(release, "1.3.0dev") else set()
    expected |= {"manifest_file"} if _since(release, "2.1.0") else set()
    _require(set(env) == expected, f"env.yaml of {release} has the keys {sorted(expected)}, found {sorted(env)}")
    output_keys = _OUTPUT_KEYS | ({"executor_log_file"} if _since(release, "1.3.0dev") else set())
    for section, keys in (("input", _INPUT_KEYS), ("output", output_keys)):
        _require(set(env[section]) == keys, f"env.yaml, {section} has the keys {sorted(keys)}")
    _require(env["run_training"] != (env["run_mining"] or env["run_infer"]), "a task is training, or mining or infer")
    training_keys = [env["input"][key] for key in ("training_index_file", "val_index_file")]
    _require(all(training_keys) == env["run_training"], "training has a training and a validation index, others none")
    _require(bool(env["input"]["candidate_index_file"]) != env["run_training"], "only mining and infer have candidates")
    return env


# --- registration: /img-man ----------------------------------------------------------------------------------------


def read_template(path: Path) -> dict[str, Any]:
    """Read a template as the registration and the web form do."""
    template = _load_yaml_mapping(path)
    _require(template, f"{path.name} must hold at least one key")
    text = _converted(json.dumps, template, f"{path.name} must hold JSON types only")
    _require(len(text) <= 20000, f"{path.name} must have at most 20000 characters as JSON")
    _require("openpai_enable" not in template, "openpai_enable switches the task to OpenPAI: do not use that name")
    for key, value in template.items():
        _require(isinstance(key, str), f"{path.name}: key {key!r} must be text")
        _require(not isinstance(value, str) or len(value) <= 100, f"{key}: the form holds at most 100 characters")
    return template


def read_manifest(path: Path, release: str = "2.5.0") -> int:
    """Read manifest.yaml for an image whose templates are directly in /img-man; return the object type."""
    if not _since(release, "2.1.0") or not path.exists():
        return 2
    object_type = _load_yaml_mapping(path).get("object_type", 2)
    _require(
        not isinstance(object_type, list), "object_type must be a number: as a list it moves or breaks the templates"
    )
    return int(_converted(int, object_type, "object_type must be a number"))


def offers_live_code(img_man_dir: Path, release: str = "2.5.0") -> bool:
    """Return whether the form asks for git_url, git_branch and code_config for an image with these files."""
    if not _since(release, "2.0.0"):
        return False
    if not _since(release, "2.1.0"):
        access = img_man_dir / "code-access.yaml"
        return access.is_file() and isinstance(yaml.safe_load(access.read_text(encoding="utf-8")), dict)
    manifest = img_man_dir / "manifest.yaml"
    return bool(manifest.is_file() and _load_yaml_mapping(manifest).get("enable_livecode", False))


# --- /out/monitor.txt ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MonitorLine:
    """What the monitor reads every 20 seconds."""

    task_id: str
    timestamp: float
    percent: float
    state: int
    state_code: int = 0
    state_message: str = ""
    stack: tuple[str, ...] = ()


def read_monitor(text: str, release: str = "2.5.0") -> MonitorLine:
    """Read the text of monitor.txt; any mistake in it would end the task with error 150404."""
    lines = text.splitlines()
    _require(lines and lines[0].strip(), "monitor.txt must never be seen empty")
    columns = lines[0].strip("\n").split("\t")
    _require(len(columns) >= 4, f"monitor.txt needs 4 columns between tabs, found {lines[0]!r}")
    timestamp = float(_converted(float, columns[1], "timestamp must be seconds as a number"))
    percent = float(_converted(float, columns[2], "percent must be a number"))
    _require(math.isfinite(timestamp), "timestamp must be finite")
    _require(0 <= percent <= 1, f"percent must be in [0, 1], found {percent}")  # NaN fails both comparisons
    state = int(_converted(int, columns[3], "state must be a number"))
    _require(0 <= state <= 4, f"state must be 0 to 4, found {state}")
    _require(state != 3 or _since(release, "2.3.0"), "state 3 ends the task before its model is packed")
    _require(state != 4, "state 4 ends the task before what was trained is packed")
    code = int(_converted(int, columns[4], "state code must be a number")) if len(columns) > 4 else 0
    message = columns[5] if len(columns) > 5 else ""
    return MonitorLine(columns[0], timestamp, percent, state, code, message, tuple(lines[1 : 1 + MOST_STACK_LINES]))


def check_progress(lines: Sequence[MonitorLine]) -> None:
    """Hold the lines of one task against each other, in the order in which they were read."""
    for before, after in zip(lines, lines[1:]):
        _require(after.task_id == before.task_id, f"task id changed from {before.task_id} to {after.task_id}")
        _require(after.percent >= before.percent, f"progress fell from {before.percent} to {after.percent}")
        _require(after.timestamp >= before.timestamp, "a message older than the last one is ignored")


# --- /out/models/result.yaml ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """One stage of a model package."""

    name: str
    files: Mapping[str, Path]
    """Name below the stage -> the file that is packed."""
    timestamp: int
    m_ap: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PackedModel:
    """A model package as the platform makes it from /out/models."""

    stages: Mapping[str, Stage]
    best_stage_name: str
    attachments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    evaluate_config: Mapping[str, float] = field(default_factory=dict)

    @property
    def best(self) -> Stage:
        return self.stages[self.best_stage_name]


_RATES_SINCE = {
    "mAR": "2.0.1",
    "mIoU": "2.1.0",
    "mAcc": "2.1.0",
    "maskAP": "2.1.0",
    "boxAP": "2.1.0",
}
_COUNTS_SINCE = {"tp": "2.0.1", "fp": "2.0.1", "fn": "2.0.1"}
_NAMES_OF_THE_PLATFORM = ("ymir-info.yaml", "model.tar.gz")


def read_training_result(models_dir: Path, release: str = "2.5.0") -> PackedModel:
    """Read result.yaml and find every file that it lists, as the platform does when it packs a model."""
    result = _load_yaml_mapping(models_dir / "result.yaml")
    if "model" in result:
        return _read_legacy_result(result, models_dir, release)
    _require(_since(release, "1.2.1dev"), "release 1.1.0 needs the keys model and map")
    stages: Any = result.get("model_stages")
    _require(isinstance(stages, dict) and stages, "result.yaml needs model or model_stages")
    best = result.get("best_stage_name")
    _require(best in stages, f"best_stage_name must be one of the stages, found {best!r}")
    return PackedModel(
        {name: _read_stage(name, entry, models_dir, release) for name, entry in stages.items()},
        str(best),
        _read_attachments(result, models_dir) if _since(release, "1.3.0dev") else {},
        _read_evaluate_config(result) if _since(release, "2.0.1") else {},
    )


def _read_legacy_result(result: Mapping[str, Any], models_dir: Path, release: str) -> PackedModel:
    _require("map" in result, "result.yaml with model needs map")
    m_ap = _read_rate(result["map"], "map")
    files = _find_files(LEGACY_STAGE, result["model"], models_dir, release)
    return PackedModel({LEGACY_STAGE: Stage(LEGACY_STAGE, files, 0, m_ap)}, LEGACY_STAGE)


def _read_stage(name: Any, entry: Any, models_dir: Path, release: str) -> Stage:
    _require(isinstance(name, str) and 0 < len(name) <= 100, f"stage name must have 1 to 100 characters: {name!r}")
    _require("@" not in name, f"stage name must hold no @: {name!r}")
    _require(isinstance(entry, dict), f"stage {name} must be a mapping")
    needed = ["files", "timestamp"]
    needed += ["stage_name"] if _since(release, "2.0.1") else []
    needed += [] if _since(release, "2.1.0") else ["mAP"]
    for key in needed:
        _require(key in entry, f"stage {name} needs {key} in release {release}")
    m_ap = _read_rate(entry.get("mAP", 0), "mAP")
    files = _find_files(name, entry["files"], models_dir, release)
    timestamp = _read_timestamp(entry["timestamp"], release)
    return Stage(name, files, timestamp, m_ap, _read_metrics(entry, release))


def _read_metrics(entry: Mapping[str, Any], release: str) -> dict[str, float]:
    rates = {
        key: _read_rate(entry[key], key) for key, since in _RATES_SINCE.items() if _counts(entry, key, since, release)
    }
    counts = {
        key: float(_converted(int, entry[key], f"{key} must be a number"))
        for key, since in _COUNTS_SINCE.items()
        if _counts(entry, key, since, release)
    }
    for key, count in counts.items():
        _require(count >= 0, f"{key} must not be negative")
    return {**rates, **counts}


def _counts(entry: Mapping[str, Any], key: str, since: str, release: str) -> bool:
    return key in entry and _since(release, since)


def _read_rate(value: Any, key: str) -> float:
    rate = float(_converted(float, value, f"{key} must be a number"))
    _require(0 <= rate <= 1, f"{key} must be in [0, 1], found {rate}")
    return rate


def _read_timestamp(value: Any, release: str) -> int:
    _require(not isinstance(value, datetime.date), "timestamp must be seconds, not a date")
    timestamp = int(_converted(int, value, "timestamp must be whole seconds"))
    _require(timestamp <= LARGEST_INT32 or not _since(release, "1.3.0dev"), "timestamp must be seconds and fit int32")
    return timestamp


def _find_files(stage: str, names: Any, models_dir: Path, release: str) -> dict[str, Path]:
    _require(isinstance(names, list) and names, f"stage {stage}: files must be a list of names")
    folders = [models_dir / stage, models_dir] if _since(release, "1.3.0dev") else [models_dir]
    paths: dict[str, Path] = {}
    for name in names:
        _require(isinstance(name, str) and name, f"stage {stage}: {name!r} is not a file name")
        _require(not Path(name).is_absolute(), f"stage {stage}: {name} must be relative to /out/models")
        _require(Path(name).name not in _NAMES_OF_THE_PLATFORM, f"{name} is a name that the platform writes itself")
        base = Path(name).name if release == "1.1.0" else name
        files = [folder / base for folder in folders if (folder / base).is_file()]
        _require(files, f"stage {stage}: {name} must be a file in {' or '.join(map(str, folders))}")
        _require(not files[0].is_symlink(), f"stage {stage}: {name} is a link, which is packed as a link")
        paths[base] = files[0]
    return paths


def _read_attachments(result: Mapping[str, Any], models_dir: Path) -> dict[str, tuple[str, ...]]:
    attachments = result.get("attachments", {})
    _require(isinstance(attachments, dict), "attachments must map sections to lists of names")
    for section, names in attachments.items():
        _require(isinstance(names, list), f"attachments of {section} must be a list")
        for name in names:
            file = models_dir / "attachments" / str(section) / str(name)
            _require(file.is_file(), f"attachment {section}/{name} is missing, which refuses the whole model")
    return {str(section): tuple(names) for section, names in attachments.items()}


def _read_evaluate_config(result: Mapping[str, Any]) -> dict[str, float]:
    config = result.get("evaluate_config", {})
    _require(isinstance(config, dict), f"evaluate_config must be a mapping of numbers, found {config!r}")
    return {
        str(key): float(_converted(float, value, f"evaluate_config.{key} must be a number"))
        for key, value in config.items()
    }


def unpack_model(
    packed: PackedModel,
    models_dir: Path,
    release: str = "2.5.0",
    *,
    executor_config: Mapping[str, Any] | None = None,
    stage_name: str | None = None,
) -> list[str]:
    """Do what the platform does between two tasks: put one stage (1.1: the whole package) into in/models.

    Returns:
        The value of `model_params_path` or `pretrained_model_params`: container paths below /in/models.
    """
    name = stage_name or packed.best_stage_name
    chosen = list(packed.stages.values()) if release == "1.1.0" else [packed.stages[name]]
    prefix = f"{name}/" if _since(release, "1.3.0dev") else ""
    targets = {f"{prefix}{file}": path for stage in chosen for file, path in stage.files.items()}
    for target, path in targets.items():
        (models_dir / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(path), str(models_dir / target))
    info: dict[str, Any] = {"executor_config": dict(executor_config or {}), "task_context": {}}
    if release == "1.1.0":
        info["models"] = list(targets)
    else:
        info.update(best_stage_name=packed.best_stage_name, stages=_stage_table(packed))
    (models_dir / "ymir-info.yaml").write_text(yaml.safe_dump(info), encoding="utf-8")
    return [f"/in/models/{target}" for target in targets]


def _stage_table(packed: PackedModel) -> dict[str, dict[str, Any]]:
    return {
        stage.name: {
            "stage_name": stage.name,
            "files": list(stage.files),
            "mAP": stage.m_ap,
            "timestamp": stage.timestamp,
        }
        for stage in packed.stages.values()
    }


# --- a model package from elsewhere, imported on the page "Models" --------------------------------------------------

_PACKAGE_VERSION = "2.0.0"  # of all releases that import packages with stages


def import_model(package: Path, models_dir: Path, release: str = "2.5.0") -> tuple[list[str], dict[str, Any]]:
    """Import a package, and unpack its best stage for a task.

    Returns:
        The value of `model_params_path` or `pretrained_model_params`, and ymir-info.yaml.
    """
    _require(_since(release, "2.0.0"), "packages with stages are imported since 2.0.0")
    _require(package.stat().st_size / 1024 / 1024 < 1024, "the page uploads files of less than 1,024 MB")
    with tarfile.open(package, "r") as archive, tempfile.TemporaryDirectory() as folder:
        archive.extractall(folder)  # noqa: S202 - as the platform does; the package is our own
        info = _load_yaml_mapping(Path(folder, "ymir-info.yaml"))
        _require(info.get("package_version") == _PACKAGE_VERSION, "package_version must be 2.0.0")
        for key in ("executor_config", "task_context", "stages"):
            _require(isinstance(info.get(key), dict) and info[key], f"ymir-info.yaml needs the mapping {key}")
        _require(isinstance(info["executor_config"].get("class_names"), list), "executor_config needs class_names")
        _require(info.get("object_type", 2) == 2, "object_type must be that of detection")
        best = info.get("best_stage_name")
        _require(best in info["stages"], "best_stage_name must be one of the stages")
        stages = {name: _read_stage(name, entry, Path(folder), release) for name, entry in info["stages"].items()}
        packed = PackedModel(stages, str(best))
        return unpack_model(packed, models_dir, release, executor_config=info["executor_config"]), info


# --- /out/result.tsv -----------------------------------------------------------------------------------------------


def read_mining_result(path: Path, candidates: Sequence[str], topk: int | None = None) -> list[str]:
    """Read result.tsv and return the asset ids that the new dataset gets.

    Args:
        path: result.tsv.
        candidates: paths or base names of the candidate index.
        topk: how many the user asked for; None takes all.
    """
    _require(path.is_file(), "result.tsv must exist")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    known = {_asset_id(candidate) for candidate in candidates}
    chosen = [_asset_id(line.split("\t")[0]) for line in lines]
    unknown = [asset_id for asset_id in chosen if asset_id not in known]
    _require(
        not unknown, f"result.tsv names {unknown[:3]}, which are no candidates; a header and blanks count as names"
    )
    _require(len(set(chosen)) == len(chosen), "result.tsv names an image twice, which shrinks the result")
    return chosen[:topk]


def _asset_id(path: str) -> str:
    return Path(path.strip()).stem


# --- /out/infer-result.json ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InferredBox:
    """One box as the platform keeps it."""

    x: int
    y: int
    w: int
    h: int
    class_name: str
    score: float


def read_infer_result(
    path: Path, candidates: Sequence[str], class_names: Sequence[str], release: str = "2.5.0"
) -> dict[str, list[InferredBox]]:
    """Read infer-result.json and return what the platform shows: base name of the image -> its boxes.

    Boxes of unknown classes, and from 2.1 those without score, are dropped in silence; up to 2.0.2 only the 50 best
    of an image are kept.
    """
    detection = _load_detection(path)
    names = {Path(candidate).name for candidate in candidates}
    shown: dict[str, list[InferredBox]] = {}
    for key, entry in detection.items():
        name = Path(key).name
        _require(name == key or _since(release, "2.1.0"), f"{key} must be a base name in release {release}")
        _require(name in names, f"{key} is not a candidate")
        boxes = [_read_box(box, release) for box in _box_list(entry, key, release)]
        kept = [box for box in boxes if box and _same_name(box.class_name, class_names, release)]
        if not _since(release, "2.1.0"):
            kept = sorted(kept, key=lambda box: -box.score)[:MOST_BOXES_BEFORE_2_1]
        shown[name] = kept
    return shown


def _load_detection(path: Path) -> dict[str, Any]:
    _require(path.is_file(), "infer-result.json must exist")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except ValueError as exc:
        raise PlatformRefusal(f"infer-result.json must be JSON: {exc}") from exc
    _require(isinstance(content, dict) and isinstance(content.get("detection"), dict), "detection must be a mapping")
    return dict(content["detection"])


def _refuse_constant(word: str) -> None:
    raise PlatformRefusal(f"{word} is not JSON and breaks the page that shows the boxes")


def _box_list(entry: Any, key: str, release: str) -> list[Any]:
    _require(isinstance(entry, dict), f"{key}: an image's entry must be a mapping")
    allowed = {"1.1.0": {"annotations"}, "1.2.1dev": {"boxes"}}.get(release, {"boxes", "annotations"})
    if not _since(release, "1.3.0dev"):
        _require(allowed <= set(entry), f"{key}: release {release} reads {' '.join(allowed)} only")
    if not _since(release, "2.1.0"):
        _require(set(entry) <= allowed, f"{key}: release {release} refuses extra keys, found {sorted(entry)}")
    boxes = [entry[name] for name in ("boxes", "annotations") if name in allowed and entry.get(name)]
    _require(not boxes or isinstance(boxes[0], list), f"{key}: the boxes must be a list")
    return list(boxes[0]) if boxes else []


def _read_box(box: Any, release: str) -> InferredBox | None:
    _require(isinstance(box, dict) and isinstance(box.get("box"), dict), f"a box needs the mapping 'box': {box!r}")
    _require(isinstance(box.get("class_name"), str), f"a box needs a class_name: {box!r}")
    if not _since(release, "2.1.0"):
        _require("score" in box, f"a box needs a score in release {release}: {box!r}")
        extra = set(box) - {"box", "class_name", "score"}
        _require(not extra, f"release {release} refuses extra keys of a box: {sorted(extra)}")
    if "score" not in box:
        return None
    known_keys = {"x", "y", "w", "h"} | ({"rotate_angle"} if _since(release, "1.3.0dev") else set())
    extra = set(box["box"]) - known_keys
    _require(not extra, f"extra keys in box are refused: {sorted(extra)}")
    score = float(_converted(float, box["score"], "score must be a number"))
    corners = [_read_pixels(box["box"].get(key, 0), key) for key in ("x", "y", "w", "h")]
    return InferredBox(corners[0], corners[1], corners[2], corners[3], box["class_name"], score)


def _read_pixels(value: Any, key: str) -> int:
    _require(
        isinstance(value, (int, float)) and not isinstance(value, bool), f"{key} must be a number, found {value!r}"
    )
    _require(
        float(value).is_integer() and abs(value) <= LARGEST_INT32, f"{key} must be a whole number, found {value!r}"
    )
    return int(value)


def _same_name(name: str, class_names: Sequence[str], release: str) -> bool:
    """Compare as the platform does."""
    _require(name.strip() or not _since(release, "1.2.1dev"), "an empty class name is refused")
    return name.lower().strip() in {known.lower().strip() for known in class_names}


# --- the third-party verifier --------------------------------------------------------------------------------------


def verifier_checks(out_dir: Path, task: str, candidates: Sequence[str] = ()) -> None:
    """Assert what ymir-executor-verifier asserts after a run.

    Args:
        out_dir: the folder mounted at /out.
        task: `train`, `mining`, `infer` or `mining+infer`.
        candidates: paths or base names of the candidate index.
    """
    _require((out_dir / "monitor.txt").is_file(), "monitor.txt must exist")
    parts = task.split("+")
    if "train" in parts:
        _verify_training(out_dir)
    if "infer" in parts:
        _verify_infer(out_dir / "infer-result.json", candidates)
    if "mining" in parts:
        _verify_mining(out_dir / "result.tsv", candidates)


def unpack_for_verifier(out_models: Path, models_dir: Path) -> list[str]:
    """Do what the verifier does between two tasks: every top-level file of out/models goes to /in/models, flat."""
    models_dir.mkdir(parents=True, exist_ok=True)
    files = sorted(file for file in out_models.iterdir() if file.is_file())
    for file in files:
        shutil.copyfile(str(file), str(models_dir / file.name))
    return [f"/in/models/{file.name}" for file in files]


def _verify_training(out_dir: Path) -> None:
    models_dir = out_dir / "models"
    result = _load_yaml_mapping(models_dir / "result.yaml")
    _require(isinstance(result.get("map", 0), (int, float)), "map must be a number")
    _verify_files(result.get("model", []), [models_dir])
    for name, stage in (result.get("model_stages") or {}).items():
        missing = {"stage_name", "files", "timestamp", "mAP"} - set(stage)
        _require(not missing, f"stage {name} lacks {sorted(missing)}")
        _verify_files(stage["files"], [models_dir / name, models_dir])
    _require(any(file.is_file() for file in models_dir.rglob("*")), "/out/models must hold a file")
    tensorboard = out_dir / "tensorboard"
    _require(tensorboard.is_dir() and any(tensorboard.iterdir()), "/out/tensorboard must hold something")


def _verify_files(names: Any, folders: Sequence[Path]) -> None:
    _require(isinstance(names, list), f"a list of files is needed, found {names!r}")
    for name in names:
        _require(not Path(name).is_absolute(), f"{name} must be a relative path")
        files = [folder / name for folder in folders if (folder / name).is_file()]
        _require(files, f"{name} must exist")
        _require(not files[0].is_symlink(), f"{name} must not be a link")


def _verify_infer(path: Path, candidates: Sequence[str]) -> None:
    expected = {Path(candidate).name for candidate in candidates}
    names = set(_load_detection(path))
    _require(
        names == expected, f"detection must hold exactly the candidates; differs in {sorted(names ^ expected)[:3]}"
    )


def _verify_mining(path: Path, candidates: Sequence[str]) -> None:
    _require(path.is_file(), "result.tsv must exist")
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        columns = line.split("\t")
        _require(len(columns) == 2, f"result.tsv needs two columns between tabs, found {line!r}")
        _converted(float, columns[1], "the score must be a number")
    _require(len(lines) == len(candidates), f"result.tsv has {len(lines)} lines for {len(candidates)} candidates")
