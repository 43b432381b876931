"""What train, predict and mine share: the config of a run that goes on, and the closing table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.annotated_sets import grey_image, write_text
from tests.predicted_task import write_predicted_task
from ymir_detectron2.cli.task_run import TaskKind, closing_table, resume
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.tools.task_folder import write_task_folder


def kind(command: str, task: str, rows: Any = (), steps: Any = ()) -> TaskKind:
    return TaskKind(command, task, lambda run: rows, lambda run: steps)


TRAIN, PREDICT = kind("train", "train"), kind("predict", "infer")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    images = [AnnotatedImage(grey_image(tmp_path / f"{n}.png", n), (("cat", 1, 1, 9, 9),)) for n in (10, 20)]
    config = {"max_iter": 7, "args_options": "INPUT.MIN_SIZE_TEST 64"}
    sets = {"train": images[:1], "val": images[1:]}
    write_task_folder(tmp_path / "run", task="train", class_names=["cat"], config=config, gpu_id=None, **sets)
    return tmp_path / "run"


def config_after(run: Path, config: dict[str, Any], device: str | None = None) -> dict[str, Any]:
    options = argparse.Namespace(out=run, device=device)
    assert resume(options, TRAIN, config) == run
    return dict(yaml.safe_load((run / "in" / "config.yaml").read_text()))


def test_a_training_goes_on_with_its_settings_and_insists_on_it(run: Path):
    before = yaml.safe_load((run / "in" / "config.yaml").read_text())
    expected = {**before, "args_options": "--resume INPUT.MIN_SIZE_TEST 64"}
    assert config_after(run, {}) == expected
    assert config_after(run, {}) == expected, "not twice"


def test_settings_and_device_may_be_others(run: Path):
    config = config_after(run, {"patience": 3, "args_options": "SEED 1"}, "cpu")
    assert (config["patience"], config["max_iter"], config["gpu_id"]) == (3, 7, "")
    assert config["args_options"] == "--resume SEED 1"


def test_a_run_of_another_command_is_refused(run: Path, tmp_path: Path):
    predicted = write_predicted_task(tmp_path / "predicted", [grey_image(tmp_path / "c.png", 3)], {})
    for folder, of_kind in ((run, PREDICT), (predicted, TRAIN), (predicted, kind("mine", "mining+infer"))):
        with pytest.raises(ConfigError, match=f"is no run of {of_kind.command}; name another one with --out"):
            resume(argparse.Namespace(out=folder, device=None), of_kind, {})


def test_the_closing_table_has_the_page_where_there_is_one(run: Path):
    of_kind = kind("train", "train", [("AP50", "0.5")], ["do this", "do that"])
    assert closing_table(run, of_kind).splitlines() == ["AP50  0.5", "next  do this", "next  do that"]
    write_text(run / "out" / "report.html", "x")
    assert closing_table(run, of_kind).splitlines()[1] == f"page  {run}/out/report.html"
