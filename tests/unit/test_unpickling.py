"""Restricted unpickling: arrays and plain containers come through, everything that could run code does not."""

from __future__ import annotations

import collections
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ymir_detectron2.retinanet.unpickling import RefusedContentError, is_zip, load_pickle, load_torch_file


class Calls:
    """Unpickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self._call


def pickled(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_arrays_numbers_and_containers_are_read(tmp_path: Path, protocol: int):
    content = {
        "array": np.arange(6, dtype=np.float32).reshape(2, 3), "number": np.float64(0.5), "bytes": b"\xff",
        "ordered": collections.OrderedDict(a=1), "list": [1, "\u00e9", None, (2.5, True)],
    }  # fmt: skip
    read = load_pickle(pickled(tmp_path / "a.pkl", content, protocol))
    assert np.array_equal(read.pop("array"), content.pop("array"))
    assert read == content


def test_text_of_python_2_is_latin1(tmp_path: Path):
    (tmp_path / "a.pkl").write_bytes(b"S'caf\\xe9'\n.")
    assert load_pickle(tmp_path / "a.pkl") == "caf\u00e9"


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        pytest.param(Calls(eval, "1"), r"builtins\.eval", id="a builtin"),
        pytest.param(Calls(Path, "x"), r"pathlib.*Path", id="a harmless class"),
        pytest.param(Calls(torch.save, 1, "x"), r"torch.*save", id="a function of torch"),
        pytest.param([{"deep": (Calls(eval, "1"),)}], r"builtins\.eval", id="deep inside"),
    ],
)
def test_a_name_outside_the_list_is_refused(tmp_path: Path, content: Any, refused: str):
    path = pickled(tmp_path / "a.pkl", content)
    with pytest.raises(RefusedContentError, match=refused):
        load_pickle(path)


def test_only_latin1_is_encoded(tmp_path: Path):
    """A codec such as `zip` could turn a few bytes into gigabytes."""
    path = tmp_path / "a.pkl"
    path.write_bytes(b"c_codecs\nencode\n(Vx\nVrot13\ntR.")
    with pytest.raises(RefusedContentError, match=r"_codecs\.encode with rot13"):
        load_pickle(path)


def test_a_pickle_cannot_set_the_state_of_a_function(tmp_path: Path):
    """BUILD on something callable could plant code that a later tensor runs."""
    program = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x08\x00\x00\x00__name__X\x01\x00\x00\x00xs\x86b."
    (tmp_path / "evil.pkl").write_bytes(program)
    with pytest.raises(RefusedContentError, match="the state of a function"):
        load_pickle(tmp_path / "evil.pkl")
    assert torch._utils._rebuild_tensor_v2.__name__ == "_rebuild_tensor_v2"


@pytest.mark.parametrize("zipped", [True, False], ids=["new format", "format before torch 1.6"])
def test_files_of_torch_are_read_with_the_numpy_numbers_that_its_own_reader_refuses(tmp_path: Path, zipped: bool):
    content = {"weights": torch.arange(3.0), "best": np.float64(0.5), "type": torch.float16}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert is_zip(tmp_path / "a.pth") is zipped
    read = load_torch_file(tmp_path / "a.pth")
    assert torch.equal(read.pop("weights"), content.pop("weights"))
    assert read == content


def test_a_torchscript_program_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "model.pth", "w") as archive:
        archive.writestr("model/constants.pkl", b"")
    with pytest.raises(RefusedContentError, match="a TorchScript program"):
        load_torch_file(tmp_path / "model.pth")


def test_a_tar_archive_is_refused(tmp_path: Path):
    with tarfile.open(tmp_path / "model.pth", "w") as archive:
        archive.add(__file__, "pickle")
    with pytest.raises(RefusedContentError, match="a tar archive"):
        load_torch_file(tmp_path / "model.pth")
