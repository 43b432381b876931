"""A training that goes well: what the platform reads, packs and shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import CLASS_NAMES, MakeTree, Trained
from tests.platform_reader import RELEASES, read_training_result, verifier_checks
from tests.running import Outcome, run_steps
from ymir_detectron2.retinanet.checkpoint import read_content

RELEASES_WITH_STAGES = RELEASES[RELEASES.index("1.3.0dev") :]
EARLY = RELEASES[: RELEASES.index("1.3.0dev")]


def saved_config(outcome: Outcome) -> dict:
    return outcome.yaml("models/config.yaml")


def test_training_ends_well_and_every_state_on_the_way_is_readable(trained: Trained):
    trained.outcome.require_success()
    assert len(trained.outcome.monitor_texts) >= 3


def test_the_first_log_line_says_what_runs_where_and_the_last_what_came_out(trained: Trained):
    first, *lines = trained.outcome.lines
    for word in ("ymir-detectron2", "Python", "torch", "CUDA", "CPU", "engine torch"):
        assert word in first
    end = next(number for number, line in enumerate(lines) if "trained 6 steps" in line)
    last = [line.partition("] ")[2].partition(": ")[2] or line for line in lines[end + 1 :]]
    assert last[0].startswith("classes of the best stage iter_")
    assert [line.split()[0] for line in last[1:5]] == ["class", *CLASS_NAMES]
    (model,) = (line for line in last if line.startswith("best stage: "))
    assert Path(model.partition(": ")[2]).is_file()
    assert f"page of the results, for a browser: {trained.tree.out_dir / 'report.html'}" in last
    assert last[-1] == f"curves: tensorboard --logdir {trained.tree.out_dir / 'tensorboard'}"
    assert "best stage iter_000000" in lines[end]


@pytest.mark.parametrize("release", RELEASES_WITH_STAGES)
def test_every_release_with_stages_accepts_the_model(trained: Trained, release: str):
    packed = read_training_result(trained.models_dir, release)
    assert list(packed.stages) == ["iter_0000002", "iter_0000004", "iter_0000006"]
    assert packed.best.m_ap == max(stage.m_ap for stage in packed.stages.values())
    for name, stage in packed.stages.items():
        statistics = {"training-statistics.json"} if stage is packed.best else set()
        assert set(stage.files) == {f"{name}.pth", "config.yaml", *statistics}


def test_the_verifier_accepts_the_output_and_no_half_written_file_stays(trained: Trained):
    verifier_checks(trained.tree.out_dir, "train")
    names = [file.name for file in trained.tree.out_dir.rglob("*")]
    assert not [name for name in names if name.endswith(".tmp")]
    assert any(name.startswith("events.out.tfevents") for name in names)


def test_the_saved_config_is_plain_yaml_with_args_options_in_it(trained: Trained):
    text = (trained.models_dir / "config.yaml").read_text(encoding="utf-8")
    assert "!!" not in text
    config = yaml.safe_load(text)
    assert config["INPUT"]["MAX_SIZE_TEST"] == 112
    assert config["SOLVER"]["GAMMA"] == 0.2
    assert config["SOLVER"]["MAX_ITER"] == 6
    assert config["MODEL"]["RETINANET"]["NUM_CLASSES"] == len(CLASS_NAMES)


@pytest.mark.parametrize("release", ["1.1.0", "1.2.1dev", "1.3.0dev", "2.5.0"])
def test_every_packed_config_names_the_weights_that_it_is_packed_with(trained: Trained, release: str, tmp_path: Path):
    result = tmp_path / "models"
    shutil.copytree(trained.models_dir, result)
    if release in EARLY:  # as the same training would have written it for them
        best = read_training_result(trained.models_dir).best
        (result / "result.yaml").write_text(yaml.safe_dump({"model": list(best.files), "map": best.m_ap}))
    for stage in read_training_result(result, release).stages.values():
        (weights,) = [name for name in stage.files if name.endswith(".pth")]
        config = yaml.safe_load(stage.files["config.yaml"].read_text(encoding="utf-8"))
        assert config["MODEL"]["WEIGHTS"] == weights
        assert read_content(stage.files[weights])["class_names"] == list(CLASS_NAMES)


def test_the_schedule_of_the_config_is_fitted_to_the_run(trained: Trained):
    """tiny.yaml has STEPS [80] and WARMUP_ITERS 10 of 100: of 6 steps that is 5 and 1."""
    solver = saved_config(trained.outcome)["SOLVER"]
    assert (solver["STEPS"], solver["WARMUP_ITERS"]) == ([5], 1)


def test_release_1_1_gets_one_flat_model_and_the_same_images_give_the_same_numbers(
    ymir_tree: MakeTree, trained: Trained
):
    """Its images have other names, its annotations five columns, its index /./ in the paths.

    `trained` is of new interpreters, this run a fork (`tests/warm_start.py`): equal to the bit.
    """
    form = {"max_iter": "6", "args_options": "INPUT.MAX_SIZE_TEST 112 SOLVER.GAMMA 0.2"}
    tree = ymir_tree(release="1.1.0", config=form)
    assert "/in/assets/./" in tree.index_lines("train")[0]
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    packed = read_training_result(tree.out_dir / "models", "1.1.0")
    assert list(packed.stages) == ["default_best_stage"]
    assert set(outcome.yaml("models/result.yaml")) == {"model", "map"}
    verifier_checks(tree.out_dir, "train")
    assert len(outcome.losses()) == 6
    assert outcome.losses() == trained.outcome.losses()
    best_stage_name = read_training_result(trained.models_dir).best_stage_name
    expected = read_content(trained.models_dir / f"{best_stage_name}.pth")["model"]
    (weights_file,) = [file for file in packed.best.files.values() if file.suffix == ".pth"]
    weights = read_content(weights_file)["model"]
    assert list(weights) == list(expected)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_training_goes_on_from_a_packed_model_and_args_options_win_over_the_form(ymir_tree: MakeTree, trained: Trained):
    form = {
        "max_iter": 50, "learning_rate": 5, "batch_size": 7, "eval_period": 1,
        "args_options": "SOLVER.MAX_ITER 3 SOLVER.BASE_LR 0.02 SOLVER.IMS_PER_BATCH 3 TEST.EVAL_PERIOD 0",
    }  # fmt: skip
    tree = ymir_tree(release="2.0.0", annotation_format="voc", config=form, folder="a task")
    trained.give_to(tree, "pretrained_model_params", release="2.0.0")
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    solver = saved_config(outcome)["SOLVER"]
    assert (solver["MAX_ITER"], solver["BASE_LR"], solver["IMS_PER_BATCH"]) == (3, 0.02, 3)
    packed = read_training_result(tree.out_dir / "models", "2.0.0")
    assert list(packed.stages) == ["iter_0000003"]
    assert f"training from {tree.in_dir}/models/{read_training_result(trained.models_dir).best_stage_name}" in (
        outcome.output
    )
    assert " 0 not" in outcome.output


@pytest.mark.slow
def test_at_most_eleven_stages_stay_and_the_files_of_the_others_go(ymir_tree: MakeTree):
    tree = ymir_tree(config={"max_iter": 13, "eval_period": 1, "batch_size": 1})
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    packed = read_training_result(tree.out_dir / "models", "2.5.0")
    latest = {f"iter_{step:07d}" for step in range(4, 14)}
    assert latest | {packed.best_stage_name} == set(packed.stages)
    weights = {file.stem for file in (tree.out_dir / "models").glob("*.pth")}
    assert weights == set(packed.stages)
    assert [line for line in outcome.lines if "step 1: AP50" in line]


def test_two_processes_train_together_and_only_the_first_writes(ymir_tree: MakeTree):
    tree = ymir_tree(config={"max_iter": 2, "eval_period": 2, "args_options": "--num-gpus 2"})
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert list(read_training_result(tree.out_dir / "models", "2.5.0").stages) == ["iter_0000002"]
    assert len(list((tree.out_dir / "tensorboard").iterdir())) == 1
    assert outcome.output.count("step 2: AP50") == 1
    assert "process 1 of 2" in outcome.output


def test_a_model_of_other_classes_gives_all_but_its_class_layer(ymir_tree: MakeTree, trained: Trained):
    tree = ymir_tree(class_names=["leaf", "brick"], config={"max_iter": 1})
    trained.give_to(tree, "pretrained_model_params")
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert "was trained for brick, leaf, sky: the class layer starts from random values" in outcome.output
    assert "head.cls_score.weight" in outcome.output
    assert saved_config(outcome)["MODEL"]["RETINANET"]["NUM_CLASSES"] == 2
