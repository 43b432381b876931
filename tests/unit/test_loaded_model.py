"""`load_model`: the boxes of an inference task, from whatever names the model and whatever the images are."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.conftest import CLASS_NAMES, Drawn, MakeTree, Trained
from tests.rectangle_detector import RectangleDetector
from tests.running import run_steps
from tests.tiny_training import CLASSES, config
from tests.tiny_training import build as build_network
from ymir_detectron2 import load_model
from ymir_detectron2.api.loaded_model import Model, Thresholds
from ymir_detectron2.api.prediction import Prediction
from ymir_detectron2.contract.infer_result import ResultBox
from ymir_detectron2.detections import Detections
from ymir_detectron2.errors import (
    ConfigError,
    ExecutorError,
    ImageError,
    ModelError,
    NoGpuError,
    OutOfMemoryError,
)  # fmt: skip
from ymir_detectron2.inference.predict import pixel_boxes
from ymir_detectron2.inference.tiling import Tiling
from ymir_detectron2.retinanet.checkpoint import write_checkpoint

LOW, SURER = 0.005, 0.0125
"""The model of the tests is trained for six steps: it is sure of nothing. With tiles, boxes above the second threshold
would be missing if all were predicted at the first one and those below the second removed afterwards."""


@pytest.fixture(scope="module")
def model(trained: Trained) -> Model:
    return load_model(trained.models_dir, device="cpu", engine="torch")


def rows(prediction: Prediction) -> list[ResultBox]:
    """The boxes as a task writes them: whole pixels, six digits of the score."""
    found = Detections(prediction.boxes_xyxy, prediction.scores, prediction.classes)
    boxes = pixel_boxes(found, prediction.image_hw, prediction.class_names)
    return [box._replace(score=round(box.score, 6)) for box in boxes]


def result_of_task(tree: Any) -> dict[str, list[ResultBox]]:
    run_steps(tree.env_file).require_success()
    detection = json.loads((tree.out_dir / "infer-result.json").read_text())["detection"]
    return {
        name: [ResultBox(**box["box"], class_name=box["class_name"], score=box["score"]) for box in entry["boxes"]]
        for name, entry in detection.items()
    }


@pytest.mark.parametrize("settings", [{}, {"tile_size": 48}, {"image_size": 80}], ids=["plain", "tiles", "larger"])
def test_the_boxes_are_those_of_an_inference_task(
    ymir_tree: MakeTree, trained: Trained, settings: dict[str, Any]
):
    """At two thresholds of one model, for images that are stored upright and turned."""
    loaded = load_model(trained.models_dir, device="cpu", engine="torch", **settings)
    for threshold in (LOW, SURER):
        tree = ymir_tree("infer", folder=f"task{threshold}", config={**settings, "conf_threshold": threshold})
        trained.give_to(tree)
        paths = [tree.real(line) for line in tree.candidates()]
        found = {path.name: rows(one) for path, one in zip(paths, loaded.predict(paths, threshold))}
        expected = result_of_task(tree)
        assert sum(map(len, expected.values())) > 20, "else nothing is compared"
        assert found == expected


def test_one_image_in_every_form(model: Model, drawn: Drawn):
    """Path, text, array and image of Pillow; PNG, so that all readers decode the same pixels."""
    (path,) = [image.path for image in drawn.train if image.path.suffix == ".png"]
    expected = rows(model.predict(path, LOW))
    assert expected
    forms = [str(path), cv2.imread(str(path)), Image.open(path), Image.open(path).convert("RGBA")]
    assert [rows(model.predict(form, LOW)) for form in forms] == [expected] * 4
    assert [rows(one) for one in model.predict(forms, LOW)] == [expected] * 4
    assert [rows(one) for one in model.predict((path,), LOW)] == [expected]
    assert model.predict([]) == []
    rgb = cv2.imread(str(path))[:, :, ::-1]
    assert rows(model.predict(rgb, LOW)) != expected, "arrays are BGR"


def test_exif_of_a_pillow_image_is_obeyed(model: Model, drawn: Drawn):
    (path,) = [image.path for image in drawn.train if image.path.name == "turned.jpg"]
    by_path, by_image = model.predict([path, Image.open(path)], LOW)
    assert by_path.image_hw == by_image.image_hw == (96, 64)
    assert rows(by_path) == rows(by_image) != []


def test_fields_of_a_prediction(model: Model, drawn: Drawn):
    found = model.predict(drawn.train[0].path, LOW)
    count = len(found)
    assert (found.boxes_xyxy.shape, found.boxes_xyxy.dtype) == ((count, 4), np.float32)
    assert (found.scores.shape, found.scores.dtype, found.classes.dtype) == ((count,), np.float32, np.int64)
    assert found.class_names == model.class_names == CLASS_NAMES
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores.min() > LOW


def test_a_threshold_for_each_class(model: Model, drawn: Drawn):
    path = drawn.train[0].path
    everything = model.predict(path, LOW)
    limit = float(np.median(everything.scores[everything.names.index("brick") :]))
    only_sure_bricks = model.predict(path, {"brick": limit, "leaf": LOW, "sky": LOW})
    expected = [one for one in everything if one.name != "brick" or one.score > limit]
    assert list(only_sure_bricks) == expected
    assert len(expected) < len(everything)


@pytest.mark.parametrize(
    ("stored", "thresholds"),
    [
        ({"all": 0.37, "by_class": {"a": 0.25}}, Thresholds(0.37, {"a": 0.25})),
        ({"all": None, "by_class": {}}, Thresholds(None, {})),
        (None, Thresholds(None, {})),
        ("high", Thresholds(None, {})),
        ({"all": 7.0, "by_class": {"a": "x", "b": 0.5, "c": 0.5}}, Thresholds(None, {"b": 0.5})),
    ],
    ids=["both", "nothing was right", "an older model", "of another program", "damaged"],
)
def test_the_default_threshold_is_that_of_the_model(tmp_path: Path, stored: Any, thresholds: Thresholds):
    cfg = config()
    metadata = {"class_names": list(CLASSES), **({} if stored is None else {"thresholds": stored})}
    write_checkpoint(tmp_path / "w.pth", build_network(cfg).state_dict(), metadata)
    (tmp_path / "config.yaml").write_text(cfg.to_yaml())
    loaded = load_model(tmp_path, device="cpu", engine="torch")
    assert loaded.thresholds == thresholds
    assert loaded.default_threshold == (0.2 if thresholds.all is None else thresholds.all)
    assert f"{loaded.default_threshold:.3g}" in repr(loaded)
    assert "2 classes (a, b)" in repr(loaded)


def test_the_places_of_a_model(model: Model, trained: Trained, drawn: Drawn, tmp_path: Path):
    stage = trained.outcome.yaml("models/result.yaml")["best_stage_name"]
    for name in (f"{stage}.pth", "config.yaml"):
        shutil.copy(trained.models_dir / name, tmp_path / name)
    expected = rows(model.predict(drawn.val[0].path, LOW))
    places: list[Any] = [
        trained.tree.root, str(trained.tree.out_dir), trained.models_dir / stage, tmp_path, tmp_path / f"{stage}.pth",
        [str(tmp_path / f"{stage}.pth"), tmp_path / "config.yaml"],
    ]  # fmt: skip
    for place in places:
        loaded = load_model(place, device="cpu", engine="torch")
        assert rows(loaded.predict(drawn.val[0].path, LOW)) == expected, place


def test_threads_share_a_model(model: Model, drawn: Drawn):
    """Each with its own threshold, which the detector has one of."""
    paths = [image.path for image in drawn.train]
    limits = [LOW, 0.008, 0.012, SURER]
    expected = [[rows(one) for one in model.predict(paths, limit)] for limit in limits]
    found: dict[float, Any] = {}

    def work(limit: float) -> None:
        for _ in range(3):
            found[limit] = [rows(one) for one in model.predict(paths, limit)]

    threads = [threading.Thread(target=work, args=(limit,)) for limit in limits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[limit] for limit in limits] == expected


@pytest.mark.parametrize(
    ("image", "finding"),
    [
        ("gone.jpg", "gone.jpg: cannot be read as an image"),
        (np.zeros((8, 8), np.uint8), r"shape \(8, 8\) and type uint8 is no image; give \(H, W, 3\) uint8, BGR"),
        (np.zeros((8, 8, 3), np.float32), "type float32 is no image"),
        (np.zeros((0, 8, 3), np.uint8), "is no image"),
        (np.zeros((2, 8, 8, 3), np.uint8), "is no image"),
        (7, "7 is no image; give a path, an array or an image of Pillow"),
        (Image.new("RGB", (0, 5)), "it has no pixels"),
    ],
)
def test_what_is_no_image(model: Model, drawn: Drawn, image: Any, finding: str):
    for images in (image, [drawn.train[0].path, image]):
        with pytest.raises(ImageError, match=finding) as error:
            model.predict(images)
        assert "\n" not in str(error.value)
    assert model.predict([drawn.train[0].path], LOW), "the model is still of use"


class ExhaustedDetector(RectangleDetector):
    """One for which there is no memory."""

    def detect(self, pixels: list[np.ndarray]) -> list:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_errors_of_torch_are_translated_as_in_a_task():
    model = Model(ExhaustedDetector(), Tiling(), Thresholds(None, {}), "somewhere")
    with pytest.raises(OutOfMemoryError, match=r"memory ran out .*; lower batch_size"):
        model.predict(np.zeros((9, 9, 3), np.uint8))


@pytest.mark.parametrize("threshold", [-0.1, 1, 1.5, float("nan"), "high", True, {"brick": 2}, {"cow": 0.5}], ids=str)
def test_what_is_no_threshold(model: Model, drawn: Drawn, threshold: Any):
    with pytest.raises(ConfigError, match=r"^threshold: "):
        model.predict(drawn.train[0].path, threshold)


@pytest.mark.parametrize(
    ("options", "error", "finding"),
    [
        ({"device": "gpu"}, ConfigError, "device: must be 'auto', 'cpu', 'cuda' or 'cuda:1', found 'gpu'"),
        ({"device": "cuda:99"}, NoGpuError, "device 'cuda:99': this process sees no such GPU"),
        ({"precision": "int8"}, ConfigError, "^load_model: precision: must be one of auto, fp32"),
        ({"image_size": "large"}, ConfigError, "^load_model: image_size: expected a whole number"),
        ({"engine": "tensorflow"}, ConfigError, "^load_model: engine: must be one of"),
    ],
)
def test_options_that_cannot_be(trained: Trained, options: dict[str, Any], error: type[ExecutorError], finding: str):
    with pytest.raises(error, match=finding):
        load_model(trained.models_dir, **{"engine": "torch", **options})


def test_files_that_are_no_model(tmp_path: Path):
    with pytest.raises(ConfigError, match="gone: no such model"):
        load_model(tmp_path / "gone")
    (tmp_path / "w.pth").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"w\.pth: no config\.yaml lies beside it"):
        load_model(tmp_path / "w.pth", device="cpu", engine="torch")
    (tmp_path / "config.yaml").write_text(config().to_yaml())
    with pytest.raises(ModelError, match=r"w\.pth: is no file that torch\.save wrote"):
        load_model(tmp_path / "w.pth", device="cpu", engine="torch")


@pytest.mark.filterwarnings("ignore")  # detectron2 calls things that torch deprecates
def test_the_default_engine_is_that_of_a_task(trained: Trained, model: Model, drawn: Drawn):
    """Detectron2's where that is installed, with the same boxes."""
    loaded = load_model(trained.models_dir, device="cpu")
    found, expected = (one.predict(drawn.train[0].path, SURER) for one in (loaded, model))
    assert [box.name for box in found] == [box.name for box in expected]
    np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=0.05)
