"""Run a task with a checkout of this project that is mounted into the image at /code, if its version fits the image.

    docker run -v "$PWD":/code:ro -v ... ymir-detectron2:current

docker/start.sh starts this module from the image's own code when there is a /code, so that a checkout that does not fit
is reported like every other error. It never fetches code: what the platform calls live code is refused in
`contract/task.py`.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path

from . import __version__
from .entrypoint import Process, argument_parser, run_start
from .errors import ConfigError, StoppedError
from .version import REVISION_VARIABLE

logger = logging.getLogger(__name__)

_VERSION = re.compile(r'^__version__ = "((\d+\.\d+)\.[^"\n]*)"', re.MULTILINE)
_REMEDY = "mount a checkout of ymir-detectron2 there, or nothing"


def main() -> int:
    """Check the checkout and become its start.py; return 1 if it does not fit."""
    parser = argument_parser(__doc__)
    parser.add_argument("checkout", type=Path)
    options = parser.parse_args()

    def check(process: Process) -> None:
        check_checkout(options.checkout)
        process.stop.hold_back()  # until the checkout's start.py handles signals
        if process.stop.requested():
            raise StoppedError(f"stopped by {process.stop.name} before {options.checkout} began; start the task again")

    status = run_start(options.env, check, log_level=logging.INFO)
    if status == 0:
        os.environ.pop(REVISION_VARIABLE, None)  # that of the image; the checkout's own .git names its revision
        env_file, checkout = options.env.absolute(), options.checkout.absolute()
        os.chdir(checkout)  # `python -m` looks here first: with several GPUs the launcher would be the image's
        os.execv(sys.executable, [sys.executable, str(checkout / "start.py"), "--env", str(env_file)])  # noqa: S606
    return status


def check_checkout(checkout: Path) -> None:
    """Compare the version of a checkout with that of the image, whose packages it will use; nothing of it is run.

    Raises:
        ConfigError: it is not a checkout, or its version is not that of the image up to the second number.
    """
    try:
        text = (checkout / "ymir_detectron2" / "__init__.py").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        # Docker makes an empty folder of a path that does not exist
        raise ConfigError(f"{checkout}: holds no ymir_detectron2/__init__.py that can be read; {_REMEDY}") from error
    version = _VERSION.search(text)
    if version is None or not (checkout / "start.py").is_file():
        raise ConfigError(f"{checkout}: holds no start.py, or ymir_detectron2 without a version; {_REMEDY}")
    if version[2] != ".".join(__version__.split(".")[:2]):
        raise ConfigError(
            f"{checkout}: is version {version[1]}, and this image has what version {__version__} needs;"
            f" check out {__version__}, or build the image of {version[1]}"
        )
    logger.info("running the checkout %s, version %s, in this image of version %s", checkout, version[1], __version__)


if __name__ == "__main__":
    sys.exit(main())
