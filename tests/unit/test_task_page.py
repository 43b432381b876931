"""report.html of a folder: a section for each result that is there, and one sentence where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import MakeTree
from ymir_detectron2.contract.infer_result import InferResultWriter
from ymir_detectron2.contract.mining_result import write_mining_result
from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.results.task_output import TaskOutput
from ymir_detectron2.results.task_page import write_task_page, write_task_pages


def write_inference(folder: Path) -> None:
    with InferResultWriter(folder / "infer-result.json", writes_stages=True) as writer:
        writer.add("a.jpg", [])


def headings(page: Path) -> list[str]:
    return re.findall("<h[12]>([^<]*)</h[12]>", page.read_text(encoding="utf-8"))


def test_a_page_has_a_section_for_each_result(tmp_path: Path):
    write_inference(tmp_path)
    assert headings(write_task_page(TaskOutput(tmp_path))) == ["Inference"]
    write_mining_result(tmp_path / "result.tsv", [("/in/a.jpg", -0.5)])
    page = write_task_page(TaskOutput(tmp_path))
    assert headings(page) == ["Mining and inference", "Mining", "Inference"]
    assert page == tmp_path / "report.html"


def test_the_same_files_make_the_same_page(tmp_path: Path):
    write_inference(tmp_path)
    write_mining_result(tmp_path / "result.tsv", [("/in/a.jpg", -0.5)])
    first = write_task_page(TaskOutput(tmp_path)).read_bytes()
    assert write_task_page(TaskOutput(tmp_path)).read_bytes() == first


def test_pages_of_a_folder_of_tasks_without_those_that_have_not_ended(ymir_tree: MakeTree, tmp_path: Path):
    trees = [ymir_tree("infer", folder=name) for name in ("a", "b", "c")]
    for tree in trees:
        (tree.out_dir / "monitor.txt").touch()
    write_inference(trees[0].out_dir)
    write_inference(trees[2].out_dir)
    assert write_task_pages(tmp_path) == [trees[0].out_dir / "report.html", trees[2].out_dir / "report.html"]


def test_a_folder_without_results_is_refused(tmp_path: Path):
    (tmp_path / "monitor.txt").touch()
    with pytest.raises(ConfigError, match="holds no result yet"):
        write_task_pages(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_damaged_result_is_refused_and_the_page_before_it_stays(tmp_path: Path):
    write_inference(tmp_path)
    page = write_task_page(TaskOutput(tmp_path))
    before = page.read_bytes()
    (tmp_path / "infer-result.json").write_text("{")
    with pytest.raises(DatasetError, match="is not a result of inference"):
        write_task_page(TaskOutput(tmp_path))
    assert page.read_bytes() == before


def test_a_link_in_the_place_of_the_page_is_replaced_and_not_written_through(tmp_path: Path):
    write_inference(tmp_path)
    (tmp_path / "other.txt").write_text("of somebody else")
    (tmp_path / "report.html").symlink_to(tmp_path / "other.txt")
    write_task_page(TaskOutput(tmp_path))
    assert (tmp_path / "other.txt").read_text() == "of somebody else"
    assert not (tmp_path / "report.html").is_symlink()
