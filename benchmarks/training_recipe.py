"""Ablation of the training recipe: the predecessor's, ours, and ours with one part changed; equal steps, several seeds.

    python3 benchmarks/training_recipe.py --set bccd=DIR --out FOLDER [--start-config FILE.yaml] [--steps 200]
        [--image-size 160] [--labelled-only] [--seeds 0 1 2] [--recipes NAME ..]
    python3 benchmarks/recipe_report.py FOLDER .. [--docs FILE.md]

FOLDER/trainings.jsonl   one line per training: {"recipe": "ours", "seed": 0, "steps": 200, "ap50": ..}
FOLDER/settings.json     what all trainings of the folder have in common

Each training is a task by start.py with one evaluation, at its end: no choice of a lucky stage. An interrupted run
continues where it was. A folder holds one set; the report puts several side by side.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

PROJECT_DIR = Path(__file__).resolve().parent.parent
if str(PROJECT_DIR) not in sys.path:
    sys.path.insert(0, str(PROJECT_DIR))

from benchmarks.experiment import Journal, require_same_settings  # noqa: E402
from benchmarks.labelled_sets import load_set  # noqa: E402
from benchmarks.recipe_report import BASE, PREDECESSOR, Training, format_table  # noqa: E402
from benchmarks.short_training import draw_subset, train_once  # noqa: E402
from ymir_detectron2.sources.labelled_image import AnnotatedImage  # noqa: E402

CONFIG_FILE = "configs/CPU/retinanet_R_18_FPN_small.yaml"
_SETTINGS = (
    "set", "start_config", "steps", "batch_size", "learning_rate", "image_size", "precision", "labelled_only",
    "train_images", "val_images", "args_options",
)  # fmt: skip
"""Options that must be the same for all results in a folder; seeds and recipes may be added."""

_OLD_SCHEDULE = "SOLVER.STEPS (60000,80000) SOLVER.WARMUP_ITERS 1000"
_NO_CLIPPING = "SOLVER.CLIP_GRADIENTS.ENABLED False"
_LONG_WARM_UP = "SOLVER.WARMUP_ITERS {third}"
_WITHOUT_EMPTY = "DATALOADER.FILTER_EMPTY_ANNOTATIONS True"
EVALUATIONS = 10
"""Of a recipe with early stopping; all others have one."""

RECIPES: Mapping[str, Mapping[str, Any]] = {
    BASE: {},
    # its schedule for 90,000 steps, whatever the length of the run: a linear warm-up to the end of a short one
    PREDECESSOR: {"args_options": f"{_OLD_SCHEDULE} {_NO_CLIPPING} {_WITHOUT_EMPTY}"},
    "without clipping": {"args_options": _NO_CLIPPING},
    "warm-up of a third": {"args_options": _LONG_WARM_UP},
    "without fitted warm-up and decays": {"args_options": _OLD_SCHEDULE},
    "`class_weights: auto`": {"class_weights": "auto"},
    "`anchors: auto`": {"anchors": "auto"},
    "`empty_share: 0.25`": {"empty_share": 0.25},
    "`empty_share: 0.5`": {"empty_share": 0.5},
    "learning rate halved": {"learning_rate": 0.5},
    "learning rate divided by 4": {"learning_rate": 0.25},
    "learning rate doubled": {"learning_rate": 2.0},
    "no clipping, warm-up of a third": {"args_options": f"{_NO_CLIPPING} {_LONG_WARM_UP}"},
    "warm-up of a third, `class_weights: auto`, `empty_share: 0.25`": {
        "class_weights": "auto", "empty_share": 0.25, "args_options": _LONG_WARM_UP,
    },
    "image size times 1.5": {"image_size": 1.5},
    "`augment: vertical_flip`": {"augment": "vertical_flip"},
    "without horizontal flip": {"args_options": "INPUT.RANDOM_FLIP none"},
    "`augment: light_jitter`": {"augment": "light_jitter"},
    "`augment: colour_jitter`": {"augment": "colour_jitter"},
    "`ema: 0.99`": {"ema": 0.99},
    "`repeat_factor: 0.3`": {"repeat_factor": 0.3},
    "`patience: 3`, ten evaluations": {"patience": 3},
    "`augment: mosaic`": {"augment": "mosaic"},
    "`augment: scale_jitter`": {"augment": "scale_jitter"},
    "`augment: random_crop`": {"augment": "random_crop"},
    "without images that show nothing": {"args_options": _WITHOUT_EMPTY},
}  # fmt: skip
"""Name -> keys of the form; for `image_size` and `learning_rate` factors on the common value, `{third}` is one of
the steps. What is tried first stands first: an interrupted run has the rows that matter. An EMA decay of 0.999 is too
slow for a short run."""


@dataclass(frozen=True)
class Plan:
    """Settings that all trainings of a folder have in common."""

    out: Path
    train: Sequence[AnnotatedImage]
    val: Sequence[AnnotatedImage]
    config_file: str
    steps: int
    batch_size: int
    learning_rate: float
    """Of `config_file` for `batch_size`."""
    image_size: int
    precision: str
    args_options: str
    """Before those of a recipe."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the trainings that are missing."""
    options = _read_arguments(arguments)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    require_same_settings(out, {name: getattr(options, name) for name in _SETTINGS})
    labelled = load_set(options.set, out / "images")
    plan = Plan(
        out,
        draw_subset(labelled.train, options.train_images, labelled_only=options.labelled_only),
        draw_subset(labelled.val, options.val_images, labelled_only=options.labelled_only),
        *(getattr(options, name) for name in ("start_config", "steps", "batch_size", "learning_rate", "image_size")),
        *(getattr(options, name) for name in ("precision", "args_options")),
    )
    journal = Journal(out / "trainings.jsonl", Training)
    for seed, recipe in itertools.product(options.seeds, options.recipes):  # seed by seed: after an interruption
        if journal.find(recipe=recipe, seed=seed) is None:
            one = run_training(plan, recipe, seed)
            journal.add(one)
            print(f"seed {seed}  {recipe}: AP50 {one.ap50:.3f}, {one.seconds:.0f} s {one.failure}", flush=True)
    print(f"\n{format_table(journal.results, list(RECIPES))}", flush=True)


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="drawn:demo", metavar="SET", help="as in labelled_sets.py (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--start-config", default=CONFIG_FILE, metavar="FILE.yaml",
                        help="network, weights and learning rate of all trainings (%(default)s)")  # fmt: skip
    parser.add_argument("--labelled-only", action="store_true", help="leave out images without boxes, in both sets")
    parser.add_argument("--train-images", type=int, default=0, help="at most; 0: all")
    parser.add_argument("--val-images", type=int, default=0, help="at most; 0: all")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=0.01, help="of `ours` (%(default)s)")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES), metavar="NAME")
    parser.add_argument("--args-options", default="", help="for all trainings, e.g. MODEL.BACKBONE.FREEZE_AT 4")
    return parser.parse_args(arguments)


def training_form(plan: Plan, recipe: str, seed: int) -> dict[str, Any]:
    """Return the keys of the form of one training."""
    changed = dict(RECIPES[recipe])
    form = {
        "config_file": plan.config_file, "engine": "torch", "batch_size": plan.batch_size, "max_iter": plan.steps,
        "eval_period": plan.steps, "precision": plan.precision, "seed": seed, "num_workers": 1,
    }  # fmt: skip
    if "patience" in changed:
        form["eval_period"] = max(1, plan.steps // EVALUATIONS)
    form["image_size"] = round(plan.image_size * changed.pop("image_size", 1.0))
    form["learning_rate"] = plan.learning_rate * changed.pop("learning_rate", 1.0)
    options = f"{plan.args_options} {changed.pop('args_options', '')}".strip()
    options = options.format(third=max(1, plan.steps // 3))
    return {**form, **changed, "args_options": options}


def run_training(plan: Plan, recipe: str, seed: int) -> Training:
    """Run one task and return its line of the journal."""
    outcome = train_once(plan.out / "task", plan.train, plan.val, training_form(plan, recipe, seed))
    return Training(recipe, seed, plan.steps, *outcome)


if __name__ == "__main__":
    main()
