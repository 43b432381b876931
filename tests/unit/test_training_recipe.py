"""Every recipe of the ablation is one that a training task accepts."""

from __future__ import annotations

import pytest

from benchmarks.training_recipe import RECIPES
from ymir_detectron2.config.args_options import parse_args_options
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.retinanet_config import RetinaNetConfig
from ymir_detectron2.config.train_settings import TrainSettings


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_one_that_a_form_accepts(recipe: str):
    form = dict(RECIPES[recipe])
    values = parse_args_options(str(form.get("args_options", ""))).values
    RetinaNetConfig.default().merged(values, "args_options")
    assert set(form) <= set(vars(TrainSettings()))
    read_settings(TrainSettings, form)
