"""Both formats of torch.save, without torch.load: what torch writes is read; what it never writes is refused."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, Callable, Mapping

import numpy as np
import pytest
import torch

from fuzz import pickle_opcodes as op
from ymir_detectron2.retinanet.pickle_arguments import MalformedPickleError, RefusedContentError
from ymir_detectron2.retinanet.torch_file import MAGIC_NUMBER, load_archive, load_legacy
from ymir_detectron2.retinanet.unpickling import load_pickle

both_formats = pytest.mark.parametrize("zipped", [True, False], ids=["archive", "before torch 1.6"])
FOUR_BYTES = {"archive/data/0": b"\x01\x02\x03\x04"}


def load(content: bytes) -> Any:
    file = io.BytesIO(content)
    if content.startswith(b"PK"):
        return load_archive(file, len(content))
    assert load_pickle(file, len(content)) == MAGIC_NUMBER
    return load_legacy(file, len(content))


def saved(content: Any, zipped: bool) -> Any:
    """The content, written by torch and read here."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return load(buffer.getvalue())


def archive(program: bytes, members: Mapping[str, bytes] = FOUR_BYTES, packing: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as file:
        for name, content in {"archive/data.pkl": program, **members}.items():
            file.writestr(name, content)
    return buffer.getvalue()


def legacy(
    program: bytes, keys: Any = ("0",), stored: bytes = struct.pack("<q", 1) + bytes(4), **machine: Any
) -> bytes:
    head = [MAGIC_NUMBER, 1001, {"little_endian": True, **machine}]
    return b"".join(pickle.dumps(part, protocol=2) for part in head) + program + pickle.dumps(list(keys)) + stored


@both_formats
@pytest.mark.parametrize(
    "dtype",
    [
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
        torch.float32, torch.float64, torch.complex64, torch.complex128,
    ],
    ids=str,
)  # fmt: skip
def test_tensors_of_every_type_in_every_layout(zipped: bool, dtype: torch.dtype):
    tensor = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(dtype)
    layouts = [tensor, tensor.t(), tensor[:, 1:], tensor[1], tensor[0, 1], tensor[:0], tensor[None, :, None, ::2]]
    for before, after in zip(layouts, saved(layouts, zipped)):
        assert after.dtype == dtype
        assert torch.equal(before, after)


@both_formats
def test_what_is_kept_next_to_the_weights(zipped: bool):
    """Optimiser, schedule and, of detectron2's trainer, numpy's numbers, which torch's own safe reader refuses."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    model(torch.ones(2, 2)).sum().backward()
    optimizer.step()
    content = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": {**schedule.state_dict()},
        "best": np.float64(0.5), "array": np.arange(3), "type": torch.float16, "size": torch.Size([1, 2]),
        "parameter": torch.nn.Parameter(torch.ones(2)), "device": torch.device("cpu"), "names": {"a", "b"},
    }  # fmt: skip
    found = saved(content, zipped)
    for name, tensor in model.state_dict().items():
        assert torch.equal(found["model"][name], tensor)
    momentum = content["optimizer"]["state"][0]["momentum_buffer"]
    assert torch.equal(found["optimizer"]["state"][0]["momentum_buffer"], momentum)
    assert found["optimizer"]["param_groups"] == content["optimizer"]["param_groups"]
    assert found["scheduler"]["milestones"] == collections.Counter([3, 5])
    assert (found["best"], found["type"], found["size"], found["device"]) == (0.5, torch.float16, (1, 2), "cpu")
    assert found["array"].tolist() == [0, 1, 2]
    assert torch.equal(found["parameter"], torch.ones(2))
    assert found["names"] == {"a", "b"}


@both_formats
def test_tensors_that_share_numbers_still_do(zipped: bool):
    tensor = torch.zeros(4)
    first, second = saved([tensor, tensor[2:]], zipped)
    first[3] = 7
    assert second.tolist() == [0, 7]


@pytest.mark.parametrize(
    ("num_elements", "offset", "shape", "strides"),
    [
        pytest.param(10**9, 0, (10**9,), (1,), id="a storage larger than its record"),
        pytest.param(2**60, 0, (1,), (1,), id="a storage of any size"),
        pytest.param(1, 0, (10**9,), (1,), id="more than the storage"),
        pytest.param(1, 1, (1,), (1,), id="behind the storage"),
        pytest.param(1, -100, (1,), (1,), id="before the storage"),
        pytest.param(1, 0, (-1,), (1,), id="a negative size"),
        pytest.param(1, 0, (2,), (-1,), id="a negative stride"),
        pytest.param(1, 0, (2,), (2**62,), id="a stride that overflows"),
        pytest.param(1, 0, (2**62, 4), (1, 1), id="a size that overflows"),
        pytest.param(1, 0, (10**9,), (0,), id="one number repeated a billion times"),
        pytest.param(1, 0, (1, 1), (1,), id="fewer strides than sizes"),
        pytest.param(1, 0, (0, 2**62), (1, 1), id="nothing, but many of it"),
    ],
)
def test_a_tensor_lies_in_its_storage_and_the_storage_in_the_file(
    num_elements: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
):
    """torch 1.10 read the first two and the strides that overflow from wherever they led, and crashed."""
    stored = op.storage(num_elements)
    program = op.program(op.tensor(stored, offset, op.numbers(*shape), op.numbers(*strides)))
    for content in (archive(program), legacy(program)):
        with pytest.raises(MalformedPickleError):
            load(content)


def test_several_storages_together_are_no_larger_than_the_file():
    """Their memory is taken before their content is there."""
    tensors = [op.tensor(op.storage(60, str(key)), 0, op.numbers(1), op.numbers(1)) for key in range(9)]
    with pytest.raises(MalformedPickleError, match="more numbers than the file has bytes for"):
        load(legacy(op.program(op.tuple_of(*tensors)), [str(key) for key in range(9)]))


ONE_NUMBER = op.program(op.tensor(op.storage(1), 0, op.numbers(1), op.numbers(1)))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(archive(ONE_NUMBER, packing=zipfile.ZIP_DEFLATED), id="compressed"),
        pytest.param(archive(ONE_NUMBER, {}), id="without the storage"),
        pytest.param(archive(ONE_NUMBER, {"archive/data/0": b"12345"}), id="a larger storage"),
        pytest.param(archive(ONE_NUMBER, {**FOUR_BYTES, "archive/byteorder": b"big"}), id="another byte order"),
        pytest.param(archive(ONE_NUMBER, {**FOUR_BYTES, "other/data.pkl": b""}), id="two pickles"),
        pytest.param(archive(ONE_NUMBER)[:-30], id="cut short"),
        pytest.param(archive(ONE_NUMBER).replace(b"\x01\x02\x03\x04", b"\x01\x02\x03\x05"), id="a changed bit"),
        pytest.param(b"PK\x05\x06" + bytes(18), id="an empty archive"),
        pytest.param(b"PK\x03\x04 no archive at all", id="no archive"),
        pytest.param(legacy(ONE_NUMBER, []), id="no list of storages"),
        pytest.param(legacy(ONE_NUMBER, ["0", "1"]), id="a storage too many"),
        pytest.param(legacy(ONE_NUMBER, ["0", "0"]), id="a storage twice"),
        pytest.param(legacy(ONE_NUMBER, stored=struct.pack("<q", 2) + bytes(8)), id="another size"),
        pytest.param(legacy(ONE_NUMBER, stored=struct.pack("<q", 1) + bytes(3)), id="a storage cut short"),
        pytest.param(legacy(ONE_NUMBER, little_endian=False), id="from another machine"),
        pytest.param(
            archive(op.program(op.tuple_of(op.storage(1), op.storage(1, kind="IntStorage")))), id="two types"
        ),
        pytest.param(archive(op.program(op.call(op.name("torch", "Size"), op.text("a")))), id="a size of text"),
        pytest.param(
            archive(op.program(op.call(op.name("torch._utils", "_rebuild_parameter"), op.NONE))), id="no tensor"
        ),
    ],
)  # fmt: skip
def test_what_is_damaged_is_malformed(content: bytes):
    with pytest.raises(MalformedPickleError):
        load(content)


def test_an_encrypted_member_is_malformed():
    content = bytearray(archive(ONE_NUMBER))
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    content[6] |= 1
    with pytest.raises(MalformedPickleError, match="compressed or encrypted"):
        load(bytes(content))


def test_a_torchscript_program_is_refused():
    with pytest.raises(RefusedContentError, match="a TorchScript program"):
        load(archive(ONE_NUMBER, {"archive/constants.pkl": b""}))


class Calls:
    """Unpickles as a call of a function."""

    def __init__(self, *call: Any) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self._call[0], self._call[1:]


@both_formats
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: Calls(os.mkdir, "created"), id="a function"),
        pytest.param(lambda: Calls(torch.load, "other.pth"), id="a function of torch"),
        pytest.param(lambda: torch.sparse_coo_tensor(torch.tensor([[0]]), torch.ones(1), (2,)), id="sparse"),
        pytest.param(lambda: torch.quantize_per_tensor(torch.ones(1), 1.0, 0, torch.qint8), id="quantised"),
        pytest.param(lambda: np.array(["text"]), id="an array of text"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # torch's, about what it writes
def test_what_is_no_plain_tensor_is_refused(
    zipped: bool, content: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedContentError):
        saved({"model": torch.ones(1), "extra": [content()]}, zipped)
    assert not (tmp_path / "created").exists()


@pytest.mark.parametrize(
    "persistent_id",
    [
        pytest.param(op.tuple_of(op.text("module"), *[op.text("os")] * 4), id="source code of a module"),
        pytest.param(op.text("storage"), id="text"),
        pytest.param(
            op.storage(1)[: -len(pickle.TUPLE + pickle.BINPERSID)] + op.numbers(1, 2, 3) + pickle.TUPLE, id="a view"
        ),
    ],
)
def test_a_persistent_id_is_a_storage(persistent_id: bytes):
    with pytest.raises(RefusedContentError):
        load(archive(op.program(persistent_id + pickle.BINPERSID)))
