"""The keys that all tasks share, and what holds for every key of any task."""

from __future__ import annotations

import dataclasses

import pytest

from ymir_detectron2.config.common_settings import CommonSettings
from ymir_detectron2.config.read_settings import ALL_SETTINGS
from ymir_detectron2.config.setting import effects_of
from ymir_detectron2.errors import ConfigError


@pytest.mark.parametrize("settings", ALL_SETTINGS)
def test_every_task_has_the_common_keys(settings: type):
    common = {field.name for field in dataclasses.fields(CommonSettings)}
    assert common == {"args_options", "engine", "max_image_megapixels", "num_workers", "precision", "seed"}
    assert common < {field.name for field in dataclasses.fields(settings)}


def test_values_are_checked_by_whoever_makes_settings():
    with pytest.raises(ConfigError, match=r"^config\.yaml: num_workers: must be from 0 to 256, found 257$"):
        CommonSettings(num_workers=257)


@pytest.mark.parametrize("settings", ALL_SETTINGS)
def test_the_form_holds_every_default_and_every_choice(settings: type):
    """100 characters of a text, 50 of the name of a key that a user adds (contract, 2.3)."""
    for field in dataclasses.fields(settings):
        effects = effects_of(field)
        longest = ",".join(effects.choices) if effects.several else max(effects.choices, key=len, default="")
        assert len(field.name) <= 50
        assert len(str(field.default)) <= 100, field.name
        assert len(longest) <= 100, field.name


@pytest.mark.parametrize("settings", ALL_SETTINGS)
def test_a_text_that_may_be_longer_than_the_form_can_be_a_file(settings: type):
    free = {
        field.name for field in dataclasses.fields(settings)
        if isinstance(field.default, str) and not effects_of(field).choices and not effects_of(field).may_be_file
    }  # fmt: skip
    # a word of the platform, a name that is searched in several folders, and two numbers
    assert free <= {"export_format", "config_file", "export_size"}
