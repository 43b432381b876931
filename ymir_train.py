"""Train a detector: the training script of a task."""

import sys

from ymir_detectron2.config.settings import TrainSettings
from ymir_detectron2.tasks.script import run_script
from ymir_detectron2.tasks.train import train

if __name__ == "__main__":
    sys.exit(run_script("training", TrainSettings, train))
