"""What inference and mining start from, on real task folders and without an engine."""

from __future__ import annotations

import json

import pytest

from tests.conftest import MakeTree
from tests.task_runs import RectangleTask, give_model, task_run
from ymir_detectron2.errors import ConfigError, DatasetError, ModelError
from ymir_detectron2.tasks.prediction_task import REPEATED_NAME, PredictionTask
from ymir_detectron2.tile_windows import Tiling


def test_a_configuration_file_is_for_training(ymir_tree: MakeTree):
    tree = ymir_tree("infer", config={"args_options": "--config-file x.yaml"})
    with pytest.raises(ConfigError, match=r"a model brings its own config\.yaml"):
        PredictionTask(task_run(tree))


def test_a_task_without_candidates_ends_at_once(ymir_tree: MakeTree):
    tree = ymir_tree("infer")
    tree.write_index("candidate", [])
    with pytest.raises(DatasetError, match=r"candidate-index\.tsv"):
        PredictionTask(task_run(tree))


def test_a_task_without_a_model_names_the_key(ymir_tree: MakeTree):
    with pytest.raises(ModelError, match="model_params_path is missing or empty"):
        PredictionTask(task_run(ymir_tree("infer"))).detector()


def test_model_files_are_those_of_the_form(ymir_tree: MakeTree):
    tree = ymir_tree("infer")
    give_model(tree)
    package = PredictionTask(task_run(tree)).package
    assert (package.weights, package.config) == (
        tree.in_dir / "models" / "best.pth", tree.in_dir / "models" / "config.yaml"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("config", "tiling"),
    [
        pytest.param({}, Tiling(48, 9), id="as in the training"),
        pytest.param({"tile_size": 0}, Tiling(48, 9), id="zero is as good as missing"),
        pytest.param({"tile_size": "None"}, Tiling(), id="no tiles"),
        pytest.param({"tile_size": "64"}, Tiling(64, 12), id="a fifth overlaps"),
        pytest.param({"tile_size": 64, "tile_overlap": 20}, Tiling(64, 20), id="as the form says"),
    ],
)
def test_tiling(ymir_tree: MakeTree, config: dict, tiling: Tiling):
    task = RectangleTask(task_run(ymir_tree("infer", config=config)))
    task.rectangle_detector.tiling = Tiling(48, 9)
    assert task.tiling == tiling


def test_of_several_candidates_with_one_file_name_the_first_is_listed_and_the_others_are_counted(ymir_tree: MakeTree):
    tree = ymir_tree("infer")
    tree.write_index("candidate", ["/in/assets/1/a.jpg", "/in/assets/2/a.jpg", "/in/assets/2/b.jpg"])
    task = PredictionTask(task_run(tree))
    listed = [task.lists(number, entry) for number, entry in enumerate(task.index.entries(0, 3))]
    assert listed == [True, False, True]
    assert task.issues.as_dict()[REPEATED_NAME]["count"] == 1


def test_summary_has_the_figures_and_the_data_issues(ymir_tree: MakeTree, caplog: pytest.LogCaptureFixture):
    task = PredictionTask(task_run(ymir_tree("infer")))
    task.issues.add("unreadable image", "a.jpg: cannot be read")
    task.write_summary("infer-summary.json", {"images": 9})
    summary = json.loads((task.run.task.output_dir / "infer-summary.json").read_text(encoding="utf-8"))
    assert summary["images"] == 9
    assert summary["findings"]["unreadable image"]["count"] == 1
    assert "candidates: 1 x unreadable image, e.g. a.jpg: cannot be read" in caplog.text
