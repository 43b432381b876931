"""detectron2's configuration as flat data: reading, merging, refusing, writing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ymir_detectron2.errors import ConfigError
from ymir_detectron2.retinanet.config import Config, check_supported, load_config, parse_key_values

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RETINANET = CONFIGS / "COCO-Detection" / "retinanet_R_50_FPN_1x.yaml"


@pytest.fixture
def write(tmp_path):
    """Write a file below tmp_path and return its path."""

    def write_text(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


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
    found = Config.default().merged({key: given}, "here")[key]
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
        Config.default().merged({key: value}, "args_options")
    assert str(failure.value) == f"args_options: {key} is {value!r}, expected {expected}"


def test_an_unknown_key_is_answered_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"x.yaml: unknown key 'SOLVER.BASE_LRR'; did you mean 'SOLVER.BASE_LR'\?"):
        Config.default().merged({"SOLVER": {"BASE_LRR": 0.1}}, "x.yaml")


def test_a_section_set_to_a_value_is_refused():
    with pytest.raises(ConfigError, match="SOLVER is a section"):
        Config.default().merged({"SOLVER": 3}, "x.yaml")


@pytest.mark.parametrize("key", ["MODEL.ROI_HEADS.NUM_CLASSES", "DATASETS.TRAIN", "OUTPUT_DIR", "MODEL.DEVICE"])
def test_keys_that_a_retinanet_never_reads_are_accepted_and_dropped(key):
    assert dict(Config.default().merged({key: 5}, "here")) == dict(Config.default())


def test_a_configuration_cannot_be_changed():
    cfg = Config.default()
    with pytest.raises(TypeError):
        cfg["SEED"] = 3
    cfg.merged({"SEED": 3}, "here")
    assert cfg["SEED"] == -1


def test_yaml_round_trip_gives_the_same_configuration(write):
    cfg = load_config(RETINANET).merged({"SOLVER.BASE_LR": 1e-5, "SOLVER.NUM_DECAYS": 4}, "here")
    assert dict(load_config(write("saved.yaml", cfg.to_yaml()))) == dict(cfg)


def test_yaml_leaves_out_what_detectron2_0_6_does_not_know():
    tree = yaml.safe_load(Config.default().to_yaml())
    assert "NUM_DECAYS" not in tree["SOLVER"]
    assert tree["SOLVER"]["STEPS"] == [30000]


@pytest.mark.parametrize("name", ["retinanet_R_50_FPN_1x", "retinanet_R_50_FPN_3x", "retinanet_R_101_FPN_3x"])
def test_the_three_configs_of_the_zoo_load_and_are_supported(name):
    cfg = load_config(CONFIGS / "COCO-Detection" / f"{name}.yaml")
    check_supported(cfg, training=True)
    assert cfg["MODEL.RESNETS.DEPTH"] == (101 if "101" in name else 50)
    assert cfg["SOLVER.MAX_ITER"] == (90000 if "1x" in name else 270000)
    sizes = cfg["MODEL.ANCHOR_GENERATOR.SIZES"]
    assert sizes == tuple((x, x * 2 ** (1.0 / 3), x * 2 ** (2.0 / 3)) for x in (32, 64, 128, 256, 512))


def test_a_file_wins_over_its_base_and_a_later_base_over_an_earlier_one(write):
    write("a.yaml", "SOLVER: {BASE_LR: 0.1, MAX_ITER: 1}\nSEED: 1\n")
    write("b.yaml", "SOLVER: {MAX_ITER: 2}\nSEED: 2\n")
    cfg = load_config(write("c.yaml", "_BASE_: [a.yaml, b.yaml]\nSEED: 3\n"))
    assert (cfg["SOLVER.BASE_LR"], cfg["SOLVER.MAX_ITER"], cfg["SEED"]) == (0.1, 2, 3)


def test_bases_in_a_circle_are_an_error(write):
    write("a.yaml", "_BASE_: b.yaml\n")
    with pytest.raises(ConfigError, match="_BASE_ leads back to"):
        load_config(write("b.yaml", "_BASE_: a.yaml\n"))


def test_a_python_tag_runs_nothing_and_names_file_and_line(write, tmp_path):
    victim = tmp_path / "created"
    call = f"!!python/object/apply:os.system ['touch {victim}']"
    path = write("evil.yaml", f"SEED: 1\nMODEL:\n  WEIGHTS: {call}\n")
    with pytest.raises(ConfigError) as failure:
        load_config(path)
    assert str(failure.value).startswith(f"{path}, line 3: ")
    assert "write plain values instead" in str(failure.value)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param("", "found NoneType", id="empty"),
        pytest.param("- 1\n- 2\n", "found list", id="a list"),
        pytest.param("A: [1\nB: 2\n", "line 2: not YAML", id="a bracket left open"),
        pytest.param("A: \x07\n", "not YAML", id="a control character"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(write, text, finding):
    path = write("bad.yaml", text)
    with pytest.raises(ConfigError, match=finding) as failure:
        load_config(path)
    assert str(path) in str(failure.value)


def test_a_missing_file_is_answered_with_names_like_it(write, tmp_path):
    write("retinanet_R_50.yaml", "SEED: 1\n")
    with pytest.raises(ConfigError, match=r"no such file; .* holds retinanet_R_50\.yaml"):
        load_config(tmp_path / "retinanet_R50.yaml")


def test_a_missing_base_names_the_file_that_wants_it(write):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file, named as _BASE_ by .*child\.yaml"):
        load_config(write("child.yaml", "_BASE_: nowhere.yaml\n"))


def test_a_lazy_config_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="lazy config is Python code"):
        load_config(tmp_path / "retinanet.py")


def test_key_value_pairs_are_read_from_words():
    assert parse_key_values(["SEED", "3", "SOLVER.STEPS", "(1,)"], "here") == {"SEED": "3", "SOLVER.STEPS": "(1,)"}
    with pytest.raises(ConfigError, match="here: the key 'SEED' has no value"):
        parse_key_values(["SEED"], "here")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.META_ARCHITECTURE", "GeneralizedRCNN"),
        ("MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone"),
        ("MODEL.ANCHOR_GENERATOR.NAME", "RotatedAnchorGenerator"),
        ("MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False, True, True, True]),
        ("MODEL.RESNETS.NORM", "naiveSyncBN"),
        ("INPUT.FORMAT", "YUV-BT.601"),
        ("INPUT.CROP.ENABLED", True),
        ("TEST.PRECISE_BN.ENABLED", True),
        ("DATALOADER.SAMPLER_TRAIN", "RandomSubsetTrainingSampler"),
    ],
)
def test_what_only_detectron2_can_do_is_refused_by_name(key, value):
    cfg = load_config(RETINANET).merged({key: value}, "here")
    with pytest.raises(ConfigError, match=f"{key}.*engine: detectron2"):
        check_supported(cfg, training=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.RESNETS.DEPTH", 51),
        ("MODEL.RESNETS.OUT_FEATURES", ["res3", "res4"]),
        ("MODEL.FPN.IN_FEATURES", ["res2", "res3"]),
        ("MODEL.FPN.FUSE_TYPE", "max"),
        ("MODEL.RETINANET.BBOX_REG_LOSS_TYPE", "l2"),
        ("MODEL.RETINANET.IOU_LABELS", [0, 1]),
        ("MODEL.RETINANET.IOU_THRESHOLDS", [0.5, 0.4]),
        ("MODEL.RETINANET.NUM_CONVS", 0),
        ("MODEL.PIXEL_STD", [1.0, 0.0, 1.0]),
    ],
)
def test_what_no_engine_can_do_names_the_key(key, value):
    cfg = load_config(RETINANET).merged({key: value}, "here")
    with pytest.raises(ConfigError, match=key):
        check_supported(cfg)


def test_a_crop_in_training_does_not_stand_in_the_way_of_inference():
    check_supported(load_config(RETINANET).merged({"INPUT.CROP.ENABLED": True}, "here"))
