"""Suspicious labels in a browser: both boxes are drawn and named, names are text, and nothing is complained of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.headless import Browser
from tests.trained_folder import write_trained_folder
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.contract.index_file import index_lines, open_index
from ymir_detectron2.evaluation.label_review import MISSING, SPURIOUS, WRONG_CLASS, Suspicion
from ymir_detectron2.evaluation.label_review_file import FILE_NAME, write_label_review
from ymir_detectron2.results.task_output import TaskOutput
from ymir_detectron2.results.task_page import write_task_page

NAMES = ("cat", "<script>window.hit = 1</script>", "owl & </script>")
BOX, FOUND = (4.0, 5.0, 30.0, 40.0), (6.0, 7.0, 34.0, 44.0)
SUSPICIONS = [
    Suspicion(0.9, WRONG_CLASS, "validation", 0, BOX, 0, FOUND, 1),
    Suspicion(0.8, MISSING, "validation", 1, None, None, FOUND, 2),
    Suspicion(0.4, SPURIOUS, "validation", 2, BOX, 2, None, None),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trained = write_trained_folder(tmp_path_factory.mktemp("trained"), NAMES, 3, "<img src=x onerror=hit=1> {}.png")
    assert trained.task.val_index is not None
    with open_index(trained.task.val_index, "validation") as file:
        images = [line.asset for line in index_lines(file, trained.task.val_index, DataIssues())]
    write_label_review(trained.out_dir / FILE_NAME, SUSPICIONS, {"validation": images.__getitem__}, NAMES)
    return write_task_page(TaskOutput(trained.out_dir, trained.task))


def test_it_opens_without_a_complaint_and_asks_for_nothing(browser: Browser, report: Path):
    for width in (1280, 400):
        browser.open(report, width=width)
        browser.scroll_through()
        assert browser.width_of_content() <= width
        assert browser.complaints() == []
        assert browser.requests() == []
    assert browser.run("return window.hit") is None


def test_each_image_has_the_label_dashed_and_what_was_found(browser: Browser, report: Path):
    browser.open(report)
    browser.scroll_through()
    drawn = browser.run(
        "return [...document.querySelectorAll('#labels-gallery figure')].map(figure =>"
        " [...figure.querySelectorAll('rect.box')].map(box => [box.classList.contains('dashed'), box.textContent]))"
    )
    assert drawn == [
        [[True, "labelled cat"], [False, f"found {NAMES[1]}"]],
        [[False, f"found {NAMES[2]}"]],
        [[True, f"labelled {NAMES[2]}"]],
    ]


def test_the_table_says_the_same(browser: Browser, report: Path):
    browser.open(report)
    rows = browser.run(
        "return [...document.querySelectorAll('#labels-table tbody tr')].map(row =>"
        " [...row.cells].slice(0, 4).map(cell => cell.textContent))"
    )
    assert rows == [
        ["1", "0.90", "wrong class", f"labelled cat, found {NAMES[1]}"],
        ["2", "0.80", "missing", f"found {NAMES[2]}, and no label"],
        ["3", "0.40", "spurious", f"labelled {NAMES[2]}, and hardly anything found"],
    ]
