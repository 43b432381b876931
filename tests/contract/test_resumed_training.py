"""A training that is started again on the same output folder resumes as if nothing had happened."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import MakeTree, Tree
from tests.platform_reader import read_training_result
from tests.running import Outcome, Running, cpu_seconds, descendants, run_start, start_script, start_warm
from ymir_detectron2.retinanet.checkpoint import read_content

STEPS = 24
FORM = {"max_iter": STEPS, "eval_period": 8, "ema": 0.9, "num_workers": 1, "learning_rate": 0.02}
CHECKPOINTS = ".unfinished/training"


def options(**more: object) -> dict:
    """A checkpoint every third step, in addition to those of the stages."""
    return {**FORM, "args_options": "SOLVER.CHECKPOINT_PERIOD 3", **more}


def losses_by_step(tree: Tree) -> dict[int, float]:
    """The sum of the losses of each step; where two event files have a step, the later one counts."""
    losses: dict[int, float] = {}
    for file in sorted((tree.out_dir / "tensorboard").iterdir()):
        accumulator = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        if "loss/total" in accumulator.Tags()["scalars"]:
            losses.update({event.step: event.value for event in accumulator.Scalars("loss/total")})
    return losses


def final_weights(tree: Tree) -> dict[str, torch.Tensor]:
    return read_content(tree.out_dir / "models" / f"iter_{STEPS:07d}.pth")["model"]


def checkpoints(tree: Tree) -> list[Path]:
    return sorted((tree.out_dir / CHECKPOINTS).glob("step_*.pth"))


def start(tree: Tree) -> Running:
    return start_warm("ymir_train.py", tree.env_file)


def start_again(tree: Tree) -> Running:
    (tree.out_dir / "monitor.txt").unlink()  # progress never falls within a run, but a new one begins at 0
    return start(tree)


def wait_for_checkpoint(running: Running, tree: Tree, step: int) -> None:
    running.wait_for(lambda: any(f"step_{step:07d}" in path.name for path in checkpoints(tree)))


def kill_at(tree: Tree, step: int) -> None:
    """Start a training, and kill it when the checkpoint of `step` is there."""
    running = start(tree)
    wait_for_checkpoint(running, tree, step)
    running.kill()


def resumed_step(outcome: Outcome) -> int:
    match = re.search(r"resuming from step (\d+) of", outcome.output)
    assert match, outcome.output
    return int(match[1])


def require_same_run(tree: Tree, whole: Tree) -> None:
    expected, losses = losses_by_step(whole), losses_by_step(tree)
    assert list(expected) == list(range(1, STEPS + 1))
    assert sorted(losses) == sorted(expected)
    for step, loss in expected.items():
        assert losses[step] == pytest.approx(loss, rel=1e-6, abs=1e-6), f"step {step}"
    configs = [(each.out_dir / "resolved-config.yaml").read_bytes() for each in (tree, whole)]
    assert configs[0] == configs[1]
    weights = final_weights(tree)
    for name, value in final_weights(whole).items():
        torch.testing.assert_close(weights[name], value, rtol=1e-6, atol=1e-6, msg=name)
    results = [read_training_result(each.out_dir / "models", "2.5.0") for each in (tree, whole)]
    assert results[0].best_stage_name == results[1].best_stage_name
    assert {name: stage.m_ap for name, stage in results[0].stages.items()} == pytest.approx(
        {name: stage.m_ap for name, stage in results[1].stages.items()}
    )
    for name in ("training-history.json", "models/attachments/evaluation/evaluation.json"):
        assert (tree.out_dir / name).read_bytes() == (whole.out_dir / name).read_bytes(), name


@pytest.mark.parametrize("form", [{}, pytest.param({"tile_size": 48}, marks=pytest.mark.slow)], ids=["", "tiles"])
def test_killed_damaged_and_stopped_it_gives_the_same_losses_weights_and_stages(
    ymir_tree: MakeTree, form: dict[str, int]
):
    whole = ymir_tree(folder="whole", config=options(**form))
    start(whole).finish().require_success()
    tree = ymir_tree(config=options(**form))
    kill_at(tree, 9)
    older, newest = checkpoints(tree)[-2:]
    newest.write_bytes(newest.read_bytes()[:5000])
    again = start_again(tree)
    wait_for_checkpoint(again, tree, 15)
    again.process.send_signal(signal.SIGTERM)
    first = again.finish()
    first.require_failure(160004, "stopped")
    assert f"{newest}: is damaged" in first.output
    assert f"step_{resumed_step(first):07d}" == older.stem, "a damaged checkpoint costs the steps since the one before"
    last = start_again(tree).finish()
    last.require_success()
    assert resumed_step(last) >= 15
    assert not (tree.out_dir / ".unfinished").exists()
    require_same_run(tree, whole)


def pid_of_rank(running: Running, rank: int) -> int:
    """The training process of this rank; 0 where there is none yet."""
    for pid in descendants(running.process.pid):
        with contextlib.suppress(OSError):  # it has ended
            if f"RANK={rank}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return pid
    return 0


def is_waiting(pid: int) -> bool:
    """Whether a process has imported torch and then done nothing for a second."""
    with contextlib.suppress(OSError):  # it has not begun, or has ended
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        if pages * os.sysconf("SC_PAGE_SIZE") > 150 << 20:
            before = cpu_seconds(pid)
            time.sleep(1)
            return cpu_seconds(pid) == before
    return False


def start_with_a_slow_conversion(tree: Tree) -> Running:
    """Hold the first process, which converts the dataset, until the second one waits for it in the process group."""
    running = start_script("start.py", tree.env_file)
    running.wait_for(lambda: pid_of_rank(running, 0))
    running.signal_process(pid_of_rank(running, 0), signal.SIGSTOP)
    running.wait_for(lambda: is_waiting(pid_of_rank(running, 1)))
    running.signal_process(pid_of_rank(running, 0), signal.SIGCONT)
    return running


@pytest.mark.slow
def test_early_stopping_counts_over_the_death_of_one_of_two_processes(ymir_tree: MakeTree):
    """Nothing is found: three evaluations after the first one are a plateau, at step 8 of 40, and one decay follows."""
    form = {"max_iter": 40, "eval_period": 2, "learning_rate": 1e-12, "patience": 1, "ema": 0.9}
    tree = ymir_tree(config={**form, "args_options": "--num-gpus 2"})
    running = start_with_a_slow_conversion(tree)
    running.wait_for(lambda: checkpoints(tree))
    running.signal_process(pid_of_rank(running, 1), signal.SIGKILL)
    outcome = running.finish()
    assert outcome.status == 1
    assert outcome.last_line.startswith("ERROR 300103: process 2 of 2 of ymir_train.py was killed by the system")
    assert outcome.monitor.state_code == 300103
    (tree.out_dir / "monitor.txt").unlink()
    last = run_start(tree.env_file)
    last.require_success()
    assert resumed_step(last) >= 2
    assert last.output.count("early stopping: ") == 1
    stages = read_training_result(tree.out_dir / "models", "2.5.0").stages
    assert list(stages) == [f"iter_{step:07d}" for step in (2, 4, 6, 8, 10, 12)]


def test_early_stopping_counts_over_a_restart(ymir_tree: MakeTree):
    form = {"max_iter": 40, "eval_period": 2, "learning_rate": 1e-12, "patience": 1}
    tree = ymir_tree(config=form)
    running = start(tree)
    wait_for_checkpoint(running, tree, 2)
    running.kill()
    last = start_again(tree).finish()
    last.require_success()
    assert resumed_step(last) >= 2
    assert list(read_training_result(tree.out_dir / "models", "2.5.0").stages)[-1] == "iter_0000012"


def test_other_settings_start_from_step_1_with_one_warning_that_names_them(ymir_tree: MakeTree):
    tree = ymir_tree(config=options())
    kill_at(tree, 3)
    tree.edit("config.yaml", learning_rate=0.01, class_names=["brick", "leaf"], max_iter=4, eval_period=4)
    outcome = start_again(tree).finish()
    outcome.require_success()
    (warning,) = [line for line in outcome.lines if "with other settings" in line]
    for key in ("SOLVER.BASE_LR", "NUM_CLASSES"):
        assert key in warning
    assert "resuming from" not in outcome.output
    assert "step 1/4" in outcome.output
    assert set(read_training_result(tree.out_dir / "models", "2.5.0").stages) == {"iter_0000004"}


def test_with_resume_other_classes_are_an_error_and_the_checkpoint_stays(ymir_tree: MakeTree):
    tree = ymir_tree(config=options())
    kill_at(tree, 3)
    kept = checkpoints(tree)
    tree.edit("config.yaml", args_options="--resume SOLVER.CHECKPOINT_PERIOD 3", class_names=["brick", "leaf"])
    outcome = start_again(tree).finish()
    outcome.require_failure(300001, "--resume", "another one", "class_names", "remove --resume to start from step 1")
    assert checkpoints(tree) == kept


@pytest.mark.slow
def test_settings_without_effect_on_the_numbers_may_change_between_two_starts(ymir_tree: MakeTree):
    tree = ymir_tree(config=options())
    kill_at(tree, 3)
    tree.edit("config.yaml", args_options="--resume SOLVER.CHECKPOINT_PERIOD 0", num_workers=2, patience=90)
    outcome = start_again(tree).finish()
    outcome.require_success()
    assert resumed_step(outcome) >= 3


@pytest.mark.slow
def test_resume_with_nothing_there_and_after_a_finished_run_starts_from_step_1(ymir_tree: MakeTree):
    tree = ymir_tree(config={"args_options": "--resume", "max_iter": 2})
    for begin in (start, start_again):
        outcome = begin(tree).finish()
        outcome.require_success()
        assert "--resume: the output folder holds no unfinished training" in outcome.output
        assert "step 1/2" in outcome.output


def test_a_checkpoint_that_asks_for_code_and_one_of_zeros_are_refused(ymir_tree: MakeTree):
    class Evil:
        def __reduce__(self):
            return (print, ("this checkpoint ran code",))

    tree = ymir_tree(config={"max_iter": 2})
    (tree.out_dir / CHECKPOINTS).mkdir(parents=True)
    torch.save({"format": 1, "step": 1, "evil": Evil()}, tree.out_dir / CHECKPOINTS / "step_0000001.pth")
    (tree.out_dir / CHECKPOINTS / "step_0000002.pth").write_bytes(bytes(5000))  # as a power cut may leave it
    outcome = start(tree).finish()
    outcome.require_success()
    assert "step_0000002.pth: is no file that torch.save wrote" in outcome.output
    assert "refused because it could run code" in outcome.output
    assert "step 1/2" in outcome.output
    assert "this checkpoint ran code\n" not in outcome.output
