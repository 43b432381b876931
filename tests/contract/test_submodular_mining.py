"""Candidates that are ordered together: one process, two, and one after a kill write the same; tiles and inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import CLASS_NAMES, MakeTree, Trained, Tree
from tests.contract.test_resumable_predictions import (
    bytes_of,
    copy_of,
    finished_blocks,
    forget_progress,
    make,
    mined,
    wait_for_blocks,
)
from tests.platform_reader import read_mining_result
from tests.running import run_steps, start_warm
from ymir_detectron2.contract.model_package import STATISTICS_NAME
from ymir_detectron2.evaluation.training_statistics import summarise_training
from ymir_detectron2.inference.predict import BLOCK
from ymir_detectron2.mining.peaks import NAME

TASK = "mining+infer"


def make_submodular(ymir_tree: MakeTree, trained: Trained, count: int, **config: Any) -> Tree:
    tree = make(ymir_tree, trained, TASK, count, mining_algorithm="submodular", conf_threshold=0.012, **config)
    assert not list(tree.root.rglob(STATISTICS_NAME)) or remove_statistics(tree)
    return tree


def remove_statistics(tree: Tree) -> bool:
    for path in tree.root.rglob(STATISTICS_NAME):
        path.unlink()
    return True


def weights_folder(tree: Tree) -> Path:
    (weights,) = (tree.in_dir / "models").rglob("*.pth")
    return weights.parent


def write_statistics(tree: Tree) -> None:
    """Of a training with one class, whose images are all alike."""
    images = [90] + [0] * (len(CLASS_NAMES) - 1)
    statistics = summarise_training(
        CLASS_NAMES, boxes_per_class=images, images_per_class=images, ap50_per_class=[0.9] * len(images), images=90,
        images_without_objects=0, features=127 * np.eye(3, 64, dtype=np.int8), feature_name=NAME,
    )  # fmt: skip
    (weights_folder(tree) / STATISTICS_NAME).write_bytes(statistics.as_bytes())


def all_bytes(tree: Tree) -> list[bytes]:
    names = ("mining-parts.tsv", "mining-explanations.json")
    return [*bytes_of(tree, TASK), *((tree.out_dir / name).read_bytes() for name in names)]


def test_one_process_two_and_one_that_was_killed_write_the_same_bytes(ymir_tree: MakeTree, trained: Trained):
    count = 6 * BLOCK + 7
    tree = make_submodular(ymir_tree, trained, count)
    write_statistics(tree)
    two, only_infer = copy_of(tree, "two"), copy_of(tree, "infer")
    running = start_warm("ymir_mining.py", tree.env_file)
    wait_for_blocks(running, tree, 2)
    running.kill()
    before = finished_blocks(tree)
    assert 2 <= before < 7
    forget_progress(tree)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert f"{before * BLOCK} of {count} images were mined before" in outcome.output
    assert len(read_mining_result(tree.out_dir / "result.tsv", tree.candidates())) == count

    two.edit("config.yaml", args_options="--num-gpus 2", batch_size=3)
    run_steps(two.env_file).require_success()
    assert all_bytes(two) == all_bytes(tree)

    only_infer.edit("env.yaml", run_mining=False)
    run_steps(only_infer.env_file).require_success()
    assert bytes_of(only_infer, "infer") == bytes_of(tree, "infer")


def test_statistics_absent_damaged_and_present(ymir_tree: MakeTree, trained: Trained):
    """Absent is one line of the log, damaged one warning; both give the order of a model of which nothing is known."""
    tree = make_submodular(ymir_tree, trained, BLOCK)
    tree.edit("env.yaml", run_infer=False)
    absent = run_steps(tree.env_file)
    absent.require_success()
    assert absent.output.count(STATISTICS_NAME) == 1
    order = mined(tree)
    assert [score for _, score in order].count(-2.0) == 3

    (weights_folder(tree) / STATISTICS_NAME).write_text('{"version": 1, "features": ' + "[" * 100_000)
    forget_progress(tree)
    damaged = run_steps(tree.env_file)
    damaged.require_success()
    (warning,) = [line for line in damaged.lines if STATISTICS_NAME in line]
    assert warning.startswith("WARNING")
    assert mined(tree) == order

    write_statistics(tree)
    forget_progress(tree)
    present = run_steps(tree.env_file)
    present.require_success()
    assert STATISTICS_NAME not in present.output
    assert mined(tree) != order
    assert "images were mined before" in present.output, "the rows do not depend on the statistics"


def test_tiles(ymir_tree: MakeTree, trained: Trained):
    """Boxes of the inference step are those of inference alone, and the log has what takes no effect."""
    tree = make_submodular(ymir_tree, trained, 12, tile_size=48, diversity_distance=0.1)
    only_infer = copy_of(tree, "infer")
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert "diversity_distance has no effect with submodular" in outcome.output
    only_infer.edit("env.yaml", run_mining=False)
    run_steps(only_infer.env_file).require_success()
    assert bytes_of(only_infer, "infer") == bytes_of(tree, "infer")
    scores = [score for _, score in mined(tree)]
    assert scores == sorted(scores, reverse=True)
