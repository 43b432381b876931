"""Train the weights that the curves of active learning start from: a network that knows a little, as users have one.

    python3 benchmarks/start_weights.py --set drawn:boards --out boards.pth [--start FILE.pth --start-config FILE.yaml]

From ImageNet or random weights, trainings on a few dozen images are mostly noise: which images they are hardly shows.
The other options are those of active_learning.py. FILE.pth goes to it with `--start`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Sequence

PROJECT_DIR = Path(__file__).resolve().parent.parent
if str(PROJECT_DIR) not in sys.path:
    sys.path.insert(0, str(PROJECT_DIR))

from benchmarks.labelled_sets import load_set  # noqa: E402
from benchmarks.shared_trainings import SharedTrainings, add_training_options, training_form  # noqa: E402
from ymir_detectron2.tools.packed_model import pack_best_stage  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and keep the weights of the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.pth")
    parser.add_argument("--seed", type=int, default=0)
    add_training_options(parser, "drawn:boards", steps=800)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.out.parent) as folder:
        data = load_set(options.set, Path(folder) / "images")
        trainings = SharedTrainings(Path(folder), data, training_form(options), options.start)
        done = trainings.result("start", data.train, options.seed, keep=True)
        stage = pack_best_stage(trainings.model("start", data.train, options.seed))
        (weights,) = [file for name, file in stage.files if name.endswith(".pth")]
        shutil.copy(str(weights), str(options.out))
    print(f"{options.out}: AP50 {done.ap50:.3f} on its own validation images, {done.processor_s:.0f} processor seconds")


if __name__ == "__main__":
    main()
