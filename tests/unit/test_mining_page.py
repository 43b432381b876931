"""The section of mining: the order of the result, its scores, and the reasons of the task that wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import pytest

from tests.conftest import MakeTree, Tree, draw_image
from ymir_detectron2.config.mining_algorithms import MINING_ALGORITHMS
from ymir_detectron2.contract.mining_result import write_mining_result
from ymir_detectron2.results.mining_explanations import (
    FILE_NAME,
    MOST_SHOWN,
    BoxReason,
    ImageReason,
    MiningExplanations,
    write_explanations,
)
from ymir_detectron2.results.mining_page import LAST, MEANINGS, mining_section
from ymir_detectron2.results.page import Section, render_page
from ymir_detectron2.results.task_output import TaskOutput, find_task_outputs

PLAIN = BoxReason(xyxy=(10, 20, 50, 60), class_name="cat", score=0.8, value=0.02)
MATCH = BoxReason(xyxy=(12, 21, 52, 64), class_name="dog", score=0.3, value=0.71, augmentation="flip")


def why(score: float, facts: Sequence[tuple[str, float]] = (), boxes: Sequence[BoxReason] = ()) -> ImageReason:
    return ImageReason(asset="/in/assets/a.jpg", score=score, facts=list(facts), boxes=list(boxes))


def section_of(output: TaskOutput) -> Section:
    section = mining_section(output)
    assert section is not None
    return section


def text_of(section: Section) -> str:
    return " ".join(render_page("Mining", "", [section]).split())


@pytest.fixture
def mined(ymir_tree: MakeTree) -> Tree:
    """Three images, the last of them unreadable, and why the first comes first."""
    tree = ymir_tree("mining")
    draw_image(tree.in_dir / "assets" / "a.jpg", wh=(120, 80))
    scores = [("/in/assets/a.jpg", -0.02), ("/in/b.jpg", -0.5), ("/in/c.jpg", -2.0)]
    write_mining_result(tree.out_dir / "result.tsv", scores)
    reason = why(-0.02, [("flip", 0.02), ("cutout", 0.5)], [PLAIN, MATCH, PLAIN])
    write_explanations(tree.out_dir / FILE_NAME, MiningExplanations(algorithm="cald", images=[reason]))
    return tree


def test_every_algorithm_has_its_meaning():
    assert list(MEANINGS) == list(MINING_ALGORITHMS)


def test_a_folder_without_a_result_has_no_section(tmp_path: Path):
    assert mining_section(TaskOutput(tmp_path)) is None


def test_images_with_reasons_and_without(mined: Tree):
    (output,) = find_task_outputs(mined.root)
    section = section_of(output)
    first, second = section.data["first"]
    assert (first["name"], first["width"], first["height"]) == ("a.jpg", 120, 80)
    assert first["lines"] == ["1. score -0.020000", "flip 0.020: cat 0.80, then dog 0.30, IoU 0.71", "cutout 0.500"]
    assert first["boxes"] == [
        {"x": 10, "y": 20, "w": 40, "h": 40, "label": "cat 0.80", "augmentation": ""},
        {"x": 12, "y": 21, "w": 40, "h": 43, "label": "flip: dog 0.30", "augmentation": "flip"},
    ]
    assert second["lines"] == ["2. score -0.500000"]
    assert (second["name"], second["uri"], second["boxes"]) == ("b.jpg", "", [])
    assert section.data["last"] == []
    text = text_of(section)
    assert "One of them has the reason below." in text
    assert "<dt>could not be read</dt><dd>1</dd>" in text


def test_the_histogram_has_every_score_but_those_of_unreadable_images(mined: Tree):
    (output,) = find_task_outputs(mined.root)
    histogram = section_of(output).data["histogram"]
    assert sum(histogram["counts"]) == 2
    assert (histogram["from"], histogram["to"]) == (-0.5, -0.02)


def test_reasons_of_another_algorithm_are_of_another_task(mined: Tree):
    mined.edit("config.yaml", mining_algorithm="entropy")
    (output,) = find_task_outputs(mined.root)
    section = section_of(output)
    assert section.data["first"][0]["boxes"] == []
    assert "Why they come first is not on record" in text_of(section)


def test_the_algorithm_is_read_as_the_task_reads_it(mined: Tree):
    mined.edit("config.yaml", mining_algorithm=" CALD ")
    (output,) = find_task_outputs(mined.root)
    assert section_of(output).data["first"][0]["boxes"]


def test_random_has_no_reason_and_says_so(mined: Tree):
    mined.edit("config.yaml", mining_algorithm="random")
    (output,) = find_task_outputs(mined.root)
    text = text_of(section_of(output))
    assert "no image has a reason to come first" in text
    assert "not on record" not in text


def test_of_many_images_the_first_and_the_last_are_shown(tmp_path: Path):
    write_mining_result(tmp_path / "result.tsv", [(f"/in/{n:05}.jpg", -n / 1e5) for n in range(20_000)])
    section = section_of(TaskOutput(tmp_path))
    names = [image["name"] for image in (*section.data["first"], *section.data["last"])]
    assert names == [f"{n:05}.jpg" for n in (*range(MOST_SHOWN), *range(20_000 - LAST, 20_000))]
    assert section.data["histogram"]["counts"] == [400] * 50
    assert "not known" in text_of(section)


@pytest.mark.parametrize("count", [0, 1])
def test_no_image_that_could_be_read(tmp_path: Path, count: int):
    write_mining_result(tmp_path / "result.tsv", [("/in/a.jpg", -2.0)] * count)
    section = section_of(TaskOutput(tmp_path))
    no_scores = {"counts": [], "from": 0.0, "to": 1.0}
    assert section.data == {"histogram": no_scores, "first": [], "last": [], "shares": None}
    assert "highest score" not in text_of(section)
