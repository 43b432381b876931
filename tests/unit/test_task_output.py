"""What is found in the folder of a task, of its owner or of a stranger."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.results.task_output import TaskOutput, find_task_outputs


@pytest.mark.parametrize("given", ["", "out"])
def test_a_task_is_found_by_its_folder_and_by_its_out(ymir_tree: MakeTree, given: str):
    tree = ymir_tree("infer")
    (tree.out_dir / "monitor.txt").write_text("")
    (output,) = find_task_outputs(tree.root / given)
    assert output.out_dir == tree.out_dir
    assert output.task is not None
    assert output.page == tree.out_dir / "report.html"


def test_an_out_that_was_copied_alone_has_no_task(tmp_path: Path):
    (tmp_path / "result.tsv").write_text("")
    assert find_task_outputs(tmp_path) == [TaskOutput(tmp_path, None)]


def test_an_env_file_that_is_damaged_is_as_none(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "env.yaml").write_text("input: [")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result.tsv").write_text("")
    assert find_task_outputs(tmp_path) == [TaskOutput(tmp_path / "out", None)]


def test_a_folder_of_task_folders_has_all_of_them(ymir_tree: MakeTree, tmp_path: Path):
    for name in ("b", "a"):
        (ymir_tree("infer", folder=name).out_dir / "monitor.txt").write_text("")
    (tmp_path / "a-file").write_text("")
    found = [output.out_dir for output in find_task_outputs(tmp_path)]
    assert found == [tmp_path / "a" / "out", tmp_path / "b" / "out"]


def test_a_folder_without_a_task_is_refused_in_one_sentence(tmp_path: Path):
    with pytest.raises(ConfigError, match="holds no output of a task"):
        find_task_outputs(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        find_task_outputs(tmp_path / "gone")


def test_results_are_read_in_the_output_folder_whatever_env_yaml_names(ymir_tree: MakeTree, tmp_path: Path):
    tree = ymir_tree("mining+infer")
    (tree.out_dir / "monitor.txt").write_text("")
    named = {"infer_result_file": str(tmp_path / "secret.json"), "mining_result_file": "/out/x.tsv"}
    tree.edit("env.yaml", output=named)
    (output,) = find_task_outputs(tree.root)
    assert output.infer_result == tree.out_dir / "infer-result.json"
    assert output.mining_result == tree.out_dir / "x.tsv"


def test_images_are_found_by_name_the_first_of_several(ymir_tree: MakeTree):
    tree = ymir_tree("infer")
    (tree.out_dir / "monitor.txt").write_text("")
    tree.write_index("candidate", ["/in/assets/x/a.jpg", "/in/assets/y/a.jpg", "", "/in/assets/b.jpg"])
    (output,) = find_task_outputs(tree.root)
    assert output.candidate_paths({"a.jpg", "c.jpg"}) == {"a.jpg": tree.in_dir / "assets" / "x" / "a.jpg"}
    (tree.in_dir / "candidate-index.tsv").unlink()
    assert output.candidate_paths({"a.jpg"}) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"[" * 100_000, b"\xff\xfe", b'{"a": 1'])
def test_json_of_any_kind_is_a_mapping_or_nothing(tmp_path: Path, content: bytes):
    (tmp_path / "summary.json").write_bytes(content)
    output = TaskOutput(tmp_path, None)
    assert output.read_json("summary.json") is None
    (tmp_path / "summary.json").write_text(json.dumps({"a": 1}))
    assert output.read_json("summary.json") == {"a": 1}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "summary.json")
    assert TaskOutput(tmp_path, None).read_json("summary.json") is None
