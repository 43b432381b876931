"""The section of suspicious labels: what label-review.tsv says, with images where the task is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trained_folder import TrainedFolder, write_trained_folder
from ymir_detectron2.evaluation.label_review import DUPLICATE, LOOSE, MISSING, SPURIOUS, WRONG_CLASS, Suspicion
from ymir_detectron2.evaluation.label_review_file import FILE_NAME, write_label_review
from ymir_detectron2.results.label_review_page import MOST_LISTED, MOST_SHOWN, label_review_section
from ymir_detectron2.results.page import Section, render_page
from ymir_detectron2.results.task_output import TaskOutput
from ymir_detectron2.results.task_page import write_task_page

BOX, FOUND = (4.0, 5.0, 30.0, 40.0), (6.0, 7.0, 34.0, 44.0)
KINDS = [
    Suspicion(0.9, WRONG_CLASS, "validation", 0, BOX, 0, FOUND, 1),
    Suspicion(0.8, MISSING, "validation", 1, None, None, FOUND, 2),
    Suspicion(0.7, LOOSE, "validation", 1, BOX, 1, FOUND, 1),
    Suspicion(0.4, SPURIOUS, "training", 0, BOX, 2, None, None),
    Suspicion(0.3, DUPLICATE, "training", 0, BOX, 2, FOUND, 2),
]


@pytest.fixture
def folder(tmp_path: Path) -> TrainedFolder:
    return write_trained_folder(tmp_path, num_images=3)


def write_list(folder: TrainedFolder, suspicions: list[Suspicion], names: tuple[str, ...] = ("cat", "dog", "owl")):
    listed = [line.asset for line in _lines(folder)]
    write_label_review(
        folder.out_dir / FILE_NAME, suspicions, dict.fromkeys(("training", "validation"), listed.__getitem__), names
    )


def _lines(folder: TrainedFolder):
    from ymir_detectron2.contract.data_issues import DataIssues
    from ymir_detectron2.contract.index_file import index_lines, open_index

    assert folder.task.val_index is not None
    with open_index(folder.task.val_index, "validation") as file:
        return list(index_lines(file, folder.task.val_index, DataIssues()))


def section_of(folder: TrainedFolder, *, with_task: bool = True) -> Section:
    section = label_review_section(TaskOutput(folder.out_dir, folder.task if with_task else None))
    assert section is not None
    return section


def test_without_a_list_there_is_no_section(folder: TrainedFolder):
    assert label_review_section(TaskOutput(folder.out_dir, folder.task)) is None


def test_each_kind_says_what_speaks_against_the_label(folder: TrainedFolder):
    write_list(folder, KINDS)
    html = render_page("t", "", [section_of(folder)])
    for words in ("labelled cat, found dog", "found owl, and no label", "labelled dog, found with another box",
                  "labelled owl, and hardly anything found", "labelled owl twice"):  # fmt: skip
        assert words in html
    assert "<dt>probably wrong or missing, score 0.5 or more</dt><dd>3</dd>" in html
    assert "<dt>wrong class</dt><dd>1</dd>" in html
    assert "<dt>spurious</dt>" not in html, "0.4 is not counted"


def test_images_have_the_label_and_what_was_found(folder: TrainedFolder):
    write_list(folder, KINDS)
    images = section_of(folder).data["images"]
    assert len(images) == 5
    assert all(image["uri"].startswith("data:image/jpeg;base64,") for image in images)
    assert images[0]["label"] == {"x": 4, "y": 5, "w": 26, "h": 35, "label": "labelled cat"}
    assert images[0]["found"] == {"x": 6, "y": 7, "w": 28, "h": 37, "label": "found dog"}
    assert (images[1]["label"], images[3]["found"]) == (None, None)
    assert images[4]["found"]["label"] == "also labelled owl"


def test_a_folder_without_its_task_names_images_and_shows_none(folder: TrainedFolder):
    write_list(folder, KINDS)
    images = section_of(folder, with_task=False).data["images"]
    assert {image["uri"] for image in images} == {""}
    assert all(image["name"] for image in images)


def test_only_images_of_the_index_are_opened(folder: TrainedFolder, tmp_path: Path):
    secret = tmp_path / "secret.png"
    secret.write_bytes((folder.task.paths.resolve(_lines(folder)[0].asset)).read_bytes())
    write_label_review(
        folder.out_dir / FILE_NAME, KINDS[:1], {"validation": lambda index: str(secret)}, ("cat", "dog", "owl")
    )
    (image,) = section_of(folder).data["images"]
    assert image["uri"] == ""


def test_a_long_list_is_cut_and_counted(folder: TrainedFolder):
    write_list(folder, KINDS[:1] * (MOST_LISTED + 50))
    section = section_of(folder)
    html = render_page("t", "", [section])
    assert len(section.data["images"]) == MOST_SHOWN
    assert html.count("<td>wrong class</td>") == MOST_LISTED
    assert f"has all {MOST_LISTED + 50} lines" in html


def test_an_empty_list_says_so(folder: TrainedFolder):
    write_list(folder, [])
    assert "the model contradicts no label" in render_page("t", "", [section_of(folder)])


def test_names_from_data_are_text(folder: TrainedFolder):
    write_list(folder, KINDS, names=("<b>cat</b>", "</script>", "&"))
    html = render_page("t", "", [section_of(folder)])
    assert "<b>cat" not in html
    assert "labelled &lt;b&gt;cat&lt;/b&gt;, found &lt;/script&gt;" in html


def test_a_damaged_list_is_a_sentence_and_costs_nothing_else(folder: TrainedFolder):
    (folder.out_dir / FILE_NAME).write_text("rank\n")
    html = write_task_page(TaskOutput(folder.out_dir, folder.task)).read_text(encoding="utf-8")
    assert "label-review.tsv: is none that a training writes" in html
    assert "Which threshold to use" in html


def test_the_same_list_is_the_same_page(folder: TrainedFolder):
    write_list(folder, KINDS)
    assert render_page("t", "", [section_of(folder)]) == render_page("t", "", [section_of(folder)])
