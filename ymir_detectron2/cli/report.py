"""`report OUT`: the page about the results of a run, written again."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import printable

EXAMPLES = """examples:
  ymir-detectron2 report runs/train
  ymir-detectron2 report /data/task/out
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command, and the function that runs it."""
    parser.epilog = EXAMPLES
    parser.add_argument("out", type=Path, metavar="OUT", help="a run, or its out")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the page, and print its path."""
    from ..results.task_page import write_task_pages

    for page in write_task_pages(options.out):
        print(printable(str(page)))
    return 0
