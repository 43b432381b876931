"""A training of an experiment: which images it has, what is read of it, and what is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.short_training import draw_subset, train_once
from tests.running import TINY_CONFIG
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tools.draw_dataset import CLASS_NAMES, draw_images

IMAGES = [AnnotatedImage(Path(f"{n}.jpg"), (("a", 0, 0, 9, 9),) if n % 3 == 0 else ()) for n in range(30)]


def test_a_subset_is_the_same_every_time_and_comes_from_the_whole_set():
    some = draw_subset(IMAGES, 10)
    assert some == draw_subset(IMAGES, 10)
    assert len(set(some)) == 10
    assert max(IMAGES.index(image) for image in some) > 15
    assert draw_subset(IMAGES, 0) == draw_subset(IMAGES, 99) == IMAGES


def test_only_labelled_images():
    labelled = IMAGES[::3]
    assert draw_subset(IMAGES, 0, labelled_only=True) == labelled
    assert set(draw_subset(IMAGES, 4, labelled_only=True)) < set(labelled)


@pytest.mark.slow
def test_a_training_is_run_read_and_removed(tmp_path: Path):
    train, val = draw_images(tmp_path / "train", 8, seed=1), draw_images(tmp_path / "val", 4, seed=2)
    form = {"config_file": str(TINY_CONFIG), "engine": "torch", "batch_size": 2, "max_iter": 2, "eval_period": 2}
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "left by an interrupted run").touch()
    outcome = train_once(tmp_path / "task", train, val, form)
    assert outcome.failure == ""
    assert set(outcome.by_class) <= set(CLASS_NAMES)
    assert len(outcome.by_class) > 0
    assert 0 <= outcome.ap50 <= 1
    assert not (tmp_path / "task").exists()
    failed = train_once(tmp_path / "task", train, val, {**form, "learning_rate": -1.0})
    assert "300001" in failed.failure
    assert (failed.ap50, failed.by_class) == (0.0, {})
