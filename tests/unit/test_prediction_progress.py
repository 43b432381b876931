"""What inference and mining report of themselves: to the platform, in the log, and for the summary."""

from __future__ import annotations

import logging

import pytest

from tests.conftest import MakeTree, Tree
from tests.task_runs import task_run
from ymir_detectron2.contract.monitor import read_monitor
from ymir_detectron2.tasks.prediction_progress import PredictionProgress


@pytest.fixture
def tree(ymir_tree: MakeTree) -> Tree:
    return ymir_tree("infer")


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def fraction(tree: Tree) -> float:
    line = read_monitor(tree.out_dir / "monitor.txt")
    assert line is not None
    return line.fraction


def test_progress_goes_forward_only_and_leaves_a_rest_for_writing(tree: Tree):
    with PredictionProgress(task_run(tree), "inferred", 10, 2) as progress:
        progress.update(5)
        progress.update(4)
        assert fraction(tree) == pytest.approx(0.495)
        progress.update(10)
    assert fraction(tree) == pytest.approx(0.99)
    figures = progress.figures()
    assert figures["images"] == 10
    assert figures["images_per_second"] == pytest.approx(8 / figures["seconds"]), "two were done before"


def test_only_the_main_process_reports(tree: Tree):
    run = task_run(tree, rank=1, world_size=2)
    with PredictionProgress(run, "inferred", 10) as progress:
        progress.update(5)
    assert not run.task.monitor.exists()


def test_passes_before_and_after_are_part_of_the_progress(tree: Tree):
    run = task_run(tree)
    with PredictionProgress(run, "mined", 60, to_come=40) as progress:
        progress.update(60)
    assert fraction(tree) == pytest.approx(0.99 * 0.6)
    with PredictionProgress(run, "compared", 40, passed=60) as progress:
        progress.update(20)
        assert fraction(tree) == pytest.approx(0.99 * 0.8)


def lines_of(caplog: pytest.LogCaptureFixture, tree: Tree, *, chunk: int, chunk_s: float, total: int) -> list[str]:
    """The lines of a pass whose images come in chunks."""
    clock = Clock()
    with caplog.at_level(logging.INFO), PredictionProgress(
        task_run(tree), "inferred", total, total // 10, to_come=total // 10, clock=clock
    ) as progress:
        clock.now_s += 50  # the detector is being loaded
        progress.begin()
        for done in range(total // 10 + 1, total + 1):
            if (done - total // 10 - 1) % chunk == 0:
                clock.now_s += chunk_s
            progress.update(done)
    return caplog.messages


def test_a_line_tells_what_was_known_at_the_end_of_the_chunk_before_it(caplog: pytest.LogCaptureFixture, tree: Tree):
    lines = lines_of(caplog, tree, chunk=10, chunk_s=20.0, total=200)
    # half an image per second; 170 images are left after the first ten, and twenty that come again, less one chunk
    assert lines[0] == "inferred 30 of 200 images, 0.50 images/s, 6 min left"
    assert all(", 0.50 images/s, " in line for line in lines)


def test_lines_come_by_time_and_by_share(caplog: pytest.LogCaptureFixture, tree: Tree):
    assert len(lines_of(caplog, tree, chunk=1, chunk_s=40.0, total=50)) == 44  # more than 30 s for each image
    caplog.clear()
    assert 9 <= len(lines_of(caplog, tree, chunk=1, chunk_s=1.0, total=100)) <= 11


def test_a_pass_of_a_moment_has_no_line_but_its_figures(caplog: pytest.LogCaptureFixture, tree: Tree):
    assert lines_of(caplog, tree, chunk=4, chunk_s=0.1, total=20) == []


def test_nothing_left_to_predict(caplog: pytest.LogCaptureFixture, tree: Tree):
    with PredictionProgress(task_run(tree), "inferred", 10, 10) as progress:
        pass
    with caplog.at_level(logging.INFO):
        assert progress.figures()["images_per_second"] is None
    assert "all of them had been predicted before" in caplog.text
