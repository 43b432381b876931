"""Where MODEL.WEIGHTS lies: a path, a file of the weights folders, or a download into the first of them.

detectron2://ImageNetPretrained/MSRA/R-50.pkl  ->  <folder>/ImageNetPretrained/MSRA/R-50.pkl
                                                   <folder>/MSRA/R-50.pkl, <folder>/R-50.pkl
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Sequence

from ..errors import ModelError, NetworkError, StorageError

logger = logging.getLogger(__name__)

STORE = "https://dl.fbaipublicfiles.com/detectron2/"
SHORT = "detectron2://"
DOWNLOADED = "https://"
TIMEOUT_S = 30
"""Longest silence of the other side."""

NO_CHECKSUM = "its publisher gives no checksum, neither in its name nor in detectron2's lists"
"""Why the ImageNet files, R-50.pkl and R-101.pkl, are taken as they come over TLS."""

_ZOO_NAME = re.compile(r"_([0-9a-f]{6})\.pkl$")
"""model_final_bfca0b.pkl: the digits begin the file's MD5, says detectron2's MODEL_ZOO.md."""


def resolve_weights(reference: str, folders: Sequence[Path]) -> Path | None:
    """Return the file that MODEL.WEIGHTS means; None for '', which is training from scratch on purpose.

    Args:
        reference: path, detectron2://... or https://...
        folders: where weights are kept; the first one that has the file wins, the first writable one takes a download.

    Raises:
        ModelError: a path that does not exist, or a kind of address that this engine does not know.
        NetworkError: not in the folders and not to be had; says where to put the file.
    """
    if not reference:
        return None
    address = _address(reference)
    if "://" not in address:
        return _existing(Path(address))
    if not address.startswith(DOWNLOADED):
        raise ModelError(f"MODEL.WEIGHTS {reference}: expected a path, {SHORT}... or https://...")
    found = find_weights(reference, folders)
    return found or _download(address, _tail(address), reference, folders)


def find_weights(reference: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of an address where a folder has it already."""
    tail = _tail(_address(reference))
    places = (place for folder in folders for place in _candidates(folder, tail))
    return next((place for place in places if place.is_file()), None)


def _address(reference: str) -> str:
    return STORE + reference[len(SHORT) :] if reference.startswith(SHORT) else reference


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ModelError(
            f"MODEL.WEIGHTS {path}: no such file (looked in {Path.cwd()} for a relative path); "
            "give the path of a .pth or .pkl file"
        )
    return path


def _tail(address: str) -> str:
    """Return the part of an address that names the file in a folder, without what could lead out of it."""
    path = address[len(STORE) :] if address.startswith(STORE) else address.rsplit("/", 1)[-1]
    parts = [part for part in path.split("?")[0].split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "weights"


def _candidates(folder: Path, tail: str) -> list[Path]:
    """List the places where people put such a file: the whole path below the folder, or ever less of it."""
    parts = tail.split("/")
    return [Path(folder, *parts[start:]) for start in range(len(parts))]


def _download(address: str, tail: str, reference: str, folders: Sequence[Path]) -> Path:
    wanted, temporary = _open_target(tail, reference, folders)
    try:
        logger.info("downloading %s to %s", address, wanted)
        digest = _fetch(address, temporary)
        _check_digest(address, digest)
        temporary.replace(wanted)
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise NetworkError(f"{address}: cannot be downloaded ({error}); {_remedy(tail, folders)}") from error
    finally:
        if temporary.exists():
            temporary.unlink()
    return wanted


def _open_target(tail: str, reference: str, folders: Sequence[Path]) -> tuple[Path, Path]:
    """Return the final and a temporary path in the first folder that can be written."""
    for folder in folders:
        wanted = Path(folder, tail)
        try:
            wanted.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{wanted.name}.", dir=wanted.parent)
        except OSError:
            continue
        os.close(handle)
        return wanted, Path(name)
    listed = ", ".join(str(folder) for folder in folders) or "none given"
    raise StorageError(f"{reference}: no weights folder can be written ({listed}); set YMIR_WEIGHTS_DIR to one")


def _fetch(address: str, target: Path) -> str:
    """Copy the address to the file; return the MD5 of its content."""
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response, target.open("wb") as file:  # noqa: S310 - https
        shutil.copyfileobj(response, file, 1 << 20)
        promised = response.headers.get("Content-Length")
        if promised is not None and file.tell() < int(promised):  # Python takes it for the end
            raise http.client.HTTPException(f"broke off after {file.tell()} of {promised} bytes")
    digest = hashlib.md5()  # noqa: S324 - guards against damage only; detectron2 publishes nothing stronger
    with target.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _check_digest(address: str, digest: str) -> None:
    name = _ZOO_NAME.search(address)
    if not name:
        logger.info("%s is not checked for damage: %s", address, NO_CHECKSUM)
    elif not digest.startswith(name[1]):
        raise NetworkError(f"{address}: came damaged: its MD5 begins {digest[:6]}, expected {name[1]}; try again")


def _remedy(tail: str, folders: Sequence[Path]) -> str:
    place = Path(folders[0], tail) if folders else Path("<folder>", tail)
    return (
        f"put the file at {place}, or set YMIR_WEIGHTS_DIR to a folder that has it, "
        "or train from scratch on purpose with args_options 'MODEL.WEIGHTS \"\"'"
    )
