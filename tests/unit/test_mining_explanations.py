"""mining-explanations.json: as written, the same bytes each time, and nothing else is taken for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
from pydantic import ValidationError

from ymir_detectron2.results.mining_explanations import (
    MOST_BOXES,
    BoxReason,
    ImageReason,
    MiningExplanations,
    read_explanations,
    write_explanations,
)

BOX = BoxReason(
    xyxy=(1.0, 2.5, 30.0, 40.0), class_name="cat", score=0.75, value=0.125, augmentation="flip",
    class_probs=[("cat", 0.75), ("dog", 0.25)],
)  # fmt: skip
IMAGE = ImageReason(asset="/in/ü.jpg", score=-0.125, facts=[("flip", 0.125)], boxes=[BOX])
EXPLANATIONS = MiningExplanations(algorithm="cald", images=[IMAGE])


def test_reasons_come_back_as_they_were_written(tmp_path: Path):
    path = tmp_path / "mining-explanations.json"
    write_explanations(path, EXPLANATIONS)
    assert read_explanations(path) == EXPLANATIONS
    before = path.read_bytes()
    write_explanations(path, EXPLANATIONS)
    assert path.read_bytes() == before


def change(path: list[Any], value: Any) -> Callable[[Any], None]:
    def apply(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        change(["algorithm"], 3),
        change(["images"], None),
        change(["images", 0], []),
        change(["images", 0, "asset"], ["a"]),
        change(["images", 0, "score"], "high"),
        change(["images", 0, "facts"], [["flip"]]),
        change(["images", 0, "facts"], [["flip", 10**400]]),
        change(["images", 0, "boxes", 0], "box"),
        change(["images", 0, "boxes", 0, "xyxy"], [1, 2, 3]),
        change(["images", 0, "boxes", 0, "xyxy"], [1, 2, 3, 1e300]),
        change(["images", 0, "boxes", 0, "class_name"], {"<b>": 1}),
        change(["images", 0, "boxes"], [BOX.model_dump()] * (MOST_BOXES + 1)),
    ],
)  # fmt: skip
def test_what_has_another_form_is_not_there(tmp_path: Path, damage: Callable[[Any], None]):
    path = tmp_path / "a.json"
    write_explanations(path, EXPLANATIONS)
    content = json.loads(path.read_bytes())
    damage(content)
    path.write_text(json.dumps(content))
    assert read_explanations(path) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"algorithm": "cald", "images": [' + b"[" * 100_000])
def test_what_is_no_such_file_is_not_there(tmp_path: Path, content: bytes):
    assert read_explanations(tmp_path / "gone.json") is None
    (tmp_path / "a.json").write_bytes(content)
    assert read_explanations(tmp_path / "a.json") is None


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(score: float):
    with pytest.raises(ValidationError, match="score"):
        ImageReason(asset="a.jpg", score=score)
