"""The resolved configuration as a file and as differences; without the secrets of an address."""

from __future__ import annotations

from pathlib import Path

import yaml

from ymir_detectron2.config.read_settings import read_settings
from ymir_detectron2.config.resolved_config import differences, resolved_yaml
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.config.train_settings import TrainSettings

BASE = RetinaNetConfig.default()
SIGNED = "https://user:word@store.example/a.pth?signature=abc"


def test_the_file_is_a_config_file_with_the_settings_in_comments(tmp_path: Path):
    cfg = BASE.merged({"SOLVER.MAX_ITER": 7, "INPUT.MIN_SIZE_TRAIN": (160, 176)}, "test")
    text = resolved_yaml(cfg, read_settings(TrainSettings, {"patience": 3, "class_weights": "a:2"}))
    (tmp_path / "resolved.yaml").write_text(text)
    assert load_config(tmp_path / "resolved.yaml") == cfg
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert "# patience: 3" in comments
    assert "# class_weights: a:2" in comments
    assert not any(line.startswith("# ema") for line in comments)


def test_a_value_of_several_lines_stays_in_its_comment():
    text = resolved_yaml(BASE, TrainSettings(class_weights="a:2\nSOLVER: {MAX_ITER: 1}"))
    assert yaml.safe_load(text)["SOLVER"]["MAX_ITER"] == BASE["SOLVER.MAX_ITER"]


def test_addresses_come_without_user_password_and_query():
    cfg = BASE.merged({"MODEL.WEIGHTS": SIGNED}, "test")
    text = resolved_yaml(cfg, TrainSettings(args_options=f"MODEL.WEIGHTS {SIGNED} SOLVER.MAX_ITER 3"))
    for shown in (text, differences(cfg, BASE)):
        assert "https://store.example/a.pth" in shown
        assert "word" not in shown
        assert "abc" not in shown
    assert "SOLVER.MAX_ITER 3" in text


def test_every_key_with_another_value_is_named_with_both():
    cfg = BASE.merged({"SOLVER.MAX_ITER": 7, "INPUT.MIN_SIZE_TRAIN": (160, 176), "MODEL.WEIGHTS": ""}, "test")
    base = BASE.merged({"MODEL.WEIGHTS": "a.pth"}, "test")
    named = differences(cfg, base).split(", ")
    assert f"SOLVER.MAX_ITER {BASE['SOLVER.MAX_ITER']} -> 7" in named
    assert "MODEL.WEIGHTS a.pth -> ''" in named
    assert "INPUT.MIN_SIZE_TRAIN (800,) -> (160, 176)" in differences(cfg, base)
    assert differences(cfg, cfg) == ""


def test_many_and_long_differences_are_cut():
    changed = {key: value + 1 for key, value in BASE.items() if type(value) in (int, float)}
    text = differences(BASE.merged({**changed, "INPUT.MIN_SIZE_TRAIN": tuple(range(999))}, "test"), BASE)
    assert text.endswith(f"{len(changed) + 1 - 40} more, see resolved-config.yaml")
    assert len(text) < 4000
