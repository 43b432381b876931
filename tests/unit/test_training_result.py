"""result.yaml: which stages are kept, which one is best, what is attached, and how the list survives a restart."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.platform_reader import RELEASES, read_training_result
from ymir_detectron2.contract import training_result
from ymir_detectron2.contract.training_result import Stage, TrainingResult


def add_stage(result: TrainingResult, folder: Path, step: int, map50: float) -> None:
    name = f"iter_{step:07d}"
    (folder / f"{name}.pth").write_bytes(b"weights")
    (folder / "config.yaml").write_text("MODEL: {}\n")
    result.add(Stage(name, (f"{name}.pth", "config.yaml"), map50, {"mAR": map50, "tp": float("nan")}))


def train(folder: Path, maps: list[float], *, writes_stages: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    result = TrainingResult(folder, folder / "result.yaml", writes_stages=writes_stages)
    for step, map50 in enumerate(maps, start=1):
        add_stage(result, folder, step, map50)


@pytest.mark.parametrize(
    ("maps", "best", "kept"),
    [
        pytest.param([0.1], 1, {1}, id="one"),
        pytest.param([0.3, 0.1, 0.2], 1, {1, 2, 3}, id="best first"),
        pytest.param([0.2, 0.3, 0.3], 3, {1, 2, 3}, id="of equals the latest"),
        pytest.param([0.9] + [0.1] * 12, 1, {1, *range(4, 14)}, id="the best one is kept with the latest ten"),
        pytest.param([0.1] * 13, 13, set(range(4, 14)), id="ten of equals"),
        pytest.param([0.9] + [0.1] * 10 + [0.95], 12, set(range(3, 13)), id="a better one frees the old best"),
        pytest.param([float("nan"), 0.0, float("inf")], 3, {1, 2, 3}, id="NaN and infinity count as 0"),
    ],
)
def test_latest_ten_stages_and_the_best_are_kept(tmp_path: Path, maps: list[float], best: int, kept: set[int]):
    folder = tmp_path / "models"
    train(folder, maps)
    packed = read_training_result(folder)
    assert packed.best_stage_name == f"iter_{best:07d}"
    assert {int(name[5:]) for name in packed.stages} == kept
    assert {int(file.stem[5:]) for file in folder.glob("*.pth")} == kept


def test_the_first_release_gets_the_files_of_the_best_stage(tmp_path: Path):
    train(tmp_path, [0.1, 0.6, 1.2], writes_stages=False)
    assert yaml.safe_load((tmp_path / "result.yaml").read_text()) == {
        "model": ["iter_0000003.pth", "config.yaml"], "map": 1.0,
    }  # fmt: skip
    assert read_training_result(tmp_path, "1.1.0").best.m_ap == 1.0


def result_in(folder: Path) -> TrainingResult:
    return TrainingResult(
        folder, folder / "result.yaml", writes_stages=True, record=folder / "unfinished" / "stages.json"
    )


def stage(folder: Path, step: int, map50: float, **values: Any) -> Stage:
    """A stage whose file exists, as the engine has written it by then."""
    (folder / f"{step}.pth").write_bytes(b"weights")
    return Stage(f"iter_{step}", (f"{step}.pth",), map50, timestamp_s=step, **values)


def names(folder: Path) -> list[str]:
    return list(yaml.safe_load((folder / "result.yaml").read_text())["model_stages"])


def test_the_score_takes_precedence_over_ap50(tmp_path: Path):
    result = result_in(tmp_path)
    for step, map50, score in ((1, 0.9, 0.1), (2, 0.5, 0.3), (3, 0.7, 0.2)):
        result.add(stage(tmp_path, step, map50, score=score))
    assert result.best().name == "iter_2"
    assert yaml.safe_load((tmp_path / "result.yaml").read_text())["mAP"] == 0.5, "the platform gets AP50 nevertheless"


def test_a_stage_replaces_weights_that_were_saved_without_an_evaluation(tmp_path: Path):
    result = result_in(tmp_path)
    result.add(stage(tmp_path, 1, 0.4))
    result.add(stage(tmp_path, 2, 0.0, measured=False))
    assert names(tmp_path) == ["iter_1", "iter_2"]
    result.add(stage(tmp_path, 3, 0.5))
    assert names(tmp_path) == ["iter_1", "iter_3"]
    assert sorted(file.name for file in tmp_path.glob("*.pth")) == ["1.pth", "3.pth"]


def test_a_restarted_process_restores_the_list_and_writes_it_at_once(tmp_path: Path):
    """A run that was killed after its last stage adds no other, and has to leave a result.yaml nevertheless."""
    first = result_in(tmp_path)
    first.add(stage(tmp_path, 1, 0.4, metrics={"mAR": 0.25}))
    first.add(stage(tmp_path, 2, 0.6, score=0.1))
    (tmp_path / "result.yaml").unlink()
    second = result_in(tmp_path)
    second.restore()
    assert second.stages == first.stages
    assert names(tmp_path) == ["iter_1", "iter_2"]


def test_what_a_killed_process_could_not_remove_is_removed_at_the_restart(tmp_path: Path):
    """Or what a power cut has brought back. A name that is listed again meanwhile is another file."""
    first = result_in(tmp_path)
    dropped, kept = (stage_with_config(tmp_path, step, 0.1, measured=step > 1) for step in (1, 2))
    first.add(dropped)
    first.add(kept)
    stage_with_config(tmp_path, 1, 0.1)
    (tmp_path / "of another program.pth").touch()
    assert result_in(tmp_path).restore()
    assert names(tmp_path) == [kept.name]
    assert not (tmp_path / dropped.files[0]).exists()
    assert not (tmp_path / dropped.name).exists()
    assert (tmp_path / kept.files[0]).exists()
    assert (tmp_path / "config.yaml").exists()
    assert (tmp_path / "of another program.pth").exists()


def test_a_stage_whose_file_is_gone_is_not_offered_again(tmp_path: Path):
    first = result_in(tmp_path)
    first.add(stage(tmp_path, 1, 0.4))
    first.add(stage(tmp_path, 2, 0.6))
    (tmp_path / "2.pth").unlink()
    second = result_in(tmp_path)
    second.restore()
    assert [kept.name for kept in second.stages] == ["iter_1"]


def test_a_damaged_list_does_not_stop_the_training(tmp_path: Path):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "stages.json").write_text('[{"name": 1}]')
    result = result_in(tmp_path)
    result.restore()
    assert result.stages == ()


def stage_with_config(folder: Path, step: int, map50: float, **values: Any) -> Stage:
    """A stage that has a config.yaml in its own folder."""
    own = folder / f"iter_{step}" / "config.yaml"
    own.parent.mkdir(exist_ok=True)
    own.write_text(f"of {step}")
    added = stage(folder, step, map50, **values)
    return replace(added, files=(*added.files, "config.yaml"))


def test_every_stage_is_packed_with_its_own_file_and_early_releases_find_that_of_the_best(tmp_path: Path):
    result = result_in(tmp_path)
    for step, map50 in ((1, 0.3), (2, 0.9), (3, 0.5)):
        result.add(stage_with_config(tmp_path, step, map50))
    packed = read_training_result(tmp_path)
    assert [packed.stages[f"iter_{step}"].files["config.yaml"].read_text() for step in (1, 2, 3)] == [
        "of 1", "of 2", "of 3",
    ]  # fmt: skip
    assert (tmp_path / "config.yaml").read_text() == "of 2"


def test_the_folder_of_a_stage_goes_with_its_weights(tmp_path: Path):
    result = result_in(tmp_path)
    result.add(stage_with_config(tmp_path, 1, 0.4))
    result.add(stage_with_config(tmp_path, 2, 0.0, measured=False))
    result.add(stage_with_config(tmp_path, 3, 0.5))
    assert sorted(path.parent.name for path in tmp_path.glob("iter_*/config.yaml")) == ["iter_1", "iter_3"]
    assert not (tmp_path / "iter_2").exists()
    for step in range(4, 15):
        result.add(stage_with_config(tmp_path, step, 0.6))
    assert sorted(int(path.name[5:]) for path in tmp_path.glob("iter_*")) == list(range(5, 15))
    assert (tmp_path / "config.yaml").read_text() == "of 14"


def test_a_restarted_process_offers_early_releases_the_file_of_the_best_stage_that_is_left(tmp_path: Path):
    first = result_in(tmp_path)
    first.add(stage_with_config(tmp_path, 1, 0.4))
    first.add(stage_with_config(tmp_path, 2, 0.6))
    (tmp_path / "2.pth").unlink()
    result_in(tmp_path).restore()
    assert (tmp_path / "config.yaml").read_text() == "of 1"


def attachments(folder: Path) -> dict[str, list[str]]:
    return dict(yaml.safe_load((folder / "result.yaml").read_text()).get("attachments", {}))


def test_attachments_are_listed_as_long_as_their_stage_is_the_best_and_their_files_exist(tmp_path: Path):
    result = result_in(tmp_path)
    result.add(stage(tmp_path, 1, 0.4))
    result.attach("evaluation", {"a.png": b"a", "b.png": b"b"})
    result.add(stage(tmp_path, 2, 0.1))
    assert attachments(tmp_path) == {"evaluation": ["a.png", "b.png"]}
    assert (tmp_path / "attachments" / "evaluation" / "b.png").read_bytes() == b"b"
    (tmp_path / "attachments" / "evaluation" / "b.png").unlink()
    result.add_file("iter_1", "1.onnx")
    assert attachments(tmp_path) == {"evaluation": ["a.png"]}
    restored = result_in(tmp_path)
    restored.restore()
    assert attachments(tmp_path) == {}, "1.onnx does not exist, so the best stage is gone"
    result.add(stage(tmp_path, 3, 0.9))
    assert attachments(tmp_path) == {}


def test_releases_without_stages_get_no_list_of_attachments(tmp_path: Path):
    result = TrainingResult(tmp_path, tmp_path / "result.yaml", writes_stages=False)
    result.add(stage(tmp_path, 1, 0.4))
    result.attach("evaluation", {"a.png": b"a"})
    assert set(yaml.safe_load((tmp_path / "result.yaml").read_text())) == {"model", "map"}
    assert (tmp_path / "attachments" / "evaluation" / "a.png").read_bytes() == b"a", "for whoever looks into the folder"


def test_files_are_attached_one_after_the_other_until_another_stage_is_the_best(tmp_path: Path):
    result = result_in(tmp_path)
    result.add(stage(tmp_path, 1, 0.4))
    result.attach("evaluation", {"a.json": b"a"})
    result.attach("evaluation", {"b.png": b"b", "a.json": b"c"})
    assert read_training_result(tmp_path).attachments == {"evaluation": ("a.json", "b.png")}
    result.add(stage(tmp_path, 2, 0.5))
    assert read_training_result(tmp_path).attachments == {}
    result.attach("evaluation", {"b.png": b"d"})
    assert read_training_result(tmp_path).attachments == {"evaluation": ("b.png",)}


@pytest.mark.parametrize("release", RELEASES[RELEASES.index("2.0.1") :])
def test_the_threshold_of_the_best_stage_is_beside_that_of_the_counts(tmp_path: Path, release: str):
    result = result_in(tmp_path)
    result.add(stage(tmp_path, 1, 0.4))
    assert read_training_result(tmp_path, release).evaluate_config == {"iou_thr": 0.5, "conf_thr": 0.2}
    result.add(stage(tmp_path, 2, 0.5, best_threshold=0.437))
    result.add(stage(tmp_path, 3, 0.3, best_threshold=0.9))
    expected = {"iou_thr": 0.5, "conf_thr": 0.2, "best_conf_thr": 0.437}
    assert read_training_result(tmp_path, release).evaluate_config == expected
    again = result_in(tmp_path)
    again.restore()
    assert again.stages == result.stages


def test_counts_are_integers_and_rates_are_in_0_to_1(tmp_path: Path):
    result = result_in(tmp_path)
    figures = {"mAR": 1.5, "boxAP": float("nan"), "tp": 7, "fn": -1}
    result.add(stage(tmp_path, 1, -0.5, metrics=figures))
    written = yaml.safe_load((tmp_path / "result.yaml").read_text())["model_stages"]["iter_1"]
    expected = {"mAP": 0.0, "mAR": 1.0, "boxAP": 0.0, "tp": 7, "fn": 0}
    assert {name: written[name] for name in expected} == expected
    assert {name: type(written[name]) for name in ("mAR", "tp")} == {"mAR": float, "tp": int}


@pytest.mark.parametrize(
    ("stage_name", "file", "section"),
    [
        pytest.param("../outside", "a.pth", "plots", id="a folder above, which was removed with all that it holds"),
        pytest.param("iter_1", "../outside/b.pth", "plots", id="a file above, which was removed"),
        pytest.param("iter_1", "a.pth", "../../../outside", id="attachments from above"),
    ],
)
def test_a_list_with_names_from_elsewhere_is_damaged(
    tmp_path: Path, stage_name: str, file: str, section: str, caplog: pytest.LogCaptureFixture
):
    models, outside = tmp_path / "models", tmp_path / "outside"
    for path in (models / "a.pth", outside / "a.pth", outside / "b.pth"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"weights")
    listed = {"name": stage_name, "files": [file], "map50": 0.5, "measured": False}
    record = tmp_path / "stages.json"
    record.write_text(json.dumps({"stages": [listed], "attachments": {section: ["b.pth"]}}))
    result = TrainingResult(models, models / "result.yaml", writes_stages=True, record=record)
    result.restore()
    assert result.stages == ()
    assert "earlier stages are not offered any more" in caplog.text
    add_stage(result, models, 2, 0.5)
    assert sorted(path.name for path in outside.iterdir()) == ["a.pth", "b.pth"]


def test_a_list_that_drops_what_is_elsewhere_removes_nothing(tmp_path: Path):
    models, record = tmp_path / "models", tmp_path / "stages.json"
    result = TrainingResult(models, models / "result.yaml", writes_stages=True, record=record)
    models.mkdir()
    add_stage(result, models, 2, 0.5)
    listed = json.loads(record.read_text())
    (tmp_path / "outside").mkdir()
    for name in ("../outside", "."):
        record.write_text(json.dumps({**listed, "dropped": [name]}))
        assert not TrainingResult(models, models / "result.yaml", writes_stages=True, record=record).restore()
        assert (tmp_path / "outside").is_dir()
        assert (models / "result.yaml").is_file()


SOUND: dict[str, Any] = {
    "name": "iter_1", "files": ["1.pth"], "map50": 0.5, "metrics": {"mAR": 0.5, "tp": 3}, "timestamp_s": 7,
    "score": -1.0, "measured": True,
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"name": 5}, {"name": "a b"}, {"files": "1.pth"}, {"files": [1]}, {"map50": "x"}, {"map50": 10**400},
        {"map50": True}, {"metrics": [1]}, {"metrics": {"mAR": "x"}}, {"timestamp_s": "x"}, {"timestamp_s": -1},
        {"score": None}, {"measured": "yes"}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_entry_of_the_record_costs_the_earlier_stages_and_nothing_else(
    tmp_path: Path, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    result = result_in(tmp_path)
    result.add(stage(tmp_path, 1, 0.5))
    record = tmp_path / "unfinished" / "stages.json"
    record.write_text(json.dumps({"stages": [SOUND], "attachments": {}}))
    assert result_in(tmp_path).restore()
    record.write_text(json.dumps({"stages": [{**SOUND, **changes}], "attachments": {}}))
    again = result_in(tmp_path)
    assert not again.restore()
    assert f"{record}: cannot be read" in caplog.text
    again.add(stage(tmp_path, 2, 0.4))
    assert names(tmp_path) == ["iter_2"]


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, "[]", "5", '{"stages": [], "attachments": []}', '{"stages": [5], "attachments": {}}'],
    ids=["empty", "deep", "list", "number", "list of attachments", "numbers for stages"],
)  # fmt: skip
def test_a_record_that_is_none_is_a_warning(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture):
    record = tmp_path / "unfinished" / "stages.json"
    record.parent.mkdir()
    record.write_text(text)
    assert not result_in(tmp_path).restore()
    (message,) = caplog.messages
    assert message.startswith(f"{record}: cannot be read")
    assert len(message.splitlines()) == 1


def test_the_training_is_told_whether_a_stage_is_left(tmp_path: Path):
    first = result_in(tmp_path)
    assert not first.restore(), "there is no record yet"
    first.add(stage(tmp_path, 1, 0.5))
    assert result_in(tmp_path).restore()
    (tmp_path / "1.pth").unlink()
    assert not result_in(tmp_path).restore()


R50_BYTES = 152_000_000  # of the weights of RetinaNet with a ResNet-50


def large_stage(folder: Path, step: int, map50: float, size: int = R50_BYTES) -> Stage:
    """A stage with a sparse file, which takes no space on the disk."""
    added = stage_with_config(folder, step, map50)
    os.truncate(str(folder / added.files[0]), size)
    return added


def packed_bytes(folder: Path) -> int:
    """Everything that the platform packs."""
    packed = read_training_result(folder)
    files = [path for kept in packed.stages.values() for path in kept.files.values()]
    attachments = folder / "attachments"
    files += [attachments / section / name for section, given in packed.attachments.items() for name in given]
    return sum(file.stat().st_size for file in files)


@pytest.mark.parametrize(
    ("maps", "size", "kept"),
    [
        pytest.param([0.1] * 12, R50_BYTES, range(7, 13), id="six of R50"),
        pytest.param([0.9] + [0.1] * 11, R50_BYTES, [1, *range(8, 13)], id="the best and the latest five"),
        pytest.param([0.9, 0.1, 0.1], 600_000_000, [1, 3], id="never fewer than the best and the latest"),
        pytest.param([0.1, 0.1, 0.9], 1_100_000_000, [3], id="one that is both, and too large"),
        pytest.param([0.1] * 12, 90_000_000, range(3, 13), id="ten of a smaller network"),
    ],
)
def test_the_stages_that_are_kept_can_be_imported_as_one_model(tmp_path: Path, maps, size: int, kept):
    result = result_in(tmp_path)
    for step, map50 in enumerate(maps, start=1):
        result.add(large_stage(tmp_path, step, map50, size))
    assert names(tmp_path) == [f"iter_{step}" for step in kept]
    assert sorted(tmp_path.glob("*.pth")) == sorted(tmp_path / f"{step}.pth" for step in kept)
    assert sorted(path.name for path in tmp_path.glob("iter_*")) == sorted(f"iter_{step}" for step in kept)
    if len(kept) > 2:
        assert packed_bytes(tmp_path) < 1_024_000_000


def test_a_long_run_says_once_why_it_keeps_fewer(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    result = result_in(tmp_path)
    with caplog.at_level(logging.INFO):
        for step in range(1, 12):
            result.add(large_stage(tmp_path, step, 0.1))
    assert len(caplog.messages) == 1
    assert "YMIR imports a model of less than 1,024 MB" in caplog.messages[0]


def test_an_export_and_plots_count_as_well(tmp_path: Path):
    result = result_in(tmp_path)
    for step in range(1, 7):
        result.add(large_stage(tmp_path, step, step / 10))
    assert len(names(tmp_path)) == 6
    result.attach("evaluation", {"plot.png": bytes(1000), "large.json": bytes(120_000_000)})
    assert names(tmp_path) == [f"iter_{step}" for step in range(2, 7)]
    (tmp_path / "iter_6.onnx").touch()
    os.truncate(str(tmp_path / "iter_6.onnx"), R50_BYTES)
    result.add_file("iter_6", "iter_6.onnx")
    assert names(tmp_path) == [f"iter_{step}" for step in range(3, 7)]
    assert read_training_result(tmp_path).best.files.keys() == {"6.pth", "config.yaml", "iter_6.onnx"}
    assert packed_bytes(tmp_path) < 1_024_000_000


def test_a_resumed_list_of_an_earlier_version_is_shortened_by_its_next_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(training_result, "IMPORT_LIMIT_BYTES", 1 << 60)
    first = result_in(tmp_path)
    for step in range(1, 11):
        first.add(large_stage(tmp_path, step, 0.1))
    monkeypatch.undo()
    second = result_in(tmp_path)
    assert second.restore()
    assert len(names(tmp_path)) == 10
    second.add(large_stage(tmp_path, 11, 0.1))
    assert names(tmp_path) == [f"iter_{step}" for step in range(6, 12)]
    third = result_in(tmp_path)
    assert third.restore()
    assert third.stages == second.stages


def test_early_releases_pack_the_best_stage_only_and_so_keep_ten(tmp_path: Path):
    result = TrainingResult(tmp_path, tmp_path / "result.yaml", writes_stages=False)
    for step in range(1, 13):
        result.add(large_stage(tmp_path, step, 0.1))
    assert len(result.stages) == 10
