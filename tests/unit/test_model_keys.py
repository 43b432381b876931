"""Which keys a trained model brings: network and images, and nothing of the schedule that it was trained with."""

from __future__ import annotations

import pytest

from ymir_detectron2.config.defaults import DEFAULTS
from ymir_detectron2.config.model_keys import MODEL_KEYS, PREDICTION_KEYS, is_within, only


@pytest.mark.parametrize(
    ("key", "in_training", "in_detection"),
    [
        ("VERSION", True, True),
        ("MODEL.PIXEL_MEAN", True, True),
        ("MODEL.RETINANET.NMS_THRESH_TEST", True, True),
        ("INPUT.FORMAT", True, True),
        ("INPUT.MIN_SIZE_TRAIN_SAMPLING", True, True),
        ("INPUT.RANDOM_FLIP", True, True),
        ("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", True, True),
        ("TEST.DETECTIONS_PER_IMAGE", True, True),
        ("TEST.AUG.ENABLED", False, True),
        ("TEST.EVAL_PERIOD", False, False),
        ("SOLVER.BASE_LR", False, False),
        ("SOLVER.WEIGHT_DECAY", False, False),
        ("DATALOADER.SAMPLER_TRAIN", False, False),
        ("SEED", False, False),
    ],
)
def test_what_belongs_to_a_model(key: str, in_training: bool, in_detection: bool):
    assert key in DEFAULTS
    assert is_within(key, MODEL_KEYS) is in_training
    assert is_within(key, PREDICTION_KEYS) is in_detection


def test_only_whole_sections_are_taken_and_without_names_everything():
    values = {"MODEL.A": 1, "MODELS.A": 2, "TEST.AUG.FLIP": 3, "TEST.AUGMENT": 4, "TEST": 5}
    assert only(values, ("MODEL", "TEST.AUG")) == {"MODEL.A": 1, "TEST.AUG.FLIP": 3}
    assert only(values, ()) == values
