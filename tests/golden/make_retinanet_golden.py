"""Write retinanet.json from the real detectron2: `python tests/golden/make_retinanet_golden.py`.

Run it where detectron2 can be imported. It stores numbers only, and which detectron2 and torch made them.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path
from typing import Any

import detectron2
import numpy as np
import torch
from retinanet_cases import CASES, Measured, crc_of, sample_of

GOLDEN = Path(__file__).with_name("retinanet.json")
KEPT_BOXES = 12


def main() -> None:
    from detectron2_side import measure

    torch.set_num_threads(1)
    content = {"made_with": versions(), "cases": {case.name: condensed(measure(case)) for case in CASES}}
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
        "detections": {str(key): [boxes_of(item) for item in found] for key, found in measured.detections.items()},
        "detections_alone": [boxes_of(item) for item in measured.detections_alone],
        "losses": measured.losses,
        "gradient_norms": {name: float(f"{value:.7g}") for name, value in measured.gradient_norms.items()},
        "loss_normalizer": measured.loss_normalizer,
    }


def boxes_of(found: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    return {
        "count": len(found["scores"]),
        "boxes": [[round(float(x), 3) for x in box] for box in found["boxes"][:KEPT_BOXES]],
        "scores": [round(float(score), 6) for score in found["scores"][:KEPT_BOXES]],
        "classes": [int(index) for index in found["classes"][:KEPT_BOXES]],
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # detectron2 calls things that torch deprecates
    main()
