"""Values of config.yaml become typed settings, or an error with key and value; which engine implements them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ymir_detectron2.config.prediction_settings import MiningSettings
from ymir_detectron2.config.read_settings import (
    ALL_SETTINGS,
    read_settings,
    require_implemented,
    unimplemented_keys,
    values_where,
)
from ymir_detectron2.config.setting import ENGINES
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.errors import ConfigError


@pytest.mark.parametrize("settings_class", ALL_SETTINGS)
@pytest.mark.parametrize(
    "falsy", [None, "", "  ", 0, " None", "null"], ids=["null", "empty", "blank", "zero", "word none", "word null"]
)
def test_nothing_and_every_falsy_value_mean_the_same(settings_class: type, falsy: Any):
    """The web form drops falsy values, so that they cannot mean anything else."""
    fields = [field.name for field in dataclasses.fields(settings_class)]
    nothing = read_settings(settings_class, {})
    numbers = [name for name in fields if falsy != 0 or not isinstance(getattr(settings_class(), name), str)]
    if falsy == " None":  # for these, `none` is a choice
        numbers = [name for name in numbers if name not in ("pretrained", "tile_size")]
    assert read_settings(settings_class, dict.fromkeys(numbers, falsy)) == nothing
    from_config = {"batch_size": 0, "max_iter": 0, "learning_rate": 0.0} if settings_class is TrainSettings else {}
    assert nothing == dataclasses.replace(settings_class(), **from_config)


def test_what_the_form_shows_is_what_the_user_fixed_and_a_cleared_field_is_not():
    shown = TrainSettings()
    assert (shown.batch_size, shown.max_iter, shown.learning_rate) == (2, 90000, 0.001)
    cleared = read_settings(TrainSettings, {"batch_size": "", "max_iter": 0})
    assert (cleared.batch_size, cleared.max_iter, cleared.learning_rate) == (0, 0, 0.0)
    assert cleared.config_file == shown.config_file


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        pytest.param("batch_size", "4", 4, id="text for a whole number"),
        pytest.param("batch_size", 4.0, 4, id="whole float"),
        pytest.param("batch_size", " 4 ", 4, id="blanks around"),
        pytest.param("max_iter", "1e3", 1000, id="exponent"),
        pytest.param("learning_rate", "1e-4", 0.0001, id="what PyYAML reads as text"),
        pytest.param("learning_rate", 1, 1.0, id="whole number for a float"),
        pytest.param("config_file", " a.yaml ", "a.yaml", id="text is stripped"),
        pytest.param("args_options", 5, "5", id="number for text"),
        pytest.param("precision", " FP16 ", "fp16", id="capitals"),
        pytest.param("pretrained", "None", "none", id="none where it is a choice"),
        pytest.param("augment", " Mosaic , RANDOM_CROP,", "mosaic,random_crop", id="several choices"),
        pytest.param("config_file", "A.yaml", "A.yaml", id="a path keeps its capitals"),
        pytest.param("tile_size", " 64 ", 64, id="a number that may be a word"),
        pytest.param("tile_size", "AUTO", "auto", id="a word in place of a number"),
        pytest.param("tile_size", " none", "none", id="none where it is a word"),
    ],
)
def test_values_are_converted_to_their_type(key: str, value: Any, expected: Any):
    found = getattr(read_settings(TrainSettings, {key: value}), key)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch_size", "abc"), ("batch_size", True), ("batch_size", "True"), ("batch_size", 1.5), ("batch_size", [1]),
        ("batch_size", -1), ("max_iter", float("inf")), ("max_iter", 10**400), ("learning_rate", "nan"),
        ("learning_rate", -1), ("engine", True), ("engine", "Torch2"), ("precision", "half"), ("seed", -1),
        ("seed", 2**32), ("eval_period", -1), ("num_workers", {}), ("best_metric", "ap"), ("patience", -1),
        ("ema", 1), ("max_hours", -1),
        ("ema", -0.1), ("accumulate", -1), ("max_epochs", -1), ("pretrained", "voc"), ("augment", "mosaic,blur"),
        ("repeat_factor", -1), ("anchors", "fit"), ("export", "tflite"), ("export_opset", 10), ("export_opset", 21),
        ("export_size", "800"), ("tile_size", "all"), ("tile_size", 31), ("tile_overlap", -1), ("tile_overlap", 5),
    ],
)  # fmt: skip
def test_impossible_values_are_named_with_their_key(key: str, value: Any):
    with pytest.raises(ConfigError, match=f"^config.yaml: {key}: "):
        read_settings(TrainSettings, {key: value})


@pytest.mark.parametrize(
    ("config", "finding"),
    [
        *(({"conf_threshold": value}, "conf_threshold: must be between 0 and 1") for value in (1, 1.5, -0.1, "2")),
        ({"tile_size": "auto"}, "tile_size: expected a whole number or none, found 'auto'"),
        ({"tile_size": 64.5}, "tile_size: expected a whole number or none, found 64.5"),
        ({"tile_size": True}, "tile_size: expected a whole number or none, found True"),
        ({"tile_size": "none", "tile_overlap": 1}, "tile_overlap: must be at most half of tile_size, found 1"),
        ({"tile_size": 31}, "tile_size: must be at least 32, or 0, found 31"),
        ({"tile_size": -64}, "tile_size: must be at least 32, or 0, found -64"),
        ({"tile_size": 64, "tile_overlap": 33}, "tile_overlap: must be at most half of tile_size, found 33"),
        ({"tile_overlap": 1}, "tile_overlap: must be at most half of tile_size, found 1"),
        ({"tile_size": 64, "tile_overlap": -1}, "tile_overlap: must be at most half of tile_size, found -1"),
        ({"compile": "yes"}, "compile: must be one of auto, always, never, found 'yes'"),
        ({"image_size": 31}, "image_size: must be from 32 to 32768, or 0, found 31"),
        ({"mining_algorithm": "Caldo"}, "mining_algorithm: must be one of cald, .*, random, found 'Caldo'"),
        ({"diversity_distance": 1}, "diversity_distance: must be below 1, or 0, found 1.0"),
        ({"diversity_pool": 1}, "diversity_pool: must be at least 2, found 1"),
    ],
)
def test_impossible_values_of_inference_and_mining(config: dict[str, Any], finding: str):
    with pytest.raises(ConfigError, match=f"^config.yaml: {finding}"):
        read_settings(MiningSettings, config)


def test_settings_that_one_engine_does_not_implement():
    missing = {
        "torch": set(),
        "detectron2": {"accumulate", "augment", "class_weights", "empty_share", "tile_overlap", "tile_size"},
    }
    assert set(missing) == set(ENGINES)
    for engine, names in missing.items():
        found = values_where(TrainSettings(), lambda effects, engine=engine: engine not in effects.engines)
        assert set(found) == names


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({}, None),
        ({"accumulate": 1}, None),
        ({"patience": 3, "ema": 0.99}, None),
        ({"accumulate": 2}, "accumulate: 2"),
        ({"class_weights": "auto"}, "class_weights: 'auto'"),
        ({"augment": "mosaic"}, "augment: 'mosaic'"),
        ({"tile_size": "auto"}, "tile_size: 'auto'"),
        ({"tile_size": 64}, "tile_size: 64"),
        ({"tile_size": "none"}, None),
    ],
)
def test_an_engine_refuses_values_of_keys_that_it_does_not_implement(values: dict[str, Any], key: str | None):
    settings = TrainSettings(**values)
    assert list(unimplemented_keys(settings, "detectron2")) == ([key.partition(":")[0]] if key else [])
    require_implemented(settings, "torch")
    if key is None:
        require_implemented(settings, "detectron2")
    else:
        with pytest.raises(ConfigError, match=f"^config.yaml: {key} needs engine: torch"):
            require_implemented(settings, "detectron2")
