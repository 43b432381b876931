"""Write retinanet.json from the real detectron2: `python -m tests.golden.make_retinanet_golden`.

Run it where detectron2 can be imported. It stores numbers only, and which detectron2 and torch made them.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path
from typing import Any, Mapping

import detectron2
import numpy as np
import torch

from tests.golden.retinanet_cases import CASES, SOLVER_CASES, Measured, Trained, crc_of, sample_of

GOLDEN = Path(__file__).with_name("retinanet.json")
KEPT_BOXES = 12


def main() -> None:
    from tests.golden.detectron2_side import measure, measure_training

    content = {
        "made_with": versions(),
        "cases": {case.name: condensed(measure(case)) for case in CASES},
        "solver": {case.name: condensed_training(measure_training(case)) for case in SOLVER_CASES},
    }
    GOLDEN.write_text(json.dumps(content, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    folder = Path(detectron2.__file__).resolve().parents[1]
    git = ["git", "-C", str(folder), "log", "-1", "--format=%H %cs"]
    commit = subprocess.run(git, stdout=subprocess.PIPE, check=False, text=True).stdout.strip()
    return {"detectron2": detectron2.__version__, "commit": commit, "torch": torch.__version__, "numpy": np.__version__}


def condensed(measured: Measured) -> dict[str, Any]:
    """Keep checksums of what must be identical, and samples of the rest."""
    return {
        "batch_shape": list(measured.batch.shape),
        "batch_crc": crc_of(measured.batch),
        "batch": sample_of(measured.batch),
        "anchor_crcs": [crc_of(level) for level in measured.anchors],
        "anchors": [sample_of(level) for level in measured.anchors],
        "logits": [sample_of(level) for level in measured.logits],
        "deltas": [sample_of(level) for level in measured.deltas],
        "detections": {str(key): [boxes_of(one) for one in found] for key, found in measured.detections.items()},
        "detections_alone": [boxes_of(one) for one in measured.detections_alone[0.05]],
        "detections_alone_above_0.5": [boxes_of(one) for one in measured.detections_alone[0.5]],
        "losses": measured.trained.losses,
        "gradient_norms": seven_digits(measured.trained.gradient_norms),
        "loss_normalizer": measured.trained.loss_normalizer,
    }


def condensed_training(trained: Trained) -> dict[str, Any]:
    """Keep what the solver decides."""
    return {
        "losses": trained.losses,
        "learning_rates": trained.learning_rates,
        "update_norms": seven_digits(trained.update_norms),
        "loss_normalizer": trained.loss_normalizer,
    }


def seven_digits(norms: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.7g}") for name, value in norms.items()}


def boxes_of(detections: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    return {
        "count": len(detections["scores"]),
        "boxes": [[round(float(x), 3) for x in box] for box in detections["boxes"][:KEPT_BOXES]],
        "scores": [round(float(score), 6) for score in detections["scores"][:KEPT_BOXES]],
        "classes": [int(index) for index in detections["classes"][:KEPT_BOXES]],
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    main()
