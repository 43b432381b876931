"""The review after a training is an extra: whatever happens to it, the training has ended well."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.conftest import MakeTree
from tests.tiny_training import config, job_of
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.contract.monitor import Monitor, read_monitor
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.contract.training_result import Stage
from ymir_detectron2.dataset.conversion import convert_task
from ymir_detectron2.evaluation.label_review_file import FILE_NAME, read_label_review
from ymir_detectron2.retinanet.checkpoint import write_checkpoint
from ymir_detectron2.retinanet.model import build_retinanet
from ymir_detectron2.stop_signal import StopSignal
from ymir_detectron2.tasks.closing import log_label_review
from ymir_detectron2.tasks.final_pass import TRAINING, VALIDATION
from ymir_detectron2.tasks.script import TaskRun
from ymir_detectron2.tasks.training_review import LabelReview, review_training
from ymir_detectron2.training.job import TrainJob, TrainSummary

BEST = Stage("iter_2", ("iter_2.pth", "config.yaml"), 0.5)


@dataclass(frozen=True)
class Ended:
    """A training that has ended: what the task knows of it."""

    run: TaskRun[TrainSettings]
    job: TrainJob

    @property
    def file(self) -> Path:
        return self.run.task.output_dir / FILE_NAME

    def review(self, most_images: int = 100) -> LabelReview | None:
        return review_training(self.run, self.job, BEST, TrainSummary(1, 0.1, "CPU", "fp32", 0, most_images))


@pytest.fixture
def ended(ymir_tree: MakeTree) -> Ended:
    return end(ymir_tree)


def end(ymir_tree: MakeTree, **form: str) -> Ended:
    """Weights as they are at random; what the review finds is not what these tests are about."""
    tree = ymir_tree("train", config=form)
    task = load_task(tree.env_file)
    files = convert_task(task, reports=False)
    cfg = config()
    torch.manual_seed(0)
    (task.models_dir / "iter_2").mkdir(parents=True)
    (task.models_dir / "iter_2" / "config.yaml").write_text(cfg.to_yaml())
    model = build_retinanet(cfg, len(task.class_names))
    torch.nn.init.constant_(model.head.cls_score.bias, -1.0)  # else nothing scores above 0.05
    write_checkpoint(task.models_dir / "iter_2.pth", model.state_dict(), {"class_names": list(task.class_names)})
    settings = read_settings(TrainSettings, task.config)
    run = TaskRun(task, settings, "torch", Monitor(task.monitor, "t"), StopSignal(), is_main=True, is_local_main=True)
    folder = tree.root / "job"
    folder.mkdir()
    job = dataclasses.replace(
        job_of(folder, {}), train_json=files.train, val_json=files.val, class_names=task.class_names,
        settings=settings, models_dir=task.models_dir,
    )  # fmt: skip
    return Ended(run, job)


def test_all_images_of_both_sets_are_seen(ended: Ended):
    review = ended.review()
    assert review is not None
    assert {name: len(images) for name, images in review.seen.sets.items()} == {TRAINING: 6, VALIDATION: 3}
    assert sum(len(image.gt_classes) for image in review.seen.sets[TRAINING]) == 7
    assert any(len(image.pred_scores) for image in review.seen.sets[TRAINING])
    assert [len(tiles) for tiles in review.seen.peaks] == [1] * 6
    rows = read_label_review(ended.file)
    assert rows is not None
    assert [row.score for row in rows] == [pytest.approx(score, abs=1e-4) for score in review.scores or ()]


def test_the_images_are_named_as_the_index_names_them(ended: Ended):
    ended.review()
    listed = set()
    for index in (ended.run.task.train_index, ended.run.task.val_index):
        assert index is not None
        listed |= {line.split("\t")[0] for line in index.read_text().splitlines()}
    rows = read_label_review(ended.file)
    assert rows
    assert {row.image for row in rows} <= listed


def test_a_pass_that_is_repeated_writes_the_same_bytes(ended: Ended):
    ended.review()
    before = ended.file.read_bytes()
    ended.review()
    assert ended.file.read_bytes() == before


def test_of_few_images_those_of_the_training_set_come_first(ended: Ended):
    review = ended.review(most_images=3)
    assert review is not None
    assert {name: len(images) for name, images in review.seen.sets.items()} == {TRAINING: 3, VALIDATION: 0}
    assert len(review.seen.peaks) == 3


def test_progress_goes_on_from_where_the_steps_have_ended(ended: Ended):
    ended.run.monitor.report(0.8)
    ended.review()
    line = read_monitor(ended.run.task.monitor)
    assert line is not None
    assert 0.95 < line.fraction < 1.0


def test_an_image_that_cannot_be_read_any_more_is_left_out(ended: Ended, caplog: pytest.LogCaptureFixture):
    first = ended.review()
    assert first is not None
    Path(first.seen.sets[TRAINING][2].path).write_bytes(b"not an image")
    with caplog.at_level(logging.WARNING):
        second = ended.review()
    assert second is not None
    assert {name: len(images) for name, images in second.seen.sets.items()} == {TRAINING: 5, VALIDATION: 3}
    assert len(second.seen.peaks) == 5
    assert caplog.records == []


def test_a_stop_meanwhile_costs_the_list_only(ended: Ended, caplog: pytest.LogCaptureFixture):
    ended.file.write_text("of an earlier training")
    ended.run.stop.name = "SIGTERM"
    assert ended.review() is None
    assert not ended.file.exists()
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert record.getMessage().startswith("the label review, and what mining could know of the training images, ")


def test_damaged_weights_cost_one_warning(ended: Ended, caplog: pytest.LogCaptureFixture):
    (ended.job.models_dir / "iter_2.pth").write_bytes(b"no weights")
    assert ended.review() is None
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert "is left out" in record.getMessage()


def test_a_list_that_cannot_be_written_leaves_what_mining_needs(ended: Ended, caplog: pytest.LogCaptureFixture):
    ended.file.mkdir()
    (ended.file / "something").write_text("in the way")
    review = ended.review()
    assert review is not None
    assert review.scores is None
    assert review.seen.peaks
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert record.getMessage().startswith(f"{FILE_NAME} is left out: ")


def test_no_pass_where_it_may_take_no_image_or_is_not_wanted(ymir_tree: MakeTree, ended: Ended):
    ended.file.write_text("of an earlier training")
    assert ended.review(most_images=0) is None
    assert not ended.file.exists()
    assert end(lambda *args, **given: ymir_tree(*args, folder="other", **given), label_review="skip").review() is None


def test_what_the_log_says(ended: Ended, caplog: pytest.LogCaptureFixture):
    review = ended.review(most_images=3)
    assert review is not None
    with caplog.at_level(logging.INFO):
        log_label_review(ended.file, [0.9, 0.5, 0.4], review.seen)
    labels = sum(len(image.gt_classes) for images in review.seen.sets.values() for image in images)
    first, second = (record.getMessage() for record in caplog.records[-2:])
    assert first == (
        f"label review: of {labels} labels in 3 of 9 images, 2 are probably wrong or missing (score 0.5 or more)"
    )
    assert second == f"labels to look at, the likeliest first: {ended.file}"
