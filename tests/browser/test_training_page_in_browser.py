"""The page of a training in a browser: the slider moves all counts, names are text, and nothing is complained of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.headless import Browser
from tests.trained_folder import TrainedFolder, write_trained_folder
from ymir_detectron2.evaluation.confusion import confusion_matrix
from ymir_detectron2.evaluation.evaluation_file import evaluation_path, read_evaluation
from ymir_detectron2.evaluation.matching import Counts, counts_by_class, operating_point
from ymir_detectron2.evaluation.worst_images import worst_images
from ymir_detectron2.results.task_output import TaskOutput
from ymir_detectron2.results.task_page import write_task_page

NAMES = ("cat", "<script>window.hit = 1</script>", "owl & </script>")
IMAGE = "<img src=x onerror=hit=1> {}.png"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedFolder:
    return write_trained_folder(tmp_path_factory.mktemp("trained"), NAMES, 40, IMAGE)


@pytest.fixture(scope="module")
def report(trained: TrainedFolder) -> Path:
    return write_task_page(TaskOutput(trained.out_dir, trained.task))


def thresholds_of(trained: TrainedFolder) -> list[float]:
    written = read_evaluation(trained.task.models_dir)
    assert written is not None
    return written.thresholds


def move(browser: Browser, trained: TrainedFolder, threshold: float) -> None:
    """Move the slider, and wait until the page has followed."""
    browser.set_input("training-threshold", thresholds_of(trained).index(threshold))
    browser.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def cells(browser: Browser, row: str) -> list[str]:
    return browser.run("return [...document.querySelectorAll(arguments[0])].map(cell => cell.textContent)", f"{row} td")


def numbers(counts: Counts) -> list[str]:
    rates = [f"{rate:.3f}" for rate in (counts.precision, counts.recall, counts.f1)]
    return [*rates, str(counts.tp), str(counts.fp), str(counts.fn)]


def test_it_opens_without_a_complaint_and_asks_for_nothing(browser: Browser, report: Path):
    for width in (1280, 400):
        browser.open(report, width=width)
        browser.scroll_through()
        assert browser.width_of_content() <= width
        assert browser.complaints() == []
        assert browser.requests() == []


def test_it_begins_at_the_best_threshold_and_compares_it_with_the_default(
    browser: Browser, report: Path, trained: TrainedFolder
):
    browser.open(report)
    best = trained.evaluation.metrics.at_best_f1
    assert best is not None
    assert cells(browser, "#training-best")[1:] == numbers(best.counts)
    assert cells(browser, "#training-here")[1:] == numbers(best.counts)
    assert cells(browser, "#training-default")[1:] == numbers(operating_point(trained.evaluation.matches, 0.2).counts)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.37, 0.5, 0.71, 1.0])
def test_all_counts_follow_the_slider(browser: Browser, report: Path, trained: TrainedFolder, threshold: float):
    browser.open(report)
    move(browser, trained, threshold)
    evaluation = trained.evaluation
    assert cells(browser, "#training-here")[1:] == numbers(operating_point(evaluation.matches, threshold).counts)

    by_class = counts_by_class(evaluation.matches, threshold)
    rows = browser.run(
        "return [...document.getElementById('training-classes').tBodies[0].rows]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert [(row[0], row[6], row[7]) for row in rows] == [
        (name, f"{counts.precision:.3f}" if counts.tp + counts.fp else "–", f"{counts.recall:.3f}")
        for name, counts in zip(NAMES, by_class)
    ]

    matrix = browser.run(
        "return [...document.getElementById('training-confusion').tBodies[0].rows]"
        ".map(row => [...row.querySelectorAll('td')].map(cell => Number(cell.textContent)))"
    )
    assert matrix == confusion_matrix(evaluation.images, len(NAMES), threshold).tolist()


def test_the_worst_images_are_there_with_their_errors_and_boxes(
    browser: Browser, report: Path, trained: TrainedFolder
):
    browser.open(report)
    evaluation = trained.evaluation
    expected = [
        f"{len(errors.tp)} right, {len(errors.fp)} wrong, {len(errors.fn)} missed"
        for errors in worst_images(evaluation.images, evaluation.matches, evaluation.metrics.best_threshold, 24)
    ]
    browser.scroll_through()
    captions = (
        "return [...document.querySelectorAll('#training-gallery figcaption')].map(one => one.lastChild.textContent)"
    )
    assert browser.run(captions) == expected
    boxes = "return document.querySelectorAll('#training-gallery .box').length"
    everything = browser.run(boxes)
    browser.run("document.getElementById('training-pred').click()")
    browser.scroll_through()
    ground_truth = browser.run(boxes)
    browser.run("document.getElementById('training-gt').click()")
    browser.scroll_through()
    shown = [evaluation.images[errors.image_index] for errors in
             worst_images(evaluation.images, evaluation.matches, evaluation.metrics.best_threshold, 24)]  # fmt: skip
    assert ground_truth == sum(len(image.gt_boxes) for image in shown)
    assert everything == ground_truth + sum(
        int((image.pred_scores > evaluation.metrics.best_threshold).sum()) for image in shown
    )
    assert browser.run(boxes) == 0


def test_the_slider_is_moved_by_keys_and_says_its_threshold(browser: Browser, report: Path, trained: TrainedFolder):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.open(report)
    slider = browser.driver.find_element(By.ID, "training-threshold")
    slider.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert slider.get_attribute("aria-valuetext") == "threshold 0.02"
    assert browser.run("return document.querySelector('output[for=training-threshold]').textContent") == "0.02"


def test_names_from_data_are_text(browser: Browser, report: Path):
    browser.open(report)
    browser.scroll_through()
    assert browser.run("return window.hit === undefined")
    assert cells(browser, "#training-classes tbody tr:nth-child(2)")[0] == NAMES[1]
    names = browser.run("return [...document.querySelectorAll('#training-gallery .name')].map(one => one.textContent)")
    assert all(name.startswith("<img src=x onerror=hit=1> ") for name in names)


def test_with_a_thousand_classes_it_is_there_at_once(browser: Browser, tmp_path: Path):
    folder = write_trained_folder(tmp_path, [f"class {number}" for number in range(1000)], 40, objects=30)
    browser.open(write_task_page(TaskOutput(folder.out_dir, folder.task)))
    count = "return document.getElementById('training-classes').tBodies[0].rows.length"
    assert browser.run(count) == 50
    browser.run("document.querySelector('#training-classes-note button').click()")
    assert browser.run(count) == 1000
    assert browser.complaints() == []
    load_ms = browser.run("const timing = performance.getEntriesByType('navigation')[0]; return timing.loadEventEnd")
    assert load_ms < 20_000, "nothing in it grows with classes times classes"


def test_where_nothing_is_labelled_the_default_threshold_is_shown_and_no_best_one(browser: Browser, tmp_path: Path):
    folder = write_trained_folder(tmp_path, NAMES, 5, objects=0)
    browser.open(write_task_page(TaskOutput(folder.out_dir, folder.task)))
    browser.scroll_through()
    assert browser.complaints() == []
    counts = operating_point(folder.evaluation.matches, 0.2).counts
    assert counts.fp > 0
    assert cells(browser, "#training-here")[1:] == cells(browser, "#training-default")[1:] == numbers(counts)
    assert cells(browser, "#training-best") == []


@pytest.mark.parametrize("lost", ["evaluation", "images", "everything but the list of stages"])
def test_what_is_left_of_a_training_opens_too(browser: Browser, tmp_path: Path, lost: str):
    folder = write_trained_folder(tmp_path, NAMES, 5)
    output = TaskOutput(folder.out_dir, None if lost == "images" else folder.task)
    if lost != "images":
        evaluation_path(folder.task.models_dir).unlink()
    if lost == "everything but the list of stages":
        for name in ("training-history.json", "dataset-report.json", "train-summary.json"):
            (folder.out_dir / name).unlink()
    browser.open(write_task_page(output))
    if lost == "images":
        browser.set_input("training-show-choice", "typical")
    browser.scroll_through()
    assert browser.complaints() == []
    grey = browser.run("return document.querySelectorAll('#training-gallery rect.gone').length")
    assert grey == (5 if lost == "images" else 0)
