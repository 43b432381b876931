"""Train a detector: the training script of a task."""

import sys
from typing import Any

from ymir_detectron2.supervision import die_with_supervisor


def main() -> int:
    """Run the task; return the exit status."""
    die_with_supervisor()  # before the imports, which take a second
    from ymir_detectron2.tasks.script import run_script

    return run_script("training", load)


def load() -> Any:
    """Return the settings and the function of the task, which are imported only when a failure can be reported."""
    from ymir_detectron2.config.train_settings import TrainSettings
    from ymir_detectron2.tasks.train import train

    return TrainSettings, train


if __name__ == "__main__":
    sys.exit(main())
