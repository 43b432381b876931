"""Predict the boxes of the candidate images: the inference script of a task."""

import sys
from typing import Any

from ymir_detectron2.supervision import die_with_supervisor


def main() -> int:
    """Run the task; return the exit status."""
    die_with_supervisor()  # before the imports, which take a second
    from ymir_detectron2.tasks.script import run_script

    return run_script("inference", load)


def load() -> Any:
    """Return the settings and the function of the task, which are imported only when a failure can be reported."""
    from ymir_detectron2.config.prediction_settings import InferSettings
    from ymir_detectron2.tasks.infer import infer

    return InferSettings, infer


if __name__ == "__main__":
    sys.exit(main())
