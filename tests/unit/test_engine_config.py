"""A configuration as flat data: values merged by key and type, wrong ones refused with key and source, YAML written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ymir_detectron2.config.engine_config import EngineConfig, as_tuples, flatten
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.errors import ConfigError

RETINANET = Path(__file__).resolve().parents[2] / "configs" / "COCO-Detection" / "retinanet_R_50_FPN_1x.yaml"


@pytest.mark.parametrize(
    ("key", "given", "stored"),
    [
        pytest.param("SOLVER.BASE_LR", 1, 1.0, id="an int stands for a float"),
        pytest.param("SOLVER.BASE_LR", "1e-3", 0.001, id="text is decoded"),
        pytest.param("SOLVER.STEPS", "(60, 80)", (60, 80), id="a tuple as text"),
        pytest.param("SOLVER.STEPS", [60, 80], (60, 80), id="a list for a tuple"),
        pytest.param("SOLVER.STEPS", "()", (), id="an empty tuple"),
        pytest.param("SOLVER.AMP.ENABLED", "True", True, id="a truth value as text"),
        pytest.param("SOLVER.WEIGHT_DECAY_BIAS", "None", None, id="none where the default is none"),
        pytest.param("SOLVER.WEIGHT_DECAY_BIAS", 0.5, 0.5, id="a number where the default is none"),
        pytest.param("MODEL.WEIGHTS", "123", "123", id="a path that looks like a number stays text"),
        pytest.param("MODEL.WEIGHTS", '""', "", id="two quotes are the empty text"),
        pytest.param("MODEL.WEIGHTS", "", "", id="the empty text is kept"),
        pytest.param("MODEL.FPN.NORM", None, "", id="null for a norm is no norm"),
        pytest.param("MODEL.ANCHOR_GENERATOR.SIZES", [[32, 40.5]], ((32, 40.5),), id="lists in lists"),
    ],
)
def test_values_are_coerced_to_the_type_of_the_default(key, given, stored):
    found = RetinaNetConfig.default().merged({key: given}, "here")[key]
    assert found == stored
    assert type(found) is type(stored)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        pytest.param("SOLVER.MAX_ITER", 1.5, "a whole number", id="a float for an int"),
        pytest.param("SOLVER.MAX_ITER", True, "a whole number", id="a truth value for an int"),
        pytest.param("SOLVER.MAX_ITER", None, "a whole number", id="nothing for an int"),
        pytest.param("SOLVER.BASE_LR", "fast", "a number", id="a word for a float"),
        pytest.param("SOLVER.AMP.ENABLED", 1, "True or False", id="an int for a truth value"),
        pytest.param("SOLVER.STEPS", 100, "a list, such as [30000]", id="a number for a list"),
        pytest.param("SOLVER.STEPS", ["a"], "a list, such as [30000]", id="words in a list of numbers"),
        pytest.param(
            "MODEL.FPN.IN_FEATURES", [3, 4], "a list, such as ['res3', 'res4']", id="numbers in a list of names"
        ),
        pytest.param("MODEL.WEIGHTS", 3, "text", id="a number for text"),
    ],
)
def test_a_wrong_type_names_key_value_source_and_expectation(key, value, expected):
    with pytest.raises(ConfigError) as failure:
        RetinaNetConfig.default().merged({key: value}, "args_options")
    assert str(failure.value) == f"args_options: {key} is {value!r}, expected {expected}"


def test_an_unknown_key_is_answered_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"x.yaml: unknown key 'SOLVER.BASE_LRR'; did you mean 'SOLVER.BASE_LR'\?"):
        RetinaNetConfig.default().merged({"SOLVER": {"BASE_LRR": 0.1}}, "x.yaml")


def test_a_section_set_to_a_value_is_refused():
    with pytest.raises(ConfigError, match="SOLVER is a section"):
        RetinaNetConfig.default().merged({"SOLVER": 3}, "x.yaml")


def test_a_configuration_cannot_be_changed():
    cfg = RetinaNetConfig.default()
    with pytest.raises(TypeError):
        cfg["SEED"] = 3
    cfg.merged({"SEED": 3}, "here")
    assert cfg["SEED"] == -1


def test_a_configuration_shows_what_differs_from_the_defaults():
    assert repr(RetinaNetConfig.default().merged({"SEED": 3}, "here")) == "RetinaNetConfig({'SEED': 3})"


def test_each_engine_has_keys_of_its_own():
    class OtherConfig(EngineConfig):
        DEFAULTS = {"A.B": 1}  # noqa: RUF012 - a mapping that nobody changes
        ADDED_AFTER_0_6 = {}  # noqa: RUF012

    assert dict(OtherConfig.default().merged({"A": {"B": 2}}, "here")) == {"A.B": 2}
    for key in ("MODEL.DEVICE", "SEED"):
        with pytest.raises(ConfigError, match=f"here: unknown key '{key}'"):
            OtherConfig.default().merged({key: 1}, "here")


@pytest.mark.parametrize(
    ("nested", "flat"),
    [
        ({}, {}),
        ({"A": {"B": 1, "C": {"D": [2]}}, "E": None}, {"A.B": 1, "A.C.D": [2], "E": None}),
        ({"A.B": 1, "C": {"D.E": 2}}, {"A.B": 1, "C.D.E": 2}),
    ],
)
def test_sections_become_dotted_keys(nested: dict[str, Any], flat: dict[str, Any]):
    assert dict(flatten(nested)) == flat


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), ("ab", "ab"), ([], ()), ([1, [2, (3, [4])]], (1, (2, (3, (4,))))), ({"a": [1]}, {"a": [1]})],
)
def test_lists_become_tuples_at_any_depth(value: Any, expected: Any):
    assert as_tuples(value) == expected


def test_yaml_round_trip_gives_the_same_configuration(tmp_path: Path):
    cfg = load_config(RETINANET).merged({"SOLVER.BASE_LR": 1e-5, "SOLVER.NUM_DECAYS": 4}, "here")
    (tmp_path / "saved.yaml").write_text(cfg.to_yaml())
    assert dict(load_config(tmp_path / "saved.yaml")) == dict(cfg)


def test_yaml_leaves_out_what_detectron2_0_6_does_not_know():
    tree = yaml.safe_load(RetinaNetConfig.default().to_yaml())
    assert "NUM_DECAYS" not in tree["SOLVER"]
    assert tree["SOLVER"]["STEPS"] == [30000]
