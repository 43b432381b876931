"""One image never ends a task: one that memory cannot hold is left out, and so is one that was read at two deaths."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree, Trained, Tree
from tests.large_images import write_black_png
from tests.memory_cgroup import memory_cgroup, prefix_in
from tests.running import Outcome, Running, descendants, run_start, run_steps, start_script
from ymir_detectron2.contract.images_in_work import images_in_work

LIMIT_BYTES = 1_500_000_000
LARGE_WH = (25_000, 25_000)  # 76 KB; decoded, a quarter of a gigabyte to several


def add_to_index(tree: Tree, name: str, path: Path) -> None:
    """Let the image be the last but one of an index; in training it has a box."""
    lines = tree.index_lines(name)
    line = str(path)
    if "\t" in lines[0]:
        annotation = tree.in_dir / "annotations" / f"{path.stem}.txt"
        annotation.write_text("0, 5, 5, 40, 40\n")
        line = f"{path}\t{annotation}"
    tree.write_index(name, [*lines[:-1], line, lines[-1]])


def make_tree(ymir_tree: MakeTree, trained: Trained, task: str, wh: tuple[int, int], **config: Any) -> Tree:
    """A task with one large image among the others."""
    tree = ymir_tree(task, config=config)
    large = tree.in_dir / "large.png"
    write_black_png(large, *wh)
    if task == "train":
        add_to_index(tree, "train", large)
    else:
        trained.give_to(tree)
        add_to_index(tree, "candidate", large)
    return tree


def findings(outcome: Outcome, task: str) -> dict[str, Any]:
    """What the report says of the images that were left out."""
    if task == "train":
        return outcome.json("dataset-report.json")["training"]["findings"]
    return outcome.json(f"{task}-summary.json")["findings"]


@pytest.mark.parametrize(
    "task", ["infer", pytest.param("mining", marks=pytest.mark.slow), pytest.param("train", marks=pytest.mark.slow)]
)
def test_an_image_that_memory_would_not_hold_is_left_out(ymir_tree: MakeTree, trained: Trained, task: str):
    tree = make_tree(ymir_tree, trained, task, LARGE_WH)
    with memory_cgroup(LIMIT_BYTES) as group:
        outcome = run_start(tree.env_file, prefix=prefix_in(group))
        outcome.require_success()
    assert "large.png: 25000x25000 pixels need " in outcome.output
    assert f"(cgroup /{group.name})" in outcome.output
    left_out = findings(outcome, task)["image too large for the memory, left out"]
    assert left_out["count"] == 1
    assert "large.png" in left_out["first"][0]


@pytest.mark.parametrize("task", ["infer", "train"])
def test_a_bound_set_by_hand(ymir_tree: MakeTree, trained: Trained, task: str):
    tree = make_tree(ymir_tree, trained, task, (300, 200), max_image_megapixels=0.05)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert "large.png: 300x200 pixels are more than max_image_megapixels: 0.05; make" in outcome.output
    assert findings(outcome, task)["image too large for the memory, left out"]["count"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("task", ["infer", "train"])
def test_an_image_in_work_at_two_deaths_for_want_of_memory_is_left_out(
    ymir_tree: MakeTree, trained: Trained, task: str
):
    """The bound that is set by hand lets it pass."""
    tree = make_tree(ymir_tree, trained, task, LARGE_WH, max_image_megapixels=10_000, batch_size=2)
    with memory_cgroup(LIMIT_BYTES) as group:
        for _ in range(2):
            outcome = run_start(tree.env_file, prefix=prefix_in(group))
            assert outcome.status == 1
            assert outcome.last_line.startswith("ERROR 300103: "), outcome.output[-3000:]
            assert f"(1.50 GB, cgroup /{group.name}) while it read {tree.in_dir}/large.png;" in outcome.last_line
            (tree.out_dir / "monitor.txt").unlink()
        outcome = run_start(tree.env_file, prefix=prefix_in(group))
        outcome.require_success()
    assert "large.png was in work when the task was killed for want of memory (2 x): left out" in outcome.output
    assert "large.png: was being read when the task was killed for want of memory, 2 times" in outcome.output
    assert not (tree.out_dir / ".unfinished").exists()


def kill_while_reading(tree: Tree) -> str:
    """Start the task, kill its step while the large image is in work, and return the log."""
    running = start_script("start.py", tree.env_file)
    running.wait_for(lambda: reader_of_large_image(running, tree))
    running.signal_process(reader_of_large_image(running, tree)[0], signal.SIGKILL)
    outcome = running.finish()
    assert outcome.status == 1
    assert "large.png" in outcome.last_line
    (tree.out_dir / "monitor.txt").unlink()
    return outcome.output


def reader_of_large_image(running: Running, tree: Tree) -> list[int]:
    large = f"{tree.in_dir}/large.png"
    return [pid for pid in descendants(running.process.pid) if large in images_in_work(tree.out_dir, pid=pid)]


def forget_counters(tree: Tree) -> None:
    """As on a system whose kernel does not count what its out-of-memory killer kills."""
    for file in (tree.out_dir / ".unfinished" / "reading").glob("*.slots"):
        with file.open("r+b") as slots:
            os.pwrite(slots.fileno(), b"{}\0", 0)


@pytest.mark.slow
def test_where_the_kernel_counts_nothing_each_kill_counts(ymir_tree: MakeTree, trained: Trained):
    tree = make_tree(ymir_tree, trained, "infer", (12_000, 12_000))
    kill_while_reading(tree)
    forget_counters(tree)
    assert "(1 x): read with no other one of these at a time" in kill_while_reading(tree)
    forget_counters(tree)
    outcome = run_start(tree.env_file)
    outcome.require_success()
    unreadable = findings(outcome, "infer")["unreadable image"]
    assert unreadable["count"] == 1
    assert "large.png: was being read when the task was killed" in unreadable["first"][0]


@pytest.mark.slow
def test_a_kill_by_somebody_changes_no_result(ymir_tree: MakeTree, trained: Trained):
    tree = make_tree(ymir_tree, trained, "infer", (12_000, 12_000))
    for _ in range(2):
        assert "was in work when" not in kill_while_reading(tree)
    outcome = run_start(tree.env_file)
    outcome.require_success()
    assert findings(outcome, "infer") == {}
