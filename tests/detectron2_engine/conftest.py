"""A model that the detectron2 engine trained, shared by all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import CLASS_NAMES, Drawn, Trained, Tree, draw_image
from tests.running import TINY_CONFIG, run_start
from ymir_detectron2.tools.task_folder import write_task_folder

DETECTRON2 = {"engine": "detectron2"}


@pytest.fixture(scope="session")
def trained_by_detectron2(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> Trained:
    """As the fixture `trained`, by the other engine."""
    root = tmp_path_factory.mktemp("trained_by_detectron2")
    config = {
        **DETECTRON2, "config_file": str(TINY_CONFIG), "max_iter": 6, "eval_period": 2, "learning_rate": "0.01",
        "args_options": "INPUT.MAX_SIZE_TEST 112 SOLVER.GAMMA 0.2",
    }  # fmt: skip
    env_file = write_task_folder(
        root, task="train", class_names=CLASS_NAMES, train=drawn.train, val=drawn.val, config=config
    )
    return Trained(Tree(root, env_file), run_start(env_file))


@pytest.fixture
def rotten_image(tmp_path: Path) -> Path:
    """A PNG with a good header and end, and damaged pixels, which only decoding it shows."""
    path = tmp_path / "rotten.png"
    draw_image(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(content)
    return path
