"""env.yaml and config.yaml to a `Task`: every release is read, and every impossible value is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import pytest
import yaml

from ymir_detectron2.contract.task import Task, class_key, load_task, monitor_place, read_args_options
from ymir_detectron2.errors import ConfigError, ExecutorError, ObjectTypeError

CONFIG = {"class_names": ["cat", "Dog"], "gpu_id": "0,1", "max_iter": 5}


def write(tmp_path: Path, env: Any, config: Any = CONFIG) -> Path:
    """Write both files, as YAML or as they are, and return the path of env.yaml."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, content in (("env.yaml", env), ("config.yaml", config)):
        (folder / name).write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return folder / "env.yaml"


def load(tmp_path: Path, env: Mapping[str, Any] | None = None, **config: Any) -> Task:
    return load_task(write(tmp_path, {"task_id": "t1", "run_training": True, **(env or {})}, {**CONFIG, **config}))


def test_a_training_task_of_the_newest_release(tmp_path: Path):
    paths = {"training_index_file": "/in/train-index.tsv", "val_index_file": "/in/val-index.tsv"}
    task = load(tmp_path, {"protocol_version": "1.1.0", "input": {**paths, "candidate_index_file": ""}})
    assert (task.task_id, task.run_training, task.run_mining, task.run_infer) == ("t1", True, False, False)
    assert (task.train_index, task.val_index, task.candidate_index) == (
        tmp_path / "in" / "train-index.tsv", tmp_path / "in" / "val-index.tsv", None,
    )  # fmt: skip
    assert task.writes_stages
    assert (task.class_names, task.gpu_ids) == (("cat", "Dog"), (0, 1))
    assert task.config["max_iter"] == 5


def test_what_is_missing_gets_the_paths_of_the_contract(tmp_path: Path):
    env_file = write(tmp_path, "task_id: 17\ninput:\noutput:\n")
    task = load_task(env_file)
    assert task.task_id == "17"
    assert not task.writes_stages, "no protocol_version: YMIR up to 1.2"
    out = tmp_path / "out"
    assert (task.input_models_dir, task.output_dir, task.models_dir, task.tensorboard_dir, task.training_result) == (
        tmp_path / "in" / "models", out, out / "models", out / "tensorboard", out / "models" / "result.yaml",
    )  # fmt: skip
    assert (task.mining_result, task.infer_result, task.monitor) == (
        out / "result.tsv", out / "infer-result.json", out / "monitor.txt",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param("", "found NoneType", id="empty"),
        pytest.param("- a\n- b\n", "found list", id="a list"),
        pytest.param("just words", "found str", id="text"),
        pytest.param("task_id: [unclosed\nrun_training: {", "is not YAML", id="broken"),
        pytest.param("a: \x01", "is not YAML", id="control character"),
        pytest.param("a: b: c\n\td: e", "is not YAML", id="tabs"),
        pytest.param("[" * 3000, "is not YAML", id="nested too deeply"),
        pytest.param("prompt: 2020-13-45\n", "is not YAML", id="impossible date"),
        pytest.param("class_names: !!python/object/apply:os.getcwd []\n", "is not YAML", id="python tag"),
    ],
)
def test_a_file_that_is_not_a_yaml_mapping(tmp_path: Path, text: str, finding: str):
    env_file = write(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"env\.yaml: .*{finding}.*; start the container with the platform's /in"):
        load_task(env_file)
    env_file.write_text("task_id: t1\n")
    (tmp_path / "in" / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"config\.yaml: .*{finding}.*; it has to hold the settings of the task"):
        load_task(env_file)


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"input": [1], "output": 5}, id="sections of the wrong kind"),
        pytest.param({"run_training": "perhaps"}, id="not a boolean"),
        pytest.param({"input": {"config_file": [5]}}, id="a list for a path"),
        pytest.param({5: 6}, id="a key that is not a name"),
    ],
)
def test_a_mapping_that_is_not_an_environment_file(tmp_path: Path, env: dict[Any, Any]):
    with pytest.raises(ConfigError, match=r"env\.yaml: not an environment file of YMIR: ") as error:
        load(tmp_path, env)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "gpu_ids"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param("", (), id="the CPU"),
        pytest.param(" , ", (), id="blanks"),
        pytest.param("0", (0,), id="one"),
        pytest.param(" 1, 0 ,", (1, 0), id="two, with blanks and a comma"),
        pytest.param(2, (2,), id="a number"),
        pytest.param([0, "3"], (0, 3), id="a list"),
        pytest.param([], (), id="an empty list"),
    ],
)
def test_gpu_ids(tmp_path: Path, value: Any, gpu_ids: tuple[int, ...] | None):
    assert load(tmp_path, gpu_id=value).gpu_ids == gpu_ids


@pytest.mark.parametrize("value", ["zero", "0,0", "-1", "0.5", 0.0, [0, "x"], [[0]], True, [False], {"a": 1}])
def test_gpu_ids_that_are_not_numbers_of_gpus(tmp_path: Path, value: Any):
    with pytest.raises(ConfigError, match=r"config\.yaml: gpu_id must be GPU numbers such as '0,1' or ''"):
        load(tmp_path, gpu_id=value)


@pytest.mark.parametrize(
    ("value", "names"),
    [(None, ()), ([], ()), ([" cat ", "Dog"], ("cat", "Dog")), ([7, 0.5, True], ("7", "0.5", "True"))],
)
def test_class_names(tmp_path: Path, value: Any, names: tuple[str, ...]):
    assert load(tmp_path, class_names=value).class_names == names


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        pytest.param(["cat", "dog", "Cat "], "'cat' twice", id="twice, but for case and blanks"),
        pytest.param(["cat", " "], "empty name", id="a blank one"),
        pytest.param("cat", "must be a list", id="text"),
        pytest.param([["cat"], None], "must be a list", id="nested"),
    ],
)
def test_class_names_that_do_not_name_classes(tmp_path: Path, value: Any, finding: str):
    with pytest.raises(ConfigError, match=rf"config\.yaml: class_names .*{finding}"):
        load(tmp_path, class_names=value)


@pytest.mark.parametrize("value", [None, 2, "2", 0, ""])
def test_box_detection_is_the_object_type_that_is_accepted(tmp_path: Path, value: Any):
    assert load(tmp_path, object_type=value).class_names == ("cat", "Dog")


@pytest.mark.parametrize("value", [3, 50, "4", [2], "box"])
def test_other_object_types_are_refused(tmp_path: Path, value: Any):
    with pytest.raises(ObjectTypeError, match=r"config\.yaml: object_type .* is not box detection \(2\); choose"):
        load(tmp_path, object_type=value)


@pytest.mark.parametrize(
    ("text", "monitor", "task_id"),
    [
        pytest.param("task_id: t1\noutput: {monitor_file: /out/deep/m.txt}\n", "out/deep/m.txt", "t1", id="complete"),
        pytest.param("task_id: 17\noutput:\n", "out/monitor.txt", "17", id="defaults"),
        pytest.param("- a\n", "out/monitor.txt", "-", id="a list"),
        pytest.param("output: 5\n", "out/monitor.txt", "-", id="a number for a section"),
        pytest.param("a: [", "out/monitor.txt", "-", id="broken"),
        pytest.param("[" * 3000, "out/monitor.txt", "-", id="nested too deeply"),
    ],
)
def test_the_monitor_file_is_known_whatever_env_yaml_is_like(tmp_path: Path, text: str, monitor: str, task_id: str):
    """A task that `load_task` refuses has to report that."""
    assert monitor_place(write(tmp_path, text)) == (tmp_path / monitor, task_id)


def test_the_monitor_file_without_env_yaml(tmp_path: Path):
    assert monitor_place(tmp_path / "in" / "env.yaml") == (tmp_path / "out" / "monitor.txt", "-")
    with pytest.raises(ExecutorError, match=r"env\.yaml: cannot be read \(No such file or directory\); start the"):
        load_task(tmp_path / "in" / "env.yaml")


def test_class_names_are_compared_without_case_and_blanks():
    assert class_key(" Red CAR\t") == class_key("red car")
    assert class_key("red car") != class_key("red  car")


@pytest.mark.parametrize(
    ("env", "config", "text"),
    [
        ({}, {"args_options": "--machine-rank 1"}, "--machine-rank 1"),
        ({"input": {"config_file": "/in/config.yaml"}}, {"args_options": "A 1"}, "A 1"),
        ({"input": None}, {"args_options": None}, ""),
        ({}, {"args_options": 5}, "5"),
        ({"input": {"config_file": "/in/gone.yaml"}}, {"args_options": "A 1"}, ""),
        ({}, "[not: closed", ""),
        ({}, "a list", ""),
        ("[not: closed", {"args_options": "A 1"}, ""),
        ({"input": "text"}, {"args_options": "A 1"}, ""),
    ],
)
def test_args_options_before_anything_is_checked(tmp_path: Path, env: Any, config: Any, text: str):
    assert read_args_options(write(tmp_path, env, config)) == text
