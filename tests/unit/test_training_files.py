"""The files of a training, whole, of an interrupted one, of an earlier version, and damaged by a stranger."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.trained_folder import STAGE, TrainedFolder, write_trained_folder
from ymir_detectron2.evaluation.evaluation_file import evaluation_path
from ymir_detectron2.results.task_output import TaskOutput
from ymir_detectron2.results.training_files import TrainingFiles, read_training_files, validation_paths


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainedFolder:
    return write_trained_folder(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def out_dir(whole: TrainedFolder, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(whole.out_dir, tmp_path / "out")
    return tmp_path / "out"


def read(out_dir: Path) -> TrainingFiles:
    files = read_training_files(TaskOutput(out_dir))
    assert files is not None
    return files


def test_a_finished_training_lacks_nothing(whole: TrainedFolder):
    files = read_training_files(TaskOutput(whole.out_dir, whole.task))
    assert files is not None
    assert files.missing == ()
    assert files.best_stage == STAGE
    assert files.evaluation is not None
    assert files.evaluation.ap50 == files.stages[0].ap50 == whole.evaluation.metrics.ap50
    assert files.history is not None
    assert files.history.step == 120
    assert ("learning_rate", "0.01") in files.form


def test_a_folder_without_a_training_is_none_of_one(tmp_path: Path):
    assert read_training_files(TaskOutput(tmp_path)) is None


def test_before_the_first_evaluation_there_is_no_model(whole: TrainedFolder, tmp_path: Path):
    files = read_training_files(TaskOutput(tmp_path, whole.task))
    assert files is not None
    assert files.missing == (
        "This training has not come to its end.",
        "There is no model yet: the training has not reached its first evaluation.",
    )


def test_an_interrupted_training_says_how_far_it_came(out_dir: Path):
    (out_dir / "train-summary.json").unlink()
    files = read(out_dir)
    assert files.missing == ("This training has not come to its end. It was evaluated last at step 120.",)
    assert files.evaluation is not None


def test_weights_without_an_evaluation_are_named(out_dir: Path):
    result = out_dir / "models" / "result.yaml"
    content = yaml.safe_load(result.read_text())
    del content["model_stages"][STAGE]["boxAP"]
    result.write_text(yaml.safe_dump(content))
    evaluation_path(out_dir / "models").unlink()
    assert [sentence.partition(":")[0] for sentence in read(out_dir).missing] == [
        f"{STAGE} was saved without an evaluation"
    ]


def test_an_earlier_version_left_neither_evaluation_nor_curves(out_dir: Path):
    evaluation_path(out_dir / "models").unlink()
    (out_dir / "training-history.json").unlink()
    files = read(out_dir)
    assert [sentence.partition(" is not there")[0] for sentence in files.missing] == [
        "models/attachments/evaluation/evaluation.json", "training-history.json",
    ]  # fmt: skip
    assert (files.evaluation, files.history, files.best_stage) == (None, None, STAGE)


def test_the_evaluation_of_another_stage_is_left_out(out_dir: Path):
    path = evaluation_path(out_dir / "models")
    path.write_text(json.dumps({**json.loads(path.read_text()), "stage": "iter_0000060"}))
    files = read(out_dir)
    assert files.evaluation is None
    assert files.missing == (
        f"evaluation.json is that of iter_0000060, not of {STAGE}, and is left out.",
    )


def test_a_release_without_stages_has_a_best_one(out_dir: Path):
    (out_dir / "models" / "result.yaml").write_text("model: [a.pth]\nmap: 0.5\n")
    files = read(out_dir)
    assert [(stage.ap50, stage.is_best) for stage in files.stages] == [(0.5, True)]
    assert files.evaluation is not None, "result.yaml of YMIR up to 1.2 names no stage"


@pytest.mark.parametrize(
    "name", ["models/result.yaml", "training-history.json", "models/attachments/evaluation/evaluation.json"]
)
def test_a_damaged_file_is_one_sentence_and_the_others_are_shown(out_dir: Path, name: str):
    (out_dir / name).write_text("{")
    files = read(out_dir)
    assert str(out_dir / name) in files.missing[0]
    assert sum(part is None or part == () for part in (files.stages, files.history, files.evaluation)) in (1, 2)


@pytest.mark.parametrize(
    "content",
    ["model_stages: 5", "model_stages: {a: 5, b: {mAP: .nan}}\nbest_stage_name: [a]", "[]", "model: 1\nmap: x"],
)
def test_any_result_yaml_is_read(out_dir: Path, content: str):
    (out_dir / "models" / "result.yaml").write_text(content)
    assert all(stage.ap50 is None for stage in read(out_dir).stages)


def test_settings_are_the_resolved_ones_or_those_of_the_best_stage(out_dir: Path):
    (out_dir / "models" / "config.yaml").write_text("SOLVER: {BASE_LR: 0.01, STEPS: [1, 2]}\nVERSION: 2\n")
    assert read(out_dir).settings == (("SOLVER.BASE_LR", "0.01"), ("SOLVER.STEPS", "[1, 2]"), ("VERSION", "2"))
    (out_dir / "resolved-config.yaml").write_text("SOLVER: {BASE_LR: 0.02}\nNAME: " + "x" * 999)
    assert read(out_dir).settings == (("SOLVER.BASE_LR", "0.02"), ("NAME", "x" * 200 + "…"))


def test_a_token_in_the_settings_does_not_get_into_the_page(out_dir: Path):
    (out_dir / "resolved-config.yaml").write_text("WEIGHTS: 'https://user:word@store.example/a.pth?token=abc'\n")
    assert read(out_dir).settings == (("WEIGHTS", "https://store.example/a.pth"),)


def test_only_images_of_the_validation_index_are_opened(whole: TrainedFolder, tmp_path: Path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"of somebody else")
    output = TaskOutput(whole.out_dir, whole.task)
    names = {"/in/assets/image 3.png", str(secret), "/in/assets/../../secret.png"}
    assert validation_paths(output, names) == {
        "/in/assets/image 3.png": whole.task.paths.in_dir / "assets" / "image 3.png"
    }
    assert validation_paths(TaskOutput(whole.out_dir), names) == {}
