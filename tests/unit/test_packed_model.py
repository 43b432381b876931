"""Models between two tasks: the best stage is packed and unpacked where the release puts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import pytest
import yaml

from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.packed_model import (
    LEGACY_STAGE,
    pack_best_stage,
    pack_stage,
    pack_stages,
    package_info,
    unpack_stage,
)
from ymir_detectron2.tools.releases import find_release

STAGED = {
    "best_stage_name": "s2",
    "model_stages": {
        name: {"stage_name": name, "files": [f"{name}.pth", "config.yaml"], "timestamp": 1600000000, "mAP": 0.25}
        for name in ("s1", "s2")
    },
}
FILES = ("s1.pth", "s2.pth", "config.yaml")


def write_training(
    folder: Path, result: Any, files: Sequence[str] = FILES, class_names: Sequence[str] = ("wbc", "rbc")
) -> Path:
    """Write what a finished training leaves; return its /out/models."""
    models = folder / "out" / "models"
    for name in files:
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text(f"content of {name}")
    models.mkdir(parents=True, exist_ok=True)
    (models / "result.yaml").write_text(result if isinstance(result, str) else yaml.safe_dump(result))
    (folder / "in").mkdir()
    (folder / "in" / "config.yaml").write_text(yaml.safe_dump({"class_names": list(class_names), "max_iter": 5}))
    return models


def test_the_best_stage_with_the_settings_of_its_training(tmp_path: Path):
    models = write_training(tmp_path, STAGED)
    stage = pack_best_stage(models)
    assert (stage.name, stage.m_ap, stage.timestamp) == ("s2", 0.25, 1600000000)
    assert stage.files == (("s2.pth", models / "s2.pth"), ("config.yaml", models / "config.yaml"))
    assert stage.executor_config == {"class_names": ["wbc", "rbc"], "max_iter": 5}


def test_the_folder_of_a_stage_is_searched_first(tmp_path: Path):
    models = write_training(tmp_path, STAGED, [*FILES, "s2/config.yaml"])
    assert dict(pack_best_stage(models).files)["config.yaml"] == models / "s2" / "config.yaml"


def test_a_legacy_result_becomes_the_default_stage_and_hides_other_stages(tmp_path: Path):
    models = write_training(tmp_path, {"model": ["s1.pth"], "map": 0.5, **STAGED})
    stage = pack_best_stage(models)
    assert (stage.name, stage.m_ap, dict(stage.files)) == (LEGACY_STAGE, 0.5, {"s1.pth": models / "s1.pth"})


def test_all_stages_begin_with_the_best_and_the_latest(tmp_path: Path):
    result = {
        "best_stage_name": "s2",
        "model_stages": {name: {"stage_name": name, "files": [f"{name}.pth"]} for name in ("s1", "s2", "s3")},
    }
    models = write_training(tmp_path, result, ["s1.pth", "s2.pth", "s3.pth"])
    assert [stage.name for stage in pack_stages(models / "result.yaml")] == ["s2", "s3", "s1"]
    legacy = write_training(tmp_path / "legacy", {"model": ["s1.pth"], "map": 0.5, **STAGED})
    assert [stage.name for stage in pack_stages(legacy / "result.yaml")] == [LEGACY_STAGE]


def test_figures_of_a_stage_go_into_the_package_as_far_as_the_platform_takes_them(tmp_path: Path):
    figures = {"mAR": 0.5, "boxAP": float("nan"), "tp": 7, "fp": -1, "fn": 2.5, "other": 1}
    entry = {**STAGED["model_stages"]["s2"], **figures}
    models = write_training(tmp_path, {**STAGED, "model_stages": {"s2": entry}})
    stage = pack_best_stage(models)
    assert stage.figures == {"mAR": 0.5, "tp": 7}
    info = package_info([stage], find_release("2.5.0"), [])
    assert info["stages"]["s2"] == {
        "stage_name": "s2", "files": ["s2.pth", "config.yaml"], "timestamp": 1600000000, "mAP": 0.25, "mAR": 0.5,
        "tp": 7,
    }  # fmt: skip
    unpack_stage(stage, tmp_path / "models", find_release("2.5.0"), [])
    assert pack_stage(tmp_path / "models" / "ymir-info.yaml").figures == stage.figures, "it can be packed again"


def test_single_files_become_a_stage(tmp_path: Path):
    files = [tmp_path / "w.pth", tmp_path / "c.yaml"]
    for file in files:
        file.write_text("x")
    assert pack_best_stage(files).files == (("w.pth", files[0]), ("c.yaml", files[1]))
    assert pack_best_stage(files[0]).files == (("w.pth", files[0]),)


@pytest.mark.parametrize(
    ("release", "paths"),
    [
        ("1.1.0", ["/in/models/s2.pth", "/in/models/config.yaml"]),
        ("1.2.1dev", ["/in/models/s2.pth", "/in/models/config.yaml"]),
        ("2.0.0", ["/in/models/s2/s2.pth", "/in/models/s2/config.yaml"]),
        ("2.5.0", ["/in/models/s2/s2.pth", "/in/models/s2/config.yaml"]),
    ],
)
def test_a_stage_is_unpacked_where_the_release_puts_it(tmp_path: Path, release: str, paths: list[str]):
    stage = pack_best_stage(write_training(tmp_path / "trained", STAGED))
    models_dir = tmp_path / "in" / "models"
    assert unpack_stage(stage, models_dir, find_release(release), ["other"]) == paths
    assert (tmp_path / paths[0].lstrip("/")).read_text() == "content of s2.pth"
    unpacked = {f"/in/models/{path.relative_to(models_dir)}" for path in models_dir.rglob("*") if path.is_file()}
    assert unpacked == {*paths, "/in/models/ymir-info.yaml"}
    info = yaml.safe_load((models_dir / "ymir-info.yaml").read_text())
    assert info["executor_config"]["class_names"] == ["wbc", "rbc"], "those of the training, not those of the task"
    assert info.get("best_stage_name") == (None if release == "1.1.0" else "s2")


def test_class_names_of_the_task_stand_in_for_unknown_ones(tmp_path: Path):
    (tmp_path / "w.pth").write_text("x")
    unpack_stage(pack_best_stage(tmp_path / "w.pth"), tmp_path / "models", find_release("2.5.0"), ["cat"])
    info = yaml.safe_load((tmp_path / "models" / "ymir-info.yaml").read_text())
    assert info["executor_config"] == {"class_names": ["cat"]}


@pytest.mark.parametrize(
    ("result", "finding"),
    [
        pytest.param("a: [", "is not YAML", id="broken"),
        pytest.param("[]", "expected 'key: value' pairs, found list", id="a list"),
        pytest.param({}, "names no best stage with files; finish the training first", id="empty"),
        pytest.param({**STAGED, "best_stage_name": "s3"}, "names no best stage", id="a best stage that is not listed"),
        pytest.param({"best_stage_name": "s", "model_stages": {"s": {"files": []}}}, "names no best", id="no files"),
        pytest.param({"model": ["gone.pth"]}, "result.yaml lists 'gone.pth', which is not there", id="a missing file"),
    ],
)
def test_a_result_that_names_no_model(tmp_path: Path, result: Any, finding: str):
    with pytest.raises(ConfigError, match=finding):
        pack_best_stage(write_training(tmp_path, result))


def test_models_that_do_not_exist(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"result\.yaml: cannot be read \(No such file"):
        pack_best_stage(tmp_path)
    for source in (tmp_path / "gone.pth", [tmp_path / "gone.pth"]):
        with pytest.raises(ConfigError, match=r"gone\.pth: no such model file; give a training's /out/models or"):
            pack_best_stage(source)
    with pytest.raises(ConfigError, match="no model files were given"):
        pack_best_stage([])


def named(stage: str, file: str) -> dict[str, Any]:
    return {"best_stage_name": stage, "model_stages": {stage: {"stage_name": stage, "files": [file], "mAP": 0.5}}}


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(named("../../../written", "s1.pth"), id="stage above"),
        pytest.param(named("/written", "s1.pth"), id="absolute stage"),
        pytest.param(named(".", "s1.pth"), id="the folder as a stage"),
        pytest.param(named("s1", "../../../secret"), id="file above"),
        pytest.param(named("s1", "link"), id="link to a file above"),
        pytest.param({"model": ["../../secret"], "map": 0.5}, id="file above, first release"),
        pytest.param(named("s1", "s1/../../../../secret"), id="file above by a detour"),
    ],
)
@pytest.mark.parametrize("release", ["1.1.0", "2.5.0"])
def test_names_that_lead_out_of_the_folders_are_refused(tmp_path: Path, result: Any, release: str):
    """Stages and files of these names were written anywhere, and files from anywhere were packed."""
    models = write_training(tmp_path / "training", result, ["s1.pth", "s1/s1.pth"])
    (tmp_path / "training" / "secret").write_text("a key")
    (models / "link").symlink_to(tmp_path / "training" / "secret")
    task = tmp_path / "far" / "down" / "models"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=r"result\.yaml"):
        unpack_stage(pack_best_stage(models), task, find_release(release), ["a"])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("files", [5, "s1.pth", [5], {"s1.pth": 1}, []], ids=str)
def test_files_that_are_no_list_of_names(tmp_path: Path, files: Any):
    with pytest.raises(ConfigError, match="names no best stage with files"):
        pack_best_stage(write_training(tmp_path, {"model": files}))
