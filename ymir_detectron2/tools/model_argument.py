"""What a person names as a model: the folder of a run, of a stage or of a package, weight files, a model tar of YMIR.

    RUN, RUN/out, RUN/out/models         the best stage of a training
    RUN/out/models/iter_0000120          that stage of a training
    FOLDER with ymir-info.yaml           the best stage of an unpacked package
    FOLDER with one .pth or .pkl         these weights, with the config.yaml next to them
    model.tar, model.tar.gz              the best stage of a package, as the platform exports and imports it
    FILE                                 these weights, with the config.yaml of their stage, else that next to them
    [FILE, ...]                          the files of one stage
"""

from __future__ import annotations

import contextlib
import lzma
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Iterator, Mapping

from ..contract.model_package import STATISTICS_NAME, WEIGHT_SUFFIXES
from ..errors import ConfigError, StorageError
from ..untrusted_files import is_file, open_regular, path_below
from .packed_model import (
    INFO_FILE,
    RESULT_FILE,
    ModelSource,
    PackedStage,
    pack_best_stage,
    pack_stage,
    read_listed_stage,
)

_KINDS = "give a run, its out/models, the files of one stage, or a model tar of YMIR"
_MOST_MEMBERS = 10_000  # of a tar; the platform's have some dozens
_MOST_BYTES = 4 << 30  # of a stage; the platform imports 1 GB at most
_DAMAGED = (tarfile.TarError, EOFError, OSError, ValueError, lzma.LZMAError, zlib.error)
"""What Python's tarfile and the decompression below it raise for files that are none."""


@contextlib.contextmanager
def open_model(source: ModelSource) -> Iterator[PackedStage]:
    """Find the stage that a path names; the files of a tar exist only within the block.

    Args:
        source: see the table of the module.

    Raises:
        ConfigError: there is no model, or it is not clear which of several; the sentence says what was found.
        StorageError: the temporary folder has no space for the files of a tar.
    """
    if not isinstance(source, Path):
        yield pack_best_stage(source)
    elif source.suffix in WEIGHT_SUFFIXES:
        yield pack_best_stage([source, *_companions_of(source)])
    elif source.is_dir():
        yield _stage_of_folder(source)
    elif is_file(source):
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            yield _unpack_tar(source, Path(folder))
    else:
        raise ConfigError(f"{source}: no such model; {_KINDS}")


def _companions_of(weights: Path) -> list[Path]:
    """Return the config.yaml and the statistics of a weight file, as far as there are any.

    Of a training, each stage has them in its folder. The statistics above it are those of the best stage, which may be
    another one.
    """
    stage, folder = weights.with_suffix(""), weights.parent
    configs = [place for place in (stage / "config.yaml", folder / "config.yaml") if is_file(place)][:1]
    statistics = (stage if stage.is_dir() else folder) / STATISTICS_NAME
    return [*configs, *([statistics] if is_file(statistics) else [])]


def training_class_names(source: ModelSource | None) -> list[str]:
    """Return the class names that a model was trained for; empty without a model, or if they are not known."""
    if not source:
        return []
    with open_model(source) as stage:
        return stage.class_names


def _stage_of_folder(folder: Path) -> PackedStage:
    for place in (folder, folder / "models", folder / "out" / "models"):
        for name in (RESULT_FILE, INFO_FILE):
            if is_file(place / name):
                return pack_stage(place / name)
    weights = sorted(path for path in folder.iterdir() if path.suffix in WEIGHT_SUFFIXES and is_file(path))
    if len(weights) > 1:
        names = ", ".join(path.name for path in weights[:10])
        raise ConfigError(f"{folder}: which of {names} is meant? It has no {RESULT_FILE}; give one of the files")
    if weights:
        return pack_best_stage([*weights, *_companions_of(weights[0])])
    if is_file(folder.parent / RESULT_FILE):  # of a stage, /out/models has the weights, its folder the config.yaml
        return pack_stage(folder.parent / RESULT_FILE, folder.name)
    raise ConfigError(f"{folder}: holds no model: neither {RESULT_FILE}, {INFO_FILE} nor weights; {_KINDS}")


def _unpack_tar(file: Path, folder: Path) -> PackedStage:
    """Unpack the list of stages and the files of the best one; nothing else of it is written anywhere."""
    try:
        stream = open_regular(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); {_KINDS}") from error
    try:
        with stream, tarfile.open(fileobj=stream) as archive:
            members = _regular_members(file, archive)
            if INFO_FILE not in members:
                raise ConfigError(f"{file}: holds no {INFO_FILE}, so it is no model package of YMIR; {_KINDS}")
            _extract(archive, members[INFO_FILE], folder / INFO_FILE)
            stage = read_listed_stage(folder / INFO_FILE)
            places = {place: members[place] for name in stage.files for place in stage.places(name) if place in members}
            if sum(member.size for member in places.values()) > _MOST_BYTES:
                raise ConfigError(f"{file}: its best stage has more than {_MOST_BYTES >> 30} GiB; {_KINDS}")
            for place, member in places.items():
                target = path_below(folder, place)
                if target is not None:
                    _extract(archive, member, target)
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno:  # of the disk; that of a damaged file has no number
            raise StorageError.from_os_error(folder, error) from error
        finding = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{file}: neither weights nor a complete tar ({finding[:200]}); {_KINDS}") from error
    return pack_stage(folder / INFO_FILE)


def _regular_members(file: Path, archive: tarfile.TarFile) -> Mapping[str, tarfile.TarInfo]:
    members: dict[str, tarfile.TarInfo] = {}
    for number, member in enumerate(archive):
        if number == _MOST_MEMBERS:  # a few compressed kilobytes can hold millions of empty ones
            raise ConfigError(f"{file}: holds more than {_MOST_MEMBERS} files; {_KINDS}")
        if member.isreg():
            members[member.name[2:] if member.name.startswith("./") else member.name] = member
    return members


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = archive.extractfile(member)
    assert content is not None  # it is regular
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as output:
        shutil.copyfileobj(content, output)
