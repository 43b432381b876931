"""The config.yaml that is packed with a model: the resolved configuration of its training, as detectron2 opens it."""

from __future__ import annotations

from .engine_config import EngineConfig

TRAIN_SET, VAL_SET = "ymir_train", "ymir_val"
"""Names of the sets of a task in detectron2's catalogs, see `ymir_detectron2.register`."""


def packed_yaml(cfg: EngineConfig, weights_name: str) -> str:
    """Return the YAML of a stage.

    Its keys name nothing of the machine or the task that it was trained by: neither is there where it is used.

    Args:
        weights_name: of the file next to which it is packed.
    """
    # in a run of a few steps, several decays fall on one step or on the last, which detectron2's scheduler refuses
    decays = tuple(sorted({step for step in cfg["SOLVER.STEPS"] if 0 < step < cfg["SOLVER.MAX_ITER"]}))
    return cfg.to_yaml(
        {
            "MODEL.WEIGHTS": weights_name,  # detectron2 searches it in the working folder
            "MODEL.DEVICE": "cpu",  # the only one that every machine has; detectron2 knows no "GPU, if there is one"
            "DATASETS.TRAIN": (TRAIN_SET,),
            "DATASETS.TEST": (VAL_SET,),
            "OUTPUT_DIR": "./output",  # detectron2's own default
            "SOLVER.STEPS": decays,
        }
    )
