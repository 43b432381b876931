"""infer-result.json: streamed, whole or not there, and read by the platform."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.platform_reader import read_infer_result
from ymir_detectron2.contract.infer_result import InferResultWriter, ResultBox
from ymir_detectron2.contract.infer_result import read_infer_result as read_own_result
from ymir_detectron2.errors import DatasetError


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


# --- read again -----------------------------------------------------------------------------------------------------

BOXES = [ResultBox(1, 2, 3, 4, "cat", 0.123457), ResultBox(0, 0, 1, 1, "a, }}\n", 1.0)]


@pytest.mark.parametrize("writes_stages", [True, False])
def test_a_result_is_read_image_by_image(tmp_path: Path, writes_stages: bool):
    path = tmp_path / "infer-result.json"
    with InferResultWriter(path, writes_stages=writes_stages) as writer:
        writer.add("/in/a.jpg", BOXES)
        writer.add('/in/b "ü"},.jpg', [])
        writer.add("/in/caf\udce9.jpg", BOXES[:1])
    read = [("a.jpg", BOXES), ('b "ü"},.jpg', []), ("caf\udce9.jpg", BOXES[:1])]
    assert list(read_own_result(path)) == read
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=4))  # as another executor may lay it out
    assert list(read_own_result(path)) == read


def test_an_empty_result_is_read(tmp_path: Path):
    with InferResultWriter(tmp_path / "empty.json", writes_stages=True):
        pass
    assert list(read_own_result(tmp_path / "empty.json")) == []


def box_text(**changed: object) -> str:
    entry = {"box": {"x": 1, "y": 2, "w": 3, "h": 4}, "class_name": "cat", "score": 0.5, **changed}
    return json.dumps({"detection": {"a.jpg": {"boxes": [entry]}}})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"detection": []}',
        '{"detection": {"a.jpg": {}}}',
        '{"detection": {"a.jpg": {"boxes": [1]}}}',
        '{"detection": {\n"a.jpg": {"boxes": []},\n',
        '{"detection": {\n"a.jpg": {"boxes": []}, "b.jpg": {"boxes": []}\n}}\n',
        '{"detection": {\n' + "[" * 100_000,
        box_text(score=1.5),
        box_text(score=float("nan")),
        box_text(score="0.5"),
        box_text(class_name=3),
        box_text(box={"x": 1.5, "y": 2, "w": 3, "h": 4}),
        box_text(box={"x": 10**400, "y": 2, "w": 3, "h": 4}),
        box_text(box={"x": 1}),
    ],
)
def test_what_is_no_result_is_refused_in_one_sentence(tmp_path: Path, content: str):
    path = tmp_path / "infer-result.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match=r"json: is not a result of inference \(.*\); run inference again"):
        list(read_own_result(path))


def test_a_result_that_is_missing_is_refused(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"cannot be read \(No such file or directory\); run inference first"):
        list(read_own_result(tmp_path / "infer-result.json"))
