"""Values of the web form that make no sense, and those that only look odd.

A row is a sentence that a user may read; how it reaches the platform is the same for all of one code.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.running import run_start, start_warm
from ymir_detectron2.config.args_options import parse_args_options
from ymir_detectron2.config.prediction_settings import InferSettings, MiningSettings
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.config.unknown_keys import unknown_keys
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.engines.zoo import find_config_file
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.mining.algorithms import build_algorithm


def refusal(function: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigError) as error:
        function(*arguments)
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "finding"),
    [
        pytest.param("batch_size", "abc", "batch_size: expected a whole number, found 'abc'", id="word"),
        pytest.param("batch_size", "2.5", "batch_size: expected a whole number, found '2.5'", id="fraction"),
        pytest.param("batch_size", [2, 4], "batch_size: expected a whole number, found [2, 4]", id="list"),
        pytest.param("batch_size", {"a": 1}, "batch_size: expected a whole number", id="mapping"),
        pytest.param("batch_size", "True", "batch_size: expected a whole number, found 'True'", id="truth as text"),
        pytest.param("batch_size", True, "batch_size: expected a whole number, found True", id="truth value"),
        pytest.param("batch_size", -1, "batch_size: must be from 0 to 65536, found -1", id="negative"),
        pytest.param("max_iter", "1e400", "max_iter: expected a whole number", id="infinite"),
        pytest.param("max_iter", 10**400, "max_iter: expected a whole number", id="more than a float holds"),
        pytest.param("learning_rate", "nan", "learning_rate: expected a number", id="not a number"),
        pytest.param("learning_rate", "0,01", "learning_rate: expected a number, found '0,01'", id="decimal comma"),
        pytest.param("learning_rate", -0.1, "learning_rate: must be zero or more", id="negative rate"),
        pytest.param("seed", 2**33, "seed: must be between", id="seed too large"),
        pytest.param("num_workers", -2, "num_workers: must be from 0 to 256", id="negative workers"),
        pytest.param("engine", "tensorflow", "engine: must be one of auto, detectron2, torch", id="unknown engine"),
        pytest.param("precision", "int8", "precision: must be one of auto, fp32", id="unknown precision"),
        pytest.param("config_file", ["a"], "config_file: expected text", id="list for a name"),
        pytest.param("augment", "mosaic, blur", "augment: must be one of vertical_flip", id="unknown augmentation"),
        pytest.param("ema", 1.5, "ema: must be 0 or a decay below 1", id="EMA that does not decay"),
    ],
)
def test_value_of_the_wrong_kind_is_named(key: str, value: Any, finding: str):
    assert f"config.yaml: {finding}" in refusal(read_settings, TrainSettings, {key: value})


@pytest.mark.parametrize(
    ("config", "findings"),
    [
        pytest.param({"conf_threshold": "abc"}, ["conf_threshold: expected a number, found 'abc'"], id="word"),
        pytest.param({"conf_threshold": "True"}, ["conf_threshold: expected a number, found 'True'"], id="truth"),
        pytest.param({"conf_threshold": 1}, ["conf_threshold: must be between 0 and 1, found 1.0"], id="one"),
        pytest.param({"conf_threshold": "20%"}, ["conf_threshold: expected a number, found '20%'"], id="per cent"),
        pytest.param({"tile_size": 10}, ["tile_size", "at least 32"], id="tiny tiles"),
        pytest.param({"tile_size": 100, "tile_overlap": 60}, ["tile_overlap", "at most half"], id="overlap of 60 %"),
        pytest.param({"tile_overlap": 5}, ["tile_overlap"], id="overlap without tiles"),
    ],
)
def test_values_of_inference_and_mining(config: dict[str, Any], findings: list[str]):
    for settings_class in (InferSettings, MiningSettings):
        sentence = refusal(read_settings, settings_class, config)
        assert all(finding in sentence for finding in findings), sentence


@pytest.mark.parametrize(
    ("config", "findings"),
    [
        pytest.param({"mining_algorithm": "alld"},
                     ["mining_algorithm", "cald, cald_legacy, entropy, aldd, margin, submodular, random"],
                     id="algorithm"),
        pytest.param({"diversity_distance": 1.5}, ["diversity_distance", "below 1"], id="distance"),
    ],
)  # fmt: skip
def test_values_of_mining(config: dict[str, Any], findings: list[str]):
    sentence = refusal(read_settings, MiningSettings, config)
    assert all(finding in sentence for finding in findings), sentence


def test_weights_of_classes_that_are_not_numbers():
    with pytest.raises(ConfigError, match="class_distribution_scores"):
        build_algorithm("aldd", class_names=["brick"], class_distribution_scores="1,x")


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        pytest.param("configs/COCO-Detection/retinanet_R50_FPN_1x.yaml",
                     "retinanet_R50_FPN_1x.yaml does not exist; choose for example"
                     " configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml", id="no such config"),
        pytest.param("configs", "configs does not exist", id="a folder for a config"),
        pytest.param("x" * 300, "config_file: ", id="a name longer than any file's"),
    ],
)  # fmt: skip
def test_config_file_that_is_not_there(name: str, finding: str):
    assert finding in refusal(find_config_file, name)


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        pytest.param('INPUT.FORMAT "RGB', "args_options: No closing quotation", id="open quote"),
        pytest.param("--eval-only SOLVER.GAMMA 0.5", "args_options: --eval-only is not for this executor", id="flag"),
        pytest.param("SOLVER.GAMMA 0.5 SOLVER.STEPS",
                     "the key 'SOLVER.STEPS' has no value; write KEY VALUE pairs", id="odd number of words"),
    ],
)  # fmt: skip
def test_args_options_that_cannot_be_read(options: str, finding: str):
    assert finding in refusal(parse_args_options, options)


def test_unknown_key_is_named_with_the_nearest_one():
    sentences = unknown_keys({"conf_treshold": 0.5, "lr": 1, "shm_size": "32G", "batch_size": ""})
    assert sentences == [
        "config.yaml: unknown key 'conf_treshold' has no effect; did you mean 'conf_threshold'?",
        "config.yaml: unknown key 'lr' has no effect",
    ]


def test_text_from_the_form_means_the_number(ymir_tree: MakeTree):
    tree = ymir_tree("mining+infer", config={"conf_threshold": "0.2", "batch_size": "3", "seed": 7.0, "precision": ""})
    settings = read_settings(MiningSettings, load_task(tree.env_file).config)
    expected = MiningSettings(conf_threshold=0.2, batch_size=3, seed=7, engine="torch")
    assert settings == expected


# --- as the platform meets them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "key", "finding"),
    [
        pytest.param("train", "batch_size", "batch_size: expected a whole number, found 'abc'", id="training"),
        pytest.param("mining+infer", "conf_threshold", "conf_threshold: expected a number, found 'abc'", id="mining"),
    ],
)
def test_a_bad_value_ends_a_task_before_torch(
    ymir_tree: MakeTree, no_torch: dict[str, str], task: str, key: str, finding: str
):
    tree = ymir_tree(task, config={key: "abc"})
    outcome = run_start(tree.env_file, environment=no_torch)
    outcome.require_failure(300001, f"config.yaml: {finding}")


def test_unknown_key_does_not_stop_the_run(ymir_tree: MakeTree):
    tree = ymir_tree("infer", config={"conf_treshold": 0.5})
    outcome = start_warm("ymir_infer.py", tree.env_file).finish()
    outcome.require_failure(300004, "model_params_path is missing")
    assert "unknown key 'conf_treshold' has no effect; did you mean 'conf_threshold'?" in outcome.output


@pytest.mark.parametrize(
    ("form", "finding"),
    [
        pytest.param({"args_options": "SOLVER.GAMA 0.5"},
                     "args_options: unknown key 'SOLVER.GAMA'; did you mean 'SOLVER.GAMMA'?", id="unknown key"),
        pytest.param({"args_options": "SOLVER.IMS_PER_BATCH 0"}, "SOLVER.IMS_PER_BATCH is 0, must be from 1 to 65536",
                     id="no image per step"),
        pytest.param({"class_weights": "roof:2"}, "class_weights: 'roof' is none of class_names", id="class weights"),
        pytest.param({"pretrained": "coco"}, "pretrained: there are no published coco weights", id="pretrained"),
    ],
)  # fmt: skip
def test_values_that_only_the_engine_can_judge(ymir_tree: MakeTree, form: dict[str, Any], finding: str):
    start_warm("ymir_train.py", ymir_tree(config=form).env_file).finish().require_failure(300001, finding)


def test_config_file_with_a_python_tag_says_what_to_write_instead(ymir_tree: MakeTree):
    tree = ymir_tree()
    own = tree.root / "own.yaml"
    own.write_text("MODEL:\n  ANCHOR_GENERATOR:\n    SIZES: !!python/object/apply:os.system ['touch executed']\n")
    tree.edit("config.yaml", config_file=str(own))
    outcome = start_warm("ymir_train.py", tree.env_file).finish()
    outcome.require_failure(300001, f"{own}, line 3", "tags can run code", "write plain values")
    assert not (tree.root / "executed").exists()


def test_gpu_that_is_not_there(ymir_tree: MakeTree):
    outcome = start_warm("ymir_train.py", ymir_tree(gpu_id="7").env_file).finish()
    outcome.require_failure(300102, "gpu_id: GPU 7 was asked for", "set gpu_id to ''")


@pytest.mark.slow
def test_the_reason_of_one_process_of_several_is_the_last_line(ymir_tree: MakeTree):
    """torch's launcher prints a traceback as well, which must not be what the user sees."""
    outcome = run_start(ymir_tree(gpu_id="8,9").env_file)
    assert outcome.status == 1
    outcome.require_readable_progress()
    assert outcome.last_line.startswith("ERROR 300102: gpu_id: GPU ")
    assert outcome.monitor.state_code == 300102
