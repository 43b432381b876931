"""The comparison of starts: forms that a training accepts, and the table."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.page import with_section
from benchmarks.pretrained_value import SECTION, STARTS, format_starts, training_form
from benchmarks.recipe_report import Training
from ymir_detectron2.config.args_options import parse_args_options
from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.retinanet_config import RetinaNetConfig
from ymir_detectron2.config.train_settings import TrainSettings

OPTIONS = Namespace(start_config="a.yaml", batch_size=4, learning_rate=0.01, image_size=160, precision="fp32")


@pytest.mark.parametrize("start", STARTS)
def test_every_start_is_one_that_a_form_accepts(start: str):
    form = training_form(OPTIONS, start, steps=100, seed=1)
    cfg = RetinaNetConfig.default().merged(parse_args_options(form["args_options"]).values, "args_options")
    settings = read_settings(TrainSettings, form)
    assert (settings.pretrained == "none") == start.startswith("random")
    assert cfg["MODEL.BACKBONE.FREEZE_AT"] == (4 if start.endswith("frozen") else 0)
    # frozen norms of random weights would keep no scale through sixteen blocks
    assert (cfg["MODEL.RESNETS.NORM"] == "BN") == (start == "random")
    assert (settings.max_iter, settings.eval_period, settings.seed) == (100, 100, 1)


def test_a_column_for_each_set_and_number_of_steps():
    trainings = [
        Training("pretrained", 0, 100, 0.2, {}, "", 1.0), Training("pretrained", 1, 100, 0.4, {}, "", 1.0),
        Training("pretrained", 0, 600, 0.6, {}, "", 1.0), Training("random", 0, 100, 0.1, {}, "", 1.0),
    ]  # fmt: skip
    assert format_starts({"pets": trainings, "farm": trainings[:1]}).splitlines() == [
        "| start | pets, 100 steps | pets, 600 steps | farm, 100 steps |",
        "|---|---|---|---|",
        "| pretrained, frozen | - | - | - |",
        "| pretrained | 0.300 (0.200 to 0.400) | 0.600 | 0.200 |",
        "| random, frozen | - | - | - |",
        "| random | 0.100 | - | - |",
    ]


def test_the_document_has_a_place_for_the_table():
    text = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    assert "new" in with_section(text, SECTION, "new")
