"""Drawn images, task folders of every release around them, and one trained model that all tests share."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.platform_reader import read_training_result, unpack_model
from tests.running import TINY_CONFIG, Outcome, kill_what_still_runs, run_start
from ymir_detectron2.engines import pillow_names  # noqa: F401, for tests that import detectron2 0.6 themselves
from ymir_detectron2.sources.labelled_image import AnnotatedImage, LabelledBox
from ymir_detectron2.tools.task_folder import write_task_folder

CLASS_NAMES = ("brick", "leaf", "sky")
ENGINE = {"engine": "torch"}
"""Also where detectron2 is installed, whose tests are in tests/detectron2_engine."""
_COLOURS = {"brick": (190, 60, 40), "leaf": (40, 150, 60), "sky": (60, 90, 200)}
_ORIENTATION_TAG = 0x0112


def draw_image(
    path: Path, boxes: Sequence[LabelledBox] = (), *, wh: tuple[int, int] = (96, 64), orientation: int = 1
) -> AnnotatedImage:
    """Draw coloured rectangles; `wh` and boxes are those of the upright image, however it is stored."""
    pixels = np.random.default_rng([*wh, len(boxes)]).integers(90, 120, size=(wh[1], wh[0], 3)).astype(np.uint8)
    for name, x1, y1, x2, y2 in boxes:
        pixels[y1 : y2 + 1, x1 : x2 + 1] = _COLOURS.get(name, (250, 250, 250))
    stored = np.rot90(pixels, {1: 0, 6: 1, 3: 2, 8: 3}[orientation])
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = orientation
    options = {"exif": exif.tobytes(), "quality": 95} if path.suffix == ".jpg" else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(stored)).save(path, **options)
    return AnnotatedImage(path, tuple(boxes))


@dataclass(frozen=True)
class Drawn:
    """The images of a session: one stored rotated, one without objects, one PNG, some wide and some high."""

    train: tuple[AnnotatedImage, ...]
    val: tuple[AnnotatedImage, ...]


@pytest.fixture(autouse=True)
def no_run_outlives_its_test() -> Iterator[None]:
    yield
    kill_what_still_runs()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    folder = tmp_path_factory.mktemp("drawn")
    train = (
        draw_image(folder / "a.jpg", [("brick", 5, 6, 30, 40), ("leaf", 50, 20, 80, 50)]),
        draw_image(folder / "b.jpg", [("sky", 10, 10, 60, 40)], wh=(80, 64)),
        draw_image(folder / "turned.jpg", [("leaf", 8, 30, 50, 70)], wh=(64, 96), orientation=6),
        draw_image(folder / "c.png", [("brick", 20, 20, 50, 60)], wh=(64, 80)),
        draw_image(folder / "empty.jpg", wh=(64, 64)),
        draw_image(folder / "d.jpg", [("sky", 0, 0, 30, 30), ("brick", 60, 30, 95, 63)]),
    )
    val = (
        draw_image(folder / "e.jpg", [("brick", 10, 10, 40, 40)], wh=(90, 64)),
        draw_image(folder / "f.jpg", [("leaf", 5, 40, 45, 80), ("sky", 20, 4, 50, 30)], wh=(64, 88)),
        draw_image(folder / "turned_back.jpg", [("sky", 30, 20, 80, 50)], wh=(96, 66), orientation=8),
    )
    return Drawn(train, val)


@dataclass(frozen=True)
class Tree:
    """A task folder: `in_dir` as the platform writes it, and an `out_dir` for what the task writes."""

    root: Path
    env_file: Path
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def in_dir(self) -> Path:
        return self.root / "in"

    @property
    def out_dir(self) -> Path:
        return self.root / "out"

    def index_lines(self, name: str) -> list[str]:
        return (self.in_dir / f"{name}-index.tsv").read_text(encoding="utf-8").splitlines()

    def write_index(self, name: str, lines: Sequence[str], end: str = "\n") -> None:
        text = "".join(line + end for line in lines)
        (self.in_dir / f"{name}-index.tsv").write_bytes(text.encode("utf-8", "surrogateescape"))

    def candidates(self) -> list[str]:
        return [line for line in self.index_lines("candidate") if line]

    def real(self, container_path: str) -> Path:
        """Return the path on this machine of a container path below /in."""
        return self.root / container_path.lstrip("/")

    def edit(self, name: str, **values: Any) -> None:
        """Change keys of env.yaml or config.yaml; None removes a key."""
        file = self.in_dir / name
        content = {**yaml.safe_load(file.read_text(encoding="utf-8")), **values}
        kept = {key: value for key, value in content.items() if value is not None}
        file.write_text(yaml.safe_dump(kept, allow_unicode=True), encoding="utf-8")


MakeTree = Callable[..., Tree]


@pytest.fixture
def ymir_tree(tmp_path: Path, drawn: Drawn) -> MakeTree:
    """Build task folders; a call states only what differs from a short training, or inference, of the drawn images."""

    def make(
        task: str = "train", *, folder: str = "task", config: Mapping[str, Any] | None = None, **given: Any
    ) -> Tree:
        root = tmp_path / folder
        if task == "train":
            content: dict[str, Any] = {"train": drawn.train, "val": drawn.val}
            form = {"config_file": str(TINY_CONFIG), "max_iter": 4, "eval_period": 4, "learning_rate": 0.01}
        else:
            content = {"candidates": [image.path for image in (*drawn.train, *drawn.val)]}
            form = {"conf_threshold": 0.005}
        settings = {key: value for key, value in {**ENGINE, **form, **(config or {})}.items() if value is not None}
        options = {"class_names": CLASS_NAMES, **content, **given}
        return Tree(root, write_task_folder(root, task=task, config=settings, **options), settings)

    return make


@pytest.fixture(scope="session")
def no_torch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which `import torch` fails: what succeeds nevertheless happens before torch is imported."""
    package = tmp_path_factory.mktemp("no_torch") / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('torch was imported')\n")
    (package / "version.py").write_text("__version__ = '0'\ncuda = None\n")
    return {"PYTHONPATH": str(package.parent)}


@dataclass(frozen=True)
class Trained:
    """A finished training that other tests start from and do not change."""

    tree: Tree
    outcome: Outcome

    @property
    def models_dir(self) -> Path:
        return self.tree.out_dir / "models"

    def give_to(self, tree: Tree, key: str = "model_params_path", *, release: str = "2.5.0") -> list[str]:
        """Pack the best stage and unpack it into the next /in, as the platform does between two tasks."""
        packed = read_training_result(self.models_dir, release)
        paths = unpack_model(packed, tree.in_dir / "models", release, executor_config={"class_names": [*CLASS_NAMES]})
        tree.edit("config.yaml", **{key: paths})
        return paths


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> Trained:
    """Train once for all processes of this test run: start.py and what it starts, as in the container."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root = shared / "trained"
    with (shared / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # freed when the file is closed
        if not (root / "outcome.yaml").exists():
            shutil.rmtree(root, ignore_errors=True)
            _train(root, drawn)
    seen = yaml.safe_load((root / "outcome.yaml").read_text(encoding="utf-8"))
    outcome = Outcome(out_dir=root / "out", monitor_texts=tuple(seen.pop("monitor_texts")), **seen)
    return Trained(Tree(root, root / "in" / "env.yaml"), outcome)


def _train(root: Path, drawn: Drawn) -> None:
    config = {
        **ENGINE, "config_file": str(TINY_CONFIG), "max_iter": 6, "eval_period": 2, "learning_rate": "0.01",
        "batch_size": 2, "args_options": "INPUT.MAX_SIZE_TEST 112 SOLVER.GAMMA 0.2",
    }  # fmt: skip
    env_file = write_task_folder(
        root, task="train", class_names=CLASS_NAMES, train=drawn.train, val=drawn.val, config=config
    )
    outcome = run_start(env_file)
    seen = {
        "status": outcome.status, "output": outcome.output, "monitor_texts": list(outcome.monitor_texts),
        "cpu_seconds_to_monitor": outcome.cpu_seconds_to_monitor,
    }  # fmt: skip
    (root / "outcome.yaml").write_text(yaml.safe_dump(seen), encoding="utf-8")
