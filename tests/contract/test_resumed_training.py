"""A training that is started again on the same output folder goes on as if nothing had happened."""

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
from tests.running import Outcome, Running, descendants, run_start, start_script
from ymir_detectron2.retinanet.checkpoint import read_content

STEPS = 24
FORM = {"max_iter": STEPS, "eval_period": 8, "ema": 0.9, "num_workers": 1, "learning_rate": 0.02}
STATES = ".unfinished/training"


def options(**more: object) -> dict:
    """A state every third step, beside those of the stages."""
    return {**FORM, "args_options": "SOLVER.CHECKPOINT_PERIOD 3", **more}


def losses_by_step(tree: Tree) -> dict[int, float]:
    """The sum of the losses of each step; where two event files have a step, the later one counts."""
    found: dict[int, float] = {}
    for file in sorted((tree.out_dir / "tensorboard").iterdir()):
        accumulator = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        if "loss/total" in accumulator.Tags()["scalars"]:
            found.update({event.step: event.value for event in accumulator.Scalars("loss/total")})
    return found


def final_weights(tree: Tree) -> dict[str, torch.Tensor]:
    return read_content(tree.out_dir / "models" / f"iter_{STEPS:07d}.pth")["model"]


def states(tree: Tree) -> list[Path]:
    return sorted((tree.out_dir / STATES).glob("step_*.pth"))


def stop_at(tree: Tree, number: signal.Signals, step: int) -> Outcome:
    """Start a training, and end it when the state of `step` is there."""
    running = start_script("start.py", tree.env_file)
    running.wait_for(lambda: any(f"step_{step:07d}" in path.name for path in states(tree)))
    return end(running, number)


def end(running: Running, number: signal.Signals) -> Outcome:
    if number == signal.SIGKILL:
        running.kill()
    else:
        running.process.send_signal(number)
    return running.finish(30)


def start_again(tree: Tree) -> Running:
    (tree.out_dir / "monitor.txt").unlink()  # progress never falls within a run, but a new one begins at 0
    return start_script("start.py", tree.env_file)


def run_again(tree: Tree) -> Outcome:
    return start_again(tree).finish()


def resumed_at(outcome: Outcome) -> int:
    found = re.search(r"going on after step (\d+) of", outcome.output)
    assert found, outcome.output
    return int(found[1])


def require_same_run(tree: Tree, whole: Tree) -> None:
    expected, found = losses_by_step(whole), losses_by_step(tree)
    assert list(expected) == list(range(1, STEPS + 1))
    assert sorted(found) == sorted(expected)
    for step, loss in expected.items():
        assert found[step] == pytest.approx(loss, rel=1e-6, abs=1e-6), f"step {step}"
    weights = final_weights(tree)
    for name, value in final_weights(whole).items():
        torch.testing.assert_close(weights[name], value, rtol=1e-6, atol=1e-6, msg=name)
    results = [read_training_result(each.out_dir / "models", "2.5.0") for each in (tree, whole)]
    assert results[0].best_stage_name == results[1].best_stage_name
    assert {name: stage.m_ap for name, stage in results[0].stages.items()} == pytest.approx(
        {name: stage.m_ap for name, stage in results[1].stages.items()}
    )


def test_killed_torn_and_stopped_it_gives_the_same_losses_weights_and_stages(ymir_tree: MakeTree):
    whole = ymir_tree(folder="whole", config=options())
    run_start(whole.env_file).require_success()
    tree = ymir_tree(config=options())
    stop_at(tree, signal.SIGKILL, 9)
    older, newest = states(tree)[-2:]
    newest.write_bytes(newest.read_bytes()[:5000])
    again = start_again(tree)
    again.wait_for(lambda: any("step_0000015" in path.name for path in states(tree)))
    first = end(again, signal.SIGTERM)
    first.require_failure(160004, "stopped")
    assert f"{newest}: is damaged" in first.output
    assert f"step_{resumed_at(first):07d}" == older.stem, "a torn state costs the steps since the one before it"
    last = run_again(tree)
    last.require_success()
    assert resumed_at(last) >= 15
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
    seconds = []
    for _ in range(2):
        with contextlib.suppress(OSError):  # it has not begun, or has ended
            state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            if state == "S" and int(numbers[20]) * os.sysconf("SC_PAGE_SIZE") > 150 << 20:
                seconds.append(int(numbers[10]) + int(numbers[11]))
        time.sleep(1)
    return len(seconds) == 2 and seconds[0] == seconds[1]


def start_with_a_slow_conversion(tree: Tree) -> Running:
    """The first process gets the index only when the second one waits for it at the meeting."""
    index = tree.in_dir / "train-index.tsv"
    text = index.read_text(encoding="utf-8")
    index.unlink()
    os.mkfifo(index)
    running = start_script("start.py", tree.env_file)
    running.wait_for(lambda: is_waiting(pid_of_rank(running, 1)))
    index.write_text(text, encoding="utf-8")
    index.unlink()
    index.write_text(text, encoding="utf-8")
    return running


def test_one_of_two_processes_dies_and_a_new_start_still_knows_how_long_nothing_got_better(ymir_tree: MakeTree):
    """The first evaluation is the best one; two more that are no better are the end, at step 6 of 12."""
    form = {"max_iter": 12, "eval_period": 2, "learning_rate": 1e-12, "patience": 2, "ema": 0.9}
    tree = ymir_tree(config={**form, "args_options": "--num-gpus 2"})
    running = start_with_a_slow_conversion(tree)
    running.wait_for(lambda: states(tree))
    running.signal_process(pid_of_rank(running, 1), signal.SIGKILL)
    outcome = running.finish()
    assert outcome.status == 1
    assert outcome.last_line.startswith("ERROR 300103: process 2 of 2 of ymir_train.py was killed by the system")
    assert outcome.monitor.state_code == 300103
    last = run_again(tree)
    last.require_success()
    assert resumed_at(last) >= 2
    assert last.output.count("no better evaluation in the last 2: training ends here") == 1
    stages = read_training_result(tree.out_dir / "models", "2.5.0").stages
    assert list(stages) == ["iter_0000002", "iter_0000004", "iter_0000006"]


def test_other_settings_begin_anew_with_one_warning_that_names_them(ymir_tree: MakeTree):
    tree = ymir_tree(config=options())
    stop_at(tree, signal.SIGKILL, 3)
    tree.edit("config.yaml", learning_rate=0.01, class_names=["brick", "leaf"], max_iter=4, eval_period=2)
    outcome = run_again(tree)
    outcome.require_success()
    (warning,) = [line for line in outcome.lines if "beginning anew" in line]
    assert "with other settings" in warning
    assert "going on after" not in outcome.output
    assert "step 1/4" in outcome.output
    assert set(read_training_result(tree.out_dir / "models", "2.5.0").stages) == {"iter_0000002", "iter_0000004"}


def test_with_resume_other_classes_are_an_error_and_the_state_stays(ymir_tree: MakeTree):
    tree = ymir_tree(config=options())
    stop_at(tree, signal.SIGKILL, 3)
    kept = states(tree)
    tree.edit("config.yaml", args_options="--resume SOLVER.CHECKPOINT_PERIOD 3", class_names=["brick", "leaf"])
    outcome = run_again(tree)
    outcome.require_failure(300001, "--resume", "is another one", "class_names", "remove --resume to begin anew")
    assert states(tree) == kept


def test_what_changes_no_number_may_change_between_two_starts(ymir_tree: MakeTree):
    tree = ymir_tree(config=options())
    stop_at(tree, signal.SIGKILL, 3)
    tree.edit("config.yaml", args_options="--resume SOLVER.CHECKPOINT_PERIOD 0", num_workers=2, patience=90)
    outcome = run_again(tree)
    outcome.require_success()
    assert resumed_at(outcome) >= 3


def test_resume_with_nothing_there_and_after_a_finished_run_begins_at_step_1(ymir_tree: MakeTree):
    tree = ymir_tree(config={"args_options": "--resume"})
    for is_first in (True, False):
        outcome = run_start(tree.env_file) if is_first else run_again(tree)
        outcome.require_success()
        assert "--resume: the output folder holds no unfinished training" in outcome.output
        assert "step 1/4" in outcome.output


def test_a_state_that_asks_for_code_and_one_of_zeros_are_refused(ymir_tree: MakeTree):
    class Evil:
        def __reduce__(self):
            return (print, ("this state ran code",))

    tree = ymir_tree()
    (tree.out_dir / STATES).mkdir(parents=True)
    torch.save({"format": 1, "step": 1, "evil": Evil()}, tree.out_dir / STATES / "step_0000001.pth")
    (tree.out_dir / STATES / "step_0000002.pth").write_bytes(bytes(5000))  # as a power cut may leave it
    outcome = run_start(tree.env_file)
    outcome.require_success()
    assert "step_0000002.pth: is no file that torch.save wrote" in outcome.output
    assert "refused because it could run code" in outcome.output
    assert "step 1/4" in outcome.output
    assert "this state ran code\n" not in outcome.output
