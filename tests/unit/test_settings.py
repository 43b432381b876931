"""Values of config.yaml become typed settings, or a sentence about key and value."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ymir_detectron2.errors import ConfigError, briefly, printable
from ymir_detectron2.settings import (
    ALL_SETTINGS,
    PLATFORM_KEYS,
    InferSettings,
    MiningSettings,
    TrainSettings,
    read_settings,
    unknown_keys,
)


@pytest.mark.parametrize("settings_class", ALL_SETTINGS)
@pytest.mark.parametrize("falsy", [None, "", "  ", 0], ids=["null", "empty", "blank", "zero"])
def test_nothing_and_every_falsy_value_mean_the_same(settings_class: type, falsy: Any):
    """The web form drops falsy values, so that they cannot mean anything else."""
    fields = [field.name for field in dataclasses.fields(settings_class)]
    nothing = read_settings(settings_class, {})
    numbers = [name for name in fields if falsy != 0 or not isinstance(getattr(settings_class(), name), str)]
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
        ("learning_rate", -1), ("engine", True), ("engine", "Torch"), ("precision", "half"), ("seed", -1),
        ("seed", 2**32), ("eval_period", -1), ("num_workers", {}), ("best_metric", "ap"), ("patience", -1), ("ema", 1),
        ("ema", -0.1), ("accumulate", -1), ("max_epochs", -1), ("pretrained", "voc"), ("augment", "mosaic,blur"),
        ("repeat_factor", -1),
    ],
)  # fmt: skip
def test_impossible_values_are_named_with_their_key(key: str, value: Any):
    with pytest.raises(ConfigError, match=f"^config.yaml: {key}: "):
        read_settings(TrainSettings, {key: value})


@pytest.mark.parametrize("threshold", [1, 1.5, -0.1, "2"])
def test_threshold_lies_between_zero_and_one(threshold: Any):
    with pytest.raises(ConfigError, match="conf_threshold: must be between 0 and 1"):
        read_settings(InferSettings, {"conf_threshold": threshold})


def test_mining_has_the_keys_of_inference_for_both_may_share_one_config():
    names = [[field.name for field in dataclasses.fields(settings)] for settings in (MiningSettings, InferSettings)]
    assert names[0][: len(names[1])] == names[1]


def test_every_unknown_key_is_named_once_and_platform_keys_never():
    config = {**dict.fromkeys(PLATFORM_KEYS, 1), "max_iter": 3, "max_iters": 3, "zzz": 1, 5: "x"}
    sentences = unknown_keys(config)
    assert len(sentences) == 3
    assert "config.yaml: unknown key 'max_iters' has no effect; did you mean 'max_iter'?" in sentences
    assert "config.yaml: unknown key 'zzz' has no effect" in sentences


def test_a_value_that_grows_without_end_is_shown_briefly():
    value: list = ["x"] * 9
    for _ in range(30):
        value = [value] * 9
    assert len(briefly(value)) < 1000
    assert len(briefly("y" * 10**6)) < 300


def test_bytes_that_are_no_text_become_escapes():
    assert printable(b"caf\xe9 \xe2\x82\xac".decode("utf-8", "surrogateescape")) == "caf\\udce9 €"
