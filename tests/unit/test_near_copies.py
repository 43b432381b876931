"""Near copies among images: shots of one scene are, other scenes are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.near_copies import NearCopies


def draw(path: Path, scene: int, *, shift: int = 0, light: float = 1.0) -> Path:
    """Write an image of 120 pixels: a smooth random scene, `shift` pixels to the right."""
    coarse = np.random.default_rng(scene).uniform(40, 180, size=(6, 6))
    pixels = cv2.resize(coarse, (140, 120), interpolation=cv2.INTER_CUBIC)[:, 20 - shift : 140 - shift] * light
    assert cv2.imwrite(str(path), np.clip(pixels, 0, 255).astype(np.uint8))
    return path


@pytest.fixture
def copies(tmp_path: Path) -> NearCopies:
    images = [draw(tmp_path / f"{scene}.png", scene) for scene in range(4)]
    images += [draw(tmp_path / "moved.png", 0, shift=2), draw(tmp_path / "darker.png", 1, light=0.8)]
    assert cv2.imwrite(str(tmp_path / "black.png"), np.zeros((50, 80, 3), np.uint8))
    return NearCopies([*images, tmp_path / "black.png"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param(["0.png", "1.png", "2.png", "3.png"], 0, id="other scenes"),
        pytest.param(["0.png", "2.png", "moved.png"], 1, id="the same scene, moved"),
        pytest.param(["moved.png", "0.png"], 1, id="in either order"),
        pytest.param(["darker.png", "1.png"], 1, id="in other light"),
        pytest.param(["0.png", "1.png", "moved.png", "darker.png"], 2, id="two of two scenes"),
        pytest.param(["black.png", "0.png"], 0, id="a plain image resembles none"),
    ],
)
def test_images_that_resemble_one_before_them_are_counted(copies: NearCopies, names: list[str], expected: int) -> None:
    assert copies.count(names) == expected


def test_damaged_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        NearCopies([tmp_path / "broken.jpg"])
