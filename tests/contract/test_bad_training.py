"""Sets and settings that are hard to train with: each ends with a usable stage, or with one sentence and its code."""

from __future__ import annotations

import math
from pathlib import Path

from tests.conftest import Drawn, MakeTree, Tree, draw_image
from tests.contract.test_bad_storage import mounted
from tests.platform_reader import read_training_result, verifier_checks
from tests.running import Outcome, run_steps
from ymir_detectron2.sources.labelled_image import AnnotatedImage


def require_usable_stage(tree: Tree, outcome: Outcome) -> None:
    outcome.require_success()
    packed = read_training_result(tree.out_dir / "models", "2.5.0")
    assert 0 <= packed.best.m_ap <= 1
    assert all(math.isfinite(stage.m_ap) for stage in packed.stages.values())
    assert (tree.out_dir / "models" / f"{packed.best_stage_name}.pth").stat().st_size > 100_000
    verifier_checks(tree.out_dir, "train")


def test_a_set_of_one_image_and_a_batch_larger_than_it(ymir_tree: MakeTree, drawn: Drawn):
    tree = ymir_tree(config={"batch_size": 5, "max_iter": 2}, train=drawn.train[:1], val=drawn.val[:1])
    require_usable_stage(tree, run_steps(tree.env_file))


def test_a_class_with_no_box_and_a_validation_class_unseen_in_training(ymir_tree: MakeTree, drawn: Drawn):
    """`brick` and `leaf` are trained; `sky` is only in the validation set; `roof` nowhere."""
    tree = ymir_tree(
        class_names=["brick", "leaf", "sky", "roof"],
        config={"repeat_factor": 0.9, "class_weights": "auto"}, train=drawn.train[:1], val=drawn.val,
    )  # fmt: skip
    outcome = run_steps(tree.env_file)
    require_usable_stage(tree, outcome)
    assert "class weights: brick 1, leaf 1, sky 1, roof 1" in outcome.output
    assert "training set: no box of sky, roof, which cannot be learned" in outcome.output
    assert "validation set: no box of roof, which cannot be measured" in outcome.output


def test_a_validation_set_without_objects(ymir_tree: MakeTree, drawn: Drawn):
    (empty,) = [image for image in drawn.train if not image.boxes]
    tree = ymir_tree(val=[empty], config={"ema": 0.9, "patience": 1})
    outcome = run_steps(tree.env_file)
    require_usable_stage(tree, outcome)
    assert "no box at all, so AP cannot be measured" in outcome.output


def test_boxes_without_an_area_only(ymir_tree: MakeTree, drawn: Drawn):
    """x2 before x1, y2 before y1, and outside the image."""
    boxes = (("brick", 30, 10, 20, 40), ("leaf", 5, 40, 30, 20), ("sky", 500, 500, 600, 600))
    train = [AnnotatedImage(image.path, boxes) for image in drawn.train[:2]]
    outcome = run_steps(ymir_tree(train=train).env_file)
    outcome.require_failure(300002)


def test_ten_thousand_boxes_in_one_image(ymir_tree: MakeTree, tmp_path: Path, drawn: Drawn):
    boxes = [("brick", x, y, x + 1, y + 1) for x in range(100) for y in range(100)]
    crowded = draw_image(tmp_path / "crowded.png", boxes, wh=(128, 128))
    tree = ymir_tree(config={"max_iter": 3, "eval_period": 3}, train=[crowded, *drawn.train[:1]])
    outcome = run_steps(tree.env_file)
    require_usable_stage(tree, outcome)
    assert "10002 boxes" in outcome.output


def test_a_single_step(ymir_tree: MakeTree):
    tree = ymir_tree(config={"max_iter": 1, "eval_period": None, "patience": 1, "ema": 0.999})
    require_usable_stage(tree, run_steps(tree.env_file))


def test_a_learning_rate_of_a_thousand_ends_with_a_stage_or_with_its_code(ymir_tree: MakeTree):
    tree = ymir_tree(config={"learning_rate": 1000, "max_iter": 10, "eval_period": 5})
    outcome = run_steps(tree.env_file)
    if outcome.status == 0:
        require_usable_stage(tree, outcome)
    else:
        outcome.require_failure(300201, "lower learning_rate")
        assert read_training_result(tree.out_dir / "models", "2.5.0").stages


def test_a_disk_that_a_checkpoint_fills_up_does_not_end_a_training_whose_stage_fits(ymir_tree: MakeTree):
    """Two checkpoints of more than 4 MB do not fit; the only stage does."""
    tree = ymir_tree(config={"max_iter": 3, "eval_period": 3, "args_options": "SOLVER.CHECKPOINT_PERIOD 1"})
    with mounted(tree.out_dir, "size=6m"):
        outcome = run_steps(tree.env_file)
        require_usable_stage(tree, outcome)
        assert outcome.output.count("cannot be saved") == 1
        assert "No space left on device" in outcome.output
