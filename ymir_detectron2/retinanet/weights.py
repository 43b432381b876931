"""Resolve MODEL.WEIGHTS to a file: a path, a file of the weights folders, or a download into the first of them.

detectron2://ImageNetPretrained/MSRA/R-50.pkl  ->  <folder>/ImageNetPretrained/MSRA/R-50.pkl
                                                   <folder>/MSRA/R-50.pkl, <folder>/R-50.pkl
"""

from __future__ import annotations

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
from ..file_digest import file_digest

logger = logging.getLogger(__name__)

STORE = "https://dl.fbaipublicfiles.com/detectron2/"
SHORT = "detectron2://"
DOWNLOADED = "https://"
TIMEOUT_S = 30  # without a byte from the server

NO_CHECKSUM = "its publisher gives no checksum, neither in its name nor in detectron2's lists"
"""The reason why the ImageNet files, R-50.pkl and R-101.pkl, are only protected by TLS."""

_ZOO_NAME = re.compile(r"_([0-9a-f]{6})\.pkl$")
"""model_final_bfca0b.pkl: the first digits of the file's MD5, see detectron2's MODEL_ZOO.md."""


def resolve_weights(reference: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of MODEL.WEIGHTS; None for '', which is training from scratch on purpose.

    Args:
        reference: path, detectron2://... or https://...
        folders: weights folders; the first one that has the file wins, the first writable one takes a download.

    Raises:
        ModelError: a path that does not exist, or another kind of address.
        NetworkError: not in the folders, and the download fails; names the place to put the file.
    """
    if not reference:
        return None
    address = _address(reference)
    if "://" not in address:
        if not Path(address).is_file():
            raise ModelError(
                f"MODEL.WEIGHTS {address}: no such file (looked in {Path.cwd()} for a relative path); "
                "give the path of a .pth or .pkl file"
            )
        return Path(address)
    if not address.startswith(DOWNLOADED):
        raise ModelError(f"MODEL.WEIGHTS {reference}: expected a path, {SHORT}... or https://...")
    return find_weights(reference, folders) or _download(address, _tail(address), reference, folders)


def find_weights(reference: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of an address if a folder has it already."""
    parts = _tail(_address(reference)).split("/")
    # people copy such a file with the whole path below the folder, or with less of it
    candidates = (Path(folder, *parts[start:]) for folder in folders for start in range(len(parts)))
    return next((path for path in candidates if path.is_file()), None)


def _address(reference: str) -> str:
    return STORE + reference[len(SHORT) :] if reference.startswith(SHORT) else reference


def _tail(address: str) -> str:
    """The path of an address below a folder, without anything that could lead out of it."""
    path = address[len(STORE) :] if address.startswith(STORE) else address.rsplit("/", 1)[-1]
    parts = [part for part in path.split("?")[0].split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "weights"


def _download(address: str, tail: str, reference: str, folders: Sequence[Path]) -> Path:
    target, temporary = _open_target(tail, reference, folders)
    try:
        logger.info("downloading %s to %s", address, target)
        _check_digest(address, _fetch(address, temporary))
        temporary.replace(target)  # only a whole and checked file ever has the name
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise NetworkError(f"{address}: cannot be downloaded ({error}); {_remedy(tail, folders)}") from error
    finally:
        if temporary.exists():
            temporary.unlink()
    return target


def _open_target(tail: str, reference: str, folders: Sequence[Path]) -> tuple[Path, Path]:
    """The final and a temporary path in the first folder that can be written."""
    for folder in folders:
        target = Path(folder, tail)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        except OSError:  # read-only, full, or a file in place of the folder: the next one may do
            continue
        os.close(handle)
        return target, Path(name)
    listed = ", ".join(str(folder) for folder in folders) or "none given"
    raise StorageError(f"{reference}: no weights folder can be written ({listed}); set YMIR_WEIGHTS_DIR to one")


def _fetch(address: str, target: Path) -> str:
    """Download an address to a file; return the MD5 of its content."""
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response, target.open("wb") as file:  # noqa: S310 - https
        shutil.copyfileobj(response, file, 1 << 20)
        promised = response.headers.get("Content-Length")
        if promised is not None and file.tell() < int(promised):  # urllib takes a broken connection for the end
            raise http.client.HTTPException(f"broke off after {file.tell()} of {promised} bytes")
    return file_digest(target, "md5")  # against damage only; detectron2 publishes nothing stronger


def _check_digest(address: str, digest: str) -> None:
    name = _ZOO_NAME.search(address)
    if not name:
        logger.info("%s is not checked for damage: %s", address, NO_CHECKSUM)
    elif not digest.startswith(name[1]):
        raise NetworkError(f"{address}: came damaged: its MD5 begins {digest[:6]}, expected {name[1]}; try again")


def _remedy(tail: str, folders: Sequence[Path]) -> str:
    place = Path(folders[0] if folders else "<folder>", tail)
    return (
        f"put the file at {place}, or set YMIR_WEIGHTS_DIR to a folder that has it, "
        "or train from scratch on purpose with args_options 'MODEL.WEIGHTS \"\"'"
    )
