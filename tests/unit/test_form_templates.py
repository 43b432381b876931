"""The templates are the settings, as the web form of the platform shows them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.platform_reader import RELEASES, read_manifest, read_template
from ymir_detectron2.config.settings import (
    PLATFORM_KEYS,
    TrainSettings,
    read_settings,
)
from ymir_detectron2.engines.zoo import find_config_file
from ymir_detectron2.tools.form_templates import TEMPLATES, template_text

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
SETTINGS = {name: settings_class for name, (_, settings_class) in TEMPLATES.items()}
FOR_THE_PLATFORM = {"export_format"}
"""Keys of a template that the platform reads and a task does not."""

USERS_KEYS = {
    "training-template.yaml": {
        "batch_size": 2,
        "config_file": "configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml",
        "max_iter": 90000,
        "learning_rate": 0.001,
        "args_options": "",
    },
    "infer-template.yaml": {"conf_threshold": 0.2},
    "mining-template.yaml": {"conf_threshold": 0.2},
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_templates_are_those_of_the_settings(name: str):
    text = (PROJECT_DIR / name).read_text(encoding="utf-8")
    assert template_text(*TEMPLATES[name]) == text, "config/settings.py changed: run `make readme`"


@pytest.mark.parametrize(("name", "settings_class"), SETTINGS.items())
def test_a_template_has_the_names_defaults_and_types_of_the_settings(name: str, settings_class: type):
    template = read_template(PROJECT_DIR / name)
    shown = {key: value for key, value in template.items() if key not in FOR_THE_PLATFORM}
    expected = dataclasses.asdict(settings_class())
    assert shown == expected
    assert {key: type(value) for key, value in shown.items()} == {key: type(value) for key, value in expected.items()}
    assert read_settings(settings_class, template) == settings_class()


@pytest.mark.parametrize(("name", "keys"), USERS_KEYS.items())
def test_the_keys_that_the_user_asked_for_are_there(name: str, keys: dict):
    template = read_template(PROJECT_DIR / name)
    assert {key: template.get(key) for key in keys} == keys


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_claims_a_key_that_the_platform_sets(name: str):
    assert not set(read_template(PROJECT_DIR / name)) & (PLATFORM_KEYS - FOR_THE_PLATFORM)


def test_annotations_come_in_the_one_format_that_all_releases_write():
    assert read_template(PROJECT_DIR / "training-template.yaml")["export_format"] == "ark:raw"


@pytest.mark.parametrize("release", RELEASES)
def test_the_manifest_says_boxes_to_every_release(release: str):
    assert read_manifest(PROJECT_DIR / "manifest.yaml", release) == 2


def test_the_default_config_file_exists():
    assert find_config_file(TrainSettings().config_file).is_file()


@pytest.mark.parametrize(("name", "settings_class"), SETTINGS.items())
def test_no_default_is_lost_when_the_form_drops_falsy_values(name: str, settings_class: type):
    sent = {key: value for key, value in read_template(PROJECT_DIR / name).items() if value}
    assert read_settings(settings_class, sent) == settings_class()
