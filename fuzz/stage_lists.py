"""stages.json, from which a resumed training knows its earlier stages: the result.yaml made of it can be packed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from ymir_detectron2.contract.training_result import Stage, TrainingResult
from ymir_detectron2.errors import ExecutorError

from .mutation import damaged
from .plain_data import changed

EXPECTED = (ExecutorError,)
"""What the reader may raise; a damaged list is a warning."""


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write the output folder of a training with two stages."""
    models = folder / "models"
    for step in (1, 2):
        (models / f"iter_{step}").mkdir(parents=True)
        (models / f"iter_{step}" / "config.yaml").write_text("VERSION: 2\n")
        (models / f"iter_{step}.pth").write_bytes(b"weights")
    stages = [
        {
            "name": f"iter_{step}", "files": [f"iter_{step}.pth", "config.yaml"], "map50": step / 9, "score": -1.0,
            "metrics": {"mAR": 0.5, "tp": 3}, "timestamp_s": 1_700_000_000, "measured": True,
        }
        for step in (1, 2)
    ]  # fmt: skip
    record: Any = {"stages": stages, "attachments": {"evaluation": ["a.png"]}}
    text = json.dumps(changed(record, rng, rng.choice((0, 1, 1, 2, 5))))
    text = rng.choice(("[" * 50_000, '{"stages":' * 9999)) if rng.random() < 0.02 else text
    path = folder / "stages.json"
    path.write_bytes(damaged(text.encode(), rng, 0.1))
    return path


def read(path: Path) -> None:
    """Restore the list, add a stage, and judge what is listed then."""
    models = path.parent / "models"
    for writes_stages in (True, False):
        result = TrainingResult(models, models / "result.yaml", writes_stages=writes_stages, record=path)
        assert result.restore() == bool(result.stages)
        (models / "iter_3.pth").write_bytes(b"weights")
        result.add(Stage("iter_3", ("iter_3.pth",), 0.2, {"mAR": 0.1}))
        result.attach("evaluation", {"b.png": b"png"})
        again = TrainingResult(models, models / "result.yaml", writes_stages=writes_stages, record=path)
        assert again.restore(), "a list that was just written"
        assert [stage.name for stage in again.stages] == [stage.name for stage in result.stages]
        for stage in again.stages:
            assert all((models / name).is_file() for name in stage.files)
