"""Give Pillow the one name that detectron2 0.6 still uses and Pillow 10 took away; to be imported before detectron2.

The CUDA 11.1 image needs both: detectron2 0.6 is the last release for its torch, and Pillow before 10 brings a libwebp
that runs code from an image file (CVE-2023-4863). detectron2's main branch says BILINEAR since 2023.
"""

from __future__ import annotations

from PIL import Image

if not hasattr(Image, "LINEAR"):
    Image.LINEAR = Image.BILINEAR  # type: ignore[attr-defined]
