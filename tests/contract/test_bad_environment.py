"""env.yaml and config.yaml that cannot be used: refused in one sentence, before torch is imported.

What can be wrong with them is listed in tests/unit/test_task.py; here is how it reaches the user of the platform.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import MakeTree, Tree
from tests.running import run_script, run_start, start_warm
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.errors import ConfigError

DEEPLY_NESTED = "[" * 3000
PYTHON_TAG = "class_names: !!python/object/apply:os.system ['touch executed']\n"


def refusal(tree: Tree) -> str:
    with pytest.raises(ConfigError) as error:
        load_task(tree.env_file)
    return str(error.value)


def test_missing_env_yaml_is_named_with_its_remedy(tmp_path: Path, no_torch: dict[str, str]):
    (tmp_path / "in").mkdir()
    outcome = run_start(tmp_path / "in" / "env.yaml", environment=no_torch)
    outcome.require_failure(300001, str(tmp_path / "in" / "env.yaml"), "No such file", "--env FILE")


@pytest.mark.parametrize("name", ["env.yaml", "config.yaml"])
def test_a_tag_that_would_run_a_command(ymir_tree: MakeTree, no_torch: dict[str, str], name: str):
    tree = ymir_tree()
    (tree.in_dir / name).write_text(PYTHON_TAG)
    outcome = run_start(tree.env_file, environment=no_torch)
    outcome.require_failure(300001, str(tree.in_dir / name), "is not YAML")
    assert not (tree.root / "executed").exists()


@pytest.mark.parametrize("script", ["ymir_train.py", "ymir_mining.py", "ymir_infer.py"])
def test_a_script_without_start_py_says_the_same_about_env_yaml(
    ymir_tree: MakeTree, no_torch: dict[str, str], script: str
):
    tree = ymir_tree()
    tree.env_file.write_text(DEEPLY_NESTED)
    outcome = run_script(script, tree.env_file, environment=no_torch)
    outcome.require_failure(300001, str(tree.env_file), "is not YAML")


def test_a_number_for_a_path(ymir_tree: MakeTree):
    tree = ymir_tree()
    tree.edit("env.yaml", input={"config_file": 5})
    assert f"{tree.env_file}: not an environment file" in refusal(tree)


def test_binary_bytes_for_config_yaml(ymir_tree: MakeTree):
    tree = ymir_tree()
    (tree.in_dir / "config.yaml").write_bytes(bytes(range(256)) * 4)
    assert f"{tree.in_dir}/config.yaml: is not YAML" in refusal(tree)


def test_missing_config_yaml(ymir_tree: MakeTree):
    tree = ymir_tree()
    (tree.in_dir / "config.yaml").unlink()
    assert f"{tree.in_dir}/config.yaml: cannot be read (No such file" in refusal(tree)


def test_yaml_of_anchors_that_grows_without_end_is_refused_soon_and_with_a_short_sentence(ymir_tree: MakeTree):
    tree = ymir_tree()
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)]
    (tree.in_dir / "config.yaml").write_text("\n".join([*lines, "class_names: *a9", "batch_size: *a9"]))
    start_s = time.process_time()
    sentence = refusal(tree)
    assert time.process_time() - start_s < 5
    assert "more than 100000 values" in sentence
    assert len(sentence) < 1000


@pytest.mark.parametrize("names", [None, []], ids=["missing", "empty"])
def test_a_training_without_class_names(ymir_tree: MakeTree, names: list[str] | None):
    tree = ymir_tree()
    tree.edit("config.yaml", class_names=names)
    outcome = start_warm("ymir_train.py", tree.env_file).finish()
    outcome.require_failure(300001, "config.yaml: class_names is missing or empty")


def test_numbers_and_blanks_in_task_id_stay_in_their_column(ymir_tree: MakeTree):
    tree = ymir_tree()
    for task_id, column in [(20231122, "20231122"), ("t1\t0.9\nt2", "t1 0.9 t2")]:
        tree.edit("env.yaml", task_id=task_id, run_training=False)
        outcome = run_start(tree.env_file)
        assert outcome.monitor.task_id == column
        assert outcome.monitor.stack == ()


def test_monitor_file_in_a_folder_that_does_not_exist_yet(ymir_tree: MakeTree):
    tree = ymir_tree()
    env = {"root_dir": "/out", "monitor_file": "/out/deep/er/monitor.txt"}
    tree.edit("env.yaml", output=env, run_training=False)
    outcome = run_start(tree.env_file)
    assert outcome.status == 1
    assert "env.yaml: none of run_training, run_mining and run_infer is true" in outcome.last_line
    assert "\t300001\t" in (tree.out_dir / "deep" / "er" / "monitor.txt").read_text()


def test_the_reason_of_an_earlier_run_in_the_same_folder_does_not_stay(ymir_tree: MakeTree):
    tree = ymir_tree()
    tree.edit("config.yaml", object_type=3)
    outcome = start_warm("ymir_train.py", tree.env_file).finish()
    outcome.require_failure(300005, "config.yaml", "object_type 3", "choose an image")
    tree.edit("config.yaml", object_type=2, gpu_id="x")
    outcome = start_warm("ymir_train.py", tree.env_file).finish()
    outcome.require_failure(300001, "config.yaml", "gpu_id must be GPU numbers")


@pytest.mark.parametrize(
    ("file", "key"), [("env.yaml", "task_id"), ("config.yaml", "args_options"), ("config.yaml", "mining_algorithm")]
)
def test_ten_anchors_that_stand_for_a_billion_words_end_at_once(ymir_tree: MakeTree, file: str, key: str):
    """The parent process printed, or the task parsed, all of them."""
    tree = ymir_tree()
    path = tree.env_file.parent / file
    names = "abcdefghij"
    anchors = ["a: &a [x, x]"]
    anchors += [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip(names, names[1:])]
    content = {**yaml.safe_load(path.read_text()), key: "PLACE"}
    path.write_text("\n".join(anchors) + "\n" + yaml.safe_dump(content).replace("PLACE", "*j"))
    outcome = run_start(tree.env_file)
    outcome.require_failure(300001, file, "more than 100000 values")
