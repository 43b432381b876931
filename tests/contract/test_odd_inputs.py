"""Files of others with values that no program writes: each ends in one sentence of ours, never in "please report".

`make fuzz` finds more of them; every kind that it has found is a row here, or in the tests of its reader. A row runs
the reader itself, a few the real start.py as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.running import run_start
from ymir_detectron2.config.accepted_values import check_values
from ymir_detectron2.config.args_options import parse_args_options
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.config.unknown_keys import unknown_keys
from ymir_detectron2.contract.model_package import find_model_package
from ymir_detectron2.contract.task import load_task, monitor_place
from ymir_detectron2.errors import ConfigError, ExecutorError, ModelError
from ymir_detectron2.retinanet.weights import resolve_weights
from ymir_detectron2.tools.packed_model import pack_best_stage

LONG_NAME = "m" * 300


def sentence(error: ExecutorError) -> str:
    """The message of an error, which has to be one short line."""
    text = str(error)
    assert text.splitlines() == [text]
    assert len(text) < 6000
    return text


@pytest.mark.parametrize(
    ("section", "key", "value", "finding"),
    [
        pytest.param("output", "monitor_file", '"/out/a\\0b"', "is not YAML", id="nul"),
        pytest.param("output", "monitor_file", '"/out/a\\ud800"', "is not YAML", id="half a character"),
        pytest.param("output", "models_dir", '"/out/a\\nb"', "models_dir: '/out/a\\nb' cannot be a path", id="lines"),
        pytest.param("input", "config_file", '"/in/a\\x85"', "config_file: '/in/a\\x85' cannot be a path", id="end"),
        pytest.param("input", "config_file", f"/in/{LONG_NAME}", "cannot be read (File name too long)", id="long"),
        pytest.param("input", "config_file", f"/{'x/' * 3000}", "cannot be a path", id="longer than any path"),
    ],
)  # fmt: skip
def test_paths_in_env_yaml_that_no_file_system_has(
    ymir_tree: MakeTree, no_torch: dict[str, str], section: str, key: str, value: str, finding: str
):
    tree = ymir_tree()
    tree.env_file.write_text(f"run_infer: true\n{section}: {{{key}: {value}}}\n")
    with pytest.raises(ConfigError) as error:
        load_task(tree.env_file)
    assert finding in sentence(error.value)
    monitor, _ = monitor_place(tree.env_file)
    assert monitor == tree.out_dir / "monitor.txt"
    if value == '"/out/a\\0b"':
        run_start(tree.env_file, environment=no_torch).require_failure(300001, "is not YAML")


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        pytest.param([f"/in/{LONG_NAME}.pth"], "no .pth or .pkl file among", id="a name that is too long"),
        pytest.param([f"/in/models/{number}.jpg" for number in range(50_000)], " and 49990 more", id="many files"),
        pytest.param(["/in/a\nb.pth"], "must be a list of paths", id="two lines"),
        pytest.param(["/in/" + "x/" * 5000], "must be a list of paths", id="longer than any path"),
    ],
)  # fmt: skip
def test_model_files_that_cannot_be(ymir_tree: MakeTree, value: Any, finding: str):
    tree = ymir_tree()
    tree.edit("config.yaml", model_params_path=value)
    with pytest.raises((ConfigError, ModelError)) as error:
        find_model_package(load_task(tree.env_file), "model_params_path")
    assert finding in sentence(error.value)


@pytest.mark.parametrize("model", ["5", "true", "{a: 1}", "x"])
def test_a_package_whose_list_of_files_is_none(ymir_tree: MakeTree, model: str):
    tree = ymir_tree("infer")
    models = tree.in_dir / "models"
    models.mkdir(exist_ok=True)
    for name in ("a.pth", "b.pth"):
        (models / name).write_bytes(b"")
    (models / "ymir-info.yaml").write_text(f"model: {model}\n")
    tree.edit("config.yaml", model_params_path=["/in/models/a.pth", "/in/models/b.pth"])
    with pytest.raises(ModelError) as error:
        find_model_package(load_task(tree.env_file), "model_params_path")
    assert f"{models}/ymir-info.yaml: model must be a list of files" in sentence(error.value)
    if model == "5":
        run_start(tree.env_file).require_failure(300004, "model must be a list of files")


@pytest.mark.parametrize(
    ("entry", "finding"),
    [
        ("mAP: [1]", "mAP of the best stage is [1], expected a number"), ("mAP: x", "mAP of the best stage is 'x'"),
        ("mAP: true", "mAP of the best stage is True"), ("mAP: .nan", "mAP of the best stage is nan"),
        ("mAP: -1", "mAP of the best stage is -1"), ("timestamp: .inf", "timestamp of the best stage is inf"),
        ("timestamp: 2021-01-01", "timestamp of the best stage is datetime.date(2021, 1, 1)"),
        ("timestamp: " + "9" * 399, "timestamp of the best stage is "),
    ],
)  # fmt: skip
def test_figures_of_a_result_that_are_none(tmp_path: Path, entry: str, finding: str):
    models = tmp_path / "out" / "models"
    models.mkdir(parents=True)
    (models / "s1.pth").write_bytes(b"")
    stage = f"{{stage_name: s1, files: [s1.pth], {entry}}}"
    (models / "result.yaml").write_text(f"best_stage_name: s1\nmodel_stages: {{s1: {stage}}}\n")
    with pytest.raises(ConfigError) as error:
        pack_best_stage(models)
    assert f"{models}/result.yaml: {finding}" in sentence(error.value)


@pytest.mark.parametrize("names", ["5", "{a: 1}", "[[cat]]", "[cat, CAT]", "['']", "[null]"])
def test_a_training_without_a_list_of_classes_is_not_passed_on(tmp_path: Path, names: str):
    (tmp_path / "out" / "models").mkdir(parents=True)
    (tmp_path / "out" / "models" / "a.pth").write_bytes(b"")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "config.yaml").write_text(f"class_names: {names}\n")
    with pytest.raises(ConfigError) as error:
        pack_best_stage(tmp_path / "out" / "models" / "a.pth")
    assert f"{tmp_path}/in/config.yaml: class_names" in sentence(error.value)


@pytest.mark.parametrize(
    ("base", "finding"),
    [
        ("5", "_BASE_ is 5, expected a file name"), ("null", "_BASE_ is None"), ("[[a]]", "_BASE_ is ['a']"),
        ("2021-01-01", "_BASE_ is datetime.date"), ("~nobody-of-this-name/a.yaml", "no such file"),
        (LONG_NAME, "no such file"), (f"{LONG_NAME}/a.yaml", "its folder cannot be listed (File name too long)"),
        ('"a\\nb"', r"_BASE_ is 'a\nb'"), ('"a\\0b"', "an escape that stands for no character"),
        ("/", "Is a directory"),
        ("circle.yaml", "no such file"), ("x" * 5000, "_BASE_ is 'xxx"),
    ],
)  # fmt: skip
def test_bases_that_cannot_be(tmp_path: Path, base: str, finding: str):
    (tmp_path / "c.yaml").write_text(f"_BASE_: {base}\n")
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "c.yaml")
    assert finding in sentence(error.value)


@pytest.mark.parametrize(
    ("key", "value", "finding"),
    [
        ("SOLVER.BASE_LR", "9" * 400, "expected a smaller number"),
        ("SOLVER.MAX_ITER", "0x" + "f" * 5000, "expected a smaller number"),
        ("SOLVER.MAX_ITER", "9223372036854775808", "expected a smaller number"),
        ("SOLVER.STEPS", "(1, 0x" + "f" * 5000 + ")", "expected a list"),
        ("SOLVER.STEPS", "((1,), 2)", "expected a list"), ("SOLVER.STEPS", "((1,), (2,))", "expected a list"),
        ("MODEL.RETINANET.IOU_THRESHOLDS", "(0.4, (0.5,))", "expected a list"),
        ("MODEL.RETINANET.IOU_LABELS", "((0,), (-1,), (1,))", "expected a list"),
        ("INPUT.CROP.SIZE", "((0.9,), (0.9,))", "expected a list"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", "(32, (64,))", "expected a list"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", "(((32,),),)", "expected a list"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", "1e300", "expected a list"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", "(1e300,)", "above 0 and at most 1e6"),
        ("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", "(1e-300,)", "from 1e-6 to 1e6"),
        ("MODEL.FPN.OUT_CHANNELS", str(2**62), "from 1 to 65536"),
        ("MODEL.RETINANET.NUM_CONVS", str(2**40), "from 0 to 100"),
        ("INPUT.MIN_SIZE_TEST", str(2**40), "from 0 to 32768"),
        ("INPUT.MAX_SIZE_TEST", str(2**40), "from 1 to 1000000"),
        ("SOLVER.IMS_PER_BATCH", str(2**40), "from 1 to 65536"),
        ("INPUT.FORMAT", "x" * 100_000, "expected 'BGR' or 'RGB'"),
        ("x" * 100_000, "1", "unknown key"), ("a\nb", "1", "unknown key"),
    ],
)  # fmt: skip
def test_values_of_a_configuration_that_nothing_can_compute_with(key: str, value: str, finding: str):
    with pytest.raises(ConfigError) as error:
        check_values(RetinaNetConfig.default().merged({key: value}, "args_options"), training=True)
    assert finding in sentence(error.value)


@pytest.mark.parametrize(
    ("norm", "key", "value"),
    [
        ("MODEL.FPN.NORM", "MODEL.FPN.OUT_CHANNELS", 65), ("MODEL.RETINANET.NORM", "MODEL.FPN.OUT_CHANNELS", 48),
        ("MODEL.RESNETS.NORM", "MODEL.RESNETS.STEM_OUT_CHANNELS", 8),
        ("MODEL.RESNETS.NORM", "MODEL.RESNETS.RES2_OUT_CHANNELS", 100),
        ("MODEL.RESNETS.NORM", "MODEL.RESNETS.WIDTH_PER_GROUP", 8),
    ],
)  # fmt: skip
def test_channels_that_group_norm_cannot_divide(norm: str, key: str, value: int):
    base = RetinaNetConfig.default().merged({"MODEL.META_ARCHITECTURE": "RetinaNet", norm: "GN"}, "a test")
    check_values(base)
    with pytest.raises(ConfigError) as error:
        check_values(base.merged({key: value}, "a test"))
    assert f"{key} makes {value} channels, must be a multiple of 32 for {norm} GN" in sentence(error.value)


@pytest.mark.parametrize("value", ["((32, 64),)", "(32, 64)", "((32,), (64,))", "[[32]]"])
def test_sizes_of_anchors_may_have_one_list_or_one_per_level(value: str):
    check_values(RetinaNetConfig.default().merged(
        {"MODEL.ANCHOR_GENERATOR.SIZES": value, "MODEL.META_ARCHITECTURE": "RetinaNet"}, "args_options"
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "finding"),
    [
        ("batch_size", 1e300, "expected a whole number"), ("batch_size", 1e6, "must be from 0 to 65536"),
        ("num_workers", 100_000, "must be from 0 to 256"), ("max_epochs", 1e308, "must be from 0 to 1000000"),
        ("image_size", 10**12, "must be from 32 to 32768, or 0"), ("max_iter", 2**60, "expected a whole number"),
        ("accumulate", 2**40, "must be from 0 to 65536"), ("engine", "x" * 100_000, "must be one of"),
    ],
)  # fmt: skip
def test_settings_that_nothing_can_compute_with(key: str, value: Any, finding: str):
    with pytest.raises(ConfigError) as error:
        read_settings(TrainSettings, {key: value})
    assert finding in sentence(error.value)


def test_of_many_unknown_keys_a_few_are_named():
    sentences = unknown_keys({f"key {number}\n": 1 for number in range(50_000)})
    assert len(sentences) == 21
    assert all(line.splitlines() == [line] for line in sentences)
    assert sentences[-1] == "config.yaml: 49980 more unknown keys have no effect"


@pytest.mark.parametrize("address", [LONG_NAME, "a\0b", "a\nb", "\ud800", "x" * 100_000])
def test_weights_whose_name_cannot_be_one(tmp_path: Path, address: str):
    with pytest.raises(ModelError) as error:
        resolve_weights(address, [tmp_path])
    assert "MODEL.WEIGHTS" in sentence(error.value)


def test_the_values_of_args_options_may_be_any_text():
    for text in ("SOLVER.STEPS '" + "(" * 3000 + "'", "SOLVER.STEPS " + "9" * 100_000, "SOLVER.STEPS '1' 'x' 1"):
        with pytest.raises(ConfigError) as error:
            RetinaNetConfig.default().merged(parse_args_options(text).values, "args_options")
        sentence(error.value)
