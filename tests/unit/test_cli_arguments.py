"""From the options of a command to config.yaml."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from ymir_detectron2.cli.arguments import add_run_options, config_of, gpu_id_of
from ymir_detectron2.config.prediction_settings import InferSettings
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.errors import ConfigError


def parsed(*arguments: str, **more: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_run_options(parser, command="train")
    return argparse.Namespace(**{**vars(parser.parse_args(arguments)), **more})


def test_flags_and_set_become_keys_of_their_types():
    options = parsed("--batch-size", "4", "--image-size", "320", "--set", "ema=0.99", "augment=mosaic", epochs=5.0)
    assert config_of(options, TrainSettings) == {
        "batch_size": 4, "image_size": 320, "ema": 0.99, "augment": "mosaic", "max_epochs": 5.0,
    }  # fmt: skip
    assert config_of(parsed(threshold=0.4), InferSettings) == {"conf_threshold": 0.4}
    assert config_of(parsed(), TrainSettings) == {}


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("max_itr=5", r"^unknown key 'max_itr' has no effect; did you mean 'max_iter'\?$"),
        ("fuse=never", "^fuse is no longer a setting and has no effect: "),
        ("batch_size=two", "^batch_size: expected a whole number, found 'two'"),
    ],
)
def test_a_key_that_has_no_effect_and_a_wrong_value_are_refused(pair: str, sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        config_of(parsed("--set", pair), TrainSettings)


@pytest.mark.parametrize("option", ["config_file=own.yaml", "class_weights=@own.yaml", "args_options=@own.yaml"])
def test_a_file_is_that_of_the_folder_where_the_command_is_typed(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    key, value = option.split("=")
    assert config_of(parsed("--set", option), TrainSettings) == {key: value}, "of the project, or to be reported"
    (tmp_path / "own.yaml").touch()
    own = str(tmp_path / "own.yaml")
    assert config_of(parsed("--set", option), TrainSettings) == {key: value.replace("own.yaml", own)}


@pytest.mark.parametrize(
    ("given", "expected"), [((), None), (("--device", "cpu"), ""), (("--gpu", "0"), "0"), (("--device", "0,1"), "0,1")]
)
def test_devices(given: tuple[str, ...], expected: str | None):
    assert gpu_id_of(parsed(*given)) == expected


@pytest.mark.parametrize("device", ["gpu", "-1", "0,", "0 1", "cuda:0"])
def test_what_is_no_device(device: str):
    with pytest.raises(ConfigError, match="give cpu, or GPU numbers such as 0 or 0,1"):
        gpu_id_of(parsed(f"--device={device}"))
