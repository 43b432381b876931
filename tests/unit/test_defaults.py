"""detectron2's keys: no key is read and ignored at once. Values are compared with detectron2's in tests/golden."""

from __future__ import annotations

import pytest

from ymir_detectron2.config.defaults import ADDED_AFTER_0_6, DEFAULTS, NEVER_READ, is_never_read


def test_a_key_is_either_read_or_ignored():
    assert [key for key in DEFAULTS if is_never_read(key)] == []
    assert sorted(NEVER_READ) == list(NEVER_READ), "in alphabetical order, to be found"


def test_newer_keys_have_the_defaults_that_0_6_implies():
    assert ADDED_AFTER_0_6 == {
        "DATALOADER.REPEAT_SQRT": True, "FLOAT32_PRECISION": "", "SOLVER.BASE_LR_END": 0.0, "SOLVER.NUM_DECAYS": 3,
        "SOLVER.RESCALE_INTERVAL": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "expected"),
    [("OUTPUT_DIR", True), ("DATASETS", True), ("DATASETS.TRAIN", True), ("MODEL.RPN.NMS_THRESH", True),
     ("MODEL", False), ("MODEL.RPNS", False), ("MODEL.RETINANET.NORM", False), ("TEST.AUG.ENABLED", False)],
)  # fmt: skip
def test_sections_are_ignored_as_a_whole(key: str, expected: bool):
    assert is_never_read(key) is expected
