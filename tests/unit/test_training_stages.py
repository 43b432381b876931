"""The list of stages: which one is best, what a hurried one is worth, and how it outlives its process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ymir_detectron2.contract.training_result import Stage, TrainingResult


def result_in(folder: Path) -> TrainingResult:
    return TrainingResult(
        folder, folder / "result.yaml", writes_stages=True, record=folder / "unfinished" / "stages.json"
    )


def stage(folder: Path, step: int, map50: float, **values: Any) -> Stage:
    """With its file, as the engine has written it by then."""
    (folder / f"{step}.pth").write_bytes(b"weights")
    return Stage(f"iter_{step}", (f"{step}.pth",), map50, timestamp_s=step, **values)


def names(folder: Path) -> list[str]:
    return list(yaml.safe_load((folder / "result.yaml").read_text())["model_stages"])


def test_the_score_decides_where_there_is_one(tmp_path: Path):
    result = result_in(tmp_path)
    for step, map50, score in ((1, 0.9, 0.1), (2, 0.5, 0.3), (3, 0.7, 0.2)):
        result.add(stage(tmp_path, step, map50, score=score))
    assert result.best().name == "iter_2"
    assert yaml.safe_load((tmp_path / "result.yaml").read_text())["mAP"] == 0.5, "YMIR is told the AP50 all the same"


def test_a_stage_takes_the_place_of_weights_that_were_saved_in_a_hurry(tmp_path: Path):
    result = result_in(tmp_path)
    result.add(stage(tmp_path, 1, 0.4))
    result.add(stage(tmp_path, 2, 0.0, measured=False))
    assert names(tmp_path) == ["iter_1", "iter_2"]
    result.add(stage(tmp_path, 3, 0.5))
    assert names(tmp_path) == ["iter_1", "iter_3"]
    assert sorted(file.name for file in tmp_path.glob("*.pth")) == ["1.pth", "3.pth"]


def test_a_new_process_goes_on_with_the_list_and_writes_it_at_once(tmp_path: Path):
    """A run that was killed after its last stage has nothing more to add, and still has to leave a result.yaml."""
    first = result_in(tmp_path)
    first.add(stage(tmp_path, 1, 0.4, metrics={"mAR": 0.25}))
    first.add(stage(tmp_path, 2, 0.6, score=0.1))
    (tmp_path / "result.yaml").unlink()
    second = result_in(tmp_path)
    second.restore()
    assert second.stages == first.stages
    assert names(tmp_path) == ["iter_1", "iter_2"]


def test_a_stage_whose_file_is_gone_is_not_offered_again(tmp_path: Path):
    first = result_in(tmp_path)
    first.add(stage(tmp_path, 1, 0.4))
    first.add(stage(tmp_path, 2, 0.6))
    (tmp_path / "2.pth").unlink()
    second = result_in(tmp_path)
    second.restore()
    assert [kept.name for kept in second.stages] == ["iter_1"]


def test_a_damaged_list_is_no_reason_to_stop(tmp_path: Path):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "stages.json").write_text('[{"name": 1}]')
    result = result_in(tmp_path)
    result.restore()
    assert result.stages == ()
