"""What tiles are worth for small objects: models trained on whole images or on tiles, each used on both.

    python3 benchmarks/tiles.py --out tiles                       drawn scenes
    python3 benchmarks/tiles.py --out tiles --boards DIR          also circuit boards, see `boards`

At the short edge of 160 px that the network is shown, objects are as small as those of images twice as large at 320.
Trainings are whole tasks by start.py. An interrupted run continues; the table is tiles.md in the folder.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.experiment import PROJECT_DIR, Journal, require_same_settings, run_task
from ymir_detectron2 import load_model
from ymir_detectron2.api.loaded_model import Model
from ymir_detectron2.contract.data_issues import DataIssues
from ymir_detectron2.dataset.coco_json import write_coco_json
from ymir_detectron2.dataset.records import Record
from ymir_detectron2.detections import Detections
from ymir_detectron2.evaluation.metrics import Metrics, evaluate
from ymir_detectron2.sources.coco import read_coco_file
from ymir_detectron2.sources.labelled_image import AnnotatedImage, LabelledBox
from ymir_detectron2.tools.draw_dataset import draw_background
from ymir_detectron2.tools.task_folder import write_task_folder

SMALL_CONFIG = PROJECT_DIR / "configs" / "CPU" / "retinanet_R_18_FPN_small.yaml"
SCENE_HW = (480, 640)
SMALL_SIDES, LARGE_SIDES = (10, 16), (80, 160)
SMALL_PER_SCENE, LARGE_PER_SCENE = 8, 2
TRAINING, VALIDATION, MEASURED_BOARDS, STAGE_IMAGES = 100, 40, 80, 4
"""Scenes to train and to measure on, boards to measure on, and images of the stage's evaluation, which is not used."""
_LEAST_SCORE = 0.01
WHOLE, TILES = "whole", "tiles"


@dataclass
class Row:
    """One trained model on the images of the measurement."""

    images: str
    seed: int
    trained: str
    predicted: str
    tile_size: int
    ap: float
    ap50: float
    ap_small: float | None
    ap_large: float | None


@dataclass(frozen=True)
class ImageSet:
    """Images to train on and to measure on."""

    train: Sequence[AnnotatedImage]
    val: Sequence[AnnotatedImage]

    @property
    def class_names(self) -> list[str]:
        """All classes, in order."""
        return sorted({box[0] for image in (*self.train, *self.val) for box in image.boxes})


def scenes(folder: Path) -> ImageSet:
    """Draw scenes of 640 x 480 pixels: discs and triangles of 10 to 16 pixels, and a few of 80 to 160."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [_draw_scene(folder / f"{number:03}.png", number) for number in range(TRAINING + VALIDATION)]
    return ImageSet(images[:TRAINING], images[TRAINING:])


def _draw_scene(path: Path, seed: int) -> AnnotatedImage:
    rng = np.random.default_rng([17, seed])
    height, width = SCENE_HW
    canvas = np.clip(draw_background(rng, height, width), 0, 255).astype(np.uint8)
    taken = np.zeros(SCENE_HW, dtype=bool)
    boxes = []
    for low, high in [LARGE_SIDES] * LARGE_PER_SCENE + [SMALL_SIDES] * SMALL_PER_SCENE:
        side = int(rng.integers(low, high + 1))
        x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
        if not taken[y : y + side, x : x + side].any():
            taken[y : y + side, x : x + side] = True
            boxes.append(_draw_object(canvas, rng, x, y, side))
    Image.fromarray(canvas[:, :, ::-1]).save(path)
    return AnnotatedImage(path, tuple(boxes))


def _draw_object(canvas: np.ndarray, rng: np.random.Generator, x: int, y: int, side: int) -> LabelledBox:
    """Paint a disc or a triangle; both have all colours, so that only the outline tells them apart."""
    name = str(rng.choice(["disc", "triangle"]))
    colour = rng.permutation(np.array([rng.integers(0, 60), rng.integers(60, 256), 255])).tolist()
    last = side - 1
    if name == "disc":
        cv2.ellipse(canvas, ((x + last / 2, y + last / 2), (last, last), 0.0), colour, -1)
    else:
        cv2.fillPoly(canvas, [np.array([[x + last // 2, y], [x, y + last], [x + last, y + last]])], colour)
    return name, x, y, x + last, y + last


def boards(source: Path) -> ImageSet:
    """Load labelled circuit boards in COCO form, pool.json to train on and val.json to measure on."""
    halves = []
    for name, count in (("pool.json", None), ("val.json", MEASURED_BOARDS)):
        coco = read_coco_file(source / name)
        found = [image for image in coco.read(next(iter(coco.sets)), DataIssues()) if image.boxes]
        halves.append(random.Random(17).sample(found, len(found))[:count])  # sets are often sorted by kind
    return ImageSet(*halves)


def main(argv: Sequence[str] | None = None) -> int:
    """Train, predict and write the table."""
    options = _parse(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    fixed = ("steps", "image_size", "config_file", "args_options", "precision")
    require_same_settings(options.out, {name: getattr(options, name) for name in fixed})
    journal: Journal[Row] = Journal(options.out / "rows.jsonl", Row)
    sets = {"scenes": scenes(options.out / "scenes")}
    if options.boards is not None:
        sets["boards"] = boards(options.boards)
    # tiles first: those that `auto` has chosen are also tried on the models of whole images
    plan = [(name, seed, trained) for seed in range(options.seeds) for name in sets for trained in (TILES, WHOLE)]
    for name, seed, trained in plan:
        if journal.find(images=name, seed=seed, trained=trained, predicted=TILES) is None:
            tile_size = next((row.tile_size for row in journal.results if row.images == name), 0)
            for row in _measure(options, name, sets[name], seed, trained, tile_size):
                journal.add(row)
    table = as_table(journal.results)
    (options.out / "tiles.md").write_text(table + "\n", encoding="utf-8")
    print(table)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--boards", type=Path, help="a folder with pool.json and val.json")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--config-file", default=str(SMALL_CONFIG))
    parser.add_argument("--args-options", default="")
    parser.add_argument("--precision", default="auto")
    return parser.parse_args(argv)


def _measure(
    options: argparse.Namespace, name: str, images: ImageSet, seed: int, trained: str, tile_size: int
) -> Sequence[Row]:
    """Train a model, and return what it reaches on whole images and on tiles.

    Args:
        tile_size: of the tiles to predict; 0: as in the training.
    """
    root = options.out / f"{name}-{seed}-{trained}"
    shutil.rmtree(str(root), ignore_errors=True)
    form: Mapping[str, Any] = {
        "config_file": options.config_file, "engine": "torch", "batch_size": 4, "max_iter": options.steps,
        "eval_period": options.steps, "precision": options.precision, "seed": seed, "num_workers": 1,
        "image_size": options.image_size, "anchors": "auto", "tile_size": "auto" if trained == TILES else "none",
        "args_options": options.args_options,
    }  # fmt: skip
    env_file = write_task_folder(
        root, task="train", class_names=images.class_names, train=images.train, val=images.val[:STAGE_IMAGES],
        config=form,
    )  # fmt: skip
    if run_task(env_file, root / "log.txt"):
        raise RuntimeError(f"the training failed, see {root / 'log.txt'}")
    used = json.loads((root / "out" / "train-summary.json").read_text(encoding="utf-8"))["tile_size"] or tile_size
    rows = []
    for predicted, size in ((WHOLE, "none"), (TILES, used)):
        model = load_model(root / "out", device="cpu", engine="torch", precision=options.precision, tile_size=size)
        found = _metrics(model, images)
        rows.append(Row(name, seed, trained, predicted, used, found.ap, found.ap50, found.ap_small, found.ap_large))
    return rows


def _metrics(model: Model, images: ImageSet) -> Metrics:
    """Measure on the validation images, in their own pixels."""
    found = {
        number: Detections(prediction.boxes_xyxy, prediction.scores, prediction.classes)
        for number, prediction in enumerate(
            model.predict([image.path for image in images.val], threshold=_LEAST_SCORE), start=1
        )
    }
    with tempfile.TemporaryDirectory() as folder:
        write_coco_json(Path(folder) / "val.json", map(_as_record, images.val, [images.class_names] * len(found)),
                        images.class_names)  # fmt: skip
        return evaluate(Path(folder) / "val.json", found, images.class_names).metrics


def _as_record(image: AnnotatedImage, class_names: Sequence[str]) -> Record:
    width, height = Image.open(image.path).size
    corners = np.array([box[1:] for box in image.boxes], dtype=np.float32) + np.array([0, 0, 1, 1], dtype=np.float32)
    return Record(image.path, width, height, corners, np.array([class_names.index(box[0]) for box in image.boxes]))


def as_table(rows: Sequence[Row]) -> str:
    """Return a row for each kind of images, training and prediction, with the mean and the range over the seeds."""
    lines = ["| images | trained on | predicted on | AP | AP50 | AP of small objects | AP of large objects |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for images, trained, predicted in dict.fromkeys((row.images, row.trained, row.predicted) for row in rows):
        of_it = [row for row in rows if (row.images, row.trained, row.predicted) == (images, trained, predicted)]
        size = of_it[0].tile_size
        words = [f"tiles of {size} px" if kind == TILES else kind for kind in (trained, predicted)]
        figures = (_spread([getattr(row, name) for row in of_it]) for name in ("ap", "ap50", "ap_small", "ap_large"))
        lines.append(f"| {' | '.join((images, *words, *figures))} |")
    return "\n".join(lines)


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{sum(known) / len(known):.3f} ({min(known):.3f} to {max(known):.3f})"


if __name__ == "__main__":
    sys.exit(main())
