"""What is known about the content of published weights: pinned SHA-256, and the digits in the names of the model zoo.

    weights.sha256    <64 hex digits>  ImageNetPretrained/MSRA/R-50.pkl     as sha256sum writes and checks it
    model_final_bfca0b.pkl                                                  the MD5 of the file begins with bfca0b
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Mapping

from ..atomic_file import atomic_write
from ..errors import ConfigError, ModelError
from ..file_digest import file_digest

PINS_FILE = Path(__file__).with_name("weights.sha256")

_PIN = re.compile(r"([0-9a-f]{64})  (\S.*)")
_ZOO_NAME = re.compile(r"_([0-9a-f]{6})\.pkl$")
"""See detectron2's MODEL_ZOO.md. It publishes nothing stronger, and for the ImageNet files nothing at all."""


def check_digest(path: Path, name: str) -> str:
    """Check the content of a file against what is known about it.

    Args:
        path: the file.
        name: where it belongs below a weights folder, such as MSRA/R-50.pkl.

    Returns:
        What it was checked by; '' when nothing is known about it.

    Raises:
        ModelError: it is another file, or a damaged one.
    """
    pin = read_pins().get(name)
    if pin is not None:
        digest = file_digest(path)
        if digest != pin:
            raise ModelError(f"{path}: is damaged or was changed: its SHA-256 is {digest}, pinned is {pin}")
        return "the pinned SHA-256"
    digits = _ZOO_NAME.search(name)
    if digits is None:
        return ""
    digest = file_digest(path, "md5")
    if not digest.startswith(digits[1]):
        raise ModelError(f"{path}: is damaged: its MD5 begins {digest[:6]}, expected {digits[1]}")
    return "the first digits of its MD5"  # against damage: 24 bits keep nobody out


def read_pins() -> dict[str, str]:
    """Return the pinned SHA-256 of each published file that has one, by its place below a weights folder.

    Raises:
        ConfigError: a line is not of that form; an unread pin would protect nothing.
    """
    pins = {}
    for number, line in enumerate(PINS_FILE.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _PIN.fullmatch(line)
        if match is None:
            raise ConfigError(f"{PINS_FILE}:{number}: expected '<SHA-256>  <file>', found {line!r}; correct the line")
        pins[match[2]] = match[1]
    return pins


def write_pins(pins: Mapping[str, str]) -> None:
    """Write the pins, sorted by file, below the comment that the file begins with.

    Raises:
        StorageError: the checkout cannot be written.
    """
    comments = [line for line in PINS_FILE.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    lines = [f"{digest}  {name}" for name, digest in sorted(pins.items())]
    with atomic_write(PINS_FILE) as file:
        file.write("\n".join([*comments, *lines, ""]))
