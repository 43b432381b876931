"""What experiments of many trainings share: their pictures, and a folder that outlives a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Mapping

from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.draw_dataset import draw_pictures
from ymir_detectron2.tools.task_folder import LabelledPicture
from ymir_detectron2.tools.voc_source import read_voc

DRAWN_TRAINING, DRAWN_VALIDATION = 200, 80


def require_same_settings(out: Path, settings: Mapping[str, object]) -> None:
    """Results of other settings must not get into one table; those of the first run in a folder are kept there.

    Raises:
        ConfigError: the folder holds results of other settings.
    """
    file = out / "settings.json"
    texts = {name: str(value) for name, value in settings.items()}
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) != texts:
        raise ConfigError(f"{out}: holds results of other settings; give them again or choose another --out")
    file.write_text(json.dumps(texts), encoding="utf-8")


def load_pictures(voc: Path | None, drawn: Path) -> tuple[list[LabelledPicture], list[LabelledPicture]]:
    """Training and validation set: of a Pascal VOC folder with train.txt and val.txt, else drawn."""
    if voc:
        return read_voc(voc, "train.txt"), read_voc(voc, "val.txt")
    training = draw_pictures(drawn / "train", DRAWN_TRAINING, seed=1)
    return training, draw_pictures(drawn / "val", DRAWN_VALIDATION, seed=2)


def whole_lines(file: Path) -> list[str]:
    """The lines of a journal; what a stop has cut is taken out of the file."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        file.write_text("".join(whole), encoding="utf-8")
    return whole
