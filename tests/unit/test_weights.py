"""The file of MODEL.WEIGHTS: where it is found, and what is downloaded; the server is local, the addresses are true."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest

from tests.tls_server import Page
from ymir_detectron2.errors import ModelError, NetworkError, StorageError
from ymir_detectron2.retinanet.weights import resolve_weights

MSRA = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
ZOO = "https://dl.fbaipublicfiles.com/detectron2/COCO-Detection/retinanet_R_50_FPN_1x/190397773/model_final_bfca0b.pkl"


def test_no_reference_means_training_from_scratch(tmp_path):
    assert resolve_weights("", [tmp_path]) is None


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "model.pth").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert resolve_weights(str(tmp_path / "model.pth"), []) == tmp_path / "model.pth"
    assert resolve_weights("model.pth", []).read_text() == "x"


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.pth: no such file"):
        resolve_weights(str(tmp_path / "nowhere.pth"), [tmp_path])


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        (MSRA, "ImageNetPretrained/MSRA/R-50.pkl"),
        (MSRA, "MSRA/R-50.pkl"),
        (MSRA, "R-50.pkl"),
        (ZOO, "COCO-Detection/retinanet_R_50_FPN_1x/190397773/model_final_bfca0b.pkl"),
        (ZOO, "model_final_bfca0b.pkl"),
        ("https://example.com/deep/down/own.pth?x=1", "own.pth"),
    ],
)
def test_files_of_the_weights_folders_are_found_where_people_put_them(tmp_path, reference, place):
    empty, full = tmp_path / "empty", tmp_path / "full"
    path = full / place
    path.parent.mkdir(parents=True)
    path.write_text("x")
    assert resolve_weights(reference, [empty, full]) == path


def test_the_first_folder_that_has_the_file_wins(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "R-50.pkl").write_text(name)
    assert resolve_weights(MSRA, [tmp_path / "one", tmp_path / "two"]).read_text() == "one"


@pytest.mark.parametrize("reference", ["catalog://Caffe2Detectron/COCO/1/own", "ftp://example.com/a.pth", "http://a/b"])
def test_other_kinds_of_address_are_refused(tmp_path, reference):
    with pytest.raises(ModelError, match="expected a path, detectron2://"):
        resolve_weights(reference, [tmp_path])


def weight_file(value: float = 1.0) -> bytes:
    """The content of a small weight file, in the form of the model zoo's."""
    return pickle.dumps({"model": {"stem.conv1.weight": np.full((2, 2), value, np.float32)}})


def test_a_file_of_the_store_is_downloaded_once_to_its_place(server, tmp_path):
    server.pages["/detectron2/ImageNetPretrained/MSRA/R-50.pkl"] = [Page(weight_file())]
    found = resolve_weights(MSRA, [tmp_path / "folder"])
    assert found == tmp_path / "folder" / "ImageNetPretrained" / "MSRA" / "R-50.pkl"
    assert found.read_bytes() == weight_file()
    assert server.tunnelled == ["dl.fbaipublicfiles.com"]
    assert resolve_weights(MSRA, [tmp_path / "folder"]) == found
    assert len(server.requests) == 1
    assert [item.name for item in found.parent.iterdir()] == ["R-50.pkl"]


def test_the_older_kind_of_address_has_its_place_in_the_older_store(server, tmp_path):
    server.pages["/detectron/ImageNetPretrained/47261647/R-50-GN.pkl"] = [Page(weight_file())]
    found = resolve_weights("catalog://ImageNetPretrained/FAIR/R-50-GN", [tmp_path / "folder"])
    assert found == tmp_path / "folder" / "R-50-GN.pkl"


def test_other_addresses_are_downloaded_into_the_folder_itself(server, tmp_path):
    server.pages["/deep/down/own.pkl?version=1"] = [Page(weight_file())]
    found = resolve_weights(server.address("/deep/down/own.pkl?version=1"), [tmp_path / "folder"])
    assert found == tmp_path / "folder" / "own.pkl"


def test_the_first_folder_that_can_be_written_takes_the_download(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    server.pages["/own.pkl"] = [Page(weight_file())]
    folders = [tmp_path / "file", tmp_path / "b"]
    assert resolve_weights(server.address("/own.pkl"), folders) == tmp_path / "b" / "own.pkl"


def test_the_digits_in_a_zoo_name_must_begin_the_checksum(server, tmp_path):
    content = weight_file()
    right = hashlib.md5(content).hexdigest()[:6]  # noqa: S324 - as detectron2 names its files
    for digits in (right, "000000"):
        server.pages[f"/detectron2/model_final_{digits}.pkl"] = [Page(content)]
    assert resolve_weights(f"detectron2://model_final_{right}.pkl", [tmp_path / "folder"]).read_bytes() == content
    with pytest.raises(NetworkError, match=f"what came: is damaged: its MD5 begins {right}, expected 000000; put"):
        resolve_weights("detectron2://model_final_000000.pkl", [tmp_path / "folder"])
    assert [item.name for item in (tmp_path / "folder").iterdir()] == [f"model_final_{right}.pkl"]


@pytest.mark.parametrize(
    "content",
    [b"<html>Please log in.</html>", b"", weight_file()[:-10], pickle.dumps({"no": "weights"})],
    ids=["a login page", "nothing", "cut off", "something else"],
)
def test_what_is_no_weight_file_never_gets_the_name_of_one(server, tmp_path, content):
    """With status 200 and the right length; there is no checksum of the ImageNet files that would tell."""
    server.pages["/detectron2/ImageNetPretrained/MSRA/R-50.pkl"] = [Page(content)]
    with pytest.raises(NetworkError, match=r"^https://dl.*/MSRA/R-50.pkl: what came: .*; put the file at"):
        resolve_weights(MSRA, [tmp_path / "folder"])
    assert [item for item in (tmp_path / "folder").rglob("*") if item.is_file()] == []


def test_what_cannot_be_downloaded_says_where_to_put_it(server, tmp_path):
    with pytest.raises(NetworkError) as failure:
        resolve_weights("detectron2://MSRA/R-50.pkl", [tmp_path / "folder"])
    sentence = str(failure.value)
    assert "cannot be downloaded (HTTP 404 Not Found)" in sentence
    assert f"put the file at {tmp_path / 'folder' / 'MSRA' / 'R-50.pkl'}" in sentence
    assert "YMIR_WEIGHTS_DIR" in sentence
    assert 'MODEL.WEIGHTS ""' in sentence
    assert failure.value.code == 300301


def test_no_writable_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="no weights folder can be written"):
        resolve_weights(MSRA, [tmp_path / "file"])
