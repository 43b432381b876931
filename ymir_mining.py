"""Score the candidate images by how informative their labels would be: the mining script of a task."""

import sys

from ymir_detectron2.config.settings import MiningSettings
from ymir_detectron2.tasks.mine import mine
from ymir_detectron2.tasks.script import run_script

if __name__ == "__main__":
    sys.exit(run_script("mining", MiningSettings, mine))
