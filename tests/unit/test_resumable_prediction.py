"""Rows of candidates on disk: the same for any number of processes, resumed, complete, and for one task only."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree, Tree
from tests.task_runs import RectangleTask, draw_candidates, give_model, task_run
from ymir_detectron2.errors import DatasetError, StoppedError
from ymir_detectron2.inference.predict import BLOCK, PredictionHooks
from ymir_detectron2.tasks.prediction_task import PredictionTask
from ymir_detectron2.tasks.resumable_prediction import (
    ResumablePrediction,
    fingerprint,
    reuses_predictions,
)

COUNT = 2 * BLOCK + 5
UNREADABLE = [3, COUNT - 1]


@pytest.fixture
def tree(ymir_tree: MakeTree) -> Tree:
    tree = ymir_tree("infer")
    give_model(tree)
    draw_candidates(tree, COUNT, UNREADABLE)
    return tree


def start_for(task: RectangleTask):
    return lambda: (PredictionHooks(), lambda entry, image: {"boxes": image.result_boxes(task.detector().class_names)})


def never_start():
    raise AssertionError("nothing is left to predict")


def predict(tree: Tree, **process: int) -> ResumablePrediction:
    task = RectangleTask(task_run(tree, **process))
    prediction = ResumablePrediction(task, "infer", "inferred")
    prediction.run(start_for(task))
    return prediction


def rows_of(prediction: ResumablePrediction) -> list[Any]:
    return [(number, entry.asset, row) for number, entry, row in prediction.rows()]


def partial_files(tree: Tree) -> list[Path]:
    return sorted((tree.out_dir / ".unfinished").rglob("*.tsv"))


def test_every_candidate_has_a_row_and_unreadable_ones_an_error(tree: Tree):
    rows = rows_of(predict(tree))
    assert [number for number, _, _ in rows] == list(range(COUNT))
    assert [asset for _, asset, _ in rows] == [f"/in/assets/drawn/{number:03}.png" for number in range(COUNT)]
    assert [number for number, _, row in rows if "error" in row] == UNREADABLE
    assert all(bool(row["boxes"]) == (number % 5 != 4) for number, _, row in rows if number not in UNREADABLE)
    assert "003.png" in rows[3][2]["error"]


def test_findings_of_image_files_are_kept_and_counted(tree: Tree):
    path = tree.real("/in/assets/drawn/002.png")
    path.write_bytes(path.read_bytes()[:-12])  # without its end
    expected = {"image file without its end, used": 1, "unreadable image": 2}
    for prediction in (predict(tree), predict(tree)):  # the second time from the disk
        assert rows_of(prediction)[2][2]["boxes"]
        findings = prediction._task.issues.as_dict()
        assert {reason: entry["count"] for reason, entry in findings.items()} == expected


def test_two_processes_make_the_rows_of_one(tree: Tree):
    expected = rows_of(predict(tree))
    for file in partial_files(tree):
        file.unlink()
    predict(tree, rank=1, world_size=2)
    assert len(partial_files(tree)) == 1
    assert rows_of(predict(tree, rank=0, world_size=2)) == expected
    assert len(partial_files(tree)) == 2


def test_blocks_on_disk_are_not_predicted_again(tree: Tree, caplog: pytest.LogCaptureFixture):
    """A run that ended in its second block, whose line has no end."""
    caplog.set_level("INFO")
    first = predict(tree)
    expected = rows_of(first)
    (file,) = partial_files(tree)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:1]) + b'1\t[{"boxes"')
    second = predict(tree)
    assert f"{BLOCK} of {COUNT} images were inferred before, resuming with the rest" in caplog.text
    assert sum(second._task.rectangle_detector.chunks) == COUNT - BLOCK - 1, "one of the rest is unreadable"
    assert rows_of(second) == expected


def test_a_complete_task_needs_no_detector(tree: Tree):
    expected = rows_of(predict(tree))
    task = RectangleTask(task_run(tree))
    again = ResumablePrediction(task, "infer", "inferred")
    again.run(never_start)
    assert rows_of(again) == expected
    assert again.figures["images"] == COUNT
    assert again.figures["images_per_second"] is None
    assert task.issues.as_dict()["unreadable image"]["count"] == 2


def test_rows_of_another_task_are_removed(tree: Tree):
    predict(tree)
    (before,) = partial_files(tree)
    tree.edit("config.yaml", conf_threshold=0.5)
    predict(tree)
    (after,) = partial_files(tree)
    assert before.parent != after.parent


def test_a_stop_keeps_finished_blocks(tree: Tree):
    task = RectangleTask(task_run(tree))

    def make_row(entry, image) -> dict:
        if entry.asset.endswith(f"{BLOCK + 2:03}.png"):
            task.run.stop.name = "SIGTERM"
        return {"boxes": []}

    with pytest.raises(StoppedError, match="stopped on request before all images were processed"):
        ResumablePrediction(task, "infer", "inferred").run(lambda: (PredictionHooks(), make_row))
    (file,) = partial_files(tree)
    assert [line.partition(b"\t")[0] for line in file.read_bytes().splitlines()] == [b"0?"]


def test_main_process_stops_while_it_waits_for_another(tree: Tree):
    task = RectangleTask(task_run(tree, rank=0, world_size=2))

    def make_row(entry, image) -> dict:
        if entry.asset.endswith(f"{COUNT - 2:03}.png"):  # the last readable one of this process
            task.run.stop.name = "SIGTERM"
        return {"boxes": []}

    with pytest.raises(StoppedError, match="stopped on request before all images were processed"):
        ResumablePrediction(task, "infer", "inferred").run(lambda: (PredictionHooks(), make_row))


def test_a_task_without_a_readable_image_fails_at_the_end(ymir_tree: MakeTree):
    tree = ymir_tree("infer")
    give_model(tree)
    draw_candidates(tree, 2, [0, 1])
    prediction = predict(tree)
    with pytest.raises(DatasetError, match="none of its 2 images can be read, 2 x unreadable image"):
        list(prediction.rows())


def fingerprint_of(tree: Tree) -> str:
    return fingerprint(PredictionTask(task_run(tree)), "infer")


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        pytest.param({"conf_threshold": 0.3}, True, id="threshold"),
        pytest.param({"tile_size": 64}, True, id="tiles"),
        pytest.param({"seed": 1}, True, id="random seed"),
        pytest.param({"args_options": "INPUT.MIN_SIZE_TEST 320"}, True, id="an option of the network"),
        pytest.param({"class_names": ["brick", "leaf"]}, True, id="classes"),
        pytest.param({"num_workers": 3}, False, id="reading threads"),
        pytest.param({"args_options": "--num-gpus 2"}, False, id="number of processes"),
        pytest.param({"diversity_distance": 0.1}, False, id="what mining does afterwards"),
        pytest.param({"task_id": "t2"}, False, id="what the platform adds"),
    ],
)
def test_fingerprint_is_that_of_everything_that_decides_the_rows(tree: Tree, config: dict, changes: bool):
    before = fingerprint_of(tree)
    tree.edit("config.yaml", **config)
    assert (fingerprint_of(tree) != before) == changes


def test_fingerprint_is_that_of_the_bytes_of_model_and_index(tree: Tree):
    before = fingerprint_of(tree)
    give_model(tree, b"other weights")
    other_model = fingerprint_of(tree)
    draw = tree.candidates()
    tree.write_index("candidate", draw[::-1])
    assert len({before, other_model, fingerprint_of(tree)}) == 3
    tree.write_index("candidate", draw)
    give_model(tree)
    assert fingerprint_of(tree) == before


@pytest.mark.parametrize(
    ("task", "algorithm", "reuses"),
    [
        pytest.param("mining+infer", "cald", True, id="mining and inference"),
        pytest.param("mining+infer", "random", False, id="mining that opens no image"),
        pytest.param("mining", "cald", False, id="mining alone"),
        pytest.param("infer", "cald", False, id="inference alone"),
    ],
)
def test_one_forward_pass_is_enough_for_mining_and_inference(
    ymir_tree: MakeTree, task: str, algorithm: str, reuses: bool
):
    tree = ymir_tree(task, config={"mining_algorithm": algorithm})
    assert reuses_predictions(task_run(tree)) == reuses


@pytest.mark.parametrize(
    "damage",
    [
        lambda rows: rows[:-1], lambda rows: [*rows, rows[0]], lambda rows: {}, lambda rows: [5, *rows[1:]],
        lambda rows: [{}, *rows[1:]], lambda rows: [{"boxes": 5}, *rows[1:]], lambda rows: [{"error": 5}, *rows[1:]],
        lambda rows: [{"boxes": [[1, 2, 3, 4, "red"]]}, *rows[1:]],
        lambda rows: [{"boxes": [[1, 2, 3, 4.5, "red", 0.5]]}, *rows[1:]],
    ],
    ids=["too few", "too many", "no list", "no row", "empty row", "boxes", "error", "no score", "no pixel"],
)  # fmt: skip
def test_a_block_with_other_rows_than_this_task_writes_is_predicted_again(tree: Tree, damage: Any):
    """Rows that are missing would give those of the next images to these."""
    expected = rows_of(predict(tree))
    (file,) = partial_files(tree)
    lines = file.read_bytes().splitlines(keepends=True)
    rows = json.loads(lines[1].split(b"\t")[1])
    content = b"1\t" + json.dumps(damage(rows)).encode()
    file.write_bytes(lines[0] + content + b"\t%08x\n" % zlib.crc32(content) + lines[2])
    assert rows_of(predict(tree)) == expected
