"""The platform's files, one function at a time: paths, index, annotations, monitor, results, model package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.platform_reader import read_infer_result, read_monitor, read_training_result
from ymir_detectron2.atomic_file import atomic_write
from ymir_detectron2.contract import monitor as monitor_module
from ymir_detectron2.contract.annotations import AnnotationReader, Box
from ymir_detectron2.contract.findings import Findings
from ymir_detectron2.contract.index_file import read_index
from ymir_detectron2.contract.infer_result import InferResultWriter, ResultBox
from ymir_detectron2.contract.model_package import find_model_package
from ymir_detectron2.contract.monitor import Monitor
from ymir_detectron2.contract.paths import PathMap
from ymir_detectron2.contract.training_result import Stage, TrainingResult
from ymir_detectron2.errors import ConfigError, DatasetError, ModelError, StorageError

# --- paths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_file", "in_dir", "out_dir"),
    [
        ("/in/env.yaml", "/in", "/out"),
        ("/x/in/env.yaml", "/x/in", "/x/out"),
        ("/x/task/env.yaml", "/x/task", "/x/task/out"),
        ("/x/task/../in/./env.yaml", "/x/in", "/x/out"),
    ],
)
def test_where_in_and_out_lie(env_file: str, in_dir: str, out_dir: str):
    assert PathMap.for_env_file(Path(env_file)) == PathMap(Path(in_dir), Path(out_dir))


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/in", "/x/in"),
        ("/in/assets/./17/a b.jpg", "/x/in/assets/17/a b.jpg"),
        ("/out/models/", "/x/out/models"),
        ("/input/a.jpg", "/input/a.jpg"),
        ("/in/../etc/passwd", "/etc/passwd"),
        ("assets/a.jpg", "/x/in/assets/a.jpg"),
        ("//in/a.jpg", "//in/a.jpg"),
    ],
)
def test_container_paths_become_real_ones(path: str, real: str):
    assert str(PathMap(Path("/x/in"), Path("/x/out")).resolve(path)) == real


# --- index -------------------------------------------------------------------------------------------------------


def read(tmp_path: Path, content: bytes) -> tuple[list[tuple[str, str | None]], dict[str, Any]]:
    index = tmp_path / "index.tsv"
    index.write_bytes(content)
    findings = Findings()
    entries = read_index(index, PathMap(Path("/in"), Path("/out")), findings, "training")
    found = [(entry.asset, entry.annotation_path and str(entry.annotation_path)) for entry in entries]
    return found, {reason: count["count"] for reason, count in findings.as_dict().items()}


@pytest.mark.parametrize(
    ("content", "entries", "findings"),
    [
        pytest.param(b"/in/a.jpg", [("/in/a.jpg", None)], {}, id="one column, no line end"),
        pytest.param(b"/in/a b.jpg\t/in/a b.txt\n", [("/in/a b.jpg", "/in/a b.txt")], {}, id="blanks"),
        pytest.param(b"\xef\xbb\xbf/in/a\r\n\r\n/in/b\t\r\n", [("/in/a", None), ("/in/b", None)], {}, id="foreign"),
        pytest.param(b"/in/a\n/in/./a\n/in/b/../a\n", [("/in/a", None)], {"picture listed twice": 2}, id="duplicates"),
        pytest.param(b"/in/a\n\t/in/a.txt\n", [("/in/a", None)], {"index line without a picture": 1}, id="no picture"),
        pytest.param(b"/in/b\n/in/a\n", [("/in/b", None), ("/in/a", None)], {}, id="own order"),
        pytest.param(b"/in/a\t/in/t\textra\n", [("/in/a", "/in/t")], {}, id="third column"),
        pytest.param(b"/in/a\r/in/b", [("/in/a", None), ("/in/b", None)], {}, id="line ends of another age"),
        pytest.param(b"/in/\xe9\n", [("/in/\udce9", None)], {}, id="no UTF-8"),
        pytest.param("/in/a\u2028b\n".encode(), [("/in/a\u2028b", None)], {}, id="a line separator in a name"),
    ],
)
def test_index_files(tmp_path: Path, content: bytes, entries: list, findings: dict):
    assert read(tmp_path, content) == (entries, findings)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\t\n"])
def test_empty_index_is_an_error(tmp_path: Path, content: bytes):
    with pytest.raises(DatasetError, match="set is empty"):
        read(tmp_path, content)


def test_missing_index_is_an_error(tmp_path: Path):
    with pytest.raises(DatasetError, match="the candidate index cannot be read"):
        read_index(tmp_path / "gone", PathMap(tmp_path, tmp_path), Findings(), "candidate")


# --- annotations -------------------------------------------------------------------------------------------------


def boxes_of(tmp_path: Path, text: str) -> tuple[list[Box], int]:
    file = tmp_path / "labels"
    file.write_text(text, encoding="utf-8")
    findings = Findings()
    boxes = [box for _, box in AnnotationReader(["cat", "Dog"], findings).read(file)]
    return boxes, sum(found["count"] for found in findings.as_dict().values())


INCLUSIVE_10_TO_19 = Box(1, 10, 7, 20, 30)


@pytest.mark.parametrize(
    ("text", "boxes", "skipped"),
    [
        pytest.param("", [], 0, id="empty"),
        pytest.param("\n \n", [], 0, id="blank"),
        pytest.param("1, 10, 7, 19, 29\n", [INCLUSIVE_10_TO_19], 0, id="ark, 5 columns"),
        pytest.param("1,10,7,19,29", [INCLUSIVE_10_TO_19], 0, id="ark without blanks"),
        pytest.param("1, 10, 7, 19, 29, -1.0, 0.0\n", [INCLUSIVE_10_TO_19], 0, id="ark, 7 columns"),
        pytest.param("\ufeff1, 10, 7, 19, 29\r\n", [INCLUSIVE_10_TO_19], 0, id="foreign line ends"),
        pytest.param("0, 5, 5, 5, 5", [Box(0, 5, 5, 6, 6)], 0, id="one pixel"),
        pytest.param("2, 1, 1, 5, 5\n-1, 1, 1, 5, 5", [], 2, id="unknown classes"),
        pytest.param("0, 1, 1, 5\ncat, 1, 1, 5, 5\n0.0, 1, 1, 5, 5\n,", [], 4, id="no such line"),
        pytest.param("<annotation/>", [], 0, id="voc, empty"),
        pytest.param(" \n<annotation><object>", [], 1, id="voc, broken off"),
        pytest.param(
            "<annotation><object><name> DOG</name><truncated>unknown</truncated><bndbox><xmin>10</xmin>"
            "<ymin>7</ymin><xmax>19</xmax><ymax>29</ymax><rotate_angle>0.0</rotate_angle></bndbox></object>"
            "<object><name>cat</name></object><object><name>cow</name></object></annotation>",
            [INCLUSIVE_10_TO_19], 2, id="voc",
        ),
    ],
)  # fmt: skip
def test_annotation_files(tmp_path: Path, text: str, boxes: list[Box], skipped: int):
    assert boxes_of(tmp_path, text) == (boxes, skipped)


@pytest.mark.parametrize("text", ["{}", " [1]"])
def test_json_annotations_are_an_error(tmp_path: Path, text: str):
    with pytest.raises(DatasetError, match="holds JSON; set export_format"):
        boxes_of(tmp_path, text)


def test_findings_keep_the_first_names_and_count_all():
    parts = [Findings(), Findings()]
    for number in range(8):
        parts[number % 2].add("odd", f"place {number}")
    parts[0].merge(parts[1])
    assert parts[0].as_dict() == {
        "odd": {"count": 8, "first": ["place 0", "place 2", "place 4", "place 6", "place 1"]}
    }  # fmt: skip
    assert parts[0].sentences() == ["8 x odd, e.g. place 0"]
    assert not Findings()


# --- monitor -----------------------------------------------------------------------------------------------------


def state(path: Path) -> tuple[float, int, str]:
    line = read_monitor(path.read_text(encoding="utf-8"))
    return line.percent, line.state_code, line.state_message


def test_progress_is_clipped_scaled_and_never_goes_back(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    monitor = Monitor(path, "t1", 0.5, 1.0)
    seen = []
    for fraction in (0.0, 0.5, 0.25, float("nan"), -3.0, 7.0):
        monitor.report(fraction)
        seen.append(state(path)[0])
    assert seen == [0.5, 0.75, 0.75, 0.75, 0.75, 1.0]


def test_a_million_reports_are_a_thousand_writes(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    monitor = Monitor(path, "t1")
    contents = set()
    for step in range(20_001):
        monitor.report(step / 20_000)
        if step % 10 == 0:
            contents.add(path.read_text())
    assert len(contents) <= 1002
    assert state(path)[0] == 1.0


def test_the_first_reason_stays_and_no_progress_of_a_sibling_hides_it(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    writer, sibling, parent = (Monitor(path, "t1") for _ in range(3))
    writer.report(0.2)
    sibling.fail(300103, "memory\nran\tout")
    writer.report(0.4)
    parent.fail(160004, "a child died")
    assert state(path) == (0.2, 300103, "memory ran out")


def test_a_new_run_takes_away_the_reason_of_an_earlier_one(tmp_path: Path):
    path = tmp_path / "monitor.txt"
    Monitor(path, "t1").fail(300001, "wrong")
    Monitor(path, "t2").report(0.0)
    assert state(path) == (0.0, 0, "")


@pytest.mark.parametrize("text", ["", "garbage", "t\t1", "t\tx\ty\t2\tz", "t\t1.0\t0.5\t2\tfive"])
def test_a_monitor_file_that_nobody_can_read_is_replaced(tmp_path: Path, text: str):
    path = tmp_path / "monitor.txt"
    path.write_text(text)
    assert monitor_module.read_monitor(path) is None
    Monitor(path, "t1").fail(300002, "empty")
    assert state(path) == (0.0, 300002, "empty")


@pytest.mark.parametrize("task_id", ["", " ", "a\tb\nc", "odd byte \udce9", "half a pair \ud800"])
def test_no_task_id_breaks_the_line(tmp_path: Path, task_id: str):
    Monitor(tmp_path / "monitor.txt", task_id).report(0.5)
    assert state(tmp_path / "monitor.txt")[0] == 0.5


# --- files that are whole or not there ---------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    path = tmp_path / "deep" / "file.txt"
    with atomic_write(path) as file:
        file.write("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write("new" + str(1 / 0))
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_the_file_system_refuses_names_the_path(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"file/monitor.txt: cannot be written"), atomic_write(
        tmp_path / "file" / "monitor.txt"
    ):
        pass


# --- result.yaml -------------------------------------------------------------------------------------------------


def add_stage(result: TrainingResult, folder: Path, step: int, map50: float) -> None:
    name = f"iter_{step:07d}"
    (folder / f"{name}.pth").write_bytes(b"weights")
    (folder / "config.yaml").write_text("MODEL: {}\n")
    result.add(Stage(name, (f"{name}.pth", "config.yaml"), map50, {"mAR": map50, "tp": float("nan")}))


def train(folder: Path, maps: list[float], *, writes_stages: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    result = TrainingResult(folder, folder / "result.yaml", writes_stages=writes_stages)
    for step, map50 in enumerate(maps, start=1):
        add_stage(result, folder, step, map50)


@pytest.mark.parametrize(
    ("maps", "best", "kept"),
    [
        pytest.param([0.1], 1, {1}, id="one"),
        pytest.param([0.3, 0.1, 0.2], 1, {1, 2, 3}, id="best first"),
        pytest.param([0.2, 0.3, 0.3], 3, {1, 2, 3}, id="of equals the latest"),
        pytest.param([0.9] + [0.1] * 12, 1, {1, *range(4, 14)}, id="the best one stays beside the latest ten"),
        pytest.param([0.1] * 13, 13, set(range(4, 14)), id="ten of equals"),
        pytest.param([0.9] + [0.1] * 10 + [0.95], 12, set(range(3, 13)), id="a better one frees the old best"),
        pytest.param([float("nan"), 0.0, float("inf")], 3, {1, 2, 3}, id="no numbers count as zero"),
    ],
)
def test_latest_ten_stages_and_the_best_are_kept(tmp_path: Path, maps: list[float], best: int, kept: set[int]):
    folder = tmp_path / "models"
    train(folder, maps)
    packed = read_training_result(folder)
    assert packed.best_stage_name == f"iter_{best:07d}"
    assert {int(name[5:]) for name in packed.stages} == kept
    assert {int(file.stem[5:]) for file in folder.glob("*.pth")} == kept


def test_the_first_release_gets_the_files_of_the_best_stage(tmp_path: Path):
    train(tmp_path, [0.1, 0.6, 1.2], writes_stages=False)
    assert yaml.safe_load((tmp_path / "result.yaml").read_text()) == {
        "model": ["iter_0000003.pth", "config.yaml"], "map": 1.0,
    }  # fmt: skip
    assert read_training_result(tmp_path, "1.1.0").best.m_ap == 1.0


# --- infer-result.json -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("writes_stages", "release"), [(True, "2.5.0"), (True, "2.0.0"), (False, "1.1.0")])
def test_boxes_come_back_as_they_were_written(tmp_path: Path, writes_stages: bool, release: str):
    path = tmp_path / "infer-result.json"
    with InferResultWriter(path, writes_stages=writes_stages) as writer:
        writer.add("/in/assets/a.jpg", [ResultBox(1, 2, 3, 4, "cat", 0.123456789)])
        writer.add('/in/assets/b "ü".jpg', [])
        assert not path.exists()
    shown = read_infer_result(path, ["a.jpg", 'b "ü".jpg'], ["cat"], release)
    assert [(box.x, box.y, box.w, box.h, box.class_name, box.score) for box in shown["a.jpg"]] == [
        (1, 2, 3, 4, "cat", 0.123457)
    ]
    assert shown['b "ü".jpg'] == []


def test_the_bytes_of_a_result(tmp_path: Path):
    with InferResultWriter(tmp_path / "result.json", writes_stages=True) as writer:
        writer.add("/in/a.jpg", [ResultBox(3, 4, 10, 7, "cat", 0.9)])
        writer.add("/in/x/caf\udce9.jpg", [])
    assert (tmp_path / "result.json").read_bytes() == (
        b'{"detection": {\n"a.jpg": {"boxes": [{"box": {"x": 3, "y": 4, "w": 10, "h": 7}, "class_name": "cat",'
        b' "score": 0.9}]},\n"caf\\udce9.jpg": {"boxes": []}\n}}\n'
    )


def test_an_empty_or_interrupted_result(tmp_path: Path):
    with InferResultWriter(tmp_path / "empty.json", writes_stages=True):
        pass
    assert json.loads((tmp_path / "empty.json").read_text()) == {"detection": {}}
    with pytest.raises(ZeroDivisionError), InferResultWriter(tmp_path / "cut.json", writes_stages=True) as writer:
        writer.add("a.jpg", [] * (1 // 0))
    assert [file.name for file in tmp_path.iterdir()] == ["empty.json"]


# --- model package -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskStub:
    """The part of a `Task` that finding a model needs."""

    config: dict[str, Any]
    paths: PathMap
    input_models_dir: Path


def find(tmp_path: Path, files: list[str], listed: Any, texts: dict[str, str] | None = None):
    models = tmp_path / "in" / "models"
    for name in files:
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text("MODEL: {}\n" if name.endswith("config.yaml") else "x")
    for name, text in (texts or {}).items():
        (models / name).write_text(text)
    task = TaskStub({"key": listed}, PathMap(tmp_path / "in", tmp_path / "out"), models)
    package = find_model_package(task, "key")  # type: ignore[arg-type]
    if package is None:
        return None
    config = package.config and str(package.config.relative_to(models))
    return str(package.weights.relative_to(models)), config, package.class_names


FLAT = ["/in/models/a.pth", "/in/models/config.yaml"]
TWO = ["/in/models/iter_0000001.pth", "/in/models/iter_0000002.pth", "/in/models/config.yaml"]
TWO_FILES = ["iter_0000001.pth", "iter_0000002.pth", "config.yaml"]
CLASSES = "executor_config: {class_names: [cat, 7]}\n"


@pytest.mark.parametrize(
    ("files", "listed", "texts", "expected"),
    [
        pytest.param([], None, {}, None, id="no key"),
        pytest.param([], [], {}, None, id="empty list"),
        pytest.param([], "", {}, None, id="empty text"),
        pytest.param(["a.pth"], "/in/models/a.pth", {}, ("a.pth", None, None), id="one path as text"),
        pytest.param(["a.pth", "config.yaml"], FLAT, {}, ("a.pth", "config.yaml", None), id="flat"),
        pytest.param(["a.pth", "config.yaml"], FLAT[:1], {}, ("a.pth", "config.yaml", None), id="config not listed"),
        pytest.param(["s/a.pkl", "s/config.yaml"], ["/in/models/s/a.pkl"], {"ymir-info.yaml": CLASSES},
                     ("s/a.pkl", "s/config.yaml", ("cat", "7")), id="stage folder and class names"),
        pytest.param(["a.pth"], ["/in/models/a.pth"], {"ymir-info.yaml": "x: 1", "result.yaml": "y: 1"},
                     ("a.pth", None, None), id="the platform's own files are no configs"),
        pytest.param(TWO_FILES, TWO, {"result.yaml": "best_stage_name: iter_0000001\n"},
                     ("iter_0000001.pth", "config.yaml", None), id="as the verifier passes them"),
        pytest.param(TWO_FILES, TWO, {"result.yaml": "model: [config.yaml, iter_0000001.pth]\nmap: 0.1\n"},
                     ("iter_0000001.pth", "config.yaml", None), id="the verifier after a legacy training"),
        pytest.param(["s1/a.pth", "s2/a.pth"], ["/in/models/s1/a.pth", "/in/models/s2/a.pth"],
                     {"ymir-info.yaml": "best_stage_name: s2\n"}, ("s2/a.pth", None, None), id="best stage's folder"),
        pytest.param(["a.pth", "own.yml"], ["/in/models/a.pth", "/in/models/own.yml"], {},
                     ("a.pth", "own.yml", None), id="config of another name"),
    ],
)  # fmt: skip
def test_which_model_is_meant(tmp_path: Path, files: list[str], listed: Any, texts: dict[str, str], expected: Any):
    assert find(tmp_path, files, listed, texts) == expected


def test_the_newest_file_is_not_the_best(tmp_path: Path):
    with pytest.raises(ModelError, match=r"which of .*iter_0000001.pth.*iter_0000002.pth is meant"):
        find(tmp_path, TWO_FILES, TWO)


@pytest.mark.parametrize("listed", [5, {"a": 1}, [1], [["a.pth"]]])
def test_a_key_that_lists_no_paths(tmp_path: Path, listed: Any):
    with pytest.raises(ConfigError, match="key must be a list of paths"):
        find(tmp_path, [], listed)
