"""Whatever a person names as a model leads to the files of one stage."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any, Mapping

import pytest
import yaml

from tests.unit.test_packed_model import STAGED, write_training
from ymir_detectron2.errors import ConfigError, StorageError
from ymir_detectron2.tools.model_argument import open_model, training_class_names

INFO = {
    "executor_config": {"class_names": ["wbc", "rbc"]},
    "best_stage_name": "s2",
    "stages": {name: {"files": [f"{name}.pth", "config.yaml"], "mAP": 0.5, "timestamp": 5} for name in ("s1", "s2")},
}
PACKAGE = {
    "s1/s1.pth": "content of s1", "s1/config.yaml": "config of s1",
    "s2/s2.pth": "content of s2", "s2/config.yaml": "config of s2",
}  # fmt: skip


def read(source: Any) -> dict[str, Any]:
    """Return what a model holds while it is open."""
    with open_model(source) as stage:
        files = {name: path.read_text() for name, path in stage.files}
        return {"name": stage.name, "files": files, "class_names": stage.class_names}


def write_tar(file: Path, files: Mapping[str, str], info: Any = INFO, mode: str = "w") -> Path:
    texts = {**files, **({} if info is None else {"ymir-info.yaml": yaml.safe_dump(info)})}
    with tarfile.open(str(file), mode) as archive:
        for name, text in texts.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return file


@pytest.mark.parametrize("place", [".", "out", "out/models"])
def test_a_run_is_its_best_stage(tmp_path: Path, place: str):
    write_training(tmp_path, STAGED)
    files = {"s2.pth": "content of s2.pth", "config.yaml": "content of config.yaml"}
    assert read(tmp_path / place) == {"name": "s2", "files": files, "class_names": ["wbc", "rbc"]}


def test_the_folder_of_a_stage_of_a_training_is_that_stage(tmp_path: Path):
    """It holds the configuration; the weights are one folder up."""
    models = write_training(tmp_path, STAGED, ["s1.pth", "s2.pth", "s1/config.yaml", "s2/config.yaml", "config.yaml"])
    files = {"s1.pth": "content of s1.pth", "config.yaml": "content of s1/config.yaml"}
    assert read(models / "s1") == {"name": "s1", "files": files, "class_names": ["wbc", "rbc"]}


def test_a_folder_with_weights(tmp_path: Path):
    (tmp_path / "w.pkl").write_text("weights")
    assert read(tmp_path)["files"] == {"w.pkl": "weights"}
    (tmp_path / "config.yaml").write_text("network")
    assert read(tmp_path)["files"] == {"w.pkl": "weights", "config.yaml": "network"}
    assert read([tmp_path / "config.yaml", tmp_path / "w.pkl"])["files"].keys() == {"w.pkl", "config.yaml"}
    assert read(tmp_path / "w.pkl")["files"] == {"w.pkl": "weights", "config.yaml": "network"}


def test_a_weight_file_brings_the_config_of_its_stage(tmp_path: Path):
    """Without it the network is unknown; that of another stage may differ."""
    (tmp_path / "s1.pth").write_text("weights")
    assert read(tmp_path / "s1.pth")["files"] == {"s1.pth": "weights"}
    (tmp_path / "config.yaml").write_text("network of s2, the best")
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "config.yaml").write_text("network of s1")
    assert read(tmp_path / "s1.pth")["files"] == {"s1.pth": "weights", "config.yaml": "network of s1"}


def test_a_weight_file_brings_the_statistics_of_its_stage(tmp_path: Path):
    """Those next to the weights are of the best stage, where stages have folders."""
    statistics = "training-statistics.json"
    models = write_training(tmp_path, STAGED, ["s1.pth", "s2.pth", "s1/config.yaml", f"s2/{statistics}", statistics])
    assert read(models / "s2.pth")["files"][statistics] == f"content of s2/{statistics}"
    assert statistics not in read(models / "s1.pth")["files"]
    (tmp_path / "single").mkdir()
    for name in ("w.pkl", statistics):
        (tmp_path / "single" / name).write_text(name)
    for source in (tmp_path / "single", tmp_path / "single" / "w.pkl"):
        assert read(source)["files"].keys() == {"w.pkl", statistics}


def test_an_unpacked_package(tmp_path: Path):
    for name, text in {**PACKAGE, "ymir-info.yaml": yaml.safe_dump(INFO)}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    files = {"s2.pth": "content of s2", "config.yaml": "config of s2"}
    assert read(tmp_path) == {"name": "s2", "files": files, "class_names": ["wbc", "rbc"]}
    assert read(tmp_path / "s1")["files"] == {"s1.pth": "content of s1", "config.yaml": "config of s1"}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_model_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, prefix: str):
    """Whatever its name; what is unpacked is gone afterwards."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    files = {f"{prefix}{name}": text for name, text in PACKAGE.items()}
    package = write_tar(tmp_path / "0a4d55a8", files, mode=mode)
    with open_model(package) as stage:
        assert stage.class_names == ["wbc", "rbc"]
        unpacked = [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()]
        assert sorted(path.name for path in unpacked) == ["config.yaml", "s2.pth", "ymir-info.yaml"], "not s1"
    assert read(package)["files"] == {"s2.pth": "content of s2", "config.yaml": "config of s2"}
    assert training_class_names(package) == ["wbc", "rbc"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_flat_tar_of_the_first_release(tmp_path: Path):
    info = {"executor_config": {"class_names": ["cat"]}, "models": ["w.pth"]}
    assert read(write_tar(tmp_path / "m.tar", {"w.pth": "weights"}, info))["files"] == {"w.pth": "weights"}


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("gone", "gone: no such model; give a run, its out/models"),
        ("empty", "empty: holds no model: neither result.yaml, ymir-info.yaml nor weights; give a run"),
        ("several", "several: which of a.pth, b.pth is meant?"),
        ("text.txt", "text.txt: neither weights nor a complete tar"),
        ("no-info.tar", "no-info.tar: holds no ymir-info.yaml"),
        ("incomplete.tar", "ymir-info.yaml lists 'config.yaml', which is not there"),
        ("cut.tar.gz", "cut.tar.gz: neither weights nor a complete tar"),
        ("outside.tar", "'../outside' is not the name of a stage"),
    ],
)
def test_what_is_no_model_is_said_in_one_sentence(tmp_path: Path, source: str, finding: str):
    (tmp_path / "empty").mkdir()
    (tmp_path / "several").mkdir()
    for name in ("several/a.pth", "several/b.pth", "text.txt"):
        (tmp_path / name).write_text("x" * 5000)
    write_tar(tmp_path / "no-info.tar", PACKAGE, None)
    write_tar(tmp_path / "incomplete.tar", {"s2/s2.pth": "weights"})
    whole = write_tar(tmp_path / "cut.tar.gz", {"s2/s2.pth": os.urandom(5000).hex()}, mode="w:gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    outside = {**INFO, "best_stage_name": "../outside", "stages": {"../outside": {"files": ["w.pth"]}}}
    write_tar(tmp_path / "outside.tar", {"../outside/w.pth": "weights", "w.pth": "weights"}, outside)
    with pytest.raises(ConfigError) as error, open_model(tmp_path / source):
        pass
    assert finding in str(error.value)
    assert "\n" not in str(error.value)


def test_a_link_in_a_tar_leads_nowhere(tmp_path: Path):
    """Only regular files are unpacked, and so a link to a secret is a missing file."""
    package = tmp_path / "m.tar"
    with tarfile.open(str(package), "w") as archive:
        info = yaml.safe_dump(INFO).encode()
        member = tarfile.TarInfo("ymir-info.yaml")
        member.size = len(info)
        archive.addfile(member, io.BytesIO(info))
        for name in ("s2/s2.pth", "s2/config.yaml"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
    with pytest.raises(ConfigError, match=r"lists 's2\.pth', which is not there"), open_model(package):
        pass


def test_a_full_temporary_folder_is_no_damaged_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder that cannot be written stands for a disk that is full: for root, one that a file is in the way of."""
    files = {**PACKAGE, "s2": "a file where the folder of the stage should be"}
    info = {**INFO, "stages": {"s2": {"files": ["s2", "s2.pth"]}}}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(StorageError, match="cannot be written"), open_model(write_tar(tmp_path / "m.tar", files, info)):
        pass
