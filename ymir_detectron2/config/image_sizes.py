"""The settings of sizes in pixels: `image_size`, all sizes of a configuration in proportion to another short edge; what
`tile_size` and `tile_overlap` may be.
"""

from __future__ import annotations

from typing import Any

from ..tile_windows import LEAST_SIDE
from .engine_config import AnyConfig, EngineConfig
from .setting import Limit, require

MAX_EDGE = 32768
"""Pixels that a short edge may have."""
MAX_LONGEST_EDGE = 1_000_000
"""Pixels that the limit of the longer edge may have; 99999 is how configurations say that there is none."""
SHORT_EDGE = Limit(f"from 32 to {MAX_EDGE}, or 0", lambda pixels: 32 <= pixels <= MAX_EDGE)
"""What `image_size` may be."""

TILE_SIDE = Limit(f"at least {LEAST_SIDE}, or 0", lambda pixels: pixels >= LEAST_SIDE)
"""What `tile_size` may be as a number."""


def require_overlap(tile_size: int, tile_overlap: int) -> None:
    """Refuse an overlap that tiles of this side cannot have; 0, the default one, always fits.

    Raises:
        ConfigError: names the key and its value.
    """
    # not a `Limit`: it depends on another key
    require("tile_overlap", tile_overlap, 0 <= tile_overlap <= tile_size // 2, "at most half of tile_size")


def scaled_sizes(cfg: EngineConfig, image_size: int) -> dict[str, Any]:
    """Return all sizes of images, in their old proportions, with the short edge of inference at `image_size` pixels.

    They are those of training, of inference, and of the copies in test-time augmentation.
    """
    short_edges = cfg["INPUT.MIN_SIZE_TRAIN"]
    # an edge of 0 leaves images at their own size, to which nothing is in proportion
    factor = image_size / (cfg["INPUT.MIN_SIZE_TEST"] or max(short_edges) or image_size)

    def short(edges: tuple[int, ...]) -> tuple[int, ...]:
        # bounded, since the sizes of an augmentation that is off are checked as well
        return tuple(min(max(1, round(edge * factor)), MAX_EDGE) if edge else image_size for edge in edges)

    def longest(edge: int) -> int:
        return min(max(1, round(edge * factor)), MAX_LONGEST_EDGE)

    return {
        "INPUT.MIN_SIZE_TRAIN": short(short_edges),
        "INPUT.MAX_SIZE_TRAIN": longest(cfg["INPUT.MAX_SIZE_TRAIN"]),
        "INPUT.MIN_SIZE_TEST": image_size,
        "INPUT.MAX_SIZE_TEST": longest(cfg["INPUT.MAX_SIZE_TEST"]),
        "TEST.AUG.MIN_SIZES": short(cfg["TEST.AUG.MIN_SIZES"]),
        "TEST.AUG.MAX_SIZE": longest(cfg["TEST.AUG.MAX_SIZE"]),
    }


def with_image_size(cfg: AnyConfig, image_size: int) -> AnyConfig:
    """Return the configuration with `scaled_sizes`; as it is where `image_size` is 0."""
    return cfg.merged(scaled_sizes(cfg, image_size), "config.yaml") if image_size else cfg
