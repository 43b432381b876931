"""Resolve MODEL.WEIGHTS to a file: a path, a file of the weights folders, or a download into the first of them.

detectron2://ImageNetPretrained/MSRA/R-50.pkl  ->  <folder>/ImageNetPretrained/MSRA/R-50.pkl
                                                   <folder>/MSRA/R-50.pkl, <folder>/R-50.pkl
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Callable, Sequence

from ..config.model_zoo import CATALOG
from ..download import download
from ..errors import ModelError, NetworkError, StorageError, briefly
from ..untrusted_files import is_file, is_path
from .weight_digests import check_digest

logger = logging.getLogger(__name__)

STORE = "https://dl.fbaipublicfiles.com/detectron2/"
SHORT = "detectron2://"
DOWNLOADED = "https://"


def resolve_weights(reference: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of MODEL.WEIGHTS; None for '', which is training from scratch on purpose.

    Args:
        reference: path, detectron2://... or https://...
        folders: weights folders; the first one that has the file wins, the first writable one takes a download.

    Raises:
        ModelError: a path that does not exist, or another kind of address.
        NetworkError: not in the folders, and the download fails; names the place to put the file.
        StorageError: no folder can be written, or its disk is full.
    """
    if not reference:
        return None
    if not is_path(reference):
        raise ModelError(f"MODEL.WEIGHTS {briefly(reference)}: cannot be a path or an address; correct it")
    address = _address(reference)
    if "://" not in address:
        if not is_file(Path(address)):
            raise ModelError(
                f"MODEL.WEIGHTS {address}: no such file (looked in {Path.cwd()} for a relative path); "
                "give the path of a .pth or .pkl file"
            )
        return Path(address)
    if not address.startswith(DOWNLOADED):
        raise ModelError(f"MODEL.WEIGHTS {reference}: expected a path, {SHORT}... or https://...")
    found = find_weights(reference, folders)
    if found is not None:
        return found
    try:
        return download_weights(reference, _writable_folder(reference, folders))
    except NetworkError as error:
        raise NetworkError(
            f"{error}; put the file at {Path(folders[0], place_below_folder(reference))}, or set YMIR_WEIGHTS_DIR to a"
            " folder that has it, or train from scratch on purpose with args_options 'MODEL.WEIGHTS \"\"'"
        ) from error


def find_weights(reference: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of an address if a folder has it already."""
    parts = place_below_folder(reference).split("/")
    # people copy such a file with the whole path below the folder, or with less of it
    candidates = (Path(folder, *parts[start:]) for folder in folders for start in range(len(parts)))
    return next(filter(is_file, candidates), None)


def place_below_folder(reference: str) -> str:
    """Return where the file of an address belongs below a weights folder; nothing in it leads out of the folder."""
    address = _address(reference)
    path = address[len(STORE) :] if address.startswith(STORE) else address.rsplit("/", 1)[-1]
    parts = [part for part in path.split("?")[0].split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "weights"


def download_weights(reference: str, folder: Path, check: Callable[[Path], object] | None = None) -> Path:
    """Download an address into a folder, and return the file.

    Args:
        reference: detectron2://... or https://...
        folder: the file gets its place below it.
        check: raises ModelError if the file is not what it should be; None: if its digest is another than is known, or
            if it cannot be read.

    Raises:
        NetworkError: the download fails, or what came is damaged; one sentence without a remedy.
        StorageError: the folder cannot be written, or its disk is full.
    """
    address, name = _address(reference), place_below_folder(reference)

    def check_content(path: Path) -> None:
        try:
            if check is not None:
                check(path)
                return
            if not check_digest(path, name):
                logger.info("%s is not pinned: only its length and its tensors are checked", name)
            from .checkpoint import read_checkpoint  # torch, which is not needed to find a file

            read_checkpoint(path)
        except ModelError as error:  # such as the login page of a firewall, which has status 200
            raise NetworkError(f"{address}: {str(error).replace(str(path), 'what came')}") from error

    logger.info("downloading %s to %s", address, folder / name)
    download(address, folder / name, check_content)
    return folder / name


def _address(reference: str) -> str:
    return STORE + reference[len(SHORT) :] if reference.startswith(SHORT) else CATALOG.get(reference, reference)


def _writable_folder(reference: str, folders: Sequence[Path]) -> Path:
    for folder in folders:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return Path(folder)
        except OSError:  # read-only, full, or a file in place of the folder: the next one may do
            continue
    listed = ", ".join(str(folder) for folder in folders) or "none given"
    raise StorageError(f"{reference}: no weights folder can be written ({listed}); set YMIR_WEIGHTS_DIR to one")
