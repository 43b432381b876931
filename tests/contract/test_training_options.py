"""Keys of training that change which stages there are: early stopping, EMA, the metric of the best stage."""

from __future__ import annotations

import re
import time

import pytest

from tests.conftest import MakeTree, Trained, Tree
from tests.platform_reader import read_training_result
from tests.running import Outcome, run_start, run_steps
from ymir_detectron2.retinanet.checkpoint import read_content


def stages_of(tree: Tree) -> list[str]:
    return list(read_training_result(tree.out_dir / "models", "2.5.0").stages)


def learning_rates(outcome: Outcome) -> dict[int, float]:
    """Of the steps that the log has."""
    return {int(step): float(rate) for step, rate in re.findall(r"step (\d+)/\d+ .* lr ([0-9.]+)", outcome.output)}


def test_on_a_plateau_the_rate_decays_and_the_training_ends(ymir_tree: MakeTree):
    """Nothing is found: three evaluations after the first one are a plateau, at step 4, and two steps follow.

    With two processes: test_resumed_training.py.
    """
    tree = ymir_tree(config={"max_iter": 100, "eval_period": 1, "learning_rate": 1e-5, "patience": 1})
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert stages_of(tree) == [f"iter_{step:07d}" for step in range(1, 7)]
    assert outcome.output.count("early stopping: ") == 1
    rates = learning_rates(outcome)
    assert (rates[4], rates[5], rates[6]) == (0.000004, 0.000001, 0.000001), "tiny.yaml warms up for ten steps"
    assert outcome.json("train-summary.json")["steps"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_hours_end_a_training_in_time_with_an_evaluated_stage(ymir_tree: MakeTree, processes: int):
    """A million steps take a day, and the limit is 54 s; a busy machine may take longer for the last files."""
    options = {"args_options": f"--num-gpus {processes}"} if processes > 1 else {}
    tree = ymir_tree(config={"max_iter": 1_000_000, "eval_period": 0, "max_hours": 0.015, **options})
    begin_s = time.monotonic()
    outcome = run_start(tree.env_file)
    took_s = time.monotonic() - begin_s
    outcome.require_success()
    assert took_s < 54 + 120
    steps = outcome.json("train-summary.json")["steps"]
    assert 1 <= steps < 10_000
    stages = read_training_result(tree.out_dir / "models", "2.5.0").stages
    assert f"iter_{steps:07d}" in stages
    assert "which are not evaluated" not in outcome.output
    assert outcome.output.count("max_hours 0.015, of which ") >= 1
    if steps > 20:  # unless the machine was so busy that the time was over at once
        rates = learning_rates(outcome)
        assert rates[max(rates)] == pytest.approx(0.001), "tiny.yaml decays once, by 0.1"


def test_ema_weights_are_evaluated_as_well_and_packed_when_better(ymir_tree: MakeTree):
    """With a rate that throws the weights about, the mean is nearer to the start than they are."""
    form = {"max_iter": 4, "eval_period": 4, "ema": 0.999, "learning_rate": 0.02}
    tree = ymir_tree(config=form)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert outcome.output.count("step 4: AP50 of the EMA weights") == 1
    assert outcome.output.count("step 4: AP50 ") == 2
    assert stages_of(tree) == ["iter_0000004"]
    metadata = read_content(tree.out_dir / "models" / "iter_0000004.pth")
    figures = [line.split("AP50", 1)[1].split("  ")[0] for line in outcome.lines if "step 4: AP50" in line]
    best = max(float(text.rpartition(" ")[2]) for text in figures)
    assert metadata["ap50"] == pytest.approx(best, abs=1e-4)


def test_gradient_accumulation_and_class_weights_train_to_the_end(ymir_tree: MakeTree):
    form = {
        "accumulate": 2, "class_weights": "brick:2", "repeat_factor": 0.9,
        "augment": "mosaic, random_crop, vertical_flip, colour_jitter, light_jitter, scale_jitter",
        "best_metric": "mar",
        "empty_share": 0.3,
    }  # fmt: skip
    tree = ymir_tree(config=form)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert "class weights: brick 2, leaf 1, sky 1" in outcome.output
    assert "4 steps of 2 images; learning rate 0.01" in outcome.output
    assert "RepeatFactorTrainingSampler" in (tree.out_dir / "models" / "config.yaml").read_text()


def test_max_epochs_and_an_empty_form(ymir_tree: MakeTree):
    """6 images in batches of 2, as tiny.yaml says: two epochs are 6 steps."""
    tree = ymir_tree(config={"max_epochs": 2, "max_iter": None, "learning_rate": None, "eval_period": 6})
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert "learning rate 0.01: 0.01 of the config for batches of 2, here of 2" in outcome.output
    assert "max_epochs 2: 6 steps of 2 through 6 images" in outcome.output
    assert stages_of(tree) == ["iter_0000006"]


def test_test_time_augmentation_is_part_of_a_model_from_its_training_on(ymir_tree: MakeTree):
    """Evaluations use it, and so do mining and inference with the packed model, which its config.yaml tells."""
    tree = ymir_tree(config={"args_options": "TEST.AUG.ENABLED True TEST.AUG.MIN_SIZES (48,64)"})
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    line = "boxes are predicted in 4 copies of every image"
    assert outcome.output.count(line) == 1
    boxes = {}
    for options in ("", "TEST.AUG.ENABLED False"):
        task = ymir_tree("mining+infer", folder=f"task {options}", config={"args_options": options})
        Trained(tree, outcome).give_to(task)
        run = run_steps(task.env_file)
        run.require_success()
        assert (line in run.output) is not bool(options)
        boxes[options] = run.json("infer-result.json")["detection"]
    assert boxes[""].keys() == boxes["TEST.AUG.ENABLED False"].keys()
    assert boxes[""] != boxes["TEST.AUG.ENABLED False"]
