"""The demo's own part: its folder, its verdicts, its table and its pictures. The whole run is `make demo`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.tools import demo
from ymir_detectron2.tools.demo_page import FoundBox, write_contact_sheet, write_page
from ymir_detectron2.tools.draw_dataset import CLASS_NAMES, draw_pictures
from ymir_detectron2.tools.task_folder import LabelledPicture, asset_name


def grey_picture(path: Path) -> LabelledPicture:
    """100 x 50 pixels with one box in the left half."""
    Image.fromarray(np.full((50, 100, 3), 128, np.uint8)).save(path)
    return LabelledPicture(path, (("disc", 10, 10, 39, 39),))


def test_folder_with_other_things_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert demo.main(["--out", str(tmp_path)]) == 1
    assert "holds other things than a demo" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_task_that_fails_ends_the_demo_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("TRAINING_PICTURES", "VALIDATION_PICTURES", "CANDIDATES"):
        monkeypatch.setattr(demo, name, 1)
    monkeypatch.setattr(demo, "TRAINING_CONFIG", {"config_file": "configs/absent.yaml"})
    assert demo.main(["--out", str(tmp_path / "demo")]) == 1
    output = capfd.readouterr()
    assert "configs/absent.yaml" in output.out
    assert output.err.splitlines()[-1].startswith("demo: 1/3  train: start.py ended with status 1")


def test_boxes_are_read_in_the_order_of_the_pictures(tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path, 2, seed=0)
    box = {"class_name": "disc", "score": 0.5, "box": {"x": 1, "y": 2, "w": 3, "h": 4}}
    names = [asset_name(picture.image) for picture in pictures]
    (tmp_path / "r.json").write_text(json.dumps({"detection": {names[1]: {"boxes": [box]}, names[0]: {"boxes": []}}}))
    assert demo.load_found_boxes(tmp_path / "r.json", pictures) == [[], [FoundBox("disc", 0.5, 1, 2, 3, 4)]]


def test_picture_without_entry_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"detection": {}}')
    with pytest.raises(ExecutorError, match="boxes of every picture"):
        demo.load_found_boxes(tmp_path / "r.json", draw_pictures(tmp_path, 1, seed=0))


def test_table_lines_up() -> None:
    assert demo.format_table([("AP50", "0.5"), ("wall time", "12.5 s")]) == "AP50          0.5\nwall time  12.5 s"


def test_sheet_shows_true_boxes_in_white_and_found_ones_in_colour(tmp_path: Path) -> None:
    found = [FoundBox("disc", 0.9, 60, 10, 30, 30)]
    write_contact_sheet(tmp_path / "sheet.png", [grey_picture(tmp_path / "p.png")], [found], CLASS_NAMES)
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    white = np.argwhere((pixels == 255).all(axis=2))
    colourful = np.argwhere(pixels.max(axis=2) - pixels.min(axis=2) > 100)
    tile = pixels.shape[1] / 5
    assert white[:, 1].max() < tile / 2 < colourful[:, 1].min()
    assert colourful[:, 1].max() < tile, "nothing is drawn outside the picture"


def test_page_shows_table_and_picture(tmp_path: Path) -> None:
    write_page(tmp_path / "index.html", [("a < b", "1")])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<tr><td>a &lt; b</td><td>1</td></tr>" in page
    assert 'src="detections.png"' in page
