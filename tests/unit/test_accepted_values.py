"""Values that both engines refuse, by key; the detectron2 engine goes through the same tables in its own folder."""

from __future__ import annotations

from typing import Any, Mapping

import pytest

from tests.impossible_values import IN_COMBINATION, IN_PREDICTION, IN_TRAINING
from tests.running import TINY_CONFIG
from ymir_detectron2.config.accepted_values import check_combinations, check_schedule, check_values
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.config.supported import check_supported
from ymir_detectron2.errors import ConfigError


def tiny(**values: Any) -> RetinaNetConfig:
    return load_config(TINY_CONFIG).merged(values, "test")


@pytest.mark.parametrize(("key", "value"), IN_PREDICTION.values(), ids=IN_PREDICTION)
def test_impossible_values_of_a_network_are_named(key: str, value: Any):
    cfg = tiny(**{key: value})
    with pytest.raises(ConfigError, match=f"^{key} is "):
        check_values(cfg)


@pytest.mark.parametrize(("key", "value"), IN_TRAINING.values(), ids=IN_TRAINING)
def test_impossible_values_of_a_training_are_named_and_do_not_stand_in_the_way_of_inference(key: str, value: Any):
    cfg = tiny(**{key: value})
    with pytest.raises(ConfigError, match=f"^{key} is "):
        check_values(cfg, training=True)
    if cfg[key] == cfg[key] and cfg[key] != float("inf"):  # numbers have to be finite everywhere
        check_values(cfg)


@pytest.mark.parametrize(("key", "values"), IN_COMBINATION.values(), ids=IN_COMBINATION)
def test_values_that_contradict_each_other_are_named(key: str, values: Mapping[str, Any]):
    with pytest.raises(ConfigError, match=f"^{key} is .* must be "):
        check_combinations(tiny(**values))


def test_what_is_odd_and_possible_is_accepted():
    odd = {
        "INPUT.MIN_SIZE_TEST": 0, "INPUT.MIN_SIZE_TRAIN": (0,), "MODEL.RETINANET.SCORE_THRESH_TEST": 0.0,
        "MODEL.RETINANET.NMS_THRESH_TEST": 1.0, "MODEL.RETINANET.FOCAL_LOSS_ALPHA": -1.0, "SOLVER.GAMMA": 2.0,
        "SOLVER.STEPS": (), "SOLVER.NUM_DECAYS": 0, "SOLVER.WARMUP_ITERS": 10**6, "SOLVER.WEIGHT_DECAY_BIAS": None,
        "SOLVER.CLIP_GRADIENTS.NORM_TYPE": float("inf"), "SOLVER.BASE_LR_END": 1.0, "MODEL.BACKBONE.FREEZE_AT": 9,
        "INPUT.CROP.SIZE": (300.0, 300.0),
    }  # fmt: skip
    cfg = tiny(**odd)
    check_values(cfg, training=True)
    check_combinations(cfg)  # neither a cosine nor a relative crop is switched on


def test_the_sentence_names_value_expectation_and_remedy():
    with pytest.raises(ConfigError) as failure:
        check_values(tiny(**{"SOLVER.BASE_LR": -0.1}), training=True)
    assert str(failure.value) == "SOLVER.BASE_LR is -0.1, must be above 0; correct it in config_file or args_options"
    with pytest.raises(ConfigError, match=r"^SOLVER.LR_SCHEDULER_NAME is 'WarmupPolyLR', expected 'WarmupMultiStepLR'"):
        check_values(tiny(**{"SOLVER.LR_SCHEDULER_NAME": "WarmupPolyLR"}), training=True)


@pytest.mark.parametrize("key", ["SOLVER.MAX_ITER", "SOLVER.IMS_PER_BATCH", "SOLVER.BASE_LR"])
def test_a_schedule_has_numbers_above_0(key: str):
    with pytest.raises(ConfigError, match=f"^{key} is 0"):
        check_schedule(tiny(**{key: 0}))
    check_schedule(tiny(**{"INPUT.FORMAT": "L", "SOLVER.GAMMA": -1.0}))


def test_the_torch_engine_asks():
    for training in (False, True):
        with pytest.raises(ConfigError, match=r"^MODEL.RETINANET.SCORE_THRESH_TEST is 1.5, must be between 0 and 1"):
            check_supported(tiny(**{"MODEL.RETINANET.SCORE_THRESH_TEST": 1.5}), training=training)
    falling = {"INPUT.MIN_SIZE_TRAIN_SAMPLING": "range", "INPUT.MIN_SIZE_TRAIN": (96, 64)}
    with pytest.raises(ConfigError, match=r"^INPUT.MIN_SIZE_TRAIN is \(96, 64\)"):
        check_supported(tiny(**falling), training=True)
