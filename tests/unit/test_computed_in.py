"""Notes of the arithmetic of partial results: who warns, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from ymir_detectron2.contract.partial_results import PARTIAL_RESULTS_DIR, PartialResults, remove_partial_results
from ymir_detectron2.errors import StorageError
from ymir_detectron2.tasks.computed_in import note_arithmetic

GPU, CPU, SMALL = "bf16 on GPU (Big)", "fp32 on CPU (AVX2)", "fp32 on GPU (Small)"


def test_one_kind_is_noted_once_and_needs_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for _ in range(3):
        note_arithmetic(tmp_path / "new", CPU)
    (file,) = (tmp_path / "new").iterdir()
    assert file.read_text() == CPU
    assert not caplog.messages


def test_another_kind_is_warned_of_once_with_the_way_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    note_arithmetic(tmp_path, GPU)
    for _ in range(2):  # two processes, or two starts
        note_arithmetic(tmp_path, CPU)
    assert caplog.messages == [
        f"the finished images were computed in {GPU}, the others are now in {CPU}: their scores are not quite"
        f" comparable (docs/precision.md); to have all of one kind, stop this task, remove {tmp_path} and start it"
        " again"
    ]
    note_arithmetic(tmp_path, SMALL)
    assert f"{GPU} and {CPU}" in caplog.messages[1] or f"{CPU} and {GPU}" in caplog.messages[1]


def test_a_task_that_computes_nothing_notes_nothing(tmp_path: Path):
    note_arithmetic(tmp_path / "new", "")
    assert not (tmp_path / "new").exists()


def test_a_note_that_a_power_cut_emptied_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    note_arithmetic(tmp_path, GPU)
    next(tmp_path.iterdir()).write_text("")
    note_arithmetic(tmp_path, CPU)
    assert not caplog.messages


def test_notes_are_no_results_and_go_with_them(tmp_path: Path):
    results = PartialResults(tmp_path / PARTIAL_RESULTS_DIR / "infer-1")
    results.add(0, [])
    note_arithmetic(results.folder, CPU)
    assert list(results.in_order()) == [(0, [])]
    remove_partial_results(tmp_path)
    assert not results.folder.exists()


def test_a_file_system_that_refuses_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/folder"):
        note_arithmetic(tmp_path / "file" / "folder", CPU)
