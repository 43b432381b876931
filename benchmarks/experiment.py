"""What experiments of many trainings share: their images, their tasks, and a folder that survives an interruption."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Mapping, TypeVar

from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.errors import ConfigError
from ymir_detectron2.sources.labelled_image import AnnotatedImage
from ymir_detectron2.sources.source import TRAIN, VAL
from ymir_detectron2.sources.voc import VocSource
from ymir_detectron2.tools.draw_dataset import draw_images

PROJECT_DIR = Path(__file__).resolve().parent.parent
DRAWN_TRAINING, DRAWN_VALIDATION = 200, 80

Result = TypeVar("Result")


class Journal(Generic[Result]):
    """A .jsonl file of finished results, one dataclass per line, that survives an interruption. Thread-safe."""

    def __init__(self, file: Path, result_class: type[Result]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.results: list[Result] = [result_class(**json.loads(line)) for line in whole_lines(file)]

    def find(self, **fields: Any) -> Result | None:
        """Return the first result whose fields have these values."""
        return next((one for one in self.results if fields.items() <= vars(one).items()), None)

    def add(self, one: Result) -> None:
        """Append a result to the file."""
        with self._lock, self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")  # type: ignore[call-overload]
            self.results.append(one)


def whole_lines(file: Path) -> list[str]:
    """Return the lines of a journal; remove a line from the file that an interruption has cut."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        file.write_text("".join(whole), encoding="utf-8")
    return whole


def require_same_settings(out: Path, settings: Mapping[str, object]) -> None:
    """Keep results of different settings out of one table: the settings of the first run in a folder are stored there.

    Raises:
        ConfigError: the folder holds results of other settings.
    """
    file = out / "settings.json"
    texts = {name: str(value) for name, value in settings.items()}
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) != texts:
        raise ConfigError(f"{out}: holds results of other settings; give them again or choose another --out")
    file.write_text(json.dumps(texts), encoding="utf-8")


def load_images(voc: Path | None, drawn: Path) -> tuple[list[AnnotatedImage], list[AnnotatedImage]]:
    """Load training and validation set: of a Pascal VOC folder with train.txt and val.txt, else drawn."""
    if voc:
        issues = DataIssues()
        source = VocSource(voc, ("train.txt", "val.txt"), issues)
        return source.read(TRAIN, issues), source.read(VAL, issues)
    training = draw_images(drawn / "train", DRAWN_TRAINING, seed=1)
    return training, draw_images(drawn / "val", DRAWN_VALIDATION, seed=2)


def run_task(env_file: Path, log: Path) -> int:
    """Run `start.py` on a task folder with one thread per process; return its exit status."""
    command = [sys.executable, str(PROJECT_DIR / "start.py"), "--env", str(env_file)]
    environment = {"OMP_NUM_THREADS": "1", **os.environ}  # several tasks run at a time
    with log.open("wb") as stream:
        return subprocess.run(
            command, cwd=str(PROJECT_DIR), env=environment, stdout=stream, stderr=stream, check=False
        ).returncode
