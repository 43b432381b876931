"""The section of a training: its data and markup, for whole and for incomplete folders."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.trained_folder import TrainedFolder, write_trained_folder
from ymir_detectron2.evaluation.evaluation_file import evaluation_path
from ymir_detectron2.results.page import MAX_PAGE_BYTES, Section, render_page
from ymir_detectron2.results.task_output import TaskOutput
from ymir_detectron2.results.training_page import training_section

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainedFolder:
    return write_trained_folder(tmp_path_factory.mktemp("trained"))


def section_of(output: TaskOutput) -> Section:
    section = training_section(output)
    assert section is not None
    return section


def html_of(section: Section) -> str:
    return render_page("Training", "", [section])


def test_it_shows_images_with_ground_truth_and_detections(whole: TrainedFolder):
    data = section_of(TaskOutput(whole.out_dir, whole.task)).data["evaluation"]
    assert data["thresholds"][data["defaultLevel"]] == 0.2
    assert data["thresholds"][data["bestLevel"]] == whole.evaluation.metrics.best_threshold
    for example in data["examples"]:
        assert example["uri"].startswith("data:image/jpeg;base64,")
        image = whole.evaluation.images[int(re.findall(r"\d+", example["name"])[0])]
        assert len(example["gt"]) == len(image.gt_boxes)
        assert [box[5] for box in example["pred"]] == sorted(image.pred_scores, reverse=True)
    by_class = dict(zip(whole.evaluation.class_names, whole.evaluation.matches.gt_counts.tolist()))
    assert {one["name"]: one["trainingBoxes"] for one in data["classes"]} == by_class


def test_numbers_warnings_findings_and_settings_are_in_the_markup(whole: TrainedFolder):
    html = html_of(section_of(TaskOutput(whole.out_dir, whole.task)))
    metrics = whole.evaluation.metrics
    assert metrics.at_best_f1 is not None
    for text in (
        f"{metrics.ap50:.3f}", f"{metrics.ap:.3f}", f"{metrics.best_threshold:.4g}",
        f"precision {metrics.at_best_f1.counts.precision:.3f}, recall {metrics.at_best_f1.counts.recall:.3f}",
        "iter_0000120", "class &#39;owl&#39; has 3 boxes", "image without its end, used", "learning_rate",
    ):  # fmt: skip
        assert text in html, text


def test_images_that_are_gone_leave_their_boxes_and_sizes(whole: TrainedFolder, tmp_path: Path):
    shutil.copytree(whole.out_dir, tmp_path / "out")
    data = section_of(TaskOutput(tmp_path / "out")).data["evaluation"]
    assert {(one["uri"], one["width"], one["height"]) for one in data["examples"]} == {("", 120, 90)}
    assert any(one["pred"] for one in data["examples"])


@pytest.mark.parametrize(
    "lost",
    [[], ["summary"], ["evaluation"], ["history"], ["report"], ["evaluation", "history", "summary", "report"]],
)
def test_a_page_is_made_of_what_is_there(whole: TrainedFolder, tmp_path: Path, lost: list[str]):
    shutil.copytree(whole.out_dir, tmp_path / "out")
    out = tmp_path / "out"
    files = {
        "summary": out / "train-summary.json", "evaluation": evaluation_path(out / "models"),
        "history": out / "training-history.json", "report": out / "dataset-report.json",
    }  # fmt: skip
    for name in lost:
        files[name].unlink()
    html = html_of(section_of(TaskOutput(out)))
    assert html.count('<p class="warning">') == len(set(lost) - {"report"}) + ("report" not in lost)


@pytest.mark.parametrize(
    "report",
    [
        [], {"training": 5, "validation": [], "warnings": "a"},
        {"training": {"images": "9", "boxes_per_class": 3, "image_width": {"min": []}}},
    ],
)  # fmt: skip
def test_any_dataset_report_is_read(whole: TrainedFolder, tmp_path: Path, report: object):
    shutil.copytree(whole.out_dir, tmp_path / "out")
    (tmp_path / "out" / "dataset-report.json").write_text(json.dumps(report))
    (tmp_path / "out" / "train-summary.json").write_text(json.dumps({"steps": "many", "seconds_per_step": None}))
    html_of(section_of(TaskOutput(tmp_path / "out")))


def test_names_from_data_never_become_markup(tmp_path: Path):
    folder = write_trained_folder(tmp_path, (EVIL, "</script><!--", "dog"), 4, "<img src=x>{}.png")
    html = html_of(section_of(TaskOutput(folder.out_dir, folder.task)))
    for text in (EVIL, "</script><!--", "<img src=x"):
        assert text not in html
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert data is not None
    evaluation = json.loads(data[1])["training"]["evaluation"]
    assert [one["name"] for one in evaluation["classes"]] == [EVIL, "</script><!--", "dog"]
    assert evaluation["examples"][0]["name"] == "<img src=x>0.png"


def test_with_a_thousand_classes_the_page_is_far_below_its_bound(tmp_path: Path):
    names = [f"class {number}" for number in range(1000)]
    folder = write_trained_folder(tmp_path, names, 60, objects=30)
    html = html_of(section_of(TaskOutput(folder.out_dir, folder.task)))
    assert len(html) < MAX_PAGE_BYTES / 4
