"""The page at the end of a task: its path, or one warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeTree, Tree
from ymir_detectron2.contract.infer_result import InferResultWriter
from ymir_detectron2.contract.task import load_task
from ymir_detectron2.tasks.report_page import add_task_page

PROJECT_DIR = Path(__file__).resolve().parents[2]


@pytest.fixture
def inferred(ymir_tree: MakeTree) -> Tree:
    tree = ymir_tree("infer")
    with InferResultWriter(tree.out_dir / "infer-result.json", writes_stages=True) as writer:
        writer.add("a.jpg", [])
    return tree


def test_the_page_is_written_into_the_output_folder(inferred: Tree, caplog: pytest.LogCaptureFixture):
    page = add_task_page(load_task(inferred.env_file))
    assert page == inferred.out_dir / "report.html"
    assert page.exists()
    assert caplog.records == []


def test_a_page_that_cannot_be_made_is_one_warning(inferred: Tree, caplog: pytest.LogCaptureFixture):
    (inferred.out_dir / "infer-result.json").write_text("[\n]")
    assert add_task_page(load_task(inferred.env_file)) is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("the page of the results is left out: DatasetError: ")
    assert "\n" not in record.getMessage()


def test_a_page_that_cannot_be_written_is_one_warning(inferred: Tree, caplog: pytest.LogCaptureFixture):
    (inferred.out_dir / "report.html").mkdir()
    add_task_page(load_task(inferred.env_file))
    (record,) = caplog.records
    assert "report.html: cannot be written" in record.getMessage()
    assert not list(inferred.out_dir.glob(".*"))


def test_without_jinja_a_task_ends_all_the_same(inferred: Tree, tmp_path: Path):
    """In an environment that was not made from our requirements."""
    (tmp_path / "jinja2.py").write_text("raise ImportError('no jinja2')\n")
    code = (
        "import sys; from pathlib import Path; from ymir_detectron2.contract.task import load_task;"
        "from ymir_detectron2.tasks.report_page import add_task_page; add_task_page(load_task(Path(sys.argv[1])))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(inferred.env_file)], cwd=PROJECT_DIR, text=True, capture_output=True,
        env={"PYTHONPATH": f"{tmp_path}:{PROJECT_DIR}"}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0
    assert ended.stderr.splitlines() == ["the page of the results is left out: ImportError: no jinja2"]
