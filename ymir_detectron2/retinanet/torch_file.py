"""Files of torch.save, in both of its formats, read without torch.load.

    since torch 1.6     a zip archive, nothing compressed: NAME/data.pkl, NAME/data/0, NAME/data/1, ..., NAME/byteorder
    before              pickles of a magic number, the format's version, the machine, the object, and the keys of its
                        storages; then for each key the number of elements (int64) and the elements

In both, the object's pickle refers to a storage by ("storage", type, key, device, number of elements), and to a tensor
by a storage, offset, shape and strides. torch.load of torch 1.10 believes these numbers, so that a tensor may begin and
end anywhere in memory; its successors check more of them. Here each is checked: the tensor against its storage, the
storage against the bytes that the file holds for it, and all storages together against the size of the file.
"""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any, BinaryIO, Iterator, Mapping

import torch
from torch import Tensor

from .pickle_arguments import MalformedPickleError, RefusedContentError
from .pickle_reader import Builder, PickleReader
from .torch_storage import Storage, StorageType
from .unpickling import PLAIN_NAMES, are_sizes, is_same, load_pickle

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""The first pickle of a file before torch 1.6."""
_LEGACY_VERSION = 1001
_MAX_KEY_CHARS = 100  # torch numbers them, before 1.6 by their address
_ENCRYPTED = 1  # a flag of zip archives

_NOT_AN_ARCHIVE = (zipfile.BadZipFile, zipfile.LargeZipFile, ArithmeticError, EOFError, LookupError, ValueError,
                   NotImplementedError, struct.error)  # fmt: skip
"""What zipfile raises for a directory that means nothing, or something that torch never writes."""


def load_archive(file: BinaryIO, size: int) -> Any:
    """Read a file of torch 1.6 or later.

    Args:
        file: the zip archive.
        size: its bytes.

    Raises:
        RefusedContentError: it asks for anything but tensors, arrays and plain containers.
        MalformedPickleError: it is cut short or damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            folder = _folder_of(archive)
            storages = _Storages(size)

            def load_storage(persistent_id: Any) -> Storage:
                key, storage = storages.find(persistent_id)
                if not storage.is_filled:
                    with _open(archive, f"{folder}/data/{key}", len(storage.content)) as content:
                        storage.fill(content)
                return storage

            with _open(archive, f"{folder}/data.pkl", None) as content:
                program = content.read(size + 1)
            return PickleReader(io.BytesIO(program), len(program), _TORCH_NAMES, load_storage).load()
    except _NOT_AN_ARCHIVE as error:
        raise MalformedPickleError(f"{type(error).__name__}: {error}") from error


def load_legacy(file: BinaryIO, size: int) -> Any:
    """Read a file of torch before 1.6, from behind its magic number on.

    Args:
        file: positioned there.
        size: bytes of the whole file.

    Raises:
        RefusedContentError, MalformedPickleError: as `load_archive`.
    """
    version, machine = (load_pickle(file, size - file.tell()) for _ in range(2))
    if not is_same(version, _LEGACY_VERSION) or type(machine) is not dict or machine.get("little_endian") is not True:
        raise MalformedPickleError("of an unknown version of torch, or from a machine with another byte order")
    storages = _Storages(size)
    content = PickleReader(file, size - file.tell(), _TORCH_NAMES, lambda name: storages.find(name)[1]).load()
    keys = load_pickle(file, size - file.tell())
    for storage in storages.in_order(keys):
        if file.read(8) != struct.pack("<q", storage.num_elements):
            raise MalformedPickleError("a storage of another size than its tensors expect")
        storage.fill(file)
    return content


def _folder_of(archive: zipfile.ZipFile) -> str:
    """Return the folder of all members, and refuse what torch.load would take for something else."""
    names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        raise RefusedContentError("a TorchScript program")
    folders = [name[: -len("/data.pkl")] for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(folders) != 1:
        raise MalformedPickleError("an archive without data.pkl, which torch.save always writes")
    byte_order = f"{folders[0]}/byteorder"
    if byte_order in names:  # since torch 2.1
        with _open(archive, byte_order, None) as content:
            if content.read(10) != b"little":
                raise MalformedPickleError("from a machine with another byte order")
    return folders[0]


def _open(archive: zipfile.ZipFile, name: str, size: int | None) -> Any:
    """Open a member that holds its content as it is, as torch writes it: unpacking could make gigabytes of a few bytes.

    Args:
        size: the bytes that it has to have; None: any number.
    """
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
        raise MalformedPickleError(f"{name!r} is compressed or encrypted, which torch.save never does")
    if size not in (None, member.file_size):
        raise MalformedPickleError(f"{name!r} has {member.file_size} bytes where {size} are announced")
    return archive.open(member)


class _Storages:
    """The storages that the pickle of one file has referred to, by key."""

    def __init__(self, max_bytes: int) -> None:
        self._by_key: dict[str, Storage] = {}
        self._bytes_left = max_bytes

    def find(self, persistent_id: Any) -> tuple[str, Storage]:
        """Return key and storage of a persistent id; memory is allocated only as far as the file has bytes."""
        is_tuple = type(persistent_id) is tuple and len(persistent_id) in (5, 6)
        if not is_tuple or not is_same(persistent_id[0], "storage"):
            raise RefusedContentError("a persistent id that is not a storage")
        _, kind, key, _, num_elements, *view = persistent_id
        is_key = type(key) is str and len(key) <= _MAX_KEY_CHARS
        if not is_key or not isinstance(kind, StorageType) or not are_sizes((num_elements,)):
            raise MalformedPickleError("a storage without type, key or size")
        if any(part is not None for part in view):
            raise RefusedContentError("a part of a storage")
        if key not in self._by_key:
            self._bytes_left -= num_elements * kind.element_size
            if self._bytes_left < 0:
                raise MalformedPickleError("more numbers than the file has bytes for")
            self._by_key[key] = Storage(kind, num_elements)
        storage = self._by_key[key]
        # torch.save refuses to write tensors that share a storage under two types
        if storage.kind is not kind or storage.num_elements != num_elements:
            raise MalformedPickleError("a storage with two types or sizes")
        return key, storage

    def in_order(self, keys: Any) -> Iterator[Storage]:
        """Yield the storages in the order of a list that has to name each of them once."""
        if type(keys) is not list or any(type(key) is not str for key in keys) or sorted(keys) != sorted(self._by_key):
            raise MalformedPickleError("the list of its storages is damaged")
        for key in keys:
            yield self._by_key[key]


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """Return a tensor; whether it requires gradients, and its hooks, are not carried over."""
    if not isinstance(storage, Storage):
        raise MalformedPickleError("a tensor without a storage")
    return storage.tensor(offset, shape, strides)


def _rebuild_parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise MalformedPickleError("a parameter without a tensor")
    return tensor


def _size(sizes: Any = ()) -> tuple[int, ...]:
    if not are_sizes(sizes):
        raise MalformedPickleError("torch.Size of something else than sizes")
    return sizes


def _device(kind: Any, index: Any = 0) -> str:
    """Return the name of a device; everything is read onto the CPU."""
    if type(kind) is not str:
        raise MalformedPickleError("torch.device without a name")
    return kind


_STORAGE_TYPES = {
    "BFloat16Storage": torch.bfloat16, "BoolStorage": torch.bool, "ByteStorage": torch.uint8,
    "CharStorage": torch.int8, "ComplexDoubleStorage": torch.complex128, "ComplexFloatStorage": torch.complex64,
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "IntStorage": torch.int32, "LongStorage": torch.int64, "ShortStorage": torch.int16,
}  # fmt: skip

_TORCH_NAMES: Mapping[tuple[str, str], Any] = {
    **PLAIN_NAMES,
    ("torch", "Size"): Builder(_size),
    ("torch", "device"): Builder(_device),
    ("torch._utils", "_rebuild_tensor"): Builder(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Builder(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): Builder(_rebuild_parameter),
    **{("torch", name): StorageType(dtype) for name, dtype in _STORAGE_TYPES.items()},
    **{("torch", name): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
}
