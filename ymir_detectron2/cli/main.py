"""The command `ymir-detectron2`: its commands, and how they end.

Exit status: 0, 1 with one sentence on stderr, 2 for a command line that makes no sense, 128 + number after a signal.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import shlex
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn, Sequence

from ..errors import ExecutorError, escape_unencodable, printable

PROGRAM = "ymir-detectron2"
COMMANDS = {
    "train": "train a detector on labelled images (Pascal VOC, COCO JSON, YOLO)",
    "predict": "predict the boxes of images",
    "mine": "rank images by what their labels would teach the model",
    "report": "write the page about the results of a run again",
    "convert": "turn predictions into annotations for a labelling tool",
    "export": "export a model as ONNX, or as a package for YMIR",
    "weights": "list, fetch, check and pack published weights",
}
"""Each is a module of this package with `add_arguments(parser)`, which is imported when its command is given."""
_DESCRIPTION = """Train RetinaNet on your own images, predict, and find the images that are worth labelling.

examples:
  ymir-detectron2 train DATA
  ymir-detectron2 predict runs/train IMAGES
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; None: that of this process."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        escape_unencodable(stream)
    options = parser_for(given).parse_args(given)
    logging.basicConfig(format="%(levelname)-8s %(message)s")
    # what is half made, such as a task folder, is then removed on the way out
    handlers = {number: signal.signal(number, _exit_by_signal) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print(f"{PROGRAM} {options.command}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except Exception as error:  # the outermost frame of the program
        return _fail(options.command, error)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line; argparse would print the usage as well."""

    def error(self, message: str) -> NoReturn:
        """End the program with status 2."""
        self.exit(2, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")


class _Version(argparse.Action):
    """Print the version line of the log."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from ..version import describe_version

        print(describe_version())
        parser.exit()


def parser_for(arguments: Sequence[str]) -> Parser:
    """Return the parser, which knows the options of the command that is given, and the names of the others."""
    parser = Parser(PROGRAM, description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action=_Version, nargs=0, help="of this program, Python, torch and CUDA")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    given = next((word for word in arguments if not word.startswith("-")), "")
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
        command.description = f"{purpose[0].upper()}{purpose[1:]}."
        if name == given:
            importlib.import_module(f"{__package__}.{name}").add_arguments(command)
    return parser


def command_line(*words: str) -> str:
    """Return a command for a person to type next, in the way in which this one was started."""
    program = PROGRAM if Path(sys.argv[0]).name == PROGRAM else "python3 -m ymir_detectron2"
    return f"{program} {' '.join(map(shlex.quote, words))}"


def _exit_by_signal(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _fail(command: str, error: Exception) -> int:
    """Print why a command has failed, as one sentence in English and one in Chinese; return its exit status."""
    from ..failure import as_executor_error, print_reason

    known = as_executor_error(error)
    if type(known) is ExecutorError and known is not error and not isinstance(error, OSError):
        traceback.print_exception(type(error), error, error.__traceback__)  # the sentence asks to report it
    print_reason(f"{PROGRAM} {command}: {' '.join(printable(str(known)).split())}", known.code, sys.stderr)
    return 1
