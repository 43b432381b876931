"""Values of the web form that make no sense, and those that only look odd."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.running import run_script, run_start


@pytest.mark.parametrize(
    ("key", "value", "finding"),
    [
        pytest.param("batch_size", "abc", "batch_size: expected a whole number, found 'abc'", id="word"),
        pytest.param("batch_size", "2.5", "batch_size: expected a whole number, found '2.5'", id="fraction"),
        pytest.param("batch_size", [2, 4], "batch_size: expected a whole number, found [2, 4]", id="list"),
        pytest.param("batch_size", {"a": 1}, "batch_size: expected a whole number", id="mapping"),
        pytest.param("batch_size", "True", "batch_size: expected a whole number, found 'True'", id="truth as text"),
        pytest.param("batch_size", True, "batch_size: expected a whole number, found True", id="truth value"),
        pytest.param("batch_size", -1, "batch_size: must be zero or more, found -1", id="negative"),
        pytest.param("max_iter", "1e400", "max_iter: expected a whole number", id="infinite"),
        pytest.param("max_iter", 10**400, "max_iter: expected a whole number", id="more than a float holds"),
        pytest.param("learning_rate", "nan", "learning_rate: expected a number", id="not a number"),
        pytest.param("learning_rate", "0,01", "learning_rate: expected a number, found '0,01'", id="decimal comma"),
        pytest.param("learning_rate", -0.1, "learning_rate: must be zero or more", id="negative rate"),
        pytest.param("seed", 2**33, "seed: must be between", id="seed too large"),
        pytest.param("num_workers", -2, "num_workers: must be zero or more", id="negative workers"),
        pytest.param("engine", "tensorflow", "engine: must be one of auto, detectron2, torch", id="unknown engine"),
        pytest.param("precision", "int8", "precision: must be one of auto, fp32", id="unknown precision"),
        pytest.param("config_file", ["a"], "config_file: expected text", id="list for a name"),
        pytest.param("config_file", "configs/COCO-Detection/retinanet_R50_FPN_1x.yaml",
                     "retinanet_R50_FPN_1x.yaml does not exist; choose for example"
                     " configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml", id="no such config"),
        pytest.param("config_file", "configs", "configs does not exist", id="a folder for a config"),
        pytest.param("config_file", "x" * 300, "config_file: ", id="a name longer than any file's"),
        pytest.param("args_options", 'INPUT.FORMAT "RGB', "args_options: No closing quotation", id="open quote"),
        pytest.param("args_options", "--eval-only SOLVER.GAMMA 0.5",
                     "args_options: --eval-only is not for this executor", id="flag"),
        pytest.param("args_options", "SOLVER.GAMMA 0.5 SOLVER.STEPS",
                     "the key 'SOLVER.STEPS' has no value; write KEY VALUE pairs", id="odd number of words"),
    ],
)  # fmt: skip
def test_value_of_the_wrong_kind_is_named(
    ymir_tree: MakeTree, no_torch: dict[str, str], key: str, value: Any, finding: str
):
    tree = ymir_tree(config={key: value})
    run_script("ymir_train.py", tree.env_file, environment=no_torch).require_failure(300001, finding)


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        pytest.param("abc", "expected a number, found 'abc'", id="word"),
        pytest.param("True", "expected a number, found 'True'", id="truth as text"),
        pytest.param(1, "must be between 0 and 1, found 1.0", id="nothing could pass"),
        pytest.param("20%", "expected a number, found '20%'", id="per cent"),
    ],
)
def test_threshold_of_the_wrong_kind_is_named(ymir_tree: MakeTree, no_torch: dict[str, str], value: Any, finding: str):
    tree = ymir_tree("infer", config={"conf_threshold": value})
    outcome = run_script("ymir_infer.py", tree.env_file, environment=no_torch)
    outcome.require_failure(300001, "config.yaml: conf_threshold: ", finding)


def test_unknown_key_warns_with_the_nearest_name_and_does_not_stop_the_run(ymir_tree: MakeTree, no_torch: dict):
    tree = ymir_tree("infer", config={"conf_treshold": 0.5, "lr": 1, "shm_size": "32G", "batch_size": ""})
    outcome = run_start(tree.env_file, environment=no_torch)
    outcome.require_failure(300004, "model_params_path is missing")
    assert "unknown key 'conf_treshold' has no effect; did you mean 'conf_threshold'?" in outcome.output
    assert "unknown key 'lr' has no effect" in outcome.output
    assert "shm_size" not in outcome.output


def test_text_from_the_form_means_the_number(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree("mining+infer", config={"conf_threshold": "0.2", "batch_size": "3", "seed": 7.0, "precision": ""})
    outcome = run_start(tree.env_file, environment=no_torch)
    outcome.require_failure(300004)
    for setting in ("conf_threshold=0.2", "batch_size=3", "seed=7", "precision='auto'"):
        assert setting in outcome.output


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        pytest.param("SOLVER.GAMA 0.5", "args_options: unknown key 'SOLVER.GAMA'; did you mean 'SOLVER.GAMMA'?",
                     id="unknown key"),
        pytest.param("SOLVER.IMS_PER_BATCH 0", "SOLVER.IMS_PER_BATCH: must be at least 1", id="no picture per step"),
    ],
)  # fmt: skip
def test_args_options_that_make_no_sense(ymir_tree: MakeTree, options: str, finding: str):
    """The values are known to the engine alone, which does import torch."""
    tree = ymir_tree(config={"args_options": options})
    run_start(tree.env_file, timeout_s=40).require_failure(300001, finding)


def test_config_file_with_a_python_tag_says_what_to_write_instead(ymir_tree: MakeTree):
    tree = ymir_tree()
    own = tree.root / "own.yaml"
    own.write_text("MODEL:\n  ANCHOR_GENERATOR:\n    SIZES: !!python/object/apply:os.system ['touch executed']\n")
    tree.edit("config.yaml", config_file=str(own))
    run_start(tree.env_file).require_failure(300001, f"{own}, line 3", "tags can run code", "write plain values")
    assert not (tree.root / "executed").exists()


def test_gpu_that_is_not_there(ymir_tree: MakeTree):
    tree = ymir_tree(gpu_id="7")
    run_start(tree.env_file).require_failure(300102, "gpu_id: GPU 7 was asked for", "set gpu_id to ''")


def test_the_reason_of_one_process_of_several_is_the_last_line(ymir_tree: MakeTree):
    """torch's launcher has a traceback of its own to tell, which must not be what the user sees."""
    outcome = run_start(ymir_tree(gpu_id="8,9").env_file, timeout_s=150)
    assert outcome.status == 1
    outcome.require_readable_progress()
    assert outcome.last_line.startswith("ERROR 300102: gpu_id: GPU ")
    assert outcome.monitor.state_code == 300102
