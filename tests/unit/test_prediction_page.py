"""The section of inference: what the browser gets of a result, however long it is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Sequence

import pytest

from tests.conftest import MakeTree, draw_image
from ymir_detectron2.contract.infer_result import InferResultWriter, ResultBox
from ymir_detectron2.errors import DatasetError
from ymir_detectron2.results.page import MAX_PAGE_BYTES, render_page
from ymir_detectron2.results.prediction_page import EVENLY, MOST_BOXES, MOST_BOXES_DRAWN, prediction_section
from ymir_detectron2.results.task_output import TaskOutput, find_task_outputs


def write_result(folder: Path, images: Sequence[tuple[str, Sequence[ResultBox]]]) -> TaskOutput:
    with InferResultWriter(folder / "infer-result.json", writes_stages=True) as writer:
        for name, boxes in images:
            writer.add(name, boxes)
    return TaskOutput(folder, None)


def test_a_folder_without_a_result_has_no_section(tmp_path: Path):
    assert prediction_section(TaskOutput(tmp_path, None)) is None


def test_boxes_and_images_of_a_task(ymir_tree: MakeTree):
    tree = ymir_tree("infer")
    draw_image(tree.in_dir / "assets" / "a.jpg", wh=(120, 80))
    tree.write_index("candidate", ["/in/assets/a.jpg", "/in/assets/gone.jpg"])
    boxes = [ResultBox(3, 4, 10, 7, "leaf", 0.25), ResultBox(5, 6, 20, 9, "sky", 0.75)]
    write_result(tree.out_dir, [("/in/assets/a.jpg", boxes), ("/in/assets/gone.jpg", [])])
    (output,) = find_task_outputs(tree.root)
    section = prediction_section(output)
    assert section is not None
    known, gone = section.data["gallery"]
    assert (known["name"], known["width"], known["height"], known["number"]) == ("a.jpg", 120, 80, 0)
    assert known["uri"].startswith("data:image/jpeg;base64,")
    assert section.data["classNames"] == ["leaf", "sky"]
    assert known["boxes"] == [[5, 6, 20, 9, 1, 0.75], [3, 4, 10, 7, 0, 0.25]]
    assert gone == {"name": "gone.jpg", "uri": "", "width": 0, "height": 0, "number": 1, "boxes": []}


def test_numbers_of_the_summary_and_what_was_left_out(tmp_path: Path):
    output = write_result(tmp_path, [("a.jpg", [])])
    findings = {"unreadable image": {"count": 1234, "first": ["b.jpg: cut"]}}
    (tmp_path / "infer-summary.json").write_text(json.dumps({"images_per_second": 12.34, "findings": findings}))
    text = render_page("Inference", "", [prediction_section(output)])
    assert "<dd>12.3</dd>" in text
    assert '<td>unreadable image</td><td class="figure">1,234</td><td>b.jpg: cut</td>' in text


def test_a_sample_and_a_crowd_are_said_to_be_one(tmp_path: Path):
    images = [(f"{number}.jpg", [ResultBox(0, 0, 1, 1, "a", 0.5)] * (number % 3)) for number in range(1000)]
    crowd = [ResultBox(0, 0, 1, 1, "a", round(0.3 + n / 1000, 3)) for n in range(MOST_BOXES_DRAWN + 9)]
    images[500] = ("crowd.jpg", crowd)
    section = prediction_section(write_result(tmp_path, images))
    shown_crowd = next(image for image in section.data["gallery"] if image["name"] == "crowd.jpg")
    assert [box[5] for box in shown_crowd["boxes"]] == [box.score for box in crowd[:8:-1]]
    shown = len(section.data["gallery"])
    assert EVENLY < shown <= EVENLY + MOST_BOXES
    text = " ".join(render_page("Inference", "", [section]).split())
    assert f"A sample of {shown} of the 1,000 images" in text
    assert f"At most {MOST_BOXES_DRAWN} boxes of an image are drawn" in text


def test_fifty_thousand_images_make_a_page_of_bounded_size(tmp_path: Path):
    boxes = [ResultBox(n, n, 50, 40, f"class {n}", 0.9 - n / 20) for n in range(6)]
    output = write_result(tmp_path, ((f"{number:06}.jpg", boxes[: number % 7]) for number in range(50_000)))
    started_s = time.process_time()
    text = render_page("Inference", "", [prediction_section(output)])
    assert len(text) < 1_000_000 < MAX_PAGE_BYTES
    assert time.process_time() - started_s < 60, "it takes two seconds; to read all for each image would take hours"


def test_a_result_that_breaks_off_is_refused(tmp_path: Path):
    output = write_result(tmp_path, [("a.jpg", []), ("b.jpg", [])])
    path = tmp_path / "infer-result.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"infer-result.json: is not a result of inference"):
        prediction_section(output)
