"""What a page about a training is made of, in a folder that somebody has sent: the page is always made."""

from __future__ import annotations

import copy
import functools
import json
import random
import tempfile
from pathlib import Path
from typing import Any, Mapping

from tests.evaluated_sets import random_evaluation
from ymir_detectron2.evaluation.evaluation_summary import summarise
from ymir_detectron2.evaluation.label_review_file import FILE_NAME
from ymir_detectron2.evaluation.loss_curve import LossCurve
from ymir_detectron2.evaluation.training_history import training_history
from ymir_detectron2.results.label_review_page import label_review_section
from ymir_detectron2.results.page import render_page
from ymir_detectron2.results.task_output import TaskOutput
from ymir_detectron2.results.training_page import training_section

from .mutation import damaged
from .plain_data import changed

_LABEL_REVIEW = (
    "rank\tscore\tkind\tset\timage\tclass\tbox\tsuggested class\tsuggested box\n"
    "1\t0.9000\twrong class\ttraining\t/in/assets/a.jpg\tcat\t1 2 30 40\t<b>\t2 2 31 41\n"
    "2\t0.5000\tmissing\tvalidation\t/in/assets/b.jpg\t\t\tdog\t5 5 9 9\n"
)
EXPECTED = ()
"""What the reader may raise: nothing. A file that is refused is a sentence of the page."""


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write the output folder of a training."""
    out_dir = folder / "out"
    for name, content in _files().items():
        if rng.random() < 0.1:
            continue
        is_changed = rng.random() < 0.5
        text = json.dumps(changed(copy.deepcopy(content), rng, rng.choice((1, 1, 2, 5))) if is_changed else content)
        path = out_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged(text.encode(), rng, 0.05))  # JSON is YAML too
    out_dir.mkdir(exist_ok=True)
    if rng.random() < 0.5:
        (out_dir / FILE_NAME).write_bytes(damaged(_LABEL_REVIEW.encode(), rng, 0.05))
    return out_dir


def read(path: Path) -> None:
    """Render the page, and find its data in it."""
    built = [build(TaskOutput(path)) for build in (training_section, label_review_section)]
    sections = [section for section in built if section is not None]
    html = render_page("Training", "", sections)
    embedded = html.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    assert set(json.loads(embedded)) == {section.name for section in sections}


@functools.lru_cache(maxsize=1)
def _files() -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        evaluation = random_evaluation(Path(folder), ("cat", "<b>", "dog"), 6)
    curve = {"loss_cls": LossCurve([1, 2, 3], [0.3, 0.2, 0.1])}
    stages = {f"iter_{step}": {"stage_name": f"iter_{step}", "files": [], "mAP": 0.5, "boxAP": 0.2} for step in (1, 2)}
    summary = {
        "images": 6, "images_without_boxes": 1, "boxes": 9, "boxes_per_class": {"cat": 9},
        "boxes_by_size": {"small": 9}, "image_width": {"min": 1, "median": 2, "max": 3},
        "findings": {"left out": {"count": 1, "first": ["a.jpg"]}},
    }  # fmt: skip
    return {
        "models/attachments/evaluation/evaluation.json": json.loads(summarise(evaluation, "iter_2", 2).as_bytes()),
        "training-history.json": json.loads(training_history(3, curve, curve, {}).as_bytes()),
        "models/result.yaml": {"best_stage_name": "iter_2", "model_stages": stages},
        "models/config.yaml": {"SOLVER": {"BASE_LR": 0.01, "STEPS": [1, 2]}},
        "dataset-report.json": {"training": summary, "validation": summary, "warnings": ["few boxes"]},
        "train-summary.json": {"steps": 3, "seconds_per_step": 0.5, "device": "CPU"},
    }
