"""The second iteration of the loop: train, fine-tune with an untouched config_file, mine and infer, as users do it.

A fine-tuning whose learning rate changes nothing has to give back the very model that it was given.
"""

from __future__ import annotations

import pytest
import yaml

from tests.conftest import CLASS_NAMES, ENGINE, Drawn, MakeTree, Trained, Tree
from tests.platform_reader import read_training_result
from tests.running import TINY_CONFIG, Outcome, run_steps, start_warm
from ymir_detectron2.tools.task_folder import write_task_folder

# group normalisation: a step without a learning rate would still move the statistics of BN
SHOWN = (
    "INPUT.FORMAT RGB MODEL.PIXEL_MEAN [123.675,116.28,103.53] MODEL.RESNETS.NORM GN MODEL.RESNETS.STEM_OUT_CHANNELS 32"
    " MODEL.RESNETS.WIDTH_PER_GROUP 32 MODEL.RESNETS.RES2_OUT_CHANNELS 32 INPUT.RANDOM_FLIP none"
    " TEST.DETECTIONS_PER_IMAGE 20"
)
NO_CHANGE = {"config_file": None, "max_iter": 1, "learning_rate": 1e-12}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> Trained:
    """A model of 64 px and RGB, by `args_options` over tiny.yaml."""
    root = tmp_path_factory.mktemp("first")
    form = {**ENGINE, "config_file": str(TINY_CONFIG), "max_iter": 4, "learning_rate": 0.01, "args_options": SHOWN}
    env_file = write_task_folder(
        root, task="train", class_names=CLASS_NAMES, train=drawn.train, val=drawn.val, config=form
    )
    outcome = run_steps(env_file)
    outcome.require_success()
    return Trained(Tree(root, env_file), outcome)


def fine_tune(ymir_tree: MakeTree, first: Trained, folder: str = "second", **form: object) -> Trained:
    tree = ymir_tree(folder=folder, config={**NO_CHANGE, **form})
    first.give_to(tree, "pretrained_model_params")
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    return Trained(tree, outcome)


def saved_config(model: Trained) -> dict:
    files = read_training_result(model.models_dir).best.files
    return yaml.safe_load(files["config.yaml"].read_text(encoding="utf-8"))


def mine_and_infer(ymir_tree: MakeTree, model: Trained, folder: str) -> Outcome:
    tree = ymir_tree("mining+infer", folder=folder)
    model.give_to(tree)
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    return outcome


def test_a_model_is_fine_tuned_mined_and_inferred_as_it_was_trained(ymir_tree: MakeTree, first: Trained):
    second = fine_tune(ymir_tree, first)
    before, after = saved_config(first), saved_config(second)
    del before["MODEL"]["WEIGHTS"], after["MODEL"]["WEIGHTS"]  # each stage names its own file
    for section in ("MODEL", "INPUT"):
        assert after[section] == before[section]
    assert (after["INPUT"]["FORMAT"], after["INPUT"]["MIN_SIZE_TEST"]) == ("RGB", 64)
    assert after["SOLVER"]["CLIP_GRADIENTS"] == before["SOLVER"]["CLIP_GRADIENTS"]
    assert after["SOLVER"]["MAX_ITER"] == 1
    assert "config.yaml of the chosen model (VERSION, MODEL, INPUT" in second.outcome.output

    old, new = (mine_and_infer(ymir_tree, model, name) for model, name in ((first, "old"), (second, "new")))
    detection = old.json("infer-result.json")["detection"]
    assert max(len(entry["boxes"]) for entry in detection.values()) == 20
    assert new.json("infer-result.json")["detection"] == detection
    assert (new.out_dir / "result.tsv").read_text() == (old.out_dir / "result.tsv").read_text()


def test_the_first_loss_is_that_of_the_configuration_that_the_model_was_trained_with(
    ymir_tree: MakeTree, first: Trained
):
    """The same images in the same order, once by an untouched config_file, once by the right one: equal digits."""
    untouched = fine_tune(ymir_tree, first, batch_size=2)
    exact = fine_tune(ymir_tree, first, "exact", batch_size=2, config_file=str(TINY_CONFIG), args_options=SHOWN)
    losses = [run.outcome.losses()[0].split("  lr ")[0] for run in (untouched, exact)]
    assert losses[0] == losses[1]


def test_a_fine_tuning_that_was_stopped_resumes_with_the_models_configuration(ymir_tree: MakeTree, first: Trained):
    tree = ymir_tree(config={**NO_CHANGE, "max_iter": 200, "args_options": "SOLVER.CHECKPOINT_PERIOD 1 --resume"})
    first.give_to(tree, "pretrained_model_params")
    running = start_warm("ymir_train.py", tree.env_file)
    running.wait_for(lambda: list(tree.out_dir.glob(".unfinished/training/step_*.pth")))
    running.kill()
    (tree.out_dir / "monitor.txt").unlink()  # a new run begins at 0
    again = start_warm("ymir_train.py", tree.env_file)
    again.wait_for_text("resuming from step ")
    assert "config.yaml of the chosen model (VERSION, MODEL, INPUT" in again.output
    again.kill()


def test_image_size_is_the_users_word_over_the_model(ymir_tree: MakeTree, first: Trained):
    second = fine_tune(ymir_tree, first, image_size=128)
    shown = saved_config(second)["INPUT"]
    assert (shown["FORMAT"], shown["MIN_SIZE_TRAIN"], shown["MIN_SIZE_TEST"]) == ("RGB", [128], 128)
    assert (shown["MAX_SIZE_TRAIN"], shown["MAX_SIZE_TEST"]) == (192, 192)
