"""The configurations of the `torch` engine: the published ones load, keys of other networks are dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ymir_detectron2.config.defaults import DEFAULTS
from ymir_detectron2.config.retinanet_config import RetinaNetConfig, load_config
from ymir_detectron2.config.supported import check_supported
from ymir_detectron2.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize("name", ["retinanet_R_50_FPN_1x", "retinanet_R_50_FPN_3x", "retinanet_R_101_FPN_3x"])
def test_the_three_configs_of_the_zoo_load_and_are_supported(name):
    cfg = load_config(CONFIGS / "COCO-Detection" / f"{name}.yaml")
    check_supported(cfg, training=True)
    assert cfg["MODEL.RESNETS.DEPTH"] == (101 if "101" in name else 50)
    assert cfg["SOLVER.MAX_ITER"] == (90000 if "1x" in name else 270000)
    sizes = cfg["MODEL.ANCHOR_GENERATOR.SIZES"]
    assert sizes == tuple((x, x * 2 ** (1.0 / 3), x * 2 ** (2.0 / 3)) for x in (32, 64, 128, 256, 512))


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*_*.yaml")), ids=lambda path: path.stem)
def test_every_config_file_of_the_project_is_supported(path: Path):
    check_supported(load_config(path), training=True)


def test_a_file_is_merged_over_the_defaults_and_its_errors_name_it(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("SEED: 3\n")
    assert dict(load_config(path)) == {**DEFAULTS, "SEED": 3}
    path.write_text("SEEDS: 3\n")
    with pytest.raises(ConfigError, match=r"a\.yaml: unknown key 'SEEDS'; did you mean 'SEED'\?"):
        load_config(path)


def test_of_the_keys_that_are_not_wanted_nothing_is_read_or_checked(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("SEEDS: 3\nSOLVER: {OPTIMIZER: ADAMW, STEPS: never}\nINPUT: {FORMAT: RGB}\n")
    assert dict(load_config(path, ("MODEL", "INPUT"))) == {**DEFAULTS, "INPUT.FORMAT": "RGB"}


@pytest.mark.parametrize("key", ["MODEL.ROI_HEADS.NUM_CLASSES", "DATASETS.TRAIN", "OUTPUT_DIR", "MODEL.DEVICE"])
def test_keys_that_a_retinanet_never_reads_are_accepted_and_dropped(key):
    assert dict(RetinaNetConfig.default().merged({key: 5}, "here")) == dict(RetinaNetConfig.default())
