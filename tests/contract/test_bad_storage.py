"""An output folder that cannot be written, or is full."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest

from tests.conftest import MakeTree, Trained, draw_image
from tests.platform_reader import read_training_result
from tests.running import run_start, run_steps
from ymir_detectron2.inference.predict import BLOCK

WITHOUT_POWERS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
"""A prefix under which root, too, has to keep to the permissions of files."""


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a small file system at `folder`; the test is skipped where that is not allowed."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system needs more rights than this process has")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_output_folder_without_write_permission(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    tree.out_dir.chmod(0o555)
    prefix = [sys.executable]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and setpriv is not installed")
        prefix = [*WITHOUT_POWERS, sys.executable]
    outcome = run_start(tree.env_file, environment=no_torch, prefix=prefix)
    tree.out_dir.chmod(0o755)
    assert outcome.status == 1
    assert outcome.last_line.startswith(f"ERROR 160004: {tree.out_dir}/monitor.txt: cannot be written (Permission")
    assert "mount the output folder writable" in outcome.last_line
    assert "Traceback" not in outcome.output
    assert list(tree.out_dir.iterdir()) == []


def test_read_only_output_folder(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    with mounted(tree.out_dir, "ro"):
        outcome = run_start(tree.env_file, environment=no_torch)
    assert outcome.status == 1
    assert "cannot be written (Read-only file system); mount the output folder writable" in outcome.last_line
    assert outcome.last_line.startswith("ERROR 160004: ")


def test_disk_that_is_full_from_the_start(ymir_tree: MakeTree, no_torch: dict[str, str]):
    tree = ymir_tree()
    with mounted(tree.out_dir, "size=64k"):
        (tree.out_dir / "filler").write_bytes(b"x" * 65536)
        outcome = run_start(tree.env_file, environment=no_torch)
    assert outcome.status == 1
    assert outcome.last_line.startswith("ERROR 160004: ")
    assert "cannot be written (No space left on device); the disk is full" in outcome.last_line


FILL = """
import errno, os
with open({filler!r}, "wb", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError:
        os.fsync(file.fileno())
raise OSError(errno.ENOSPC, "No space left on device", "/out/cache")
"""


def test_disk_that_something_else_fills_while_a_step_runs(ymir_tree: MakeTree, tmp_path: Path):
    """The reason of the step reaches the last line, and even monitor.txt, although there is no room for a new file."""
    tree = ymir_tree("infer")
    (tmp_path / "library").mkdir()
    with mounted(tree.out_dir, "size=64k"):
        (tmp_path / "library" / "tqdm.py").write_text(FILL.format(filler=str(tree.out_dir / "filler")))
        outcome = run_start(tree.env_file, environment={"PYTHONPATH": str(tmp_path / "library")})
        assert shutil.disk_usage(tree.out_dir).free <= 4096  # where the lock was
        assert outcome.status == 1
        reason = "/out/cache: cannot be written (No space left on device); the disk is full: free some space and start"
        assert outcome.last_line.startswith(f"ERROR 160004: {reason}")
        assert outcome.lines.count(outcome.last_line) == 1
        assert (outcome.monitor.state_code, outcome.monitor.percent) == (160004, 0.0)


def test_output_folder_that_becomes_read_only_while_a_step_runs(ymir_tree: MakeTree, tmp_path: Path):
    """As after an error of the disk: monitor.txt gets no code, but the log has the reason."""
    tree = ymir_tree("infer")
    (tmp_path / "library").mkdir()
    # another file system over the first, which cannot be made read-only while the lock is open in it
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tree.out_dir)]
    code = f"import subprocess\nsubprocess.run({mount!r}, check=True)\nraise MemoryError\n"
    (tmp_path / "library" / "tqdm.py").write_text(code)
    with mounted(tree.out_dir, "size=1m"):
        outcome = run_start(tree.env_file, environment={"PYTHONPATH": str(tmp_path / "library")})
        subprocess.run(["umount", str(tree.out_dir)], check=True)
    assert outcome.status == 1
    assert outcome.last_line.startswith("ERROR 300103: memory ran out (MemoryError: )")
    assert outcome.lines.count(outcome.last_line) == 1
    assert "monitor.txt: cannot be written (Read-only file system)" in outcome.lines[-3]


def test_disk_that_fills_up_while_training_keeps_the_earlier_stages(ymir_tree: MakeTree):
    tree = ymir_tree(config={"max_iter": 40, "eval_period": 1})
    with mounted(tree.out_dir, "size=9m"):
        outcome = run_steps(tree.env_file)
        outcome.require_failure(160004, "No space left on device", "the disk is full: free some space")
        stages = read_training_result(tree.out_dir / "models", "2.5.0").stages
        assert 2 <= len(stages) <= 4
        assert {file.stem for file in (tree.out_dir / "models").glob("*.pth")} == set(stages)
        assert not list(tree.out_dir.rglob("*.tmp"))


@pytest.mark.slow
def test_disk_that_tensorboard_fills_up(ymir_tree: MakeTree):
    """TensorBoard writes in its own thread, whose errors any later call raises; the reason is the last line anyway."""
    tree = ymir_tree(config={"max_iter": 60, "eval_period": 30})
    with mounted(tree.out_dir / "tensorboard", "size=4k"):
        (tree.out_dir / "tensorboard" / "filler").write_bytes(b"x" * 4096)
        outcome = run_steps(tree.env_file)
        assert outcome.status == 1
        assert outcome.last_line.startswith("ERROR 160004: "), outcome.output[-3000:]
        assert "the disk is full" in outcome.last_line


def test_disk_that_fills_up_during_inference(ymir_tree: MakeTree, trained: Trained):
    """Images that were finished before stay finished when the task is started again with more room."""
    tree = ymir_tree("infer")
    trained.give_to(tree)
    names = [f"/in/assets/{number}.jpg" for number in range(12 * BLOCK)]
    for number, name in enumerate(names):
        draw_image(tree.real(name), [("brick", 5 + number % 20, 8, 40, 50)])
    tree.write_index("candidate", names)
    with mounted(tree.out_dir, "size=1m"):
        outcome = run_steps(tree.env_file)
        outcome.require_failure(160004, "No space left on device", "the disk is full: free some space")
        (work,) = (tree.out_dir / ".unfinished").rglob("*.tsv")
        finished = work.read_bytes().count(b"\n")
        assert 1 <= finished < 12
        assert not (tree.out_dir / "infer-result.json").exists()
        subprocess.run(["mount", "-o", "remount,size=64m", str(tree.out_dir)], check=True)
        (tree.out_dir / "monitor.txt").unlink()
        again = run_steps(tree.env_file)
        again.require_success()
        assert f"{finished * BLOCK} of {len(names)} images were inferred before" in again.output
        assert list(again.json("infer-result.json")["detection"]) == [Path(name).name for name in names]
