"""Find boxes in the candidates of the task that env.yaml describes."""

import sys

from ymir_detectron2.settings import InferSettings
from ymir_detectron2.tasks.infer import infer
from ymir_detectron2.tasks.script import run_script

if __name__ == "__main__":
    sys.exit(run_script("inference", InferSettings, infer))
