"""The options that name a labelled dataset, for `make_task` and the command line. Nothing but argparse is imported."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the dataset, how it is read where its content does not say it, and how it is divided."""
    group = parser.add_argument_group("data")
    group.add_argument("source", nargs="?", type=Path, metavar="DATA", help="folder, COCO JSON file or data.yaml")
    group.add_argument("--voc", type=Path, metavar="DIR", help="the same, for DATA in several formats: Pascal VOC")
    group.add_argument("--split", nargs="+", default=[], metavar="FILE", help="its lists: training, then validation")
    group.add_argument("--coco", type=Path, metavar="DIR", help="a COCO dataset, or the images of --coco-json")
    group.add_argument("--coco-json", nargs="+", default=[], type=Path, metavar="FILE", help="training, validation")
    group.add_argument("--yolo", type=Path, metavar="DIR", help="a YOLO dataset, or its data.yaml")
    group.add_argument(
        "--classes", metavar="a,b,c", help="in the order of their indexes; default all, sorted; lower-cased"
    )
    group.add_argument(
        "--val-share", type=_share, default=0.2, metavar="SHARE",
        help="for validation, if the data has no such set (%(default)s)",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of that division")


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return share
