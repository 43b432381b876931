"""env.yaml and config.yaml that cannot be used: told in one sentence, before torch is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.running import run_script, run_start

BROKEN_YAML = "task_id: [unclosed\nrun_training: {"
DEEPLY_NESTED = "[" * 3000
IMPOSSIBLE_DATE = "prompt: 2020-13-45\n"
PYTHON_TAG = "class_names: !!python/object/apply:os.system ['touch executed']\n"
NO_MAPPING = "- a\n- b\n"


def test_missing_env_yaml_is_named_with_its_remedy(tmp_path: Path, no_torch: dict[str, str]):
    (tmp_path / "in").mkdir()
    outcome = run_start(tmp_path / "in" / "env.yaml", environment=no_torch)
    outcome.require_failure(300001, str(tmp_path / "in" / "env.yaml"), "No such file", "--env FILE")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param("", "found NoneType", id="empty"),
        pytest.param(NO_MAPPING, "found list", id="a list"),
        pytest.param("just words", "found str", id="text"),
        pytest.param(BROKEN_YAML, "is not YAML", id="broken"),
        pytest.param("a: \x01", "is not YAML", id="control character"),
        pytest.param("a: b: c\n\td: e", "is not YAML", id="tabs"),
        pytest.param(DEEPLY_NESTED, "is not YAML", id="nested too deeply"),
        pytest.param(IMPOSSIBLE_DATE, "is not YAML", id="impossible date"),
        pytest.param(PYTHON_TAG, "is not YAML", id="python tag"),
        pytest.param("input: [1]\noutput: 5\n", "not an environment file", id="sections of the wrong kind"),
        pytest.param("run_training: perhaps\n", "not an environment file", id="no truth value"),
        pytest.param("input: {config_file: 5}\n", "not an environment file", id="number for a path"),
    ],
)
def test_env_yaml_that_says_nothing_usable(ymir_tree: MakeTree, no_torch: dict[str, str], text: str, finding: str):
    tree = ymir_tree()
    tree.env_file.write_text(text)
    run_start(tree.env_file, environment=no_torch).require_failure(300001, str(tree.env_file), finding)
    assert not (tree.root / "executed").exists()


@pytest.mark.parametrize("script", ["ymir_train.py", "ymir_mining.py", "ymir_infer.py"])
def test_a_script_alone_says_the_same_about_env_yaml(ymir_tree: MakeTree, no_torch: dict[str, str], script: str):
    tree = ymir_tree()
    tree.env_file.write_text(DEEPLY_NESTED)
    outcome = run_script(script, tree.env_file, environment=no_torch)
    outcome.require_failure(300001, str(tree.env_file), "is not YAML")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param(NO_MAPPING, "found list", id="a list"),
        pytest.param(BROKEN_YAML, "is not YAML", id="broken"),
        pytest.param(DEEPLY_NESTED, "is not YAML", id="nested too deeply"),
        pytest.param(IMPOSSIBLE_DATE, "is not YAML", id="impossible date"),
        pytest.param(PYTHON_TAG, "is not YAML", id="python tag"),
    ],
)
def test_config_yaml_that_says_nothing_usable(ymir_tree: MakeTree, no_torch: dict[str, str], text: str, finding: str):
    tree = ymir_tree()
    (tree.in_dir / "config.yaml").write_text(text)
    outcome = run_start(tree.env_file, environment=no_torch)
    outcome.require_failure(300001, str(tree.in_dir / "config.yaml"), finding)
    assert not (tree.root / "executed").exists()


def test_binary_bytes_for_config_yaml(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    (tree.in_dir / "config.yaml").write_bytes(bytes(range(256)) * 4)
    run_start(tree.env_file, environment=no_torch).require_failure(300001, "config.yaml", "is not YAML")


def test_missing_config_yaml(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    (tree.in_dir / "config.yaml").unlink()
    run_start(tree.env_file, environment=no_torch).require_failure(300001, "config.yaml", "No such file")


def test_yaml_of_anchors_that_grows_without_end_is_refused_with_a_short_sentence(ymir_tree: MakeTree, no_torch: dict):
    tree = ymir_tree()
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)]
    (tree.in_dir / "config.yaml").write_text("\n".join([*lines, "class_names: *a9", "batch_size: *a9"]))
    outcome = run_start(tree.env_file, environment=no_torch, timeout_s=20)
    outcome.require_failure(300001, "class_names")
    assert len(outcome.last_line) < 1000


@pytest.mark.parametrize(
    ("names", "finding"),
    [
        pytest.param(None, "class_names is missing", id="missing"),
        pytest.param([], "class_names is missing or empty", id="empty"),
        pytest.param(["cat", "dog", "Cat "], "'cat' twice", id="twice but for case and blanks"),
        pytest.param(["cat", " "], "empty name", id="a blank one"),
        pytest.param("cat", "must be a list", id="text"),
        pytest.param([["cat"], None], "must be a list", id="nested"),
    ],
)
def test_class_names_that_name_no_classes(ymir_tree: MakeTree, no_torch: dict[str, str], names: Any, finding: str):
    tree = ymir_tree()
    tree.edit("config.yaml", class_names=names)
    run_start(tree.env_file, environment=no_torch).require_failure(300001, "config.yaml", finding)


@pytest.mark.parametrize(
    ("flags", "finding"),
    [
        pytest.param((False, False, False), "none of run_training, run_mining and run_infer", id="nothing"),
        pytest.param((True, True, False), "run_training and run_mining", id="training and mining"),
        pytest.param((True, True, True), "run_training and run_mining and run_infer", id="everything"),
    ],
)
def test_run_flags_that_contradict_each_other(
    ymir_tree: MakeTree, no_torch: dict[str, str], flags: tuple[bool, bool, bool], finding: str
):
    tree = ymir_tree()
    tree.edit("env.yaml", run_training=flags[0], run_mining=flags[1], run_infer=flags[2])
    run_start(tree.env_file, environment=no_torch).require_failure(300001, "env.yaml", finding)


@pytest.mark.parametrize("object_type", [3, 50, "4"])
def test_a_task_that_wants_no_boxes(ymir_tree: MakeTree, no_torch: dict[str, str], object_type: Any):
    tree = ymir_tree()
    tree.edit("config.yaml", object_type=object_type)
    outcome = run_start(tree.env_file, environment=no_torch)
    outcome.require_failure(300005, "config.yaml", f"object_type {object_type!r}", "choose an image")


@pytest.mark.parametrize("gpu_id", ["zero", "0,0", "-1", [0, "x"], True])
def test_gpu_id_that_is_no_list_of_numbers(ymir_tree: MakeTree, no_torch: dict[str, str], gpu_id: Any):
    tree = ymir_tree()
    tree.edit("config.yaml", gpu_id=gpu_id)
    run_start(tree.env_file, environment=no_torch).require_failure(300001, "config.yaml", "gpu_id must be GPU numbers")


def test_numbers_and_blanks_in_task_id_stay_in_their_column(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    tree.edit("env.yaml", task_id=20231122)
    assert run_start(tree.env_file, environment=no_torch).monitor.task_id == "20231122"
    tree.edit("env.yaml", task_id="t1\t0.9\nt2")
    outcome = run_start(tree.env_file, environment=no_torch)
    assert outcome.monitor.task_id == "t1 0.9 t2"
    assert outcome.monitor.stack == ()


def test_monitor_file_in_a_folder_that_does_not_exist_yet(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    env = {"root_dir": "/out", "monitor_file": "/out/deep/er/monitor.txt"}
    tree.edit("env.yaml", output=env, run_training=False)
    outcome = run_start(tree.env_file, environment=no_torch)
    assert outcome.status == 1
    assert "\t300001\t" in (tree.out_dir / "deep" / "er" / "monitor.txt").read_text()


def test_the_reason_of_an_earlier_run_in_the_same_folder_does_not_stay(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    tree.edit("config.yaml", object_type=3)
    run_script("ymir_train.py", tree.env_file, environment=no_torch).require_failure(300005)
    tree.edit("config.yaml", object_type=2, gpu_id="x")
    run_script("ymir_train.py", tree.env_file, environment=no_torch).require_failure(300001, "gpu_id")
