"""The page of a ranking in which an image counts by those before it: why it is there, and where the labels go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.headless import Browser
from tests.conftest import CLASS_NAMES, Tree, draw_image
from ymir_detectron2.contract.mining_result import write_mining_result
from ymir_detectron2.results.mining_explanations import FILE_NAME as EXPLANATIONS_NAME
from ymir_detectron2.results.mining_explanations import (
    BoxReason,
    ClassGain,
    GainParts,
    ImageReason,
    MiningExplanations,
    write_explanations,
)
from ymir_detectron2.results.mining_parts import FILE_NAME as PARTS_NAME
from ymir_detectron2.results.mining_parts import PartsRow, write_parts
from ymir_detectron2.results.task_output import find_task_outputs
from ymir_detectron2.results.task_page import write_task_page
from ymir_detectron2.tools.task_folder import write_task_folder

HOSTILE = "<script>window.hit = 1; alert(1)</script>"
IMAGES = 1200


def class_of(number: int) -> str:
    return HOSTILE if number % 3 == 0 else "spur"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the first 60 of 1,200 images something is found in all, behind them in half; novelty falls with the rank."""
    root = tmp_path_factory.mktemp("submodular")
    some = draw_image(root / "any.png").path
    env_file = write_task_folder(root / "task", task="mining", class_names=CLASS_NAMES, candidates=[some])
    tree = Tree(root / "task", env_file)
    assets = [f"/in/assets/{number:04}.png" for number in range(IMAGES)]
    tree.write_index("candidate", assets)
    for asset in assets[:48]:
        draw_image(tree.real(asset), [("brick", 5, 5, 40, 30)], wh=(96, 80))
    scores = [(asset, 1.0 - number / IMAGES) for number, asset in enumerate(assets)]
    write_mining_result(tree.out_dir / "result.tsv", scores)
    rows = (
        PartsRow(asset, score, class_of(n), n >= 60 and n % 2 == 1, score, max(0.1, 1 - n / IMAGES), "")
        for n, (asset, score) in enumerate(scores)
    )
    write_parts(tree.out_dir / PARTS_NAME, rows)
    box = BoxReason(xyxy=(10, 10, 50, 40), class_name=HOSTILE, score=0.41, value=0.98)
    gain = ClassGain(class_name=HOSTILE, evidence=0.83, weight=1.5, before=12.0, gain=0.7, is_rare=True)
    parts = GainParts(gain=0.7, novelty=0.2, resembles=HOSTILE, nothing_found=False, classes=[gain])
    reason = ImageReason(asset=assets[0], score=1.0, facts=[("evidence", 0.98)], boxes=[box], parts=parts)
    explanations = MiningExplanations(algorithm="submodular", images=[reason])
    write_explanations(tree.out_dir / EXPLANATIONS_NAME, explanations)
    tree.edit("config.yaml", mining_algorithm="submodular")
    (output,) = find_task_outputs(tree.root)
    return write_task_page(output)


@pytest.mark.parametrize("width", [1280, 400])
def test_it_opens_without_a_complaint_asks_for_nothing_and_fits(browser: Browser, report: Path, width: int):
    browser.open(report, width=width)
    browser.scroll_through()
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.width_of_content() <= width


def test_the_table_has_the_share_of_each_class_as_a_number_and_as_a_bar(browser: Browser, report: Path):
    browser.open(report)
    rows = browser.run(
        "return [...document.querySelectorAll('#mining-shares tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert rows[0] == ["class", "first 50", "first 100", "first 500", "first 1,000", "all 1,200"]
    table = {name: shares for name, *shares in rows[1:]}
    # 17 of the first 50 numbers, and 27 of the first 100 without the odd ones from 60 on, are divisible by 3
    assert table[HOSTILE][:2] == ["34 %", "27 %"]
    assert table["spur"][:2] == ["66 %", "53 %"]
    assert [shares[1] for shares in table.values()] == ["53 %", "27 %", "20 %"]
    assert table["nothing found"] == ["0.0 %", "20 %", "44 %", "47 %", "48 %"]
    bar = browser.run(
        "return document.querySelector('#mining-shares tbody td.figure').style.getPropertyValue('--share')"
    )
    assert bar == "66.0%"
    assert browser.run("return window.hit") is None


def test_novelty_is_a_line_over_the_ranks(browser: Browser, report: Path):
    browser.open(report)
    browser.scroll_through()
    path = browser.run("return document.querySelector('#mining-novelty path.series').getAttribute('d')")
    heights = [float(point.split(",")[1]) for point in path.replace("M", "L").split("L")[1:]]
    assert len(heights) == 100
    assert heights == sorted(heights)  # further down on the screen


def test_an_image_has_the_parts_of_its_score_in_words(browser: Browser, report: Path):
    browser.open(report)
    browser.scroll_through()
    lines = browser.run(
        "return [...document.querySelector('#mining-first figcaption').children].map(line => line.textContent.trim())"
    )
    assert lines == [
        "0000.png",
        "1. score 1.000000",
        f"in doubt: {HOSTILE} 0.41 (0.98 bits)",
        f"{HOSTILE} +0.700: sum of probabilities 0.83, weight 1.50, 12.0 images before, rare",
        f"gain 0.700 x novelty 0.20, resembles most {HOSTILE}",
    ]
    assert browser.run("return document.querySelectorAll('#mining-first figure:first-child rect.box').length") == 1
