"""Results of mining and inference in a folder that somebody has sent: their page is made, or one of them is refused."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

from ymir_detectron2.errors import ConfigError, DatasetError
from ymir_detectron2.results.page import render_page
from ymir_detectron2.results.task_output import find_task_outputs
from ymir_detectron2.results.task_page import BUILDERS

from .mutation import damaged
from .plain_data import changed

EXPECTED = (ConfigError, DatasetError)

_BOX = {"box": {"x": 3, "y": 4, "w": 10, "h": 7}, "class_name": "<b>cat</b>", "score": 0.5}
_REASON = {
    "asset": "/in/assets/a.jpg", "score": -0.5, "facts": [["flip", 0.5]],
    "boxes": [
        {"xyxy": [1, 2, 3, 4], "class_name": "cat", "score": 0.5, "value": 0.1, "augmentation": "", "class_probs": []},
        {"xyxy": [1, 2, 3, 4], "class_name": "dog", "score": 0.5, "value": 0.1, "augmentation": "flip",
         "class_probs": [["cat", 0.5]]},
    ],
    "parts": {
        "gain": 0.5, "novelty": 0.8, "resembles": "b.jpg", "nothing_found": False,
        "classes": [{"class_name": "cat", "evidence": 1, "weight": 1, "before": 2, "gain": 0.5, "is_rare": True}],
    },
}  # fmt: skip
_PARTS = """\
image\tscore\tclass\tnothing_found\tgain\tnovelty\tresembles
/in/assets/a.jpg\t-0.500000\t<b>cat</b>\t0\t0.500000\t0.800\tb.jpg
/in/assets/c.jpg\t-0.600000\t\t1\t0.400000\t\t
"""
_SUMMARY = {"images": 2, "images_per_second": 1.5, "findings": {"left out": {"count": 1, "first": ["b.jpg"]}}}
_JSON: dict[str, Any] = {
    "mining-explanations.json": {"algorithm": "cald", "images": [_REASON]},
    "mining-summary.json": _SUMMARY,
    "infer-summary.json": _SUMMARY,
}


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write the output folder of a task; infer-result.json with a line for each image, or on one line."""
    images = _maybe_changed({"a.jpg": {"boxes": [_BOX, _BOX]}, "</script>.jpg": {"annotations": []}}, rng)
    entries = images.items() if isinstance(images, dict) else [("a.jpg", images)]
    end, separator = rng.choice((("\n", ",\n"), ("", ", ")))
    lines = separator.join(f"{json.dumps(str(name))}: {json.dumps(entry)}" for name, entry in entries)
    _write(folder / "infer-result.json", f'{{"detection": {{{end}{lines}{end}}}}}\n', rng)
    _write(folder / "result.tsv", "/in/assets/a.jpg\t-0.500000\n/in/assets/b.jpg\t-2.000000\n", rng)
    _write(folder / "mining-parts.tsv", _PARTS, rng)
    for name, content in _JSON.items():
        _write(folder / name, json.dumps(_maybe_changed(content, rng)), rng)
    return folder


def _maybe_changed(content: Any, rng: random.Random) -> Any:
    return changed(copy.deepcopy(content), rng, rng.choice((1, 1, 2, 5))) if rng.random() < 0.3 else content


def _write(path: Path, text: str, rng: random.Random) -> None:
    if rng.random() < 0.9:
        path.write_bytes(damaged(text.encode("utf-8"), rng, 0.02))


def read(path: Path) -> None:
    """Render the page of each task that is found there, and find the data in it again."""
    for output in find_task_outputs(path):
        sections = [section for section in (build(output) for build in BUILDERS) if section is not None]
        html = render_page("Results", "", sections)
        html.encode("utf-8")
        embedded = html.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
        assert list(json.loads(embedded)) == [section.name for section in sections]
