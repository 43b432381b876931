"""The templates are the settings, as the web form of the platform shows them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.platform_reader import RELEASES, read_manifest, read_template
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.setting_texts import setting_texts
from ymir_detectron2.config.train_settings import TrainSettings
from ymir_detectron2.config.unknown_keys import PLATFORM_KEYS, unknown_keys
from ymir_detectron2.engines.zoo import find_config_file
from ymir_detectron2.tools.form_templates import TEMPLATES, template_text

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
SETTINGS = {name: settings_class for name, (_, settings_class) in TEMPLATES.items()}
FOR_THE_PLATFORM = {"export_format"}
"""Keys of a template that the platform reads and a task does not."""

FORMS = {
    "training-template.yaml": [
        "export_format", "config_file", "batch_size", "max_iter", "max_epochs", "learning_rate", "image_size",
        "class_weights", "args_options",
    ],
    "infer-template.yaml": ["conf_threshold", "image_size", "batch_size", "args_options"],
    "mining-template.yaml": ["mining_algorithm", "conf_threshold", "image_size", "batch_size", "args_options"],
}  # fmt: skip
"""What a user sees, row by row: a beginner has to understand every one of them."""

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
    assert template_text(*TEMPLATES[name]) == text, "a setting changed: run `make readme`"


@pytest.mark.parametrize(("name", "keys"), FORMS.items())
def test_a_form_shows_few_keys_in_a_sensible_order(name: str, keys: list[str]):
    assert list(read_template(PROJECT_DIR / name)) == keys


@pytest.mark.parametrize(("name", "settings_class"), SETTINGS.items())
def test_a_template_has_the_defaults_and_types_of_the_settings(name: str, settings_class: type):
    template = read_template(PROJECT_DIR / name)
    expected = {key: value for key, value in dataclasses.asdict(settings_class()).items() if key in template}
    assert template == expected
    assert {key: type(value) for key, value in template.items()} == {key: type(expected[key]) for key in template}
    # no read_settings of an empty config, in which a few keys mean "as config_file specifies"
    assert read_settings(settings_class, template) == settings_class()


@pytest.mark.parametrize(("name", "settings_class"), SETTINGS.items())
def test_a_key_that_the_form_lacks_is_valid_where_a_user_adds_it(name: str, settings_class: type):
    template = read_template(PROJECT_DIR / name)
    for field in dataclasses.fields(settings_class):
        if field.name not in template:
            read_settings(settings_class, {**template, field.name: field.default})
            assert not unknown_keys({field.name: field.default})


@pytest.mark.parametrize(("name", "settings_class"), SETTINGS.items())
def test_a_template_says_in_both_languages_what_its_keys_mean(name: str, settings_class: type):
    """In comments, which every release drops: `docker run IMAGE cat FILE` goes through a YAML parser, as UTF-8."""
    lines = (PROJECT_DIR / name).read_text(encoding="utf-8").split("\n")
    for key, text in setting_texts(settings_class).items():
        if key in FORMS[name]:
            (at,) = (number for number, line in enumerate(lines) if line.startswith(f"{key}: "))
            assert lines[at - 1] == f"# {text.meaning_zh}"
            comment = " ".join(line[2:] for line in lines[: at - 1])
            assert comment.endswith(text.meaning)


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
