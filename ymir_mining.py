"""Score the candidates of the task that env.yaml describes by how much labelling them would teach."""

import sys

from ymir_detectron2.settings import MiningSettings
from ymir_detectron2.tasks.mine import mine
from ymir_detectron2.tasks.script import run_script

if __name__ == "__main__":
    sys.exit(run_script("mining", MiningSettings, mine))
