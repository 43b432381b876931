"""`weights`: the commands of `tools.weights`."""

from __future__ import annotations

import argparse

from ..tools.weights import add_commands

EXAMPLES = """examples:
  ymir-detectron2 weights list
  ymir-detectron2 weights fetch --into weights coco-R-50-3x
  ymir-detectron2 weights from-onnx resnet.onnx resnet.pth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands."""
    parser.epilog = EXAMPLES
    add_commands(parser)
