"""Runs that something from outside ends: signals, killed children, a loss that is no number. What was trained stays."""

from __future__ import annotations

import signal
import time

import pytest

from tests.conftest import MakeTree, Trained, Tree
from tests.platform_reader import PackedModel, read_training_result
from tests.running import Running, descendants, start_script

ENDLESS = {"max_iter": 100_000, "eval_period": 3}
WITHOUT_STAGE = {"max_iter": 100_000, "eval_period": 100_000}


def packed(tree: Tree) -> PackedModel:
    return read_training_result(tree.out_dir / "models", "2.5.0")


def start_training(tree: Tree) -> Running:
    return start_script("start.py", tree.env_file)


def wait_for_stage(running: Running, name: str) -> None:
    result = running.out_dir / "models" / "result.yaml"
    running.wait_for(lambda: result.exists() and name in result.read_text())


def test_sigterm_packs_the_steps_since_the_last_stage(ymir_tree: MakeTree):
    tree = ymir_tree(config={**ENDLESS, "eval_period": 25})
    running = start_training(tree)
    wait_for_stage(running, "iter_0000025")
    time.sleep(0.3)
    running.process.send_signal(signal.SIGTERM)
    sent_s = time.monotonic()
    outcome = running.finish(30)
    assert time.monotonic() - sent_s < 12, "docker stop would have killed it"
    outcome.require_failure(160004, "stopped")
    stages = packed(tree).stages
    assert "iter_0000025" in stages
    newest = list(stages.values())[-1]
    assert newest.name > "iter_0000025"
    assert newest.m_ap == 0
    assert (tree.out_dir / "models" / f"{newest.name}.pth").stat().st_size > 1_000_000


def test_sigint_before_the_first_stage_still_leaves_a_model(ymir_tree: MakeTree):
    tree = ymir_tree(config=WITHOUT_STAGE)
    running = start_training(tree)
    running.wait_for_text("step 1/")
    running.process.send_signal(signal.SIGINT)
    outcome = running.finish(30)
    outcome.require_failure(160004, "stopped")
    assert len(packed(tree).stages) == 1
    assert descendants(running.process.pid) == []


def test_a_child_killed_for_memory_keeps_the_finished_stages(ymir_tree: MakeTree):
    tree = ymir_tree(config=ENDLESS)
    running = start_training(tree)
    wait_for_stage(running, "iter_0000006")
    running.signal_children(signal.SIGKILL)
    outcome = running.finish(30)
    outcome.require_failure(300103, "ymir_train.py was killed by the system (SIGKILL)", "lower batch_size")
    assert {"iter_0000003", "iter_0000006"} <= set(packed(tree).stages)


def test_a_reader_killed_for_memory_is_told_as_such(ymir_tree: MakeTree):
    """The kernel chooses whom it kills: it may be one of the processes that read pictures."""
    tree = ymir_tree(config={**ENDLESS, "num_workers": 1})
    running = start_training(tree)
    wait_for_stage(running, "iter_0000003")
    trainer, reader = descendants(running.process.pid)[:2]
    assert trainer != reader
    running.signal_process(reader, signal.SIGKILL)
    outcome = running.finish(60)
    assert outcome.status == 1
    assert outcome.last_line.startswith("ERROR 300103: "), outcome.output[-2000:]
    assert outcome.monitor.state_code == 300103
    assert "iter_0000003" in packed(tree).stages


@pytest.mark.parametrize("task", ["mining", "infer"])
def test_sigterm_while_candidates_are_looked_at(ymir_tree: MakeTree, trained: Trained, task: str):
    tree = ymir_tree(task)
    trained.give_to(tree)
    running = start_script("start.py", tree.env_file)
    running.wait_for_text("settings:")
    running.process.send_signal(signal.SIGTERM)
    outcome = running.finish(30)
    # by the step itself between two windows, or, where torch takes longer to import than the grace lasts, by the parent
    outcome.require_failure(160004, "stopped ")
    assert not (tree.out_dir / "result.tsv").exists()
    assert not (tree.out_dir / "infer-result.json").exists()


def test_a_loss_that_turns_nan_ends_the_run_and_packs_what_there_is(ymir_tree: MakeTree):
    options = "SOLVER.CLIP_GRADIENTS.ENABLED False SOLVER.WARMUP_ITERS 0"
    tree = ymir_tree(config={"max_iter": 50, "eval_period": 50, "learning_rate": 1e9, "args_options": options})
    outcome = start_script("start.py", tree.env_file).finish()
    outcome.require_failure(300201, "step ", "for the fourth time", "lower learning_rate")
    for attempt in (1, 2, 3):
        assert outcome.output.count(f"with half the learning rate ({attempt} of 3 times)") == 1
    stages = packed(tree).stages
    assert len(stages) == 1
    assert packed(tree).best.m_ap == 0
