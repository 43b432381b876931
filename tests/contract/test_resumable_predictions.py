"""Mining and inference by several processes, interrupted and restarted: the same bytes as by one, nothing twice."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import CLASS_NAMES, MakeTree, Trained, Tree, draw_image
from tests.platform_reader import read_infer_result, read_mining_result
from tests.running import Running, descendants, run_start, run_steps, start_script, start_warm
from ymir_detectron2.inference.predict import BLOCK
from ymir_detectron2.inference.prefetch import LARGE

RESULTS = {"infer": ["infer-result.json"], "mining+infer": ["result.tsv", "infer-result.json"]}


def add_candidates(tree: Tree, count: int) -> None:
    """Images of three shapes, among them some that cannot be read."""
    folder = tree.in_dir / "assets" / "many"
    for number in range(count):
        path = folder / f"{number:04}.jpg"
        if number % 13 == 5:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("not an image")
        else:
            wh = [(96, 64), (64, 96), (80, 80)][number % 3]
            draw_image(path, [("brick", 5 + number % 20, 8, 40, 50), ("sky", 30, 30, 60, 62)], wh=wh)
    tree.write_index("candidate", [f"/in/assets/many/{number:04}.jpg" for number in range(count)])


def make(ymir_tree: MakeTree, trained: Trained, task: str, count: int, **config: Any) -> Tree:
    tree = ymir_tree(task, config={"precision": "fp32", **config})
    trained.give_to(tree)
    add_candidates(tree, count)
    return tree


def bytes_of(tree: Tree, task: str) -> list[bytes]:
    return [(tree.out_dir / name).read_bytes() for name in RESULTS[task]]


def copy_of(tree: Tree, folder: str) -> Tree:
    """The same task with an empty /out."""
    copy = tree.root.parent / folder
    shutil.copytree(tree.in_dir, copy / "in", symlinks=True)
    return Tree(copy, copy / "in" / "env.yaml")


def forget_progress(tree: Tree) -> None:
    """Before a second run in the same /out: its progress begins at 0, which the reader would refuse as a step back."""
    (tree.out_dir / "monitor.txt").unlink()


def finished_blocks(tree: Tree) -> int:
    return sum(file.read_bytes().count(b"\n") for file in (tree.out_dir / ".unfinished").rglob("*.tsv"))


def wait_for_blocks(running: Running, tree: Tree, blocks: int) -> None:
    running.wait_for(lambda: finished_blocks(tree) >= blocks)


@pytest.mark.parametrize("task", ["mining+infer", "infer"])
def test_two_processes_write_the_bytes_of_one(ymir_tree: MakeTree, trained: Trained, task: str):
    count = 2 * BLOCK + 7  # one process has two blocks, the other one
    tree = make(ymir_tree, trained, task, count)
    run_steps(tree.env_file).require_success()
    two = copy_of(tree, "two")
    two.edit("config.yaml", args_options="--num-gpus 2")
    outcome = run_steps(two.env_file)
    outcome.require_success()
    assert bytes_of(two, task) == bytes_of(tree, task)
    pred = read_infer_result(two.out_dir / "infer-result.json", two.candidates(), CLASS_NAMES)
    assert list(pred) == [f"{number:04}.jpg" for number in range(count)]
    assert {name for name, boxes in pred.items() if not boxes} >= {f"{number:04}.jpg" for number in range(5, count, 13)}


def test_a_killed_task_resumes_with_another_number_of_processes(ymir_tree: MakeTree, trained: Trained):
    tree = make(ymir_tree, trained, "infer", 8 * BLOCK)
    whole = copy_of(tree, "whole")
    running = start_warm("ymir_infer.py", tree.env_file)
    wait_for_blocks(running, tree, 2)
    running.kill()
    before = finished_blocks(tree)
    assert 2 <= before < 8
    forget_progress(tree)
    tree.edit("config.yaml", args_options="--num-gpus 2")
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert f"{before * BLOCK} of {8 * BLOCK} images were inferred before" in outcome.output
    run_steps(whole.env_file).require_success()
    assert bytes_of(tree, "infer") == bytes_of(whole, "infer")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_start_py_resumes_a_task_with_another_number_of_processes(
    ymir_tree: MakeTree, trained: Trained, number: signal.Signals
):
    tree = make(ymir_tree, trained, "mining+infer", 12 * BLOCK)
    whole = copy_of(tree, "whole")
    running = start_script("start.py", tree.env_file)
    wait_for_blocks(running, tree, 2)
    if number == signal.SIGKILL:
        running.kill()
    else:
        running.process.send_signal(number)
        running.finish().require_failure(160004, "start the task again")
    assert not (tree.out_dir / "result.tsv").exists()
    before = finished_blocks(tree)
    assert 2 <= before < 12
    forget_progress(tree)
    tree.edit("config.yaml", args_options="--num-gpus 2")
    outcome = run_start(tree.env_file)
    outcome.require_success()
    assert f"{before * BLOCK} of {12 * BLOCK} images were mined before" in outcome.output
    assert not (tree.out_dir / ".unfinished").exists()
    run_start(whole.env_file).require_success()
    assert bytes_of(tree, "mining+infer") == bytes_of(whole, "mining+infer")


def test_another_threshold_is_another_task(ymir_tree: MakeTree, trained: Trained):
    tree = make(ymir_tree, trained, "infer", 6 * BLOCK)
    running = start_warm("ymir_infer.py", tree.env_file)
    wait_for_blocks(running, tree, 1)
    running.kill()
    forget_progress(tree)
    tree.edit("config.yaml", conf_threshold=0.01)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert "images were inferred before" not in outcome.output
    boxes = [box for entry in outcome.json("infer-result.json")["detection"].values() for box in entry["boxes"]]
    assert min(box["score"] for box in boxes) > 0.01
    assert len(list((tree.out_dir / ".unfinished").glob("infer-*"))) == 1, "the blocks of the other task are gone"


@pytest.mark.parametrize("task", ["mining+infer", "infer"])
def test_a_folder_that_was_not_mounted_is_read_at_the_next_start(ymir_tree: MakeTree, trained: Trained, task: str):
    tree = make(ymir_tree, trained, task, BLOCK + 3)
    whole = copy_of(tree, "whole")
    folder = tree.in_dir / "assets" / "many"
    folder.rename(folder.with_name("elsewhere"))
    for _ in range(2):  # again without it: nothing is kept that a third start would believe
        outcome = run_steps(tree.env_file)
        outcome.require_failure(300002, "none of its 35 images can be read", "check the mounted folders")
        forget_progress(tree)
    folder.with_name("elsewhere").rename(folder)
    run_steps(tree.env_file).require_success()
    run_steps(whole.env_file).require_success()
    assert bytes_of(tree, task) == bytes_of(whole, task)


@pytest.mark.parametrize("processes", [1, 2])
def test_only_blocks_with_an_image_that_can_be_read_now_are_predicted_again(
    ymir_tree: MakeTree, trained: Trained, processes: int
):
    """Each block has images that can never be read, and the third one that could not be read for a while."""
    tree = make(ymir_tree, trained, "infer", 4 * BLOCK, args_options=f"--num-gpus {processes}")
    whole = copy_of(tree, "whole")
    image = tree.in_dir / "assets" / "many" / f"{2 * BLOCK + 1:04}.jpg"
    image.rename(image.with_suffix(".gone"))
    run_steps(tree.env_file).require_success()
    without_it = bytes_of(tree, "infer")
    image.with_suffix(".gone").rename(image)
    forget_progress(tree)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert f"{3 * BLOCK} of {4 * BLOCK} images were inferred before" in outcome.output
    run_steps(whole.env_file).require_success()
    assert bytes_of(tree, "infer") == bytes_of(whole, "infer") != without_it


def variables_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


@pytest.mark.slow
def test_a_process_that_is_killed_is_named(ymir_tree: MakeTree, trained: Trained):
    tree = make(ymir_tree, trained, "infer", 40 * BLOCK, args_options="--num-gpus 2")
    running = start_script("start.py", tree.env_file)
    wait_for_blocks(running, tree, 2)
    pids = descendants(running.process.pid)
    running.signal_process(next(pid for pid in pids if b"RANK=1" in variables_of(pid)), signal.SIGKILL)
    outcome = running.finish()
    assert outcome.status == 1
    expected = "ERROR 300103: process 2 of 2 of ymir_infer.py was killed"
    assert outcome.last_line.startswith(expected), outcome.output[-3000:]
    assert "start the task again" in outcome.last_line
    assert outcome.monitor.state_code == 300103
    assert finished_blocks(tree) >= 2


def test_a_task_that_mines_and_infers_predicts_every_image_once(ymir_tree: MakeTree, trained: Trained):
    """The inference step only writes: it does not even load the model."""
    tree = make(ymir_tree, trained, "mining+infer", BLOCK + 3)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert outcome.output.count(": loaded ") == 1
    assert re.search(rf"mined {BLOCK + 3} images in [\d.]+ s, [\d.]+ images/s", outcome.output)
    assert f"inferred {BLOCK + 3} images" in outcome.output
    assert outcome.json("infer-summary.json")["images_per_second"] is None
    only_infer = copy_of(tree, "infer")
    only_infer.edit("env.yaml", run_mining=False)
    run_steps(only_infer.env_file).require_success()
    assert bytes_of(only_infer, "infer") == bytes_of(tree, "infer")


@pytest.mark.parametrize("algorithm", ["cald_legacy", "entropy", "aldd", "margin", "submodular", "random"])
def test_every_algorithm_mines(ymir_tree: MakeTree, trained: Trained, algorithm: str):
    tree = make(ymir_tree, trained, "mining", 20, mining_algorithm=algorithm)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert len(read_mining_result(tree.out_dir / "result.tsv", tree.candidates())) == 20
    scores = [score for _, score in mined(tree)]
    assert len(set(scores)) > 5
    assert scores.count(-2.0) == (0 if algorithm == "random" else 2)


def mined(tree: Tree) -> list[tuple[str, float]]:
    """The names of the candidates in the order of result.tsv, and their scores."""
    rows = [line.split("\t") for line in (tree.out_dir / "result.tsv").read_text().splitlines()]
    return [(Path(name).stem, float(score)) for name, score in rows]


def test_random_needs_neither_model_nor_images(ymir_tree: MakeTree):
    tree = ymir_tree("mining", config={"mining_algorithm": "random"})
    tree.write_index("candidate", [f"/in/assets/{number}.jpg" for number in range(1000)])
    run_steps(tree.env_file).require_success()
    first = (tree.out_dir / "result.tsv").read_bytes()
    tree.write_index("candidate", [f"/in/assets/{number}.jpg" for number in range(999, -1, -1)])
    forget_progress(tree)
    run_steps(tree.env_file).require_success()
    assert (tree.out_dir / "result.tsv").read_bytes() == first


def test_near_duplicates_of_the_best_candidate_move_behind_the_others(ymir_tree: MakeTree, trained: Trained):
    tree = make(ymir_tree, trained, "mining", 4, mining_algorithm="entropy")
    run_steps(tree.env_file).require_success()
    best, *others = [name for name, _ in mined(tree)]
    folder = tree.in_dir / "assets" / "many"
    copies = [f"copy{number}" for number in range(5)]
    for name in copies:
        shutil.copy(folder / f"{best}.jpg", folder / f"{name}.jpg")
    tree.write_index("candidate", [*tree.candidates(), *(f"/in/assets/many/{name}.jpg" for name in copies)])
    forget_progress(tree)
    run_steps(tree.env_file).require_success()
    assert [name for name, _ in mined(tree)] == [best, *copies, *others], "as informative as the best one"

    tree.edit("config.yaml", diversity_distance=1e-5)
    forget_progress(tree)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert "5 of the best 9 candidates" in outcome.output
    result = mined(tree)
    assert [name for name, _ in result] == [best, *others, *copies]
    assert {score for _, score in result[-len(copies) :]} == {result[len(others)][1]}


def give_images(tree: Tree, sizes: list[tuple[int, int]]) -> None:
    """Make grey images of these widths and heights the candidates."""
    folder = tree.in_dir / "assets" / "sizes"
    folder.mkdir()
    names = [f"{number}_{wh[0]}x{wh[1]}.jpg" for number, wh in enumerate(sizes)]
    for name, wh in zip(names, sizes):
        Image.new("L", wh, 90).save(folder / name)
    tree.write_index("candidate", [f"/in/assets/sizes/{name}" for name in names])


def test_large_images_are_in_memory_one_at_a_time(ymir_tree: MakeTree, trained: Trained):
    """However many there are, and although the next images are read while the network runs on one."""
    side = 4096
    assert side * side > LARGE
    peaks = []
    for count in (1, 6):
        tree = ymir_tree("infer", folder=f"{count} images")
        trained.give_to(tree)
        give_images(tree, [(side, side)] * count)
        running = start_warm("ymir_infer.py", tree.env_file)
        running.finish().require_success()
        peaks.append(running.process.peak_memory_bytes)
    image_bytes = side * side * 3
    assert peaks[0] > image_bytes
    assert peaks[1] - peaks[0] < image_bytes


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([(96, 64), (1, 1), (3000, 1)], id="one pixel and one row"),
        pytest.param([(96, 64), (20_000, 20_000)], id="400 million pixels", marks=pytest.mark.slow),
    ],
)
def test_odd_images_among_the_candidates(ymir_tree: MakeTree, trained: Trained, sizes: list[tuple[int, int]]):
    tree = ymir_tree("mining+infer")
    trained.give_to(tree)
    give_images(tree, sizes)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert len(outcome.json("infer-result.json")["detection"]) == len(sizes)
    assert "unreadable" not in outcome.output


def test_tiles(ymir_tree: MakeTree, trained: Trained):
    tree = make(ymir_tree, trained, "mining+infer", 5, tile_size=48)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    pred = read_infer_result(tree.out_dir / "infer-result.json", tree.candidates(), CLASS_NAMES)
    assert sum(map(len, pred.values())) > 0
    for name, boxes in pred.items():
        for box in boxes:
            assert box.x >= 0, name
            assert box.y >= 0, name
            assert box.x + box.w <= 96, name
            assert box.y + box.h <= 96, name
