"""Checkpoints of an unfinished training: which are kept, which one is loaded, and what makes it that of another one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import resource
from pathlib import Path
from typing import Any, Iterator

import pytest
import torch

from tests.tiny_training import config, job_of
from ymir_detectron2.config.setting import effects_of
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.checkpoint import write_content
from ymir_detectron2.tile_windows import Tiling
from ymir_detectron2.training.checkpointing import (
    CheckpointDir,
    difference,
    fingerprint,
    restoring,
)

SAME = {"seed": "0", "class_names": "a, b"}


def load(checkpoints: CheckpointDir, *, must_resume: bool = False) -> dict[str, Any] | None:
    """The first that is offered, as a training takes that can continue it."""
    _, state = next(checkpoints.newest_first(must_resume=must_resume), (None, None))
    return state


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_two_are_kept_and_the_newest_is_loaded(tmp_path: Path):
    checkpoints = CheckpointDir(tmp_path / "new", SAME)
    for step in (3, 6, 9):
        checkpoints.write(step, {"value": step})
    assert names(tmp_path / "new") == ["step_0000006.pth", "step_0000009.pth"]
    other = CheckpointDir(tmp_path / "new", SAME)
    state = load(other)
    assert state is not None
    assert (state["step"], state["value"], other.last_step) == (9, 9, 9)


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        pytest.param(b"", "cannot resume from", id="empty"),
        pytest.param(bytes(5000), "is no file that torch.save wrote", id="zeros, after a power cut"),
        pytest.param(None, "is not a checkpoint of this version", id="other format"),
    ],
)
def test_an_unreadable_one_costs_the_steps_since_the_one_before(
    tmp_path: Path, content: bytes | None, finding: str, caplog: pytest.LogCaptureFixture
):
    checkpoints = CheckpointDir(tmp_path, SAME)
    checkpoints.write(3, {})
    newest = tmp_path / "step_0000006.pth"
    if content is None:
        write_content(newest, {"format": 0, "step": 6, "fingerprint": SAME})
    else:
        newest.write_bytes(content)
    state = load(checkpoints)
    assert state is not None
    assert state["step"] == 3
    assert finding in caplog.text
    assert str(newest) in caplog.text


@pytest.mark.parametrize("place", range(20))
def test_zeros_anywhere_in_the_newest_one_never_reach_the_training(tmp_path: Path, place: int):
    """As after a power cut: in the directory of the archive at its end, in the program, in a tensor, in the padding."""
    checkpoints = CheckpointDir(tmp_path, SAME)
    checkpoints.write(3, {})
    checkpoints.write(6, {"model": {"weight": torch.arange(1, 2001)}})
    newest = tmp_path / "step_0000006.pth"
    content = bytearray(newest.read_bytes())
    start = place * (len(content) - 256) // 19
    content[start : start + 256] = bytes(256)
    newest.write_bytes(content)
    state = load(checkpoints)
    assert state is not None
    assert state["step"] == 3 or torch.equal(state["model"]["weight"], torch.arange(1, 2001))


def test_without_a_checkpoint_training_starts_at_step_1(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        assert load(CheckpointDir(tmp_path / "none", SAME)) is None
        assert caplog.messages == []
        assert load(CheckpointDir(tmp_path / "none", SAME), must_resume=True) is None
    assert caplog.messages == ["--resume: the output folder holds no unfinished training, so this one begins at step 1"]


def test_the_checkpoint_of_another_training_is_removed_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    CheckpointDir(tmp_path / "new", SAME).write(3, {})
    assert load(CheckpointDir(tmp_path / "new", {**SAME, "seed": "1"})) is None
    assert not (tmp_path / "new").exists()
    assert caplog.messages == [
        "the output folder holds an unfinished training of step 3 with other settings (seed was 0, is 1): starting from"
        " step 1"
    ]


def test_with_resume_the_checkpoint_of_another_training_is_an_error_and_stays(tmp_path: Path):
    CheckpointDir(tmp_path, SAME).write(3, {})
    with pytest.raises(ConfigError, match=r"--resume: the unfinished training of step 3 .* is another one: seed was 0"):
        load(CheckpointDir(tmp_path, {**SAME, "seed": "1"}), must_resume=True)
    assert names(tmp_path) == ["step_0000003.pth"]


def test_at_most_three_differences_are_named_and_long_values_are_shortened():
    before = {"format": 2, "step": 3, "fingerprint": dict.fromkeys("bcde", "0")}
    found = difference(before, {**dict.fromkeys("bcd", "1"), "a": "x" * 100})
    assert found == "b was 0, is 1; c was 0, is 1; d was 0, is 1 and 1 more"
    assert difference(before, {"a": "x" * 100}) == f"a was unknown, is {'x' * 57}..."
    assert difference(before, {"b": "0"}) == ""


def test_all_of_this_training_are_offered_newest_first_and_none_is_left_if_none_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "new"
    CheckpointDir(folder, SAME).write(3, {})
    CheckpointDir(folder, SAME).write(6, {})
    write_content(folder / "step_0000009.pth", {"format": 2, "step": 9, "fingerprint": {**SAME, "seed": "1"}})
    checkpoints = CheckpointDir(folder, SAME)
    offered = checkpoints.newest_first(must_resume=True)
    assert next(offered)[0] == folder / "step_0000006.pth"
    assert f"cannot resume from {folder / 'step_0000009.pth'}: it is of a training with other settings" in caplog.text
    assert checkpoints.last_step == 6
    assert [path.name for path, _ in offered] == ["step_0000003.pth"]
    assert not folder.exists()
    assert checkpoints.last_step == 0


def test_those_that_were_passed_over_do_not_outlive_newer_ones(tmp_path: Path):
    """Two damaged files with the highest numbers would be the newest two for ever."""
    for step in (50, 60):
        (tmp_path / f"step_{step:07d}.pth").write_bytes(b"damaged")
    checkpoints = CheckpointDir(tmp_path, SAME)
    for step in (7, 8, 9):
        checkpoints.write(step, {})
    assert names(tmp_path) == ["step_0000008.pth", "step_0000009.pth"]


def test_what_cannot_be_removed_ends_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "step_0000001.pth").mkdir()
    checkpoints = CheckpointDir(tmp_path, SAME)
    checkpoints.write(2, {})
    checkpoints.write(3, {})
    assert f"{tmp_path / 'step_0000001.pth'}: cannot be removed" in caplog.text
    assert not checkpoints.drop_oldest(), "nothing was gained, and the caller would try for ever"


def test_a_file_of_another_step_than_its_name_is_no_checkpoint(tmp_path: Path):
    CheckpointDir(tmp_path, SAME).write(3, {})
    (tmp_path / "step_0000003.pth").rename(tmp_path / "step_0000004.pth")
    assert load(CheckpointDir(tmp_path, SAME)) is None


def test_when_a_checkpoint_is_due(tmp_path: Path):
    assert [step for step in range(1, 8) if CheckpointDir(tmp_path, SAME, period=3).is_due(step)] == [3, 6]
    never = CheckpointDir(tmp_path, SAME, period=0)
    assert not any(never.is_due(step) for step in range(1, 8))
    never._last_write_s -= 601  # ten minutes ago
    assert never.is_due(1)
    never.write(1, {})
    assert not never.is_due(2)


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 100 bytes: nor may the output of these tests, so that it lasts no longer than needed."""
    import signal

    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    checkpoints = CheckpointDir(tmp_path, SAME)
    with full_disk():
        for step in (1, 2):
            checkpoints.write(step, {"weights": torch.zeros(1000)})
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("the checkpoint of step 1 cannot be saved: ")
    assert list(tmp_path.glob("*.pth")) == []


def test_checkpoints_make_room_oldest_first(tmp_path: Path):
    checkpoints = CheckpointDir(tmp_path, SAME)
    for step in (1, 2):
        checkpoints.write(step, {})
    assert checkpoints.drop_oldest()
    assert names(tmp_path) == ["step_0000002.pth"]
    assert checkpoints.drop_oldest()
    assert not checkpoints.drop_oldest()


def test_the_fingerprint_holds_what_changes_a_result_and_nothing_else(tmp_path: Path):
    job, cfg = job_of(tmp_path, {}), config()
    first = fingerprint(job, cfg, "torch", "fp32")
    assert first["class_names"] == "a, b"
    assert first["SOLVER.IMS_PER_BATCH"] == "4"
    free = {field.name for field in dataclasses.fields(TrainSettings) if effects_of(field).resumable}
    assert {"patience", "num_workers", "accumulate"} <= free
    assert (free - {"engine", "precision", "tile_size", "tile_overlap"}).isdisjoint(first)
    assert (first["engine"], first["precision"]) == ("torch", "fp32"), "what `auto` has become"
    assert {"seed", "ema", "augment", "class_weights", "best_metric"} <= set(first)
    assert fingerprint(job, cfg.merged({"TEST.EVAL_PERIOD": 77}, "test"), "torch", "fp32") == first
    assert fingerprint(job, cfg.merged({"SOLVER.GAMMA": 0.7}, "test"), "torch", "fp32") != first
    assert fingerprint(job, cfg, "torch", "torch.bfloat16") != first
    tiled = fingerprint(dataclasses.replace(job, settings=TrainSettings(tile_size="auto")), cfg, "torch", "fp32",
                        Tiling(64, 12))  # fmt: skip
    assert tiled == {**first, "tile_size": "64", "tile_overlap": "12"}, "what `auto` has chosen"
    job.train_json.write_text(job.train_json.read_text() + " ")
    assert fingerprint(job, cfg, "torch", "fp32") != first


def test_memory_that_runs_out_while_a_state_is_restored_is_no_damage(tmp_path: Path):
    with pytest.raises(RuntimeError, match="out of memory"), restoring(tmp_path):
        raise RuntimeError("CUDA out of memory")


@pytest.mark.parametrize(
    "changes",
    [
        {"format": torch.ones(2)}, {"format": True}, {"step": None}, {"step": -1}, {"step": "3"},
        {"fingerprint": []}, {"fingerprint": {"seed": 0}},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_without_step_or_fingerprint_is_no_checkpoint(
    tmp_path: Path, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    write_content(tmp_path / "step_0000006.pth", {"format": 2, "step": 6, "fingerprint": SAME, **changes})
    assert load(CheckpointDir(tmp_path, SAME)) is None
    assert "is not a checkpoint of this version" in caplog.text
