"""Model tars as `open_model` unpacks them: members with odd names and types, in compressed and damaged archives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
from pathlib import Path

from ymir_detectron2.errors import ConfigError, StorageError
from ymir_detectron2.tools.model_argument import open_model
from ymir_detectron2.tools.packed_model import INFO_FILE

from .mutation import choose, damaged, oddity_of_input
from .yaml_values import document, mapping

EXPECTED = (ConfigError, StorageError)
"""What the reader may raise."""

_NAMES = ("s1/s1.pth", "s1/config.yaml", "s1.pth", "config.yaml")
_ODD_NAMES = ("../outside", "/outside", "s1", "s1/../../outside", "./s1/s1.pth", "", "a\nb", "é" * 300, INFO_FILE)
_ODD_TYPES = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"Z")


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write one tar."""
    oddity = oddity_of_input(rng)
    stage = {"files": ("[s1.pth, config.yaml]", "[../outside]", "[s1.pth, s1.pth]"), "mAP": ("0.5",)}
    info = {
        "executor_config": [mapping(rng, {"class_names": ("[cat, dog]",)}, oddity)],
        "stages": [mapping(rng, {name: [mapping(rng, stage, oddity)] for name in ("s1", "s2")}, oddity)],
        "best_stage_name": ("s1", "s2", "../outside"),
    }
    names = [choose(rng, _NAMES, _ODD_NAMES, oddity) for _ in range(rng.randrange(6))]
    content = io.BytesIO()
    tar_format = rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=content, mode="w", format=tar_format) as archive:
        for name in [*_NAMES, *names, INFO_FILE]:
            data = document(rng, info, oddity).encode() if name == INFO_FILE else b"weights" * rng.randrange(500)
            member = tarfile.TarInfo(name)
            member.type = choose(rng, (tarfile.REGTYPE,), _ODD_TYPES, oddity)
            member.size, member.linkname = len(data), "../../outside"
            archive.addfile(member, io.BytesIO(data))
    compress = rng.choice((bytes, bz2.compress, lzma.compress, lambda data: gzip.compress(data, mtime=0)))
    path = folder / "model.tar"
    path.write_bytes(damaged(compress(content.getvalue()), rng, oddity))
    return path


def read(path: Path) -> None:
    """Open the model and read its files, all of which are in the temporary folder."""
    before = sorted(path.parent.rglob("*"))
    with open_model(path) as stage:
        for _, file in stage.files:
            file.read_bytes()
            assert stage.folder in file.resolve().parents
    assert sorted(path.parent.rglob("*")) == before
