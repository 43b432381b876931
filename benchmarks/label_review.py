"""Does the label review find wrong labels? Some are made wrong by a seed, a model is trained on them, its list is read.

    python3 benchmarks/label_review.py --set bccd=DIR --out FOLDER [--share 0.05] [--steps 400] [--image-size 240]
        [--seeds 0 1 2] [--start-config FILE.yaml] [--labelled-only] [--docs FILE.md]

FOLDER/reviews.jsonl    one line per training: {"set": "bccd", "seed": 0, "labels": 3937, "found": {"removed": 9}, ..}
FOLDER/settings.json    what all trainings of the folder have in common

Each training is a task by start.py, on a training and a validation set, both with the same share of wrong labels. A
wrong label is found if a line among the first tenth names it: as many lines as a tenth of the labelled boxes of both
sets. A removed or moved one is found too by a missing label that overlaps the true box by half. By chance a tenth would
be found. An interrupted run continues where it was.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

PROJECT_DIR = Path(__file__).resolve().parent.parent
if str(PROJECT_DIR) not in sys.path:
    sys.path.insert(0, str(PROJECT_DIR))

from benchmarks.experiment import Journal, require_same_settings, run_task  # noqa: E402
from benchmarks.label_corruption import KINDS, Corruption, corrupt_labels, iou_of  # noqa: E402
from benchmarks.labelled_sets import LabelledSet, load_set  # noqa: E402
from benchmarks.page import mean_and_range, publish, table  # noqa: E402
from benchmarks.short_training import draw_subset  # noqa: E402
from ymir_detectron2.dataset.image_reading import read_image_hw  # noqa: E402
from ymir_detectron2.evaluation.label_review import LIKELY_WRONG  # noqa: E402
from ymir_detectron2.evaluation.label_review_file import FILE_NAME, ReviewRow, read_label_review  # noqa: E402
from ymir_detectron2.sources.labelled_image import AnnotatedImage, LabelledBox  # noqa: E402
from ymir_detectron2.tools.packed_model import pack_best_stage  # noqa: E402
from ymir_detectron2.tools.task_folder import asset_name, write_task_folder  # noqa: E402

SECTION = "label review"
READ_SHARE = 0.1
"""Of the number of labelled boxes: the lines that are read."""
_SAME_OBJECT_IOU = 0.5
_SETTINGS = ("set", "share", "steps", "image_size", "start_config", "labelled_only", "val_images", "precision")
_CONFIG = "configs/CPU/retinanet_R_18_FPN_small.yaml"


@dataclass(frozen=True)
class Review:
    """Result of one training."""

    set: str
    seed: int
    ap50: float
    labels: int
    """Of both sets, as the training got them."""
    corrupted: Mapping[str, int]
    """Wrong labels by kind."""
    found: Mapping[str, int]
    """Of these, in the first lines, see READ_SHARE."""
    found_early: Mapping[str, int]
    """In the first half of these lines."""
    lines: int
    """Of the whole list."""
    likely: int
    """Lines with a score of LIKELY_WRONG or more."""
    likely_corrupted: int
    """Of these, with a label that was made wrong; the others may be wrong in the set itself."""
    seconds: float


class WrongSet:
    """A half of a set with wrong labels, by the names that images have in a task."""

    def __init__(self, images: Sequence[AnnotatedImage], share: float, seed: int) -> None:
        sizes = [read_image_hw(image.path) for image in images]
        self.images, corruptions = corrupt_labels(images, sizes, share, seed)
        names = [asset_name(image.path) for image in images]
        self.corruptions = [(names[one.image], one) for one in corruptions]

    @property
    def labels(self) -> int:
        return sum(len(image.boxes) for image in self.images)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the missing trainings, then print the table; with --docs also put it into a document."""
    options = _read_arguments(arguments)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    require_same_settings(out, {name: getattr(options, name) for name in _SETTINGS})
    labelled = load_set(options.set, out / "images")
    journal = Journal(out / "reviews.jsonl", Review)
    for seed in options.seeds:
        if journal.find(seed=seed) is None:
            journal.add(run_review(out / "task", labelled, seed, options))
            print(format_table(journal.results), flush=True)
    publish(f"{SECTION} {labelled.name}", format_table(journal.results), options.docs)


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", required=True, help="see labelled_sets.py: bccd=DIR, pcb=DIR, drawn:demo")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--share", type=float, default=0.05, help="of the labels that are made wrong (%(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="(%(default)s)")
    parser.add_argument("--image-size", type=int, default=240, help="pixels of the short edge (%(default)s)")
    parser.add_argument("--start-config", default=_CONFIG, metavar="FILE.yaml", help="(%(default)s)")
    parser.add_argument("--labelled-only", action="store_true", help="leave out images without boxes")
    parser.add_argument("--val-images", type=int, default=0, help="of the validation set; 0: all")
    parser.add_argument("--precision", default="auto", help="bf16 is faster on processors that have it")
    parser.add_argument("--docs", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


def run_review(root: Path, labelled: LabelledSet, seed: int, options: argparse.Namespace) -> Review:
    """Train on wrong labels, and count how many of them the list names.

    Raises:
        CalledProcessError: the training failed; its log.txt says why.
    """
    started_s = time.perf_counter()
    train = WrongSet(draw_subset(labelled.train, 0, labelled_only=options.labelled_only), options.share, seed)
    val_images = draw_subset(labelled.val, options.val_images, labelled_only=options.labelled_only)
    val = WrongSet(val_images, options.share, 1000 + seed)
    form = {
        "config_file": options.start_config, "batch_size": 4, "learning_rate": 0.01, "max_iter": options.steps,
        "eval_period": options.steps, "precision": options.precision, "seed": seed, "engine": "torch",
        "image_size": options.image_size,
    }  # fmt: skip
    if root.exists():  # of an interrupted run
        shutil.rmtree(str(root))
    sets: dict[str, Any] = {"train": train.images, "val": val.images}
    env_file = write_task_folder(root, task="train", class_names=labelled.class_names, **sets, config=form)
    status = run_task(env_file, root / "log.txt")
    if status:
        raise subprocess.CalledProcessError(status, f"start.py, see {root / 'log.txt'}")
    rows = read_label_review(root / "out" / FILE_NAME) or []
    ap50 = pack_best_stage(root / "out" / "models").m_ap
    review = judge(labelled.name, seed, {"training": train, "validation": val}, rows)
    shutil.rmtree(str(root))
    return Review(**{**review, "ap50": round(ap50, 4), "seconds": round(time.perf_counter() - started_s, 1)})


def judge(name: str, seed: int, halves: Mapping[str, WrongSet], rows: Sequence[ReviewRow]) -> dict[str, Any]:
    """Return the fields of a `Review` that follow from the list.

    Args:
        halves: "training" and "validation".
    """
    labels = sum(half.labels for half in halves.values())
    ranks = [
        (one.kind, find_rank(half_name, image, one, rows))
        for half_name, half in halves.items() for image, one in half.corruptions
    ]  # fmt: skip
    read, likely = int(READ_SHARE * labels), sum(row.score >= LIKELY_WRONG for row in rows)
    return {
        "set": name, "seed": seed, "labels": labels, "lines": len(rows), "likely": likely,
        "corrupted": dict(Counter(kind for kind, _ in ranks)),
        "found": dict(Counter(kind for kind, rank in ranks if rank <= read)),
        "found_early": dict(Counter(kind for kind, rank in ranks if rank <= read // 2)),
        "likely_corrupted": sum(rank <= likely for _, rank in ranks),
    }  # fmt: skip


def find_rank(half: str, image: str, one: Corruption, rows: Sequence[ReviewRow]) -> float:
    """Return the rank of the first line that names a wrong label; infinity where none does."""
    for row in rows:
        if row.set_name == half and row.image.rpartition("/")[2] == image and _names(row, one):
            return row.rank
    return float("inf")


def _names(row: ReviewRow, one: Corruption) -> bool:
    if row.box is not None:
        return one.false is not None and (row.class_name, *row.box) == one.false
    if one.true is None or one.kind not in ("removed", "moved") or row.suggested_box is None:
        return False
    suggested: LabelledBox = (one.true[0], *row.suggested_box)
    return iou_of(suggested, one.true) >= _SAME_OBJECT_IOU


def format_table(reviews: Sequence[Review]) -> str:
    """Format a row per seed, and their mean (lowest to highest)."""
    rows = [[str(one.seed), *_cells([one])] for one in reviews]
    if len(reviews) > 1:
        rows.append(["all", *_cells(reviews)])
    head = ["seed", "AP50", "labels", "wrong", "found in the first 10 %", "in 5 %", *KINDS,
            f"score >= {LIKELY_WRONG:g}", "of these made wrong"]  # fmt: skip
    return table(head, rows) + "\n"


def _cells(reviews: Sequence[Review]) -> list[str]:
    def shares(of: str, kind: str = "") -> list[float]:
        kinds = [kind] if kind else list(KINDS)
        return [
            sum(getattr(one, of).get(key, 0) for key in kinds) / total
            for one in reviews if (total := sum(one.corrupted.get(key, 0) for key in kinds))
        ]  # fmt: skip

    likely = [one.likely_corrupted / one.likely for one in reviews if one.likely]
    columns = [[one.ap50 for one in reviews], shares("found"), shares("found_early")]
    ap50, found, early = map(mean_and_range, columns)
    return [
        ap50, _sum(one.labels for one in reviews), _sum(sum(one.corrupted.values()) for one in reviews), found, early,
        *(mean_and_range(shares("found", kind)) or "-" for kind in KINDS),
        _sum(one.likely for one in reviews), mean_and_range(likely) or "-",
    ]  # fmt: skip


def _sum(numbers: Any) -> str:
    return f"{sum(numbers):,}"


if __name__ == "__main__":
    main()
