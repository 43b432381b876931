"""detectron2 0.6 finds the filter that Pillow 10 renamed."""

from __future__ import annotations

from PIL import Image

from ymir_detectron2.engines import pillow_names


def test_the_old_name_means_the_same_filter():
    assert pillow_names.Image is Image
    assert Image.LINEAR == Image.BILINEAR
