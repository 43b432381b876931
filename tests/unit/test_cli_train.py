"""`train`: what it chooses where a user chooses nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ymir_detectron2.cli.train import CPU_CONFIG, EPOCHS, with_defaults
from ymir_detectron2.version import PROJECT_DIR


@pytest.mark.parametrize(
    ("given", "uses_gpu", "chosen"),
    [
        pytest.param({}, False, {"config_file": CPU_CONFIG}, id="laptop"),
        pytest.param({"max_epochs": 3}, False, {"config_file": CPU_CONFIG}, id="laptop, epochs"),
        pytest.param({"config_file": "x.yaml"}, False, {}, id="laptop, own config"),
        pytest.param({}, True, {"max_epochs": EPOCHS}, id="GPU"),
        pytest.param({"max_epochs": 3}, True, {}, id="GPU, epochs"),
        pytest.param({"max_iter": 3}, True, {}, id="GPU, steps"),
        pytest.param({"config_file": "x.yaml"}, True, {}, id="GPU, own config, which has a schedule"),
    ],
)
def test_what_is_missing_is_chosen_and_said(given: dict[str, Any], uses_gpu: bool, chosen: dict[str, Any]):
    config, sentence = with_defaults(given, uses_gpu=uses_gpu)
    assert config == {**given, **chosen}
    assert bool(sentence) == bool(chosen)
    for value in chosen.values():
        assert str(value) in sentence


def test_the_config_for_the_cpu_is_there():
    assert (PROJECT_DIR / CPU_CONFIG).is_file()
