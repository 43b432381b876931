"""Ablation of the training recipe: the predecessor's, ours, and ours with one part changed; equal steps, several seeds.

    python3 benchmarks/training_recipe.py --out FOLDER [--voc DIR] [--steps 600] [--seeds 0 1 2] [--docs FILE.md]

FOLDER/trainings.jsonl   one line per training: {"recipe": "ours", "seed": 0, "steps": 600, "ap50": ..}
FOLDER/recipes.md        the table of these lines; with --docs also between the markers of that document

Each training is a task by start.py with one evaluation, at its end: no choice of a lucky stage. An interrupted run
continues where it was.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

PROJECT_DIR = Path(__file__).resolve().parent.parent
if str(PROJECT_DIR) not in sys.path:
    sys.path.insert(0, str(PROJECT_DIR))

from benchmarks.experiment import Journal, load_images, require_same_settings, run_task  # noqa: E402
from benchmarks.recipe_report import BASE, Training, format_table, put_into  # noqa: E402
from ymir_detectron2.sources.labelled_image import AnnotatedImage  # noqa: E402
from ymir_detectron2.tools.packed_model import pack_best_stage  # noqa: E402
from ymir_detectron2.tools.task_folder import write_task_folder  # noqa: E402

_SETTINGS = ("voc", "steps", "batch_size", "precision", "args_options")
"""Options that must be the same for all results in a folder; seeds and recipes may be added."""
CONFIG_FILE = "configs/CPU/retinanet_R_18_FPN_small.yaml"

_OLD_SCHEDULE = "SOLVER.STEPS (60000,80000) SOLVER.WARMUP_ITERS 1000"
_NO_CLIPPING = "SOLVER.CLIP_GRADIENTS.ENABLED False"
_WITHOUT_EMPTY = "DATALOADER.FILTER_EMPTY_ANNOTATIONS True"

RECIPES: Mapping[str, Mapping[str, Any]] = {
    # its schedule for 90,000 steps, whatever the length of the run, and its learning rate, whatever the batch
    "the predecessor's": {
        "learning_rate": 0.01, "args_options": f"{_OLD_SCHEDULE} {_NO_CLIPPING} {_WITHOUT_EMPTY}",
    },
    BASE: {},
    "without fitted warm-up and decays": {"args_options": _OLD_SCHEDULE},
    "without clipping": {"args_options": _NO_CLIPPING},
    "without images that show nothing": {"args_options": _WITHOUT_EMPTY},
    "`ema: 0.99`": {"ema": 0.99},
    "`repeat_factor: 0.9`": {"repeat_factor": 0.9},
    "`class_weights: auto`": {"class_weights": "auto"},
    "`anchors: auto`": {"anchors": "auto"},
    "`augment: vertical_flip`": {"augment": "vertical_flip"},
    "`augment: colour_jitter`": {"augment": "colour_jitter"},
    "`augment: scale_jitter`": {"augment": "scale_jitter"},
    "`augment: random_crop`": {"augment": "random_crop"},
    "`augment: mosaic`": {"augment": "mosaic"},
}  # fmt: skip
"""Name -> keys of the form. An EMA decay of 0.999 is too slow for a short run, hence 0.99; 0.9 repeats platelets."""


@dataclass(frozen=True)
class Plan:
    """Settings that all trainings have in common."""

    out: Path
    train: Sequence[AnnotatedImage]
    val: Sequence[AnnotatedImage]
    steps: int
    options: str
    """Of args_options, before those of a recipe."""
    batch_size: int
    precision: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the trainings that are missing, and write the table after each."""
    options = _read_arguments(arguments)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    require_same_settings(out, {name: getattr(options, name) for name in _SETTINGS})
    train, val = load_images(options.voc, out / "images")
    plan = Plan(out, train, val, options.steps, options.args_options, options.batch_size, options.precision)
    journal = Journal(out / "trainings.jsonl", Training)
    for seed, recipe in itertools.product(options.seeds, options.recipes):  # seed by seed: after an interruption
        if journal.find(recipe=recipe, seed=seed) is None:
            one = run_training(plan, recipe, seed)
            journal.add(one)
            print(f"seed {seed}  {recipe}: AP50 {one.ap50:.3f}, {one.seconds:.0f} s {one.failure}", flush=True)
        table = format_table(journal.results, list(RECIPES))
        (out / "recipes.md").write_text(table, encoding="utf-8")
        if options.docs:
            put_into(options.docs, table)
    print(f"\n{format_table(journal.results, list(RECIPES))}", flush=True)


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--voc", type=Path, metavar="DIR", help="Pascal VOC set with train.txt and val.txt; else drawn")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES), metavar="NAME")
    parser.add_argument("--args-options", default="INPUT.MIN_SIZE_TRAIN (160,) INPUT.MIN_SIZE_TEST 160",
                        help="for all trainings (%(default)s)")  # fmt: skip
    parser.add_argument("--docs", type=Path, metavar="FILE", help="document to put the table into")
    return parser.parse_args(arguments)


def run_training(plan: Plan, recipe: str, seed: int) -> Training:
    """Write a task folder, run it, read its results, and remove it."""
    started_s = time.perf_counter()
    root = plan.out / "task"
    if root.exists():  # of an interrupted run
        shutil.rmtree(str(root))
    form = {
        "config_file": CONFIG_FILE, "engine": "torch", "batch_size": plan.batch_size, "max_iter": plan.steps,
        "eval_period": plan.steps, "precision": plan.precision, "seed": seed, **RECIPES[recipe],
    }  # fmt: skip
    form["args_options"] = f"{plan.options} {form.get('args_options', '')}".strip()
    names = sorted({box[0] for image in plan.train for box in image.boxes})
    env_file = write_task_folder(root, task="train", class_names=names, train=plan.train, val=plan.val, config=form)
    log = root / "log.txt"
    failure = ""
    if run_task(env_file, log):
        text = log.read_text(encoding="utf-8", errors="replace")
        failure = next((line for line in reversed(text.splitlines()) if line.startswith("ERROR ")), "no reason")
    by_class = {} if failure else _ap50_by_class(root / "out" / "tensorboard")
    ap50 = 0.0 if failure else pack_best_stage(root / "out" / "models").m_ap
    shutil.rmtree(str(root))  # some 40 trainings with their stages would fill a disk
    rounded = {name: round(value, 4) for name, value in by_class.items()}
    seconds = round(time.perf_counter() - started_s, 1)
    return Training(recipe, seed, plan.steps, round(ap50, 4), rounded, failure, seconds)


def _ap50_by_class(folder: Path) -> dict[str, float]:
    """Read AP50 by class of the only evaluation from TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(next(folder.iterdir()))).Reload()
    tags = [tag for tag in accumulator.Tags()["scalars"] if tag.startswith("validation_AP50/")]
    return {tag.partition("/")[2]: accumulator.Scalars(tag)[-1].value for tag in tags}


if __name__ == "__main__":
    main()
