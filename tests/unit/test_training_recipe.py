"""Every recipe of the ablation is one that a training task accepts, and differs from today's in what its name says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.recipe_report import BASE
from benchmarks.training_recipe import CONFIG_FILE, EVALUATIONS, RECIPES, Plan, training_form
from ymir_detectron2.config.args_options import parse_args_options
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.retinanet_config import RetinaNetConfig
from ymir_detectron2.config.train_settings import TrainSettings

PLAN = Plan(
    Path("out"), [], [], CONFIG_FILE, steps=200, batch_size=4, learning_rate=0.01, image_size=160, precision="fp32",
    args_options="MODEL.BACKBONE.FREEZE_AT 4",
)  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_one_that_a_form_accepts(recipe: str):
    form = training_form(PLAN, recipe, seed=3)
    values = parse_args_options(form["args_options"]).values
    cfg = RetinaNetConfig.default().merged(values, "args_options")
    assert cfg["MODEL.BACKBONE.FREEZE_AT"] == 4
    assert set(form) <= set(vars(TrainSettings()))
    settings = read_settings(TrainSettings, form)
    assert (settings.seed, settings.max_iter, settings.batch_size) == (3, 200, 4)


@pytest.mark.parametrize(
    ("recipe", "changed"),
    [
        (BASE, {}),
        ("image size times 1.5", {"image_size": 240}),
        ("learning rate doubled", {"learning_rate": 0.02}),
        ("warm-up of a third", {"args_options": "MODEL.BACKBONE.FREEZE_AT 4 SOLVER.WARMUP_ITERS 66"}),
        ("`patience: 3`, ten evaluations", {"patience": 3, "eval_period": 200 // EVALUATIONS}),
        ("`class_weights: auto`", {"class_weights": "auto"}),
        ("without horizontal flip", {"args_options": "MODEL.BACKBONE.FREEZE_AT 4 INPUT.RANDOM_FLIP none"}),
    ],
)
def test_a_recipe_changes_what_its_name_says_and_nothing_else(recipe: str, changed: dict[str, Any]):
    expected = {
        "config_file": CONFIG_FILE, "engine": "torch", "batch_size": 4, "max_iter": 200, "eval_period": 200,
        "precision": "fp32", "seed": 0, "num_workers": 1, "image_size": 160, "learning_rate": 0.01,
        "args_options": "MODEL.BACKBONE.FREEZE_AT 4", **changed,
    }  # fmt: skip
    assert training_form(PLAN, recipe, seed=0) == expected
