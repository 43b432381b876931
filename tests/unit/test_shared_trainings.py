"""Trainings that are run once: what makes two of them equal."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.experiment import Journal
from benchmarks.labelled_sets import LabelledSet
from benchmarks.shared_trainings import SharedTraining, SharedTrainings, run_whole_task
from tests.annotated_sets import grey_image
from ymir_detectron2.errors import DatasetError
from ymir_detectron2.sources.labelled_image import AnnotatedImage

POOL = [AnnotatedImage(Path(f"{name}.jpg"), (("disc", 0, 0, 9, 9),)) for name in "abcd"]
DATA = LabelledSet("drawn", POOL, POOL[:1])


def start_file(folder: Path, content: bytes = b"weights") -> Path:
    path = folder / f"start-{content.decode()}.pth"
    path.write_bytes(content)
    return path


def config_file(folder: Path, content: str = "VERSION: 2\n") -> str:
    path = folder / f"config-{len(content)}.yaml"
    path.write_text(content)
    return str(path)


def test_key_follows_from_what_decides_the_result(tmp_path: Path) -> None:
    form: dict[str, Any] = {"config_file": config_file(tmp_path), "max_iter": 5}
    start = start_file(tmp_path)

    def key(changed: dict[str, Any] | None = None, data: LabelledSet = DATA, weights: Path | None = start) -> str:
        return SharedTrainings(tmp_path, data, {**form, **(changed or {})}, weights).key(POOL[:2], 0)

    trainings = SharedTrainings(tmp_path, DATA, form, start)
    keys = [
        key(),
        trainings.key(POOL[:2], 1),
        trainings.key(POOL[:3], 0),
        trainings.key(POOL[1::-1], 0),
        key({"max_iter": 6}),
        key({"config_file": config_file(tmp_path, "VERSION: 2 # other\n")}),
        key(weights=None),
        key(weights=start_file(tmp_path, b"others")),
        key(data=LabelledSet("drawn", POOL, POOL[:2])),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0] == trainings.key(POOL[:2], 0)


def test_same_files_elsewhere_are_the_same(tmp_path: Path) -> None:
    keys = set()
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        form = {"config_file": config_file(folder), "max_iter": 5}
        keys.add(SharedTrainings(tmp_path, DATA, form, start_file(folder)).key(POOL, 0))
    assert len(keys) == 1


def test_finished_training_is_not_run_again(tmp_path: Path) -> None:
    """A task would fail: the images are not there."""
    done = SharedTraining(SharedTrainings(tmp_path, DATA, {}).key(POOL, 0), 0.5, {"disc": 0.5}, 9.5, "CPU")
    Journal(tmp_path / "trainings.jsonl", SharedTraining).add(done)
    assert SharedTrainings(tmp_path, DATA, {}).result("first", POOL, 0, keep=False) == done


def test_image_that_is_missing_is_named_and_nothing_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.jpg"):
        SharedTrainings(tmp_path, DATA, {}).result("first", POOL, 0, keep=False)
    assert Journal(tmp_path / "trainings.jsonl", SharedTraining).results == []


@pytest.mark.slow
def test_failed_task_is_an_error_with_the_place_of_its_log(tmp_path: Path) -> None:
    image = AnnotatedImage(grey_image(tmp_path / "a.png", 50), (("disc", 0, 0, 9, 9),))
    with pytest.raises(subprocess.CalledProcessError, match=r"log\.txt"):
        run_whole_task(
            tmp_path / "task", task="train", class_names=["disc"], train=[image], val=[image],
            config={"engine": "torch", "config_file": "no-such.yaml"},
        )  # fmt: skip
    assert "no-such.yaml" in (tmp_path / "task" / "log.txt").read_text()
