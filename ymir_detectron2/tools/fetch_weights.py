"""Download published weights into a folder, for a Docker image that has to work without internet access.

    python3 -m ymir_detectron2.tools.fetch_weights --into /weights all|none|NAME[,NAME...]

The names of model zoo files contain the first digits of their MD5, which are checked. For the ImageNet files no
checksum is published: their SHA-256 is printed, and checked if it is in `SHA256` below.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Sequence

from ..engines.pretrained import COCO_WEIGHTS, IMAGENET_WEIGHTS
from ..errors import ConfigError, ExecutorError, NetworkError
from ..file_digest import file_digest
from ..retinanet.weights import resolve_weights

PUBLISHED = {
    "imagenet-R-50": IMAGENET_WEIGHTS[50],
    "imagenet-R-101": IMAGENET_WEIGHTS[101],
    "coco-R-50-1x": COCO_WEIGHTS[50][1],
    "coco-R-50-3x": COCO_WEIGHTS[50][0],
    "coco-R-101-3x": COCO_WEIGHTS[101][0],
}
"""The weights that the configs of the project start from, and the COCO models."""

SHA256: dict[str, str] = {}
"""Name to checksum, for images that must pin their weights; fill it from the output of a trusted first run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Download, check and list weights; return 1 with one sentence on stderr when a file cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", help=f"all, none, or some of {', '.join(PUBLISHED)}")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    parsed = parser.parse_args(arguments)
    try:
        # in the format of sha256sum, for `SHA256`
        for name in chosen_names(parsed.names):
            print(f"{_fetch(name, parsed.into)}  {name}", flush=True)
    except ExecutorError as error:
        print(f"fetch_weights: {error}", file=sys.stderr)
        return 1
    return 0


def chosen_names(text: str) -> list[str]:
    """Parse `all`, `none` or comma-separated names.

    Raises:
        ConfigError: there are no weights of that name.
    """
    if text in ("all", "none"):
        return list(PUBLISHED) if text == "all" else []
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in PUBLISHED:
            raise ConfigError(f"there are no weights called {name!r}; choose all, none or of {', '.join(PUBLISHED)}")
    return names


def _fetch(name: str, folder: Path) -> str:
    """Download one file unless it is there already, and return its SHA-256."""
    path = resolve_weights(PUBLISHED[name], [folder])
    if path is None:
        raise NetworkError(f"{name}: has no address")
    digest = file_digest(path)
    # of files that were there already as well: somebody may have put them into the folder
    if SHA256.get(name, digest) != digest:
        raise NetworkError(f"{path}: its SHA-256 is {digest}, expected {SHA256[name]}; remove it and fetch again")
    return digest


if __name__ == "__main__":
    sys.exit(main())
