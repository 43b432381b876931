"""What TensorBoard shows of a training: read back by its own reader of event files."""

from __future__ import annotations

import html.parser
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ymir_detectron2.evaluation.matching import Counts, OperatingPoint
from ymir_detectron2.evaluation.metrics import Metrics
from ymir_detectron2.training.tensorboard_logger import TensorBoardLogger

METRICS = Metrics(
    0.3, 0.5, 0.2, 0.4, {"cat": 0.3}, {"cat": 0.5}, ap_small=None, ap_large=0.6, ar1=0.1, ar10=0.35,
    at_threshold=OperatingPoint(0.2, Counts(3, 1, 2)), at_best_f1=None,
)  # fmt: skip


def written(folder: Path) -> EventAccumulator:
    (file,) = folder.iterdir()
    return EventAccumulator(str(file), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()


def test_metrics_that_exist_have_a_curve_and_others_have_none(tmp_path: Path):
    tensorboard = TensorBoardLogger(tmp_path)
    tensorboard.add_metrics(7, METRICS)
    tensorboard.add_validation_losses(7, {"loss_cls": 0.25})
    tensorboard.close()
    events = written(tmp_path)
    points = {tag: events.Scalars(tag)[0] for tag in events.Tags()["scalars"]}
    assert {event.step for event in points.values()} == {7}
    expected = {
        "validation/AP": 0.3, "validation/AP50": 0.5, "validation/AP75": 0.2, "validation/AP_large": 0.6,
        "validation/AR1": 0.1, "validation/AR10": 0.35, "validation/AR100": 0.4, "validation/precision": 0.75,
        "validation/recall": 0.6, "validation/F1": 2 / 3, "validation_AP/cat": 0.3, "validation_AP50/cat": 0.5,
        "validation_loss/loss_cls": 0.25,
    }  # fmt: skip
    assert {tag: round(event.value, 5) for tag, event in points.items()} == {
        tag: round(value, 5) for tag, value in expected.items()
    }


def encoded(pixels: np.ndarray, image_format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()


def test_images_are_written_as_they_are(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    images = {"evaluation/confusion_matrix": encoded(pixels, "PNG"), "validation_images/1": encoded(pixels, "JPEG")}
    tensorboard = TensorBoardLogger(tmp_path)
    tensorboard.add_images(3, images)
    tensorboard.close()
    events = written(tmp_path)
    assert sorted(events.Tags()["images"]) == sorted(images)
    for tag, content in images.items():
        (shown,) = events.Images(tag)
        assert (shown.step, shown.width, shown.height, shown.encoded_image_string) == (3, 30, 20, content)


class Cells(html.parser.HTMLParser):
    """The text of each cell of a page, and the names of all elements in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.elements: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1] += data


def shown_table(folder: Path, metrics: Metrics) -> Cells:
    """Write the class table and show it as TensorBoard's page does."""
    tensorboard = TensorBoardLogger(folder)
    tensorboard.add_metrics(7, metrics)
    tensorboard.close()
    (event,) = written(folder).Tensors("validation/classes/text_summary")
    assert event.step == 7
    with warnings.catch_warnings():  # it uses what html5lib has deprecated
        warnings.simplefilter("ignore")
        from tensorboard.plugin_util import markdown_to_safe_html

        return Cells(markdown_to_safe_html(event.tensor_proto.string_val[0]))


def test_the_class_table_has_a_row_for_every_class(tmp_path: Path):
    best = OperatingPoint(0.45, Counts(3, 1, 1))
    metrics = Metrics(
        0.3, 0.5, 0.2, 0.4, {"cat": 0.3}, {"cat": 0.5}, at_best_f1=OperatingPoint(0.5, Counts(1, 1, 3)),
        best_f1_by_class={"cat": best}, counts_by_class={"cat": Counts(3, 2, 1), "owl": Counts(0, 4, 0)},
    )  # fmt: skip
    table = shown_table(tmp_path, metrics)
    assert table.rows == [
        ["class", "objects", "AP50", "AP", "best threshold", "precision", "recall"],
        ["all", "4", "0.500", "0.300", "0.500", "0.500", "0.250"],
        ["cat", "4", "0.500", "0.300", "0.450", "0.750", "0.750"],
        ["owl", "0", "-", "-", "-", "-", "-"],
    ]


def test_no_name_becomes_markup_or_another_cell(tmp_path: Path):
    names = [
        "<script>alert(1)</script>", "a|b", "*bold* _x_ `code`", "[link](https://example.com)", "&lt;", "红 细胞",
        "a\\|", "#1",
    ]  # fmt: skip
    metrics = Metrics(0, 0, 0, 0, {}, {}, counts_by_class={name: Counts(0, 0, 1) for name in names})
    table = shown_table(tmp_path, metrics)
    assert [row[0] for row in table.rows[2:]] == names
    assert {len(row) for row in table.rows} == {7}
    assert table.elements == {"table", "thead", "tbody", "tr", "th", "td", "strong"}


def test_tags_do_not_depend_on_the_run(tmp_path: Path):
    tags = []
    for folder, step in ((tmp_path / "a", 100), (tmp_path / "b", 7)):
        tensorboard = TensorBoardLogger(folder, first_step=step)
        tensorboard.add_step(step, {"loss_cls": step}, 1.0, 0.1, 2.0)
        tensorboard.add_metrics(step, METRICS)
        tensorboard.add_validation_losses(step, {"loss_cls": step})
        tensorboard.close()
        tags.append(written(folder).Tags())
    assert tags[0] == tags[1]
