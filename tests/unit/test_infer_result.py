"""infer-result.json: streamed, whole or not there, and read by the platform."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.platform_reader import read_infer_result
from ymir_detectron2.contract.infer_result import InferResultWriter, ResultBox


@pytest.mark.parametrize(("writes_stages", "release"), [(True, "2.5.0"), (True, "2.0.0"), (False, "1.1.0")])
def test_boxes_come_back_as_they_were_written(tmp_path: Path, writes_stages: bool, release: str):
    path = tmp_path / "infer-result.json"
    with InferResultWriter(path, writes_stages=writes_stages) as writer:
        writer.add("/in/assets/a.jpg", [ResultBox(1, 2, 3, 4, "cat", 0.123456789)])
        writer.add('/in/assets/b "ü".jpg', [])
        assert not path.exists()
    shown = read_infer_result(path, ["a.jpg", 'b "ü".jpg'], ["cat"], release)
    assert [(box.x, box.y, box.w, box.h, box.class_name, box.score) for box in shown["a.jpg"]] == [
        (1, 2, 3, 4, "cat", 0.123457)
    ]
    assert shown['b "ü".jpg'] == []


def test_the_bytes_of_a_result(tmp_path: Path):
    with InferResultWriter(tmp_path / "result.json", writes_stages=True) as writer:
        writer.add("/in/a.jpg", [ResultBox(3, 4, 10, 7, "cat", 0.9)])
        writer.add("/in/x/caf\udce9.jpg", [])
    assert (tmp_path / "result.json").read_bytes() == (
        b'{"detection": {\n"a.jpg": {"boxes": [{"box": {"x": 3, "y": 4, "w": 10, "h": 7}, "class_name": "cat",'
        b' "score": 0.9}]},\n"caf\\udce9.jpg": {"boxes": []}\n}}\n'
    )


def test_an_empty_or_interrupted_result(tmp_path: Path):
    with InferResultWriter(tmp_path / "empty.json", writes_stages=True):
        pass
    assert json.loads((tmp_path / "empty.json").read_text()) == {"detection": {}}
    with pytest.raises(ZeroDivisionError), InferResultWriter(tmp_path / "cut.json", writes_stages=True) as writer:
        writer.add("a.jpg", [] * (1 // 0))
    assert [file.name for file in tmp_path.iterdir()] == ["empty.json"]
