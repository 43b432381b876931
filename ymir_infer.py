"""Predict the boxes of the candidate images: the inference script of a task."""

import sys

from ymir_detectron2.config.settings import InferSettings
from ymir_detectron2.tasks.infer import infer
from ymir_detectron2.tasks.script import run_script

if __name__ == "__main__":
    sys.exit(run_script("inference", InferSettings, infer))
