"""Folders of runs: numbered where in use, left as they were by a start that fails, found again by --resume."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.annotated_sets import write_text
from ymir_detectron2.cli.run_folder import RUNS, has_ended, new_run, run_to_resume
from ymir_detectron2.errors import ConfigError, StorageError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_run(run: Path, *, ended: bool) -> Path:
    write_text(run / "in" / "env.yaml", "task_id: t\n")
    write_text(run / "out" / ("train-summary.json" if ended else ".unfinished/training/state"), "{}")
    return run


def test_runs_of_a_command_are_numbered():
    names = []
    for _ in range(3):
        with new_run(None, "train") as run:
            names.append(str(run))
    with new_run(None, "predict") as other:
        pass
    assert names == ["runs/train", "runs/train-2", "runs/train-3"]
    assert other == RUNS / "predict"


def test_a_run_may_be_new_or_empty(folder: Path):
    (folder / "empty").mkdir()
    for name in ("empty", "deep/new"):
        with new_run(Path(name), "train") as run:
            assert run == Path(name)


@pytest.mark.parametrize("failure", [ConfigError("x"), KeyboardInterrupt(), SystemExit(143)])
def test_what_was_made_of_a_run_that_fails_is_removed(failure: BaseException):
    def fail() -> None:
        with new_run(None, "train") as run:
            write_text(run / "in" / "assets" / "a.jpg", "x")
            (run / "out").mkdir()
            raise failure

    with pytest.raises(type(failure)):
        fail()
    assert not (RUNS / "train").exists()


def test_other_files_of_a_folder_stay(folder: Path):
    for name in ("notes.txt", "in/mine.txt"):
        kept = write_text(folder / "run" / name, "x")
        with pytest.raises(ConfigError, match="run: is in use by something else"), new_run(Path("run"), "train"):
            pass
        assert kept.is_file()


def test_a_run_that_has_ended_is_not_begun_again(folder: Path):
    run = make_run(Path("a"), ended=True)
    assert has_ended(run)
    with pytest.raises(ConfigError, match="a: holds the results of another run"), new_run(run, "train"):
        pass
    with pytest.raises(ConfigError, match="a: this run has ended well"):
        run_to_resume(run, "train")


def test_a_mining_task_has_ended_with_its_last_step():
    run = make_run(Path("a"), ended=False)
    write_text(run / "out" / "mining-summary.json", "{}")  # and inference is still to come
    assert not has_ended(run)
    assert run_to_resume(run, "mine") == run


def test_resume_takes_the_last_run():
    for name in ("train", "train-2", "train-10", "train-x", "train-3"):
        make_run(RUNS / name, ended=False)
    assert run_to_resume(None, "train") == RUNS / "train-10"
    with pytest.raises(ConfigError, match="runs/predict: holds no run that could go on"):
        run_to_resume(None, "predict")


def test_what_the_file_system_refuses_is_one_sentence(folder: Path):
    with pytest.raises(StorageError, match="File name too long"), new_run(Path("x" * 300), "train"):
        pass
    write_text(folder / "runs", "x")
    with pytest.raises(StorageError, match="runs/train: cannot be written"), new_run(None, "train"):
        pass
    (folder / "runs").unlink()
    (folder / "runs").symlink_to("gone")
    with pytest.raises(StorageError, match="runs/train: cannot be written"), new_run(None, "train"):
        pass
