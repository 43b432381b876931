"""Weight files that are missing, damaged, hostile, or made for something else."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import MakeTree, Trained, Tree
from tests.running import run_start, run_steps
from ymir_detectron2.contract.model_package import find_model_package
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.errors import ConfigError, ExecutorError, ModelError


class Hostile:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self._mark}'",)


def list_models(tree: Tree, *names: str, key: str = "model_params_path") -> Path:
    tree.edit("config.yaml", **{key: [f"/in/models/{name}" for name in names]})
    return tree.in_dir / "models"


@pytest.mark.parametrize("task", ["mining", "infer", "mining+infer"])
def test_no_weights_are_an_error_and_never_random_numbers(ymir_tree: MakeTree, no_torch: dict[str, str], task: str):
    tree = ymir_tree(task)
    tree.edit("config.yaml", model_params_path=None)
    outcome = run_start(tree.env_file, environment=no_torch)
    outcome.require_failure(300004, "model_params_path is missing or empty", "list the .pth file")


@pytest.mark.parametrize(
    ("task", "key"), [("infer", "model_params_path"), ("train", "pretrained_model_params")], ids=["infer", "train"]
)
def test_listed_files_without_weights_among_them(ymir_tree: MakeTree, task: str, key: str):
    tree = ymir_tree(task)
    models = list_models(tree, "config.yaml", "gone.pth", key=key)
    (models / "config.yaml").write_text("MODEL: {}\n")
    run_steps(tree.env_file).require_failure(
        300004, f"{key}: no .pth or .pkl file among", str(models / "gone.pth"), "choose a model that this image trained"
    )


def refusal(tree: Tree, error_class: type[ExecutorError] = ModelError) -> str:
    with pytest.raises(error_class) as error:
        find_model_package(load_task(tree.env_file), "model_params_path")
    return str(error.value)


@pytest.mark.parametrize("value", [5, {"a": 1}, [["/in/models/a.pth"]]], ids=["number", "mapping", "list of lists"])
def test_model_params_path_that_is_not_a_list_of_paths(ymir_tree: MakeTree, value: Any):
    tree = ymir_tree("infer")
    tree.edit("config.yaml", model_params_path=value)
    assert "config.yaml: model_params_path must be a list of paths" in refusal(tree, ConfigError)


def test_several_weight_files_and_nothing_specifies_which(ymir_tree: MakeTree):
    tree = ymir_tree("infer")
    models = list_models(tree, "a.pth", "b.pth")
    for name in ("a.pth", "b.pth"):
        (models / name).write_bytes(b"PK")
    sentence = refusal(tree)
    for words in ("which of", str(models / "a.pth"), str(models / "b.pth"), "list one of them"):
        assert words in sentence


@pytest.mark.parametrize("text", ["[1, 2]", "executor_config: [", "executor_config: 5"])
def test_damaged_ymir_info(ymir_tree: MakeTree, text: str):
    tree = ymir_tree("infer")
    models = list_models(tree, "a.pth")
    (models / "a.pth").write_bytes(b"PK")
    (models / "ymir-info.yaml").write_text(text)
    sentence = refusal(tree)
    assert str(models / "ymir-info.yaml") in sentence
    assert "the model package is damaged" in sentence


def test_hostile_pickle_is_refused_and_not_run(ymir_tree: MakeTree, tmp_path: Path):
    tree = ymir_tree(config={"max_iter": 1})
    models = list_models(tree, "hostile.pth", key="pretrained_model_params")
    mark = tmp_path / "executed"
    (models / "hostile.pth").write_bytes(pickle.dumps({"model": Hostile(mark)}))
    outcome = run_steps(tree.env_file)
    outcome.require_failure(300004, str(models / "hostile.pth"), "could run code")
    assert not mark.exists()


def test_text_for_weights(ymir_tree: MakeTree, trained: Trained):
    tree = ymir_tree("mining+infer")
    models = list_models(tree, "notes.pth", "config.yaml")
    (models / "notes.pth").write_text("version https://git-lfs.github.com/spec/v1\n")
    (models / "config.yaml").write_bytes((trained.models_dir / "config.yaml").read_bytes())
    outcome = run_steps(tree.env_file)
    outcome.require_failure(300004, str(models / "notes.pth"), "is no file that torch.save wrote")
    assert not (tree.out_dir / "result.tsv").exists()


def test_weights_of_other_classes(ymir_tree: MakeTree, trained: Trained):
    tree = ymir_tree("infer", class_names=["brick", "leaf", "cloud"])
    trained.give_to(tree)
    run_steps(tree.env_file).require_failure(
        300004, "was trained for brick, leaf, sky, but the task is about brick, leaf, cloud"
    )


def test_weights_whose_config_is_of_another_network(ymir_tree: MakeTree, trained: Trained):
    tree = ymir_tree("infer")
    files = trained.give_to(tree)
    weights, config = (next(path for path in files if path.endswith(end)) for end in (".pth", "config.yaml"))
    content = yaml.safe_load(tree.real(config).read_text())
    content["MODEL"]["FPN"]["OUT_CHANNELS"] = 96
    tree.real(config).write_text(yaml.safe_dump(content))
    outcome = run_steps(tree.env_file)
    outcome.require_failure(300004, str(tree.real(weights)), "does not fit", "use the files of one stage together")
    assert "head.cls_score.weight" in outcome.output
