"""What a training writes for people: counts, plots, curves, anchors, and a model for other programs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import MakeTree, Trained
from tests.platform_reader import RELEASES, read_training_result, verifier_checks
from tests.running import run_steps
from ymir_detectron2.evaluation.evaluation_file import read_evaluation
from ymir_detectron2.evaluation.report import FILE_NAMES
from ymir_detectron2.evaluation.training_history import read_training_history
from ymir_detectron2.retinanet.checkpoint import read_content

EARLY, LATE = RELEASES[: RELEASES.index("1.3.0dev")], RELEASES[RELEASES.index("2.1.0") :]


def curves_of(out_dir: Path) -> EventAccumulator:
    (file,) = (out_dir / "tensorboard").iterdir()
    return EventAccumulator(str(file), size_guidance={"scalars": 0, "images": 0}).Reload()


def best_threshold(trained: Trained) -> dict[str, float]:
    """As result.yaml has it; {} if this small training finds nothing correctly."""
    threshold = trained.outcome.json("train-summary.json")["thresholds"]["all"]
    return {} if threshold is None else {"best_conf_thr": threshold}


@pytest.mark.parametrize("release", LATE)
def test_every_stage_tells_its_figures(trained: Trained, release: str):
    packed = read_training_result(trained.models_dir, release)
    assert packed.evaluate_config == {"iou_thr": 0.5, "conf_thr": 0.2, **best_threshold(trained)}
    for stage in packed.stages.values():
        assert set(stage.metrics) == {"mAR", "boxAP", "tp", "fp", "fn"}
    objects = {stage.metrics["tp"] + stage.metrics["fn"] for stage in packed.stages.values()}
    boxes = trained.outcome.json("dataset-report.json")["validation"]["boxes"]
    assert objects == {boxes}, "each ground-truth box is a tp or an fn"


def test_the_best_stage_has_images_that_the_platform_packs(trained: Trained):
    packed = read_training_result(trained.models_dir, "2.5.0")
    assert packed.attachments == {"evaluation": ("evaluation.json", *FILE_NAMES)}
    for name in FILE_NAMES:
        with Image.open(trained.models_dir / "attachments" / "evaluation" / name) as image:
            assert image.size[0] == 800
    assert all(read_training_result(trained.models_dir, release).attachments == {} for release in EARLY[1:])


def test_tensorboard_shows_losses_figures_and_images(trained: Trained):
    accumulator = curves_of(trained.tree.out_dir)
    tags = accumulator.Tags()
    expected = {
        "loss/total", "validation/AP50", "validation/AR1", "validation/AR10", "validation/precision",
        "validation/recall", "validation/F1", "validation_loss/loss_cls", "validation_loss/loss_box_reg",
    }  # fmt: skip
    assert expected <= set(tags["scalars"])
    assert [event.step for event in accumulator.Scalars("validation_loss/loss_cls")] == [2, 4, 6]
    plots = {f"evaluation/{Path(name).stem}" for name in FILE_NAMES}
    images = trained.outcome.json("dataset-report.json")["validation"]["images"]
    assert set(tags["images"]) == plots | {f"validation_images/{number}" for number in range(1, min(images, 8) + 1)}
    assert tags["tensors"] == ["validation/classes/text_summary"]
    shown = accumulator.Images("evaluation/losses")[-1].encoded_image_string
    with Image.open(io.BytesIO(shown)) as image:
        assert image.size[0] == 800


def test_the_best_thresholds_are_in_the_model_the_summary_and_the_evaluation_file(trained: Trained):
    best = read_training_result(trained.models_dir, "2.5.0").best
    metadata = read_content(trained.models_dir / f"{best.name}.pth")
    evaluation = read_evaluation(trained.models_dir, best.name)
    assert evaluation is not None
    assert evaluation.images == trained.outcome.json("dataset-report.json")["validation"]["images"]
    assert metadata["thresholds"] == evaluation.best_thresholds
    assert trained.outcome.json("train-summary.json")["thresholds"] == evaluation.best_thresholds
    assert {example.image.rpartition("/")[0] for example in evaluation.examples} <= {"/in/assets"} | {
        f"/in/assets/{digits:02x}" for digits in range(256)
    }, "as the index names them, wherever the task folder is"


def test_the_history_has_all_evaluations_and_steps(trained: Trained):
    history = read_training_history(trained.tree.out_dir)
    assert history is not None
    assert history.training_losses["loss_cls"].steps == [1, 2, 3, 4, 5, 6]
    assert history.validation_losses["loss_cls"].steps == history.metrics["AP50"].steps == [2, 4, 6]
    stages = read_training_result(trained.models_dir, "2.5.0").stages
    assert history.metrics["AP50"].values == pytest.approx([stage.m_ap for stage in stages.values()], rel=1e-5)


def test_the_page_shows_this_training(trained: Trained):
    html = (trained.tree.out_dir / "report.html").read_text(encoding="utf-8")
    assert read_training_result(trained.models_dir, "2.5.0").best.name in html
    assert "data:image/jpeg;base64," in html
    assert "has not come to its end" not in html


def test_the_dataset_report_has_the_share_of_boxes_without_an_anchor(trained: Trained):
    """The log has it, too: tests/unit/test_anchor_check.py."""
    share = trained.outcome.json("dataset-report.json")["training"]["anchors"]["share_of_boxes_not_reached"]
    assert 0 <= share <= 1
    assert f"{100 * share:.2f} % of training boxes" in trained.outcome.output


def test_what_a_person_should_read_stands_last_in_the_report_and_is_said_again_at_the_end(trained: Trained):
    warnings = trained.outcome.json("dataset-report.json")["warnings"]
    assert any("fewer than 10 boxes" in sentence for sentence in warnings)
    log, _, end_of_log = trained.outcome.output.rpartition("stage of step")
    for sentence in warnings:
        assert (log.count(sentence), end_of_log.count(sentence)) == (1, 1)


def test_anchors_fitted_and_a_model_exported_and_both_are_packed(ymir_tree: MakeTree):
    tree = ymir_tree(config={"max_iter": 2, "eval_period": 2, "anchors": "auto", "export": "onnx"})
    outcome = run_steps(tree.env_file)
    outcome.require_success()
    assert set(outcome.json("dataset-report.json")["training"]["anchors"]) == {
        "share_of_boxes_not_reached", "share_before_fitting",
    }  # fmt: skip
    best = read_training_result(tree.out_dir / "models").best
    assert set(best.files) == {f"{best.name}.pth", "config.yaml", f"{best.name}.onnx", "training-statistics.json"}
    verifier_checks(tree.out_dir, "train")
    assert _boxes_of(best.files[f"{best.name}.onnx"]).shape[1] == 4


def _boxes_of(file: Path) -> np.ndarray:
    """In a grey image, by what the file itself says about its input."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    inputs = {"image": np.full(shape, 100, dtype=np.uint8), "image_hw": np.array(shape[1:3], dtype=np.int64)}
    boxes: np.ndarray = session.run(["boxes"], inputs)[0]
    return boxes
