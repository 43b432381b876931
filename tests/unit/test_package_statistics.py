"""training-statistics.json: counts of the training set, AP50 of the best stage, features; beside its weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.platform_reader import RELEASES, read_training_result
from tests.tiny_training import CLASSES, job_of
from ymir_detectron2.contract.training_result import Stage, TrainingResult
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.evaluation.training_statistics import read_training_statistics
from ymir_detectron2.mining.peaks import NAME as NAME_OF_FEATURES
from ymir_detectron2.mining.peaks import ImagePeaks
from ymir_detectron2.tasks.package_statistics import add_statistics
from ymir_detectron2.training.job import TrainJob

NAME = "training-statistics.json"


def record(classes: list[int]) -> Record:
    boxes = np.array([(1, 1, 9, 9)] * len(classes), dtype=np.float32).reshape(-1, 4)
    return Record(Path("a.jpg"), 10, 10, boxes, np.array(classes, dtype=np.int32))


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    """Four images: two of class a, one of them with two objects, one of both classes, one empty."""
    job = job_of(tmp_path, {})
    write_coco_json(job.train_json, [record([0, 0]), record([0]), record([0, 1]), record([])], CLASSES)
    return dataclasses.replace(job, class_names=CLASSES)


def two_stages(folder: Path, *, writes_stages: bool = True) -> TrainingResult:
    result = TrainingResult(folder, folder / "result.yaml", writes_stages=writes_stages, record=folder / "record.json")
    for number, ap50 in ((1, 0.5), (2, 0.3)):
        (folder / f"iter_{number}.pth").write_bytes(b"weights")
        (folder / f"iter_{number}").mkdir()
        (folder / f"iter_{number}" / "config.yaml").write_text(f"WEIGHTS: iter_{number}.pth\n")
        result.add(Stage(f"iter_{number}", (f"iter_{number}.pth", "config.yaml"), ap50))
    return result


def test_what_mining_wants_to_know(job: TrainJob, tmp_path: Path):
    features = np.arange(16, dtype=np.int8).reshape(2, 8)
    peaks = ImagePeaks(np.array([0.9, 0.01], np.float16), np.zeros(2, np.uint16), features)
    add_statistics(job, two_stages(tmp_path), None, [[peaks]])
    statistics = read_training_statistics(tmp_path / NAME)
    rows = [(one.name, one.boxes, one.images, one.ap50) for one in statistics.classes]
    assert rows == [("a", 4, 3, None), ("b", 1, 1, None)]
    assert (statistics.images, statistics.images_without_objects) == (4, 1)
    assert statistics.feature_matrix(NAME_OF_FEATURES).tolist() == features[:1].tolist(), "0.01 is below 0.05"


@pytest.mark.parametrize("release", RELEASES)
def test_the_platform_packs_it_with_the_best_stage(job: TrainJob, tmp_path: Path, release: str):
    has_stages = release in RELEASES[RELEASES.index("1.3.0dev") :]
    result = two_stages(tmp_path, writes_stages=has_stages)
    add_statistics(job, result, None, ())
    packed = read_training_result(tmp_path, release)
    assert NAME in packed.best.files
    assert all(NAME not in stage.files for stage in packed.stages.values() if stage is not packed.best)


def test_it_is_beside_the_weights_in_every_place_where_releases_look(job: TrainJob, tmp_path: Path):
    add_statistics(job, two_stages(tmp_path), None, ())
    assert (tmp_path / NAME).read_bytes() == (tmp_path / "iter_1" / NAME).read_bytes()


def test_written_again_it_is_listed_once(job: TrainJob, tmp_path: Path):
    result = two_stages(tmp_path)
    add_statistics(job, result, None, ())
    before = (tmp_path / NAME).read_bytes(), result.best().files
    add_statistics(job, result, None, ())
    assert ((tmp_path / NAME).read_bytes(), result.best().files) == before
    assert result.best().files.count(NAME) == 1


def test_a_training_that_goes_on_to_a_better_stage_leaves_nothing_of_the_old_one(job: TrainJob, tmp_path: Path):
    result = two_stages(tmp_path)
    add_statistics(job, result, None, ())
    for number in range(3, 15):  # until stage 1 is no longer kept
        (tmp_path / f"iter_{number}.pth").write_bytes(b"weights")
        (tmp_path / f"iter_{number}").mkdir()
        (tmp_path / f"iter_{number}" / "config.yaml").write_text("")
        result.add(Stage(f"iter_{number}", (f"iter_{number}.pth", "config.yaml"), 0.5 + number / 100))
    assert not (tmp_path / NAME).exists()
    assert not (tmp_path / "iter_1").exists()


def test_what_goes_wrong_is_one_warning(job: TrainJob, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    result = two_stages(tmp_path)
    job.train_json.write_text("no JSON")
    add_statistics(job, result, None, ())
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{NAME} is left out, and mining does without it: ")
    assert NAME not in result.best().files
