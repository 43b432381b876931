"""What are pretrained weights worth? One network from them and from random weights, frozen or not, few or many steps.

    python3 -m ymir_detectron2.tools.weights from-onnx MODEL.onnx resnet.pth    (docs/training.md, "Foreign weights")
    python3 benchmarks/pretrained_value.py --set bccd=DIR --start-config FILE.yaml --out FOLDER [--steps 100 600]
        [--image-size 160] [--labelled-only] [--seeds 0]
    python3 benchmarks/pretrained_value.py --report bccd=FOLDER pcb=FOLDER [--docs docs/training.md]

FOLDER/trainings.jsonl   one line per training, as those of training_recipe.py

Frozen: stem to res4 (MODEL.BACKBONE.FREEZE_AT 4). Random weights of layers that are trained get batch norms that are
trained as well, since a frozen norm of random weights keeps no scale. Everything else is today's default. Resumable.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any, Mapping, Sequence

PROJECT_DIR = Path(__file__).resolve().parent.parent
if str(PROJECT_DIR) not in sys.path:
    sys.path.insert(0, str(PROJECT_DIR))

from benchmarks.experiment import Journal, require_same_settings  # noqa: E402
from benchmarks.labelled_sets import load_set  # noqa: E402
from benchmarks.page import mean_and_range, publish, table  # noqa: E402
from benchmarks.recipe_report import Training  # noqa: E402
from benchmarks.short_training import draw_subset, train_once  # noqa: E402

SECTION = "pretrained"
_SETTINGS = (
    "set", "start_config", "batch_size", "learning_rate", "image_size", "precision", "labelled_only", "val_images"
)
_FROZEN, _TRAINED = "MODEL.BACKBONE.FREEZE_AT 4", "MODEL.BACKBONE.FREEZE_AT 0"
STARTS: Mapping[str, Mapping[str, Any]] = {
    "pretrained, frozen": {"args_options": _FROZEN},
    "pretrained": {"args_options": _TRAINED},
    "random, frozen": {"pretrained": "none", "args_options": _FROZEN},
    "random": {"pretrained": "none", "args_options": f"{_TRAINED} MODEL.RESNETS.NORM BN"},
}
"""Name -> keys of the form."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the trainings that are missing, or report those of several folders."""
    options = _read_arguments(arguments)
    if options.report:
        sets = {name: Journal(Path(folder) / "trainings.jsonl", Training).results for name, folder in options.report}
        publish(SECTION, format_starts(sets), options.docs)
        return
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    require_same_settings(out, {name: getattr(options, name) for name in _SETTINGS})
    labelled = load_set(options.set, out / "images")
    train = draw_subset(labelled.train, 0, labelled_only=options.labelled_only)
    val = draw_subset(labelled.val, options.val_images, labelled_only=options.labelled_only)
    journal = Journal(out / "trainings.jsonl", Training)
    # short ones first: an interrupted run has whole columns
    for seed, steps, start in itertools.product(options.seeds, sorted(options.steps), options.starts):
        if journal.find(recipe=start, seed=seed, steps=steps) is None:
            outcome = train_once(out / "task", train, val, training_form(options, start, steps, seed))
            journal.add(Training(start, seed, steps, *outcome))
            print(f"seed {seed}  {steps} steps  {start}: AP50 {outcome.ap50:.3f}, {outcome.seconds:.0f} s"
                  f" {outcome.failure}", flush=True)  # fmt: skip


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="drawn:demo", metavar="SET", help="as in labelled_sets.py (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="FOLDER")
    parser.add_argument("--start-config", metavar="FILE.yaml", help="a network and its weights (MODEL.WEIGHTS)")
    parser.add_argument("--labelled-only", action="store_true", help="leave out images without boxes, in both sets")
    parser.add_argument("--val-images", type=int, default=0, help="at most; 0: all")
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 600])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=list(STARTS), metavar="NAME")
    parser.add_argument("--report", nargs="+", metavar="NAME=FOLDER", type=lambda text: text.partition("=")[::2])
    parser.add_argument("--docs", type=Path, metavar="FILE", help="document to put the report into")
    options = parser.parse_args(arguments)
    if not options.report and not (options.out and options.start_config):
        parser.error("--out and --start-config are needed, or --report")
    return options


def training_form(options: argparse.Namespace, start: str, steps: int, seed: int) -> dict[str, Any]:
    """Return the keys of the form of one training."""
    return {
        "config_file": options.start_config, "engine": "torch", "batch_size": options.batch_size, "max_iter": steps,
        "eval_period": steps, "learning_rate": options.learning_rate, "image_size": options.image_size,
        "precision": options.precision, "seed": seed, "num_workers": 1, **STARTS[start],
    }  # fmt: skip


def format_starts(sets: Mapping[str, Sequence[Training]]) -> str:
    """Format a row per start and a column per set and number of steps: AP50, mean (lowest to highest) over seeds."""
    columns = [(name, steps) for name, found in sets.items() for steps in sorted({one.steps for one in found})]
    rows = []
    for start in STARTS:
        cells = [
            mean_and_range([one.ap50 for one in sets[name] if (one.recipe, one.steps) == (start, steps)])
            for name, steps in columns
        ]
        rows.append([start, *(cell or None for cell in cells)])
    return table(["start", *(f"{name}, {steps} steps" for name, steps in columns)], rows) + "\n"


if __name__ == "__main__":
    main()
