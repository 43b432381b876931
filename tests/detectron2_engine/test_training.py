"""Training with the detectron2 engine: the same files, figures and endings as with the torch engine."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import yaml

from tests.conftest import CLASS_NAMES, Drawn, MakeTree, Trained
from tests.detectron2_engine.conftest import DETECTRON2
from tests.platform_reader import read_training_result, verifier_checks
from tests.running import TINY_CONFIG, run_start, start_script
from ymir_detectron2.engines.zoo import detectron2_is_there
from ymir_detectron2.evaluation.label_review_file import read_label_review
from ymir_detectron2.evaluation.training_statistics import read_training_statistics
from ymir_detectron2.sources.labelled_image import AnnotatedImage

pytestmark = [
    pytest.mark.detectron2,
    pytest.mark.skipif(not detectron2_is_there(), reason="detectron2 is not installed"),
]

SMALL_FASTER_RCNN = (
    "MODEL.WEIGHTS '' MODEL.RESNETS.STEM_OUT_CHANNELS 8 MODEL.RESNETS.WIDTH_PER_GROUP 8 MODEL.RESNETS.RES2_OUT_CHANNELS"
    " 16 MODEL.RESNETS.NORM BN MODEL.BACKBONE.FREEZE_AT 0 MODEL.FPN.OUT_CHANNELS 16 MODEL.ROI_BOX_HEAD.FC_DIM 32"
    " INPUT.MIN_SIZE_TRAIN (64,) INPUT.MAX_SIZE_TRAIN 96 INPUT.MIN_SIZE_TEST 64 INPUT.MAX_SIZE_TEST 96"
)


def test_training_ends_well_and_the_platform_accepts_it(trained_by_detectron2: Trained):
    outcome = trained_by_detectron2.outcome
    outcome.require_success()
    assert "engine detectron2 (config.yaml asks for it)" in outcome.lines[0]
    packed = read_training_result(trained_by_detectron2.models_dir, "2.5.0")
    assert list(packed.stages) == ["iter_0000002", "iter_0000004", "iter_0000006"]
    for name, stage in packed.stages.items():
        statistics = {"training-statistics.json"} if stage is packed.best else set()
        assert set(stage.files) == {f"{name}.pth", "config.yaml", *statistics}
    verifier_checks(trained_by_detectron2.tree.out_dir, "train")
    assert len(list((trained_by_detectron2.tree.out_dir / "tensorboard").iterdir())) == 1
    assert len(outcome.losses()) == 6


def test_the_saved_config_is_plain_fitted_to_the_run_and_args_options_won(trained_by_detectron2: Trained):
    text = (trained_by_detectron2.models_dir / "config.yaml").read_text(encoding="utf-8")
    assert "!!" not in text
    config = yaml.safe_load(text)
    assert (config["INPUT"]["MAX_SIZE_TEST"], config["SOLVER"]["GAMMA"]) == (112, 0.2)
    solver = config["SOLVER"]
    assert (solver["MAX_ITER"], solver["STEPS"], solver["WARMUP_ITERS"]) == (6, [5], 1)
    assert config["DATASETS"]["TRAIN"] == ["ymir_train"]
    assert config["MODEL"]["RETINANET"]["NUM_CLASSES"] == config["MODEL"]["ROI_HEADS"]["NUM_CLASSES"] == 3
    assert config["DATALOADER"]["FILTER_EMPTY_ANNOTATIONS"] is False


def test_images_without_objects_and_images_that_lie_on_their_side_are_trained_on(trained_by_detectron2: Trained):
    """One image of six has no object, one is stored rotated: detectron2 would drop the first, refuse the second."""
    output = trained_by_detectron2.outcome.output
    assert "Loaded 6 images in COCO format" in output
    assert "usable annotations" not in output
    assert "left out" not in output
    assert "size changed" not in output


def test_goes_on_from_a_model_of_the_torch_engine_and_args_options_win_over_the_form(
    ymir_tree: MakeTree, trained: Trained
):
    """Two processes on the CPU, a threshold that no box passes: AP is 0, not NaN and not an error."""
    form = {
        **DETECTRON2, "max_iter": 50, "learning_rate": 5, "batch_size": 7, "eval_period": 1,
        "args_options": "--num-gpus 2 SOLVER.MAX_ITER 2 SOLVER.BASE_LR 0.02 SOLVER.IMS_PER_BATCH 2 TEST.EVAL_PERIOD 0"
        " MODEL.RETINANET.SCORE_THRESH_TEST 0.999",
    }  # fmt: skip
    tree = ymir_tree(release="2.0.0", config=form)
    trained.give_to(tree, "pretrained_model_params", release="2.0.0")
    outcome = run_start(tree.env_file)
    assert outcome.status == 0, outcome.output
    outcome.require_readable_progress()
    assert outcome.monitor.percent == 1.0
    solver = outcome.yaml("models/config.yaml")["SOLVER"]
    assert (solver["MAX_ITER"], solver["BASE_LR"], solver["IMS_PER_BATCH"]) == (2, 0.02, 2)
    packed = read_training_result(tree.out_dir / "models", "2.0.0")
    assert list(packed.stages) == ["iter_0000002"]
    assert packed.best.m_ap == 0
    assert " 0 not" in outcome.output
    assert outcome.output.count("step 2: AP50 0.0000") == 1
    assert "process 1 of 2" in outcome.output
    assert len(list((tree.out_dir / "tensorboard").iterdir())) == 1


def test_a_schedule_of_fixed_gamma_ends_with_its_last_stage(ymir_tree: MakeTree):
    """detectron2's own scheduler fails after the last step."""
    options = "SOLVER.LR_SCHEDULER_NAME WarmupStepWithFixedGammaLR SOLVER.WARMUP_ITERS 0"
    tree = ymir_tree(config={**DETECTRON2, "learning_rate": 0.01, "args_options": options})
    outcome = run_start(tree.env_file)
    outcome.require_success()
    assert list(read_training_result(tree.out_dir / "models", "2.5.0").stages) == ["iter_0000004"]
    assert [line.split(" lr ")[1].split()[0] for line in outcome.losses()] == [
        "0.010000", "0.001000", "0.000100", "0.000010"
    ]  # fmt: skip


def test_a_loss_that_turns_nan_ends_the_run_and_packs_what_there_is(ymir_tree: MakeTree):
    options = "SOLVER.CLIP_GRADIENTS.ENABLED False SOLVER.WARMUP_ITERS 0"
    form = {**DETECTRON2, "max_iter": 50, "eval_period": 50, "learning_rate": 1e9, "args_options": options}
    tree = ymir_tree(config=form)
    outcome = run_start(tree.env_file)
    assert outcome.status == 1
    assert outcome.last_line.startswith("ERROR 300201: step "), outcome.output[-3000:]
    assert "lower learning_rate" in outcome.last_line
    assert outcome.monitor.state_code == 300201
    packed = read_training_result(tree.out_dir / "models", "2.5.0")
    assert len(packed.stages) == 1
    assert packed.best.m_ap == 0


def test_sigterm_packs_the_steps_since_the_last_stage(ymir_tree: MakeTree):
    tree = ymir_tree(config={**DETECTRON2, "max_iter": 100_000, "eval_period": 100_000})
    running = start_script("start.py", tree.env_file)
    running.wait_for_text("step 1/")
    running.process.send_signal(signal.SIGTERM)
    outcome = running.finish()
    outcome.require_failure(160004, "stopped")
    packed = read_training_result(tree.out_dir / "models", "2.5.0")
    assert len(packed.stages) == 1
    assert packed.best.m_ap == 0


def test_a_damaged_image_is_left_out_and_counted_and_the_run_goes_on(
    ymir_tree: MakeTree, drawn: Drawn, rotten_image: Path
):
    train = (AnnotatedImage(rotten_image, (("sky", 1, 1, 20, 20),)), *drawn.train[:2])
    tree = ymir_tree(config={**DETECTRON2, "max_iter": 6, "eval_period": 6, "seed": 3}, train=train)
    outcome = run_start(tree.env_file)
    outcome.require_success()
    assert "training set: 1 x unreadable image, found when its pixels were decoded, left out" in outcome.output


def test_faster_rcnn_of_the_zoo_trains_and_infers(ymir_tree: MakeTree):
    form = {
        "engine": None, "config_file": "configs/COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", "max_iter": 2,
        "args_options": SMALL_FASTER_RCNN,
    }  # fmt: skip
    tree = ymir_tree(config=form)
    outcome = run_start(tree.env_file)
    outcome.require_success()
    assert "engine detectron2 (detectron2 is installed)" in outcome.lines[0]
    assert "loss_rpn_cls" in outcome.output
    assert outcome.yaml("models/config.yaml")["MODEL"]["ROI_HEADS"]["NUM_CLASSES"] == len(CLASS_NAMES)
    options = "TEST.AUG.ENABLED True TEST.AUG.MIN_SIZES (48,64)"
    augmented = {"engine": None, "conf_threshold": 0.05, "args_options": options}
    second = ymir_tree("mining+infer", folder="second", config=augmented)
    Trained(tree, outcome).give_to(second)
    run = run_start(second.env_file)
    run.require_success()
    assert "boxes are predicted in 4 copies of every image" in run.output
    assert len(run.json("infer-result.json")["detection"]) == 9


@pytest.mark.parametrize(("config_file", "options"), [
    (str(TINY_CONFIG), ""), ("configs/COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", SMALL_FASTER_RCNN),
])  # fmt: skip
def test_labels_are_reviewed_with_every_network(ymir_tree: MakeTree, config_file: str, options: str):
    """24 steps of two images are enough for a pass over nine; one of them has no dense outputs."""
    form = {"config_file": config_file, "max_iter": 24, "eval_period": 24, "batch_size": 2, "args_options": options}
    tree = ymir_tree(config={**DETECTRON2, **form})
    outcome = run_start(tree.env_file)
    outcome.require_success()
    assert "label review: of 11 labels" in outcome.output
    assert "left out" not in outcome.output
    assert read_label_review(tree.out_dir / "label-review.tsv") is not None
    statistics = read_training_statistics(tree.out_dir / "models" / "training-statistics.json")
    assert [one.boxes for one in statistics.classes] == [3, 2, 2]
