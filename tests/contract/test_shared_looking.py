"""Mining and inference by several processes, interrupted and started again: the same bytes as by one, nothing twice."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Drawn, MakeTree, Trained, Tree, draw_picture
from tests.platform_reader import read_infer_result, read_mining_result
from tests.running import Outcome, Running, descendants, run_start, start_script
from ymir_detectron2.inference.stream import BLOCK

RESULTS = {"infer": ["infer-result.json"], "mining+infer": ["result.tsv", "infer-result.json"]}


def add_candidates(tree: Tree, count: int) -> None:
    """Pictures of three shapes, among them some that cannot be read."""
    folder = tree.in_dir / "assets" / "many"
    for number in range(count):
        path = folder / f"{number:04}.jpg"
        if number % 13 == 5:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no picture")
        else:
            wh = [(96, 64), (64, 96), (80, 80)][number % 3]
            draw_picture(path, [("brick", 5 + number % 20, 8, 40, 50), ("sky", 30, 30, 60, 62)], wh=wh)
    tree.write_index("candidate", [f"/in/assets/many/{number:04}.jpg" for number in range(count)])


def make(ymir_tree: MakeTree, trained: Trained, task: str, count: int, folder: str = "task", **config: Any) -> Tree:
    tree = ymir_tree(task, folder=folder, config={"precision": "fp32", **config})
    trained.give_to(tree)
    add_candidates(tree, count)
    return tree


def bytes_of(tree: Tree, task: str) -> list[bytes]:
    return [(tree.out_dir / name).read_bytes() for name in RESULTS[task]]


def restart(tree: Tree, folder: str) -> Tree:
    """The same task, in an /out of its own."""
    copy = tree.root.parent / folder
    shutil.copytree(tree.in_dir, copy / "in", symlinks=True)
    return Tree(copy, copy / "in" / "env.yaml")


def run_again(tree: Tree) -> Outcome:
    """In the same /out. Progress begins anew, which the platform's reader must not compare with the first run's."""
    (tree.out_dir / "monitor.txt").unlink()
    return run_start(tree.env_file, timeout_s=300)


def unfinished(tree: Tree) -> list[Path]:
    return list((tree.out_dir / ".unfinished").rglob("*.tsv"))


def finished_blocks(tree: Tree) -> int:
    return sum(file.read_bytes().count(b"\n") for file in unfinished(tree))


@pytest.mark.parametrize("task", ["mining+infer", "infer"])
def test_two_processes_write_the_bytes_of_one(ymir_tree: MakeTree, trained: Trained, task: str):
    tree = make(ymir_tree, trained, task, 3 * BLOCK + 7)
    run_start(tree.env_file, timeout_s=300).require_success()
    assert not (tree.out_dir / ".unfinished").exists()
    two = restart(tree, "two")
    two.edit("config.yaml", args_options="--num-gpus 2")
    outcome = run_start(two.env_file, timeout_s=300)
    outcome.require_success()
    assert bytes_of(two, task) == bytes_of(tree, task)
    found = read_infer_result(two.out_dir / "infer-result.json", two.candidates(), ["brick", "leaf", "sky"])
    assert list(found) == [f"{number:04}.jpg" for number in range(103)]
    assert {name for name, boxes in found.items() if not boxes} >= {f"{number:04}.jpg" for number in range(5, 103, 13)}


def start_and_wait_for_blocks(tree: Tree, blocks: int) -> Running:
    running = start_script("start.py", tree.env_file)
    running.wait_for(lambda: finished_blocks(tree) >= blocks, timeout_s=180)
    return running


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_task_started_again_goes_on_where_it_was(ymir_tree: MakeTree, trained: Trained, number: signal.Signals):
    """With another number of processes, to make it harder."""
    tree = make(ymir_tree, trained, "mining+infer", 12 * BLOCK)
    running = start_and_wait_for_blocks(tree, 2)
    if number == signal.SIGKILL:
        running.kill()
    else:
        running.process.send_signal(number)
        running.finish(60).require_failure(160004, "start the task again")
    assert not (tree.out_dir / "result.tsv").exists()
    before = finished_blocks(tree)
    assert 2 <= before < 12
    tree.edit("config.yaml", args_options="--num-gpus 2")
    outcome = run_again(tree)
    outcome.require_success()
    assert f"{before * BLOCK} of {12 * BLOCK} images were mined before" in outcome.output
    whole = restart(tree, "whole")
    whole.edit("config.yaml", args_options=None)
    run_start(whole.env_file, timeout_s=300).require_success()
    assert bytes_of(tree, "mining+infer") == bytes_of(whole, "mining+infer")


def test_another_threshold_is_another_task(ymir_tree: MakeTree, trained: Trained):
    tree = make(ymir_tree, trained, "infer", 6 * BLOCK)
    start_and_wait_for_blocks(tree, 1).kill()
    tree.edit("config.yaml", conf_threshold=0.01)
    outcome = run_again(tree)
    outcome.require_success()
    assert "before, going on" not in outcome.output
    boxes = [box for entry in outcome.json("infer-result.json")["detection"].values() for box in entry["boxes"]]
    assert min(box["score"] for box in boxes) > 0.01
    assert not (tree.out_dir / ".unfinished").exists()


def variables_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_a_process_that_is_killed_is_named(ymir_tree: MakeTree, trained: Trained):
    tree = make(ymir_tree, trained, "infer", 40 * BLOCK, args_options="--num-gpus 2")
    running = start_and_wait_for_blocks(tree, 2)
    pids = descendants(running.process.pid)
    running.signal_process(next(pid for pid in pids if b"RANK=1" in variables_of(pid)), signal.SIGKILL)
    outcome = running.finish(90)
    assert outcome.status == 1
    expected = "ERROR 300103: process 2 of 2 of ymir_infer.py was killed"
    assert outcome.last_line.startswith(expected), outcome.output[-3000:]
    assert "start the task again" in outcome.last_line
    assert outcome.monitor.state_code == 300103
    assert finished_blocks(tree) >= 2


def test_a_task_that_mines_and_infers_looks_once(ymir_tree: MakeTree, trained: Trained):
    """The inference step only writes: it does not even load the model."""
    tree = make(ymir_tree, trained, "mining+infer", BLOCK + 3)
    outcome = run_start(tree.env_file, timeout_s=200)
    outcome.require_success()
    assert outcome.output.count(": loaded ") == 1
    assert f"inferred {BLOCK + 3} images" in outcome.output
    assert outcome.json("infer-summary.json")["images_per_second"] is None
    alone = restart(tree, "alone")
    alone.edit("env.yaml", run_mining=False)
    run_start(alone.env_file, timeout_s=200).require_success()
    assert bytes_of(alone, "infer") == bytes_of(tree, "infer")


@pytest.mark.parametrize("algorithm", ["cald_legacy", "entropy", "aldd", "margin", "random"])
def test_every_algorithm_mines(ymir_tree: MakeTree, trained: Trained, algorithm: str):
    tree = make(ymir_tree, trained, "mining", 20, mining_algorithm=algorithm)
    outcome = run_start(tree.env_file)
    outcome.require_success()
    assert len(read_mining_result(tree.out_dir / "result.tsv", tree.candidates())) == 20
    scores = [float(line.split("\t")[1]) for line in (tree.out_dir / "result.tsv").read_text().splitlines()]
    assert len(set(scores)) > 5
    assert scores.count(-2.0) == (0 if algorithm == "random" else 2)


def test_random_needs_neither_model_nor_pictures(ymir_tree: MakeTree):
    tree = ymir_tree("mining", config={"mining_algorithm": "random"})
    tree.write_index("candidate", [f"/in/assets/{number}.jpg" for number in range(1000)])
    outcome = run_start(tree.env_file)
    outcome.require_success()
    first = (tree.out_dir / "result.tsv").read_bytes()
    tree.write_index("candidate", [f"/in/assets/{number}.jpg" for number in range(999, -1, -1)])
    run_again(tree).require_success()
    assert (tree.out_dir / "result.tsv").read_bytes() == first


def test_near_duplicates_wait_behind_the_others(ymir_tree: MakeTree, trained: Trained):
    tree = make(ymir_tree, trained, "mining", 3, mining_algorithm="entropy", diversity_distance=1e-5)
    folder = tree.in_dir / "assets" / "many"
    for number in range(1, 6):
        shutil.copy(folder / "0000.jpg", folder / f"copy{number}.jpg")
    names = [*tree.candidates(), *(f"/in/assets/many/copy{number}.jpg" for number in range(1, 6))]
    tree.write_index("candidate", names)
    outcome = run_start(tree.env_file)
    outcome.require_success()
    assert "5 of the best 8 candidates resemble a better one" in outcome.output
    rows = [line.split("\t") for line in (tree.out_dir / "result.tsv").read_text().splitlines()]
    assert {Path(name).stem for name, _ in rows[:2]} <= {"0000", "0001", "0002", *(f"copy{n}" for n in range(1, 6))}
    last = rows[-1][1]
    assert [score for _, score in rows].count(last) >= 5


def test_odd_pictures_among_the_candidates(ymir_tree: MakeTree, trained: Trained):
    """400 million pixels, one pixel, one row: each gets its line, in the memory of one picture at a time."""
    tree = make(ymir_tree, trained, "mining+infer", 4)
    folder = tree.in_dir / "assets" / "many"
    huge = Image.new("L", (20_000, 20_000), 90)
    huge.paste(200, (5000, 5000, 15_000, 15_000))
    huge.save(folder / "huge.jpg", quality=50)
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    Image.fromarray(np.zeros((1, 3000, 3), dtype=np.uint8)).save(folder / "row.png")
    names = [*tree.candidates(), *(f"/in/assets/many/{name}" for name in ("huge.jpg", "one.png", "row.png"))]
    tree.write_index("candidate", names)
    outcome = run_start(tree.env_file, timeout_s=300)
    outcome.require_success()
    assert len(outcome.json("infer-result.json")["detection"]) == 7
    assert "unreadable" not in outcome.output


def test_tiles(ymir_tree: MakeTree, trained: Trained, drawn: Drawn):
    tree = make(ymir_tree, trained, "mining+infer", 5, tile_size=48)
    outcome = run_start(tree.env_file, timeout_s=200)
    outcome.require_success()
    found = read_infer_result(tree.out_dir / "infer-result.json", tree.candidates(), ["brick", "leaf", "sky"])
    assert sum(map(len, found.values())) > 0
    for name, boxes in found.items():
        for box in boxes:
            assert box.x >= 0, name
            assert box.y >= 0, name
            assert box.x + box.w <= 96, name
            assert box.y + box.h <= 96, name


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"tile_size": 10}, ["tile_size", "at least 32"]),
        ({"tile_size": 100, "tile_overlap": 60}, ["tile_overlap", "at most half"]),
        ({"tile_overlap": 5}, ["tile_overlap"]),
        ({"mining_algorithm": "alld"}, ["mining_algorithm", "cald, cald_legacy, entropy, aldd, margin, random"]),
        ({"diversity_distance": 1.5}, ["diversity_distance", "below 1"]),
        ({"mining_algorithm": "aldd", "class_distribution_scores": "1,x"}, ["class_distribution_scores"]),
        ({"args_options": "--config-file x.yaml"}, ["a model brings its own config.yaml"]),
    ],
)
def test_settings_that_make_no_sense(ymir_tree: MakeTree, trained: Trained, config: dict, words: list[str]):
    tree = make(ymir_tree, trained, "mining", 2, **config)
    outcome: Outcome = run_start(tree.env_file)
    outcome.require_failure(300001, *words)


def test_the_log_says_how_fast_and_how_long(ymir_tree: MakeTree, trained: Trained):
    tree = make(ymir_tree, trained, "infer", 10)
    outcome = run_start(tree.env_file)
    assert re.search(r"inferred 10 images in [\d.]+ s, [\d.]+ images/s", outcome.output)
