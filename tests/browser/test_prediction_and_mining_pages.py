"""The page of mining and inference in a browser: the controls change every number as Python counts it, names are text,
and nothing is complained of or asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.headless import Browser
from tests.conftest import CLASS_NAMES, Tree, draw_image
from ymir_detectron2.contract.infer_result import InferResultWriter, ResultBox
from ymir_detectron2.contract.mining_result import write_mining_result
from ymir_detectron2.results.mining_explanations import (
    FILE_NAME,
    BoxReason,
    ImageReason,
    MiningExplanations,
    write_explanations,
)
from ymir_detectron2.results.task_output import TaskOutput, find_task_outputs
from ymir_detectron2.results.task_page import write_task_page
from ymir_detectron2.tools.task_folder import write_task_folder

HOSTILE_CLASS = "<script>window.hit = 1; alert(1)</script>"
HOSTILE_FILE = "<img src=x onerror=alert(1)>&lt;.png"
CLASSES = ("brick", HOSTILE_CLASS, "sky")
IMAGES = 60


def predicted() -> list[tuple[str, list[ResultBox]]]:
    """Up to six boxes in each image; many scores are exactly a step of the slider. No box in every seventh image."""
    rng = np.random.default_rng(4)

    def box() -> ResultBox:
        x, y = (int(value) for value in rng.integers(0, 60, 2))
        score = round(float(rng.uniform(0.2, 1)), int(rng.integers(2, 7)))
        return ResultBox(x, y, 30, 20, CLASSES[rng.integers(3)], score)

    names = [HOSTILE_FILE, *(f"image {number:02}.png" for number in range(1, IMAGES))]
    counts = [int(rng.integers(1, 7)) if number % 7 else 0 for number in range(IMAGES)]
    return [(name, [box() for _ in range(count)]) for name, count in zip(names, counts)]


PREDICTED = predicted()


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> TaskOutput:
    """What a task of mining and inference leaves; the last image is gone."""
    root = tmp_path_factory.mktemp("mined")
    some = draw_image(root / "any.png").path
    env_file = write_task_folder(root / "task", task="mining+infer", class_names=CLASS_NAMES, candidates=[some])
    tree = Tree(root / "task", env_file)
    assets = [f"/in/assets/{name}" for name, _ in PREDICTED]
    tree.write_index("candidate", assets)
    for number, asset in enumerate(assets[:-1]):
        draw_image(tree.real(asset), [("brick", 5, 5, 40, 30)], wh=(96, 80) if number % 3 else (80, 160))
    with InferResultWriter(tree.out_dir / "infer-result.json", writes_stages=True) as writer:
        for name, boxes in PREDICTED:
            writer.add(name, boxes)
    write_mining_result(tree.out_dir / "result.tsv", [(asset, -number / 100) for number, asset in enumerate(assets)])
    plain = BoxReason(xyxy=(10, 10, 50, 40), class_name=HOSTILE_CLASS, score=0.8, value=0.02)
    match = BoxReason(xyxy=(12, 11, 52, 44), class_name="sky", score=0.3, value=0.71, augmentation="flip")
    facts = [("flip", 0.02), ("cutout", 0.5)]
    reason = ImageReason(asset=assets[0], score=0.0, facts=facts, boxes=[plain, match, plain])
    write_explanations(tree.out_dir / FILE_NAME, MiningExplanations(algorithm="cald", images=[reason]))
    (found,) = find_task_outputs(tree.root)
    return found


@pytest.fixture(scope="module")
def report(output: TaskOutput) -> Path:
    return write_task_page(output)


def above(threshold: float, class_name: str | None = None) -> list[list[ResultBox]]:
    return [
        [box for box in boxes if box.score > threshold and class_name in (None, box.class_name)]
        for _, boxes in PREDICTED
    ]


def choose(browser: Browser, threshold: float, class_name: str | None = None) -> None:
    browser.set_input("prediction-threshold", threshold)
    index = -1 if class_name is None else browser.run("return page.data('prediction').classNames").index(class_name)
    browser.set_input("prediction-class", index)


def drawn(browser: Browser, gallery: str) -> list[dict[str, Any]]:
    """Return name, boxes and labels of the images of a gallery, all of them drawn."""
    browser.scroll_through()
    return browser.run(
        "return [...document.querySelectorAll('#' + arguments[0] + ' figure')].map(figure => ({"
        " name: figure.querySelector('.name').textContent,"
        " boxes: figure.querySelectorAll('rect.box').length,"
        " labels: [...figure.querySelectorAll('rect.box title')].map(title => title.textContent),"
        " lines: [...figure.querySelectorAll('figcaption p')].map(line => line.textContent.trim()),"
        "}))",
        gallery,
    )


@pytest.mark.parametrize("width", [1280, 400])
def test_it_opens_without_a_complaint_asks_for_nothing_and_fits(browser: Browser, report: Path, width: int):
    browser.open(report, width=width)
    browser.scroll_through()
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.width_of_content() <= width


@pytest.mark.parametrize("class_name", [None, *CLASSES])
@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.29, 0.37, 0.5, 0.94, 1.0])
def test_the_controls_change_the_numbers_to_those_that_python_counts(
    browser: Browser, report: Path, threshold: float, class_name: str | None
):
    browser.open(report)
    choose(browser, threshold, class_name)
    kept = above(threshold, class_name)
    assert browser.text("prediction-boxes") == str(sum(map(len, kept)))
    assert browser.text("prediction-without") == str(sum(not boxes for boxes in kept))
    rows = browser.run(
        "return [...document.querySelectorAll('#prediction-classes tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    by_class = {name: above(threshold, name) for name in CLASSES}
    assert {name: (int(boxes), int(images)) for name, boxes, images in rows} == {
        name: (sum(map(len, boxes)), sum(map(bool, boxes))) for name, boxes in by_class.items()
    }


def test_the_gallery_draws_the_boxes_above_the_threshold_with_their_names(browser: Browser, report: Path):
    browser.open(report)
    choose(browser, 0.5)
    images = drawn(browser, "prediction-gallery")
    kept = above(0.5)
    assert [image["name"] for image in images] == [name for name, _ in PREDICTED]
    assert [image["boxes"] for image in images] == list(map(len, kept))
    expected = sorted(f"{box.class_name} {box.score:.2f}" for box in kept[1])
    assert sorted(images[1]["labels"]) == expected


def test_images_with_and_without_boxes_and_in_another_order(browser: Browser, report: Path):
    browser.open(report)
    choose(browser, 0.6, "sky")
    kept = dict(zip((name for name, _ in PREDICTED), above(0.6, "sky")))
    browser.set_input("prediction-show", "without")
    names = [image["name"] for image in drawn(browser, "prediction-gallery")]
    assert names == [name for name, boxes in kept.items() if not boxes]
    browser.set_input("prediction-show", "with")
    browser.set_input("prediction-order", "most")
    counts = [image["boxes"] for image in drawn(browser, "prediction-gallery")]
    assert counts == sorted((len(boxes) for boxes in kept.values() if boxes), reverse=True)
    assert browser.text("prediction-shown") == f"{len(counts)} of {IMAGES} images are shown."


def test_names_from_data_are_text(browser: Browser, report: Path):
    """In classes, menus, labels, captions and the enlarged image. An alert would fail the next command."""
    browser.open(report)
    choose(browser, 0.0, HOSTILE_CLASS)
    assert any(HOSTILE_CLASS in label for image in drawn(browser, "prediction-gallery") for label in image["labels"])
    (first, *_) = drawn(browser, "mining-first")
    assert first["name"] == HOSTILE_FILE
    assert f"{HOSTILE_CLASS} 0.80" in first["labels"]
    browser.run("document.querySelector('#mining-first button').click()")
    assert HOSTILE_FILE in browser.run("return document.querySelector('dialog').textContent")
    assert browser.run("return [window.hit, document.querySelectorAll('img, script:not([id])').length]") == [None, 4]
    assert browser.complaints() == []


def test_code_that_gets_into_the_page_all_the_same_does_not_run(browser: Browser, report: Path):
    browser.open(report)
    browser.run(
        "const script = document.createElement('script'); script.textContent = 'window.hit = 1';"
        "document.body.append(script);"
        "const image = document.createElement('img'); image.setAttribute('onerror', 'window.hit = 2');"
        "image.src = 'http://127.0.0.1:9/x.png'; document.body.append(image);"
    )
    assert browser.run("return window.hit") is None
    assert len([text for text in browser.complaints() if "Content Security Policy" in text]) >= 2


def test_an_image_is_enlarged_and_closed_again(browser: Browser, report: Path):
    browser.open(report)
    browser.scroll_through()
    browser.run("document.querySelectorAll('#prediction-gallery button')[1].click()")
    assert browser.run("return document.querySelector('dialog').open")
    assert browser.run("return document.querySelectorAll('dialog text').length") == len(above(0.2)[1])
    browser.run("[...document.querySelectorAll('dialog button')].pop().click()")
    browser.settle()
    assert browser.run("return document.querySelector('dialog')") is None


def test_mining_shows_why_an_image_comes_first(browser: Browser, report: Path):
    browser.open(report)
    images = drawn(browser, "mining-first")
    assert images[0]["lines"] == [
        HOSTILE_FILE,
        "1. score 0.000000",
        f"flip 0.020: {HOSTILE_CLASS} 0.80, then sky 0.30, IoU 0.71",
        "cutout 0.500",
    ]
    assert images[0]["labels"] == [f"{HOSTILE_CLASS} 0.80", "flip: sky 0.30"]
    assert images[1]["lines"] == ["image 01.png", "2. score -0.010000"]
    assert [image["name"] for image in drawn(browser, "mining-last")][-1] == f"image {IMAGES - 1}.png"


def test_boxes_are_drawn_where_they_are_in_the_image(browser: Browser, report: Path):
    """In shares of the drawn image, to a pixel of the screen."""
    browser.open(report)
    choose(browser, 0.0)
    browser.scroll_through()
    number = next(n for n, (_, boxes) in enumerate(PREDICTED) if len(boxes) == 1)
    (box,) = PREDICTED[number][1]
    width, height = (96, 80) if number % 3 else (80, 160)
    image, drawn_box = browser.run(
        "const figure = document.querySelectorAll('#prediction-gallery figure')[arguments[0]];"
        "const place = one => { const r = one.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; };"
        "return [place(figure.querySelector('svg.image')), place(figure.querySelector('rect.box'))];",
        number,
    )
    assert image[2] / image[3] == pytest.approx(width / height, rel=0.02)
    expected = [image[0] + box.x / width * image[2], image[1] + box.y / height * image[3]]
    assert drawn_box[:2] == pytest.approx(expected, abs=2)
    assert drawn_box[2:] == pytest.approx([box.w / width * image[2], box.h / height * image[3]], abs=2)
