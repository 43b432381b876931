"""Resuming, NaN recovery, early stopping and EMA with the detectron2 engine."""

from __future__ import annotations

import re
import signal

import pytest

from tests.conftest import MakeTree
from tests.detectron2_engine.conftest import DETECTRON2
from tests.platform_reader import read_training_result
from tests.running import run_start, start_script
from ymir_detectron2.engines.zoo import detectron2_is_there

pytestmark = [
    pytest.mark.detectron2,
    pytest.mark.skipif(not detectron2_is_there(), reason="detectron2 is not installed"),
]


def test_killed_and_started_again_it_resumes_with_step_schedule_and_stages(ymir_tree: MakeTree):
    form = {**DETECTRON2, "max_iter": 30, "eval_period": 10, "ema": 0.9, "learning_rate": 0.01}
    tree = ymir_tree(config={**form, "args_options": "SOLVER.CHECKPOINT_PERIOD 4"})
    running = start_script("start.py", tree.env_file)
    folder = tree.out_dir / ".unfinished" / "training"
    running.wait_for(lambda: any(path.name >= "step_0000012" for path in folder.glob("step_*.pth")))
    running.signal_children(signal.SIGKILL)
    running.finish()
    (tree.out_dir / "monitor.txt").unlink()
    outcome = run_start(tree.env_file)
    outcome.require_success()
    resumed = re.search(r"resuming from step (\d+) of 30", outcome.output)
    assert resumed
    first = int(resumed[1]) + 1
    assert first > 12
    assert f"step {first}/30" in outcome.output
    assert "step 1/30" not in outcome.output
    assert list(read_training_result(tree.out_dir / "models", "2.5.0").stages) == [
        "iter_0000010", "iter_0000020", "iter_0000030"
    ]  # fmt: skip
    last = next(line for line in outcome.lines if "step 30/30" in line)
    assert "lr 0.001000" in last, "tiny.yaml decays at 80 of 100 steps: at 24 of 30"
    assert "step 30: AP50 of the EMA weights" in outcome.output
    assert not folder.exists()


def test_on_a_plateau_the_rate_decays_and_the_training_ends(ymir_tree: MakeTree):
    """Nothing is found: three evaluations after the first one are a plateau, at step 8, and two periods follow."""
    tree = ymir_tree(config={**DETECTRON2, "max_iter": 40, "eval_period": 2, "learning_rate": 1e-5, "patience": 1})
    outcome = run_start(tree.env_file)
    outcome.require_success()
    stages = list(read_training_result(tree.out_dir / "models", "2.5.0").stages)
    assert stages == [f"iter_{step:07d}" for step in range(2, 13, 2)]
    rates = dict(re.findall(r"step (\d+)/\d+ .* lr ([0-9.]+)", outcome.output))
    assert (rates["8"], rates["9"], rates["12"]) == ("0.000010", "0.000001", "0.000001")
    assert "Exception during training" not in outcome.output


@pytest.mark.slow
def test_hours_end_a_training_with_an_evaluated_stage(ymir_tree: MakeTree):
    tree = ymir_tree(config={**DETECTRON2, "max_iter": 1_000_000, "eval_period": 0, "max_hours": 0.015})
    outcome = run_start(tree.env_file)
    outcome.require_success()
    steps = outcome.json("train-summary.json")["steps"]
    assert 1 <= steps < 10_000
    assert f"iter_{steps:07d}" in read_training_result(tree.out_dir / "models", "2.5.0").stages
    assert "which are not evaluated" not in outcome.output


@pytest.mark.parametrize("processes", [1, 2])
def test_infinite_losses_halve_the_rate_three_times(ymir_tree: MakeTree, processes: int):
    options = f"--num-gpus {processes} SOLVER.CLIP_GRADIENTS.ENABLED False SOLVER.WARMUP_ITERS 0"
    form = {**DETECTRON2, "max_iter": 50, "eval_period": 50, "learning_rate": 1e9, "args_options": options}
    tree = ymir_tree(config=form)
    outcome = run_start(tree.env_file)
    assert outcome.last_line.startswith("ERROR 300201: step "), outcome.output[-3000:]
    assert "for the fourth time" in outcome.last_line
    recoveries = re.findall(r"NaN recovery (\d) of 3", outcome.output)
    assert sorted(set(recoveries)) == ["1", "2", "3"]
    assert len(recoveries) <= 3 * processes
    assert len(read_training_result(tree.out_dir / "models", "2.5.0").stages) == 1


@pytest.mark.parametrize(
    ("key", "value"), [("accumulate", 2), ("class_weights", "auto"), ("augment", "mosaic"), ("tile_size", 64)]
)
def test_settings_of_the_other_engine_are_refused(ymir_tree: MakeTree, key: str, value: object):
    tree = ymir_tree(config={**DETECTRON2, key: value})
    run_start(tree.env_file).require_failure(300001, f"{key}: {value!r} needs engine: torch")
