"""What the sentence at the end of a stopped task says of its work: what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ymir_detectron2.contract.kept_work import CHECKPOINT_NAME, STAGES_RECORD, TRAINING_DIR, describe_kept
from ymir_detectron2.contract.partial_results import PARTIAL_RESULTS_DIR, PartialResults
from ymir_detectron2.contract.training_result import Stage, TrainingResult

AGAIN = "start the task again on the same output folder"


def training(out_dir: Path, *, stages: int = 0, checkpoints: tuple[int, ...] = ()) -> str:
    """What is kept of a training that has listed so many stages and written these checkpoints."""
    folder = out_dir / TRAINING_DIR
    models_dir = out_dir / "models"
    models_dir.mkdir(parents=True)
    result = TrainingResult(
        models_dir, models_dir / "result.yaml", writes_stages=True, record=folder / STAGES_RECORD
    )
    for number in range(stages):
        (models_dir / f"iter_{number}.pth").write_bytes(b"weights")
        result.add(Stage(f"iter_{number}", (f"iter_{number}.pth",), 0.5))
    for step in checkpoints:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CHECKPOINT_NAME.format(step)).write_bytes(b"state")
    return describe_kept(out_dir, is_training=True)


@pytest.mark.parametrize(
    ("stages", "checkpoints", "sentence"),
    [
        (0, (), "nothing is kept of it yet; start the task again"),
        (1, (), f"1 stage is kept; {AGAIN} to begin again at step 1"),
        (2, (), f"2 stages are kept; {AGAIN} to begin again at step 1"),
        (0, (60, 120), f"the checkpoint of step 120 is kept; {AGAIN} to go on after that step"),
        (3, (9, 1_234_567), f"3 stages and the checkpoint of step 1234567 are kept; {AGAIN} to go on after that step"),
    ],
)
def test_what_is_kept_of_a_training(tmp_path: Path, stages: int, checkpoints: tuple[int, ...], sentence: str):
    assert training(tmp_path, stages=stages, checkpoints=checkpoints) == sentence


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"stages": 5}', b"\xff", b"[" * 100_000])
def test_a_record_of_stages_that_cannot_be_read_lists_none(tmp_path: Path, content: bytes):
    (tmp_path / TRAINING_DIR).mkdir(parents=True)
    (tmp_path / TRAINING_DIR / STAGES_RECORD).write_bytes(content)
    (tmp_path / TRAINING_DIR / "step_half-written.pth").touch()
    assert describe_kept(tmp_path, is_training=True) == "nothing is kept of it yet; start the task again"


@pytest.mark.parametrize("kind", ["mining", "infer", "mining+infer"])
def test_finished_images_are_kept_once_a_block_is_complete(tmp_path: Path, kind: str):
    folder = tmp_path / PARTIAL_RESULTS_DIR / f"{kind}-0123456789abcdef"
    results = PartialResults(folder)
    nothing = "no image is kept of it yet; start the task again"
    assert describe_kept(tmp_path, is_training=False) == nothing
    folder.mkdir(parents=True)
    (folder / "0000-a-b.tsv").write_bytes(b"0\t" + json.dumps([1]).encode() + b"\tdeadbeef\n1\t[")
    assert describe_kept(tmp_path, is_training=False) == nothing
    results.add(0, [1])
    kept = f"finished images are kept; {AGAIN} to go on with the rest"
    assert describe_kept(tmp_path, is_training=False) == kept


def test_the_work_of_a_training_is_that_of_machine_0(tmp_path: Path):
    assert describe_kept(tmp_path, is_training=True, machine_rank=1).startswith("machine 0 says what is kept")


def test_without_an_output_folder_nothing_is_promised():
    assert describe_kept(None, is_training=True) == "start the task again"
