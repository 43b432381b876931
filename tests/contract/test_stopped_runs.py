"""Graceful shutdown, killed processes, and a NaN loss: what was trained before stays."""

from __future__ import annotations

import re
import signal
import sys
import time

import pytest

from tests.conftest import MakeTree, Trained, Tree
from tests.platform_reader import PackedModel, read_training_result
from tests.running import PROJECT_DIR, Running, descendants, run_steps, start_script, start_warm
from tests.terminal import Terminal
from ymir_detectron2.launch import STOP_GRACE_S

ENDLESS = {"max_iter": 100_000, "eval_period": 3}
WITHOUT_STAGE = {"max_iter": 100_000, "eval_period": 100_000}


def packed(tree: Tree) -> PackedModel:
    return read_training_result(tree.out_dir / "models", "2.5.0")


def wait_for_stage(running: Running, name: str) -> None:
    result = running.out_dir / "models" / "result.yaml"
    running.wait_for(lambda: result.exists() and name in result.read_text())


def test_a_stop_takes_less_time_than_docker_gives():
    """`docker stop` kills after ten seconds; the report needs some of them."""
    assert STOP_GRACE_S <= 8


def test_sigterm_packs_the_steps_since_the_last_stage(ymir_tree: MakeTree):
    tree = ymir_tree(config={"max_iter": 3000, "eval_period": 20})  # so that the log has every 30th step
    running = start_script("start.py", tree.env_file)
    running.wait_for_text("step 30/")
    running.process.send_signal(signal.SIGTERM)
    outcome = running.finish()
    outcome.require_failure(160004, "stopped")
    stages = packed(tree).stages
    assert "iter_0000020" in stages
    newest = list(stages.values())[-1]
    assert newest.name > "iter_0000020"  # it was not killed when the time to save was over
    assert newest.m_ap == 0
    assert (tree.out_dir / "models" / f"{newest.name}.pth").stat().st_size > 1_000_000


def test_sigint_before_the_first_stage_still_leaves_a_model(ymir_tree: MakeTree):
    tree = ymir_tree(config=WITHOUT_STAGE)
    running = start_script("start.py", tree.env_file)
    running.wait_for_text("step 1/")
    running.process.send_signal(signal.SIGINT)
    outcome = running.finish()
    outcome.require_failure(160004, "stopped")
    assert len(packed(tree).stages) == 1
    assert descendants(running.process.pid) == []
    (checkpoint,) = (tree.out_dir / ".unfinished" / "training").glob("step_*.pth")
    step = int(checkpoint.stem.partition("_")[2])
    assert f"; 1 stage and the checkpoint of step {step} are kept; " in outcome.last_line
    assert "<h1>Training</h1>" in (tree.out_dir / "report.html").read_text(encoding="utf-8")


def test_a_second_sigint_ends_a_training_at_once_and_leaves_nothing_half_written(ymir_tree: MakeTree):
    """Both are sent before there is anything to keep: the training is frozen, and can make none."""
    tree = ymir_tree(config=WITHOUT_STAGE)
    running = start_script("start.py", tree.env_file)
    running.wait_for_text("training set:")
    running.signal_children(signal.SIGSTOP)
    running.process.send_signal(signal.SIGINT)
    running.wait_for_text("a second Ctrl-C ends the task at once")
    running.process.send_signal(signal.SIGINT)
    outcome = running.finish()
    outcome.require_failure(160004, "stopped by SIGINT while ymir_train.py", "nothing is kept of it yet; start the")
    assert descendants(running.process.pid) == []
    assert not (tree.out_dir / "models" / "result.yaml").exists()


def test_a_training_at_a_terminal_has_a_bar_below_an_unbroken_log(ymir_tree: MakeTree):
    """And Ctrl-C, which the terminal sends, reaches it."""
    tree = ymir_tree(config={"max_iter": 3000, "eval_period": 20})
    terminal = Terminal(
        [sys.executable, str(PROJECT_DIR / "start.py"), "--env", str(tree.env_file)], {"OMP_NUM_THREADS": "1"}
    )
    deadline_s = time.monotonic() + 120
    while "stage of step 20" not in terminal.received:
        assert time.monotonic() < deadline_s, terminal.received
        time.sleep(0.05)
    terminal.press("\x03")
    lines = terminal.finish()
    assert terminal.process.returncode == 1
    (interrupted,) = (number for number, line in enumerate(lines) if line.endswith("^C"))
    for line in lines[:interrupted] + lines[interrupted + 1 :]:
        assert "|" not in line, "a bar in a line of the log"
        assert line.count("[20") <= 1, "two lines of the log in one"
    assert re.search(r"\d %, step \d+/3000, .* left \|", terminal.received)
    assert re.search(r"\d %, evaluation of step 20: \d+ % of the images, .* left \|", terminal.received)


def test_a_child_killed_for_memory_keeps_the_finished_stages(ymir_tree: MakeTree):
    tree = ymir_tree(config=ENDLESS)
    running = start_script("start.py", tree.env_file)
    wait_for_stage(running, "iter_0000006")
    running.signal_children(signal.SIGKILL)
    outcome = running.finish()
    outcome.require_failure(300103, "ymir_train.py was killed by the system (SIGKILL)", "lower batch_size")
    assert {"iter_0000003", "iter_0000006"} <= set(packed(tree).stages)


def test_a_data_loading_worker_killed_for_memory_is_reported_as_such(ymir_tree: MakeTree):
    """The kernel chooses the process that it kills: it may be one of those that read images."""
    tree = ymir_tree(config={**ENDLESS, "num_workers": 1})
    running = start_warm("ymir_train.py", tree.env_file)
    wait_for_stage(running, "iter_0000003")
    (worker,) = descendants(running.process.pid)
    running.signal_process(worker, signal.SIGKILL)
    outcome = running.finish()
    assert outcome.status == 1
    assert outcome.last_line.startswith("ERROR 300103: "), outcome.output[-2000:]
    assert outcome.monitor.state_code == 300103
    assert "iter_0000003" in packed(tree).stages


@pytest.mark.parametrize("task", ["mining", "infer"])
def test_sigterm_at_the_beginning_of_mining_and_inference(ymir_tree: MakeTree, trained: Trained, task: str):
    tree = ymir_tree(task)
    trained.give_to(tree)
    running = start_script("start.py", tree.env_file)
    running.wait_for_text("settings:")
    running.process.send_signal(signal.SIGTERM)
    outcome = running.finish()
    # by the step itself between two batches, or, if the import of torch takes longer than STOP_GRACE_S, by the parent
    outcome.require_failure(160004, "stopped ")
    assert not (tree.out_dir / "result.tsv").exists()
    assert not (tree.out_dir / "infer-result.json").exists()


def test_a_loss_that_becomes_nan_ends_the_run_with_a_stage(ymir_tree: MakeTree):
    options = "SOLVER.CLIP_GRADIENTS.ENABLED False SOLVER.WARMUP_ITERS 0"
    tree = ymir_tree(config={"max_iter": 50, "eval_period": 50, "learning_rate": 1e9, "args_options": options})
    outcome = run_steps(tree.env_file)
    outcome.require_failure(300201, "step ", "for the fourth time", "lower learning_rate")
    for attempt in (1, 2, 3):
        assert outcome.output.count(f"NaN recovery {attempt} of 3: back to the weights of step") == 1
    stages = packed(tree).stages
    assert len(stages) == 1
    assert packed(tree).best.m_ap == 0
