"""Where MODEL.WEIGHTS lies. A small web server of our own stands in for detectron2's store."""

from __future__ import annotations

import hashlib
import http.server
import threading

import pytest

from ymir_detectron2.errors import ModelError, NetworkError, StorageError
from ymir_detectron2.retinanet import weights
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


@pytest.mark.parametrize("reference", ["catalog://ImageNetPretrained/FAIR/R-50-GN", "ftp://example.com/a.pth"])
def test_other_kinds_of_address_are_refused(tmp_path, reference):
    with pytest.raises(ModelError, match="expected a path, detectron2://"):
        resolve_weights(reference, [tmp_path])


@pytest.fixture
def store(monkeypatch, tmp_path):
    """Serve files of a folder and let detectron2:// mean them; https is required elsewhere, so both names change."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(weights, "STORE", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(weights, "DOWNLOADED", "http")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield folder
    server.shutdown()
    server.server_close()


def test_a_file_of_the_store_is_downloaded_once(store, tmp_path):
    (store / "R-50.pkl").write_text("weights")
    found = resolve_weights("detectron2://R-50.pkl", [tmp_path / "folder"])
    assert found == tmp_path / "folder" / "R-50.pkl"
    assert found.read_text() == "weights"
    (store / "R-50.pkl").unlink()
    assert resolve_weights("detectron2://R-50.pkl", [tmp_path / "folder"]) == found
    assert [item.name for item in found.parent.iterdir()] == ["R-50.pkl"]


def test_the_digits_in_a_zoo_name_must_begin_the_checksum(store, tmp_path):
    content = b"weights"
    right = hashlib.md5(content).hexdigest()[:6]  # noqa: S324 - as detectron2 names its files
    for digits in (right, "000000"):
        (store / f"model_final_{digits}.pkl").write_bytes(content)
    assert resolve_weights(f"detectron2://model_final_{right}.pkl", [tmp_path / "folder"]).read_bytes() == content
    with pytest.raises(NetworkError, match=f"its MD5 begins {right}, expected 000000"):
        resolve_weights("detectron2://model_final_000000.pkl", [tmp_path / "folder"])
    assert [item.name for item in (tmp_path / "folder").iterdir()] == [f"model_final_{right}.pkl"]


def test_a_download_that_breaks_off_is_not_kept(store, tmp_path, monkeypatch):
    """The ImageNet files have no checksum that would tell."""
    (store / "R-50.pkl").write_text("half of the weights")
    truthful = http.server.SimpleHTTPRequestHandler.send_header

    def twice_as_long(handler, name, value):
        truthful(handler, name, str(2 * int(value)) if name == "Content-Length" else value)

    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "send_header", twice_as_long)
    with pytest.raises(NetworkError, match="broke off after 19 of 38 bytes"):
        resolve_weights("detectron2://R-50.pkl", [tmp_path / "folder"])
    assert list((tmp_path / "folder").iterdir()) == []


def test_what_cannot_be_downloaded_says_where_to_put_it(store, tmp_path):
    with pytest.raises(NetworkError) as failure:
        resolve_weights("detectron2://MSRA/R-50.pkl", [tmp_path / "folder"])
    sentence = str(failure.value)
    assert f"put the file at {tmp_path / 'folder' / 'MSRA' / 'R-50.pkl'}" in sentence
    assert "YMIR_WEIGHTS_DIR" in sentence
    assert 'MODEL.WEIGHTS ""' in sentence
    assert failure.value.code == 300301


def test_no_writable_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="no weights folder can be written"):
        resolve_weights(MSRA, [tmp_path / "file"])
