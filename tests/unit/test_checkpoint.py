"""Weight files: reading, refusing, writing, and loading into a model."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from fuzz import pickle_opcodes as op
from tests.running import PROJECT_DIR
from ymir_detectron2.config.retinanet_config import load_config
from ymir_detectron2.errors import ModelError, StorageError
from ymir_detectron2.retinanet.checkpoint import LoadReport, load_weights, read_checkpoint, write_checkpoint
from ymir_detectron2.retinanet.model import build_retinanet

STEM = "backbone.bottom_up.stem.conv1.weight"


@pytest.fixture(scope="module")
def cfg():
    base = load_config(PROJECT_DIR / "configs" / "Base-RetinaNet.yaml")
    return base.merged(
        {"MODEL.RESNETS.DEPTH": 18, "MODEL.RESNETS.RES2_OUT_CHANNELS": 64, "MODEL.FPN.OUT_CHANNELS": 8}, "tiny"
    )


class TouchesAFile:
    """Unpickling this creates a file, unless the reader prevents it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_written_checkpoint_reads_back_with_its_metadata(tmp_path):
    path = tmp_path / "new" / "model.pth"
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    write_checkpoint(path, {STEM: torch.ones(2, 3)}, {"class_names": ["a", "é"], "optimizer": optimizer})
    found = read_checkpoint(path)
    assert torch.equal(found.state_dict[STEM], torch.ones(2, 3))
    assert found.metadata["class_names"] == ["a", "é"]
    assert torch.equal(found.metadata["optimizer"]["state"][0]["momentum_buffer"], torch.ones(2))
    assert [item.name for item in path.parent.iterdir()] == ["model.pth"]


@pytest.mark.parametrize("kind", ["array", "tensor", "nested"])
def test_numbers_that_are_named_again_and_again_are_refused(tmp_path, kind):
    """Whoever loads weights copies those of each name: 600 kilobytes with 10,000 names would take five gigabytes."""
    numbers = np.zeros(125_000, np.float32) if kind == "array" else torch.zeros(125_000)
    names = {f"layer{number}": [numbers] if kind == "nested" else numbers for number in range(20)}
    path = tmp_path / ("a.pkl" if kind == "array" else "a.pth")
    if kind == "array":
        path.write_bytes(pickle.dumps(names))
    else:
        torch.save(names, path)
    with pytest.raises(ModelError, match="it refers to the same numbers again and again"):
        read_checkpoint(path)


def test_weights_that_two_names_share_are_read(tmp_path):
    """Tied weights, and files that hold a model twice."""
    shared = torch.arange(100_000.0)
    torch.save({"model": {STEM: shared, "tied": shared}, "model_ema": {STEM: shared}}, tmp_path / "a.pth")
    assert torch.equal(read_checkpoint(tmp_path / "a.pth").state_dict["tied"], shared)


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        write_checkpoint(tmp_path / "file" / "model.pth", {STEM: torch.ones(1)}, {})


@pytest.mark.parametrize(
    ("content", "metadata"),
    [
        pytest.param({STEM: torch.ones(2)}, [], id="a bare state dict"),
        pytest.param({"model": {STEM: torch.ones(2)}, "iteration": 3}, ["iteration"], id="detectron2's wrapper"),
        pytest.param({"model": {"module." + STEM: torch.ones(2)}}, [], id="saved from several GPUs"),
        pytest.param({"ema_state": {STEM: torch.ones(2)}, "epoch": 1}, ["epoch"], id="only an EMA"),
        pytest.param(
            {"ema": {STEM: torch.zeros(2)}, "model": {STEM: torch.ones(2)}}, ["ema"], id="an EMA next to the model"
        ),
        pytest.param({"model": {STEM: torch.ones(2)}, "best": np.float64(0.5)}, ["best"], id="with a numpy number"),
        pytest.param({"model": {STEM: np.ones(2, np.float32)}}, [], id="with numpy weights"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["new format", "format before torch 1.6"])
def test_pth_files_of_many_programs_are_read(tmp_path, content, metadata, zipped):
    torch.save(content, tmp_path / "model.pth", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "model.pth")
    assert torch.equal(found.state_dict[STEM], torch.ones(2))
    assert list(found.metadata) == metadata


def test_a_model_zoo_pickle_is_read(tmp_path):
    content = {"model": {STEM: np.ones((2, 3), np.float32)}, "__author__": "Detectron2 Model Zoo"}
    (tmp_path / "model_final.pkl").write_bytes(pickle.dumps(content, protocol=4))
    found = read_checkpoint(tmp_path / "model_final.pkl")
    assert torch.equal(found.state_dict[STEM], torch.ones(2, 3))
    assert found.metadata == {"__author__": "Detectron2 Model Zoo"}


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_an_imagenet_pickle_of_caffe2_gets_the_names_of_the_model(tmp_path, protocol):
    blobs = {"conv1_w": 1, "res_conv1_bn_s": 2, "res2_0_branch2a_w": 3, "res2_0_branch1_bn_b": 4, "pred_w": 5}
    content = {name: np.full(2, value, np.float32) for name, value in blobs.items()}
    content["conv1_w_momentum"] = np.zeros(2, np.float32)
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps({"blobs": content}, protocol=protocol))
    found = {name: float(value[0]) for name, value in read_checkpoint(tmp_path / "R-50.pkl").state_dict.items()}
    assert found == {
        STEM: 1,
        "backbone.bottom_up.stem.conv1.norm.weight": 2,
        "backbone.bottom_up.res2.0.conv1.weight": 3,
        "backbone.bottom_up.res2.0.shortcut.norm.bias": 4,
        "pred_w": 5,
    }


def test_a_whole_torchvision_resnet_fills_the_backbone(cfg, tmp_path):
    torchvision = pytest.importorskip("torchvision")
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    report = load_weights(build_retinanet(cfg, 2), read_checkpoint(tmp_path / "resnet18.pth").state_dict)
    assert not [name for name in report.missing if name.startswith("backbone.bottom_up.")]
    assert not report.misshapen
    assert sorted(report.unexpected) == ["backbone.bottom_up.stem.fc.bias", "backbone.bottom_up.stem.fc.weight"]


@pytest.mark.parametrize("name", ["evil.pkl", "evil.pth"])
@pytest.mark.parametrize("how", ["pickle", "torch", "torch before 1.6"])
def test_a_file_that_would_run_code_is_refused_by_name_and_runs_nothing(tmp_path, name, how):
    victim, path = tmp_path / "created", tmp_path / name
    content = {"model": {STEM: torch.ones(1)}, "extra": TouchesAFile(victim)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(ModelError) as failure:
        read_checkpoint(path)
    assert str(path) in str(failure.value)
    assert not victim.exists()


def test_the_error_says_what_the_file_asked_for_and_what_to_do(tmp_path):
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"model": TouchesAFile(tmp_path / "created")}))
    with pytest.raises(ModelError, match=r"asks for posix.system.*save the weights alone"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.pth", b"", id="empty"),
        pytest.param("a.pth", b"<html>404</html>", id="a web page"),
        pytest.param("a.pkl", b"<html>404</html>", id="a web page called pkl"),
        pytest.param("a.pkl", b"", id="an empty pickle"),
        pytest.param("a.pth", pickle.dumps(3), id="a number"),
        pytest.param("a.pkl", pickle.dumps({"model": 3}), id="no tensors"),
        pytest.param("a.pth", b"PK\x03\x04 cut off", id="half a file"),
    ],
)
def test_other_files_are_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match="weight") as failure:
        read_checkpoint(path)
    assert str(path) in str(failure.value)


def test_a_checkpoint_cut_short_is_named(tmp_path):
    write_checkpoint(tmp_path / "whole.pth", {STEM: torch.ones(1000)}, {})
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "half.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"half.pth"):
        read_checkpoint(tmp_path / "half.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.pth: no such file"):
        read_checkpoint(tmp_path / "nowhere.pth")


def test_weights_of_other_classes_leave_the_class_layer_as_it_was_and_say_so(cfg):
    old, new = build_retinanet(cfg, 3), build_retinanet(cfg, 2)
    before = new.head.cls_score.weight.clone()
    report = load_weights(new, old.state_dict())
    assert torch.equal(new.head.cls_score.weight, before)
    assert torch.equal(new.head.bbox_pred.weight, old.head.bbox_pred.weight)
    assert report.misshapen == (
        ("head.cls_score.weight", (27, 8, 3, 3), (18, 8, 3, 3)),
        ("head.cls_score.bias", (27,), (18,)),
    )
    assert not report.missing
    assert not report.unexpected


def test_the_table_lists_every_tensor_without_a_place(cfg):
    state = dict(build_retinanet(cfg, 2).state_dict())
    del state["head.bbox_pred.bias"]
    state["head.extra"] = torch.ones(1)
    state["head.cls_score.bias"] = torch.ones(5)
    report = load_weights(build_retinanet(cfg, 2), state)
    lines = report.table().splitlines()
    assert lines[0] == f"{len(state) - 2} tensors loaded, 3 not"
    assert [line.split()[0] for line in lines[2:]] == ["head.cls_score.bias", "head.bbox_pred.bias", "head.extra"]
    assert "(5,)" in lines[2]
    assert "(18,)" in lines[2]


def test_a_full_load_needs_one_line(cfg):
    model = build_retinanet(cfg, 2)
    report = load_weights(model, model.state_dict())
    assert report.table() == f"{len(model.state_dict())} tensors loaded, 0 not"


def test_constants_and_counters_of_old_files_are_not_reported(cfg):
    state = dict(build_retinanet(cfg, 2).state_dict())
    state.update({"pixel_mean": torch.ones(3), "anchor_generator.cell_anchors.0": torch.ones(9, 4)})
    state["backbone.bottom_up.stem.conv1.norm.num_batches_tracked"] = torch.tensor(7)
    assert not load_weights(build_retinanet(cfg, 2), state).unexpected


def test_caffe2_weights_without_statistics_count_as_mean_0_and_variance_1(cfg):
    state = dict(build_retinanet(cfg, 2).state_dict())
    norm = "backbone.bottom_up.stem.conv1.norm."
    del state[norm + "running_mean"], state[norm + "running_var"]
    model = build_retinanet(cfg, 2)
    assert not load_weights(model, state).missing
    assert torch.equal(model.state_dict()[norm + "running_var"], torch.ones(64))


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"features.0.weight": torch.ones(64, 3, 3, 3)}, id="another network"),
        pytest.param({STEM: torch.ones(32, 3, 3, 3)}, id="another shape"),
        pytest.param({"head.bbox_pred.bias": torch.ones(36)}, id="only a head"),
    ],
)
def test_weights_of_something_else_are_an_error(cfg, state):
    with pytest.raises(ModelError, match=r"some.pth: no tensor fits the backbone"):
        load_weights(build_retinanet(cfg, 2), state, source="some.pth")


@pytest.mark.parametrize("name", ["model.pth", "model.pkl"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"PK\x05\x06" + bytes(18), id="an empty archive"),
        pytest.param(b"PK\x03\x04" + bytes(200), id="zeros"),
        pytest.param(op.program(pickle.BINBYTES8 + b"\xff" * 8), id="a promise of 16 exabytes"),
        pytest.param(op.program(pickle.FRAME + b"\xff" * 8), id="a frame of 16 exabytes"),
        pytest.param(op.program(op.NONE + pickle.TUPLE1 * 10_000), id="ten thousand levels"),
        pytest.param(op.program(op.name("os", "a\tb\rc")), id="a name of several lines"),
        pytest.param(b"\x80\x02I" + b"9" * 10_000 + b"\n.", id="ten thousand digits"),
        pytest.param(
            op.program(op.call(op.name("numpy.core.multiarray", "scalar"), op.dtype("O8", "|"), op.data(b"A" * 8))),
            id="an object at an address",
        ),
    ],
)
def test_every_error_is_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError) as failure:
        read_checkpoint(tmp_path / name)
    assert len(str(failure.value).splitlines()) == 1


def test_a_state_within_a_state_without_end_is_refused_in_time(tmp_path):
    """Each level names the next one nine times over: walking through all of them would take years."""
    wrappers = ("model", "model_state", "state_dict", "ema_state", "model_ema", "ema", "module", "state", "blobs")
    content: dict[str, object] = {}
    for _ in range(30):
        content = dict.fromkeys(wrappers, content)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match="counted at each place that refers to them"):
        read_checkpoint(tmp_path / "model.pkl")


def test_unsigned_numbers_become_tensors_of_every_torch(tmp_path):
    content = {"model": {STEM: np.ones(2, np.float32), "counters": np.array([2**32 - 1], np.uint32)}}
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(content))
    assert read_checkpoint(tmp_path / "model.pkl").state_dict["counters"].tolist() == [2**32 - 1]


def test_a_fifo_is_no_weight_file(tmp_path):
    os.mkfifo(tmp_path / "model.pth")
    with pytest.raises(ModelError, match=r"model\.pth: no such file"):
        read_checkpoint(tmp_path / "model.pth")


def test_the_name_of_a_tensor_is_one_line_of_the_report():
    report = LoadReport(1, (), ("a\nERROR 0: b", "c\u2028d"), ())
    assert len(report.table().splitlines()) == 4
