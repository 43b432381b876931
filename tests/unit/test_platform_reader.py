"""The judge itself: what the platform refuses is refused, what its documents show is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml

from tests.platform_reader import (
    RELEASES,
    MonitorLine,
    PlatformRefusal,
    check_progress,
    read_env,
    read_infer_result,
    read_manifest,
    read_mining_result,
    read_monitor,
    read_template,
    read_training_result,
    unpack_for_verifier,
    unpack_model,
    verifier_checks,
)

SINCE_2_1 = ("2.1.0", "2.2.0", "2.3.0", "2.4.0", "2.5.0")
BEFORE_2_1 = tuple(release for release in RELEASES if release not in SINCE_2_1)
BOX = {"box": {"x": 1, "y": 2, "w": 3, "h": 4}, "class_name": "cat", "score": 0.5}


# --- monitor.txt


def test_monitor_line_of_the_documents_is_accepted() -> None:
    line = read_monitor("t0001\t1622552974.5\t0.25\t2\nepoch 3 of 12\n")
    assert line == MonitorLine("t0001", 1622552974.5, 0.25, 2, 0, "", ("epoch 3 of 12",))


def test_monitor_line_with_code_and_message_is_accepted_by_every_release() -> None:
    for release in RELEASES:
        line = read_monitor("t0001\t1622552974\t1.0\t2\t300103\tout of memory\n", release)
        assert (line.state_code, line.state_message) == (300103, "out of memory")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("\n", id="blank line"),
        pytest.param("t0001\t1622552974\t0.5\n", id="three columns"),
        pytest.param("t0001 1622552974 0.5 2\n", id="blanks for tabs"),
        pytest.param("t0001\t2021-06-01 12:00:00\t0.5\t2\n", id="date as time"),
        pytest.param("t0001\tnan\t0.5\t2\n", id="time is NaN"),
        pytest.param("t0001\t1622552974\thalf\t2\n", id="percent is a word"),
        pytest.param("t0001\t1622552974\t1.01\t2\n", id="percent above 1"),
        pytest.param("t0001\t1622552974\t-0.1\t2\n", id="percent below 0"),
        pytest.param("t0001\t1622552974\tnan\t2\n", id="percent is NaN"),
        pytest.param("t0001\t1622552974\t0.5\tExecutorState.ES_RUNNING\n", id="state is a word"),
        pytest.param("t0001\t1622552974\t0.5\t5\n", id="state 5"),
        pytest.param("t0001\t1622552974\t0.5\t4\n", id="state 4 ends the task before packing"),
        pytest.param("t0001\t1622552974\t0.5\t2\tOOM\n", id="code is a word"),
    ],
)
def test_monitor_line_that_ends_the_task_is_refused(text: str) -> None:
    with pytest.raises(PlatformRefusal):
        read_monitor(text)


def test_state_3_is_refused_only_where_it_loses_the_model() -> None:
    text = "t0001\t1622552974\t1.0\t3\n"
    assert read_monitor(text, "2.5.0").state == 3
    with pytest.raises(PlatformRefusal, match="before its model is packed"):
        read_monitor(text, "2.2.0")


def test_progress_must_not_fall() -> None:
    early, late = MonitorLine("t", 1.0, 0.2, 2), MonitorLine("t", 2.0, 0.4, 2)
    check_progress([early, late, late])
    with pytest.raises(PlatformRefusal, match="progress fell"):
        check_progress([late, MonitorLine("t", 3.0, 0.3, 2)])
    with pytest.raises(PlatformRefusal, match="older"):
        check_progress([late, MonitorLine("t", 1.0, 0.5, 2)])


# --- result.yaml


def stages_result(**changes: Any) -> dict[str, Any]:
    """The documented form with one stage `s1`; `changes` replace keys of the stage."""
    stage = {"stage_name": "s1", "files": ["s1.pth", "s1.yaml"], "timestamp": 1622552974, "mAP": 0.5, **changes}
    return {"best_stage_name": "s1", "model_stages": {"s1": stage}}


def write_models(folder: Path, result: Any, files: list[str]) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"weights of " + name.encode())
    (folder / "result.yaml").write_text(result if isinstance(result, str) else yaml.safe_dump(result))
    return folder


@pytest.mark.parametrize("release", RELEASES)
def test_legacy_result_is_accepted_by_every_release(tmp_path: Path, release: str) -> None:
    models = write_models(tmp_path, {"model": ["s1.pth", "s1.yaml"], "map": 0.5}, ["s1.pth", "s1.yaml"])
    best = read_training_result(models, release).best
    assert (sorted(best.files), best.m_ap) == (["s1.pth", "s1.yaml"], 0.5)


@pytest.mark.parametrize("release", RELEASES[1:])
def test_staged_result_with_flat_files_is_accepted_since_1_2(tmp_path: Path, release: str) -> None:
    packed = read_training_result(write_models(tmp_path, stages_result(), ["s1.pth", "s1.yaml"]), release)
    assert packed.best.timestamp == 1622552974
    assert packed.best.files["s1.pth"] == tmp_path / "s1.pth"


def test_staged_result_is_refused_by_1_1(tmp_path: Path) -> None:
    with pytest.raises(PlatformRefusal, match=r"1\.1\.0 needs the keys model and map"):
        read_training_result(write_models(tmp_path, stages_result(), ["s1.pth", "s1.yaml"]), "1.1.0")


def test_stage_folder_is_searched_first_since_1_3_and_never_before(tmp_path: Path) -> None:
    models = write_models(tmp_path, stages_result(files=["a.pth"]), ["a.pth", "s1/a.pth"])
    assert read_training_result(models, "2.5.0").best.files["a.pth"] == tmp_path / "s1" / "a.pth"
    assert read_training_result(models, "1.2.1dev").best.files["a.pth"] == tmp_path / "a.pth"
    (tmp_path / "a.pth").unlink()
    with pytest.raises(PlatformRefusal, match="must be a file"):
        read_training_result(models, "1.2.1dev")


def test_keys_that_only_some_releases_need(tmp_path: Path) -> None:
    result = stages_result()
    del result["model_stages"]["s1"]["stage_name"], result["model_stages"]["s1"]["mAP"]
    models = write_models(tmp_path, result, ["s1.pth", "s1.yaml"])
    with pytest.raises(PlatformRefusal, match="needs mAP"):
        read_training_result(models, "2.0.0")
    with pytest.raises(PlatformRefusal, match="needs stage_name"):
        read_training_result(models, "2.5.0")
    result["model_stages"]["s1"]["stage_name"] = "s1"
    assert read_training_result(write_models(tmp_path, result, []), "2.5.0").best.m_ap == 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"mAP": float("nan")}, id="mAP is NaN"),
        pytest.param({"mAP": 55.0}, id="mAP in percent"),
        pytest.param({"mAP": -1.0}, id="mAP negative"),
        pytest.param({"mAP": None}, id="mAP is null"),
        pytest.param({"mAR": 1.5}, id="mAR above 1"),
        pytest.param({"fp": -3}, id="negative count"),
        pytest.param({"timestamp": 1622552974000}, id="milliseconds"),
        pytest.param({"timestamp": "2021-06-01"}, id="date as text"),
        pytest.param({"timestamp": None}, id="no timestamp"),
        pytest.param({"files": "s1.pth"}, id="files is a text"),
        pytest.param({"files": ["absent.pth"]}, id="missing file"),
        pytest.param({"files": ["/out/models/s1.pth"]}, id="absolute path"),
        pytest.param({"files": ["folder"]}, id="folder"),
        pytest.param({"files": ["link.pth"]}, id="symbolic link"),
        pytest.param({"files": ["model.tar.gz"]}, id="name of the platform"),
    ],
)
def test_stage_that_refuses_the_whole_model(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_models(tmp_path, stages_result(**changes), ["s1.pth", "s1.yaml", "folder/x", "model.tar.gz"])
    (tmp_path / "link.pth").symlink_to(tmp_path / "s1.pth")
    with pytest.raises(PlatformRefusal):
        read_training_result(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("- a list\n", id="a list"),
        pytest.param("best_stage_name: [", id="no YAML"),
        pytest.param("map: !!python/object/apply:numpy.core.multiarray.scalar []\nmodel: []\n", id="numpy tag"),
        pytest.param("model: [s1.pth]\n", id="model without map"),
        pytest.param("model: [s1.pth]\nmap: .nan\n", id="map is NaN"),
        pytest.param("best_stage_name: s1\n", id="no stages"),
        pytest.param(yaml.safe_dump({**stages_result(), "best_stage_name": "s2"}), id="best stage unknown"),
        pytest.param(yaml.safe_dump({**stages_result(), "evaluate_config": None}), id="evaluate_config null"),
        pytest.param(
            yaml.safe_dump({**stages_result(), "evaluate_config": {"iou_thr": "0.5:0.95"}}), id="evaluate_config text"
        ),
        pytest.param(yaml.safe_dump({**stages_result(), "attachments": {"logs": ["a.txt"]}}), id="attachment missing"),
        pytest.param(yaml.safe_dump(stages_result()).replace("1622552974", "2021-06-01"), id="YAML date"),
        pytest.param(yaml.safe_dump(stages_result()).replace("s1:", "s@1:"), id="at sign in a stage name"),
    ],
)
def test_result_file_that_refuses_the_whole_model(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlatformRefusal):
        read_training_result(write_models(tmp_path, text, ["s1.pth", "s1.yaml"]))


def test_attachments_and_evaluate_config_are_read(tmp_path: Path) -> None:
    result = {**stages_result(), "attachments": {"plots": ["pr.png"]}, "evaluate_config": {"iou_thr": 0.5}}
    models = write_models(tmp_path, result, ["s1.pth", "s1.yaml", "attachments/plots/pr.png"])
    packed = read_training_result(models)
    assert packed.attachments == {"plots": ("pr.png",)}
    assert packed.evaluate_config == {"iou_thr": 0.5}


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("1.1.0", ["/in/models/s1.pth", "/in/models/s1.yaml"]),
        ("1.2.1dev", ["/in/models/s1.pth", "/in/models/s1.yaml"]),
        ("2.5.0", ["/in/models/s1/s1.pth", "/in/models/s1/s1.yaml"]),
    ],
)
def test_unpacked_model_lies_where_the_release_puts_it(tmp_path: Path, release: str, expected: list[str]) -> None:
    result = stages_result() if release != "1.1.0" else {"model": ["s1.pth", "s1.yaml"], "map": 0.5}
    packed = read_training_result(write_models(tmp_path / "out", result, ["s1.pth", "s1.yaml"]), release)
    target = tmp_path / "in" / "models"
    paths = unpack_model(packed, target, release, executor_config={"class_names": ["cat"]})
    assert paths == expected
    assert all((target / Path(path).relative_to("/in/models")).is_file() for path in paths)
    info = yaml.safe_load((target / "ymir-info.yaml").read_text())
    assert info["executor_config"]["class_names"] == ["cat"]


# --- result.tsv


def test_mining_takes_the_first_lines_in_file_order_and_never_the_score(tmp_path: Path) -> None:
    path = tmp_path / "result.tsv"
    path.write_text("/in/assets/aa/1aa.jpg\t0.1\n\n2aa.png\t0.9\n3aa\t0.5\n")
    candidates = ["/in/assets/aa/1aa.jpg", "/in/assets/aa/2aa.png", "/in/assets/aa/3aa.jpg", "/in/assets/aa/4aa.jpg"]
    assert read_mining_result(path, candidates, topk=2) == ["1aa", "2aa"]
    assert read_mining_result(path, candidates) == ["1aa", "2aa", "3aa"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("path\tscore\n1aa.jpg\t0.5\n", id="header"),
        pytest.param("/in/assets/aa/1aa.jpg 0.5\n", id="blank for tab"),
        pytest.param("1aa.jpg\t0.5\n1aa.jpg\t0.4\n", id="twice"),
        pytest.param("5aa.jpg\t0.5\n", id="no candidate"),
    ],
)
def test_mining_result_that_shrinks_the_new_dataset_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.tsv").write_text(text)
    with pytest.raises(PlatformRefusal):
        read_mining_result(tmp_path / "result.tsv", ["/in/assets/aa/1aa.jpg"])


def test_missing_mining_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformRefusal, match="must exist"):
        read_mining_result(tmp_path / "result.tsv", [])


# --- infer-result.json


def write_detection(folder: Path, entry: Any, name: str = "1aa.jpg") -> Path:
    path = folder / "infer-result.json"
    path.write_text(json.dumps({"detection": {name: entry}}))
    return path


def judge(path: Path, release: str = "2.5.0") -> int:
    """Number of boxes that the platform shows for the one image."""
    return len(read_infer_result(path, ["/in/assets/aa/1aa.jpg"], ["cat", "dog"], release)["1aa.jpg"])


@pytest.mark.parametrize("release", [release for release in RELEASES if release != "1.2.1dev"])
def test_annotations_with_exact_boxes_are_accepted_by_every_tagged_release(tmp_path: Path, release: str) -> None:
    assert judge(write_detection(tmp_path, {"annotations": [BOX, BOX]}), release) == 2


@pytest.mark.parametrize("release", RELEASES[1:])
def test_boxes_are_accepted_since_1_2(tmp_path: Path, release: str) -> None:
    assert judge(write_detection(tmp_path, {"boxes": [BOX]}), release) == 1


def test_list_key_that_a_release_does_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformRefusal, match="reads annotations only"):
        judge(write_detection(tmp_path, {"boxes": [BOX]}), "1.1.0")
    with pytest.raises(PlatformRefusal, match="reads boxes only"):
        judge(write_detection(tmp_path, {"annotations": [BOX]}), "1.2.1dev")


def changed_box(**changes: Any) -> dict[str, Any]:
    return {**BOX, "box": {**BOX["box"], **changes}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("entry", "releases"),
    [
        pytest.param({"annotations": [changed_box(x=1.5)]}, RELEASES, id="half a pixel"),
        pytest.param({"annotations": [changed_box(x="1")]}, RELEASES, id="pixel as text"),
        pytest.param({"annotations": [changed_box(area=12)]}, RELEASES, id="extra key in box"),
        pytest.param({"annotations": [changed_box(rotate_angle=0.0)]}, ["1.1.0"], id="rotation in 1.1"),
        pytest.param({"annotations": [{**BOX, "id": 3}]}, ("1.1.0", "2.0.2"), id="extra key of a box before 2.1"),
        pytest.param({"annotations": [BOX], "image_id": 3}, ("1.1.0", "2.0.2"), id="extra key beside the list"),
        pytest.param({"annotations": [{**BOX, "class_name": " "}]}, ("2.0.0", "2.5.0"), id="empty class name"),
        pytest.param({"annotations": [{**BOX, "score": float("nan")}]}, RELEASES, id="score is NaN"),
        pytest.param(
            {"annotations": [{"box": BOX["box"], "class_name": "cat"}]}, ("1.1.0", "2.0.2"), id="no score before 2.1"
        ),
        pytest.param({"annotations": [{"class_name": "cat", "score": 0.5}]}, RELEASES, id="no box"),
        pytest.param({"annotations": {"0": BOX}}, ("1.1.0", "2.5.0"), id="mapping for a list"),
        pytest.param([BOX], RELEASES, id="list for an image"),
    ],
)
def test_image_that_breaks_the_result_is_refused(tmp_path: Path, entry: Any, releases: list[str]) -> None:
    path = write_detection(tmp_path, entry)
    for release in releases:
        with pytest.raises(PlatformRefusal):
            judge(path, release)


def test_what_the_platform_drops_in_silence_is_not_shown(tmp_path: Path) -> None:
    unscored = {"box": BOX["box"], "class_name": "cat"}
    path = write_detection(
        tmp_path, {"boxes": [BOX, unscored, {**BOX, "class_name": "cow"}, {**BOX, "class_name": " Cat "}]}
    )
    assert judge(path, "2.5.0") == 2


@pytest.mark.parametrize(("release", "shown"), [("1.1.0", 50), ("2.0.2", 50), ("2.1.0", 60), ("2.5.0", 60)])
def test_only_early_releases_cut_to_the_50_best_boxes(tmp_path: Path, release: str, shown: int) -> None:
    assert judge(write_detection(tmp_path, {"annotations": [BOX] * 60}), release) == shown


def test_key_with_folders_is_refused_before_2_1_and_shortened_since(tmp_path: Path) -> None:
    path = write_detection(tmp_path, {"annotations": [BOX]}, "/in/assets/aa/1aa.jpg")
    assert judge(path, "2.1.0") == 1
    with pytest.raises(PlatformRefusal, match="base name"):
        judge(path, "2.0.2")


def test_key_that_is_not_a_candidate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformRefusal, match="not a candidate"):
        judge(write_detection(tmp_path, {"boxes": []}, "2aa.jpg"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"detection": []}', '{"detection": {"1aa.jpg": {"boxes": [NaN]}}}']
)
def test_infer_file_without_a_detection_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "infer-result.json").write_text(text)
    with pytest.raises(PlatformRefusal):
        judge(tmp_path / "infer-result.json")


def test_missing_image_is_accepted_by_the_platform_and_refused_by_the_verifier(tmp_path: Path) -> None:
    (tmp_path / "monitor.txt").write_text("t\t1\t1.0\t2\n")
    path = tmp_path / "infer-result.json"
    path.write_text('{"detection": {}}')
    assert read_infer_result(path, ["1aa.jpg"], ["cat"]) == {}
    with pytest.raises(PlatformRefusal, match="exactly the candidates"):
        verifier_checks(tmp_path, "infer", ["/in/assets/aa/1aa.jpg"])


# --- templates, manifest, env.yaml


def test_template_is_read_as_the_form_shows_it(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("learning_rate: 0.001\nargs_options: ''\nexport_format: 'ark:raw'\n")
    assert read_template(tmp_path / "t.yaml")["learning_rate"] == 0.001


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("# only a comment\n", id="comment only"),
        pytest.param("{}\n", id="no key"),
        pytest.param("- a\n", id="a list"),
        pytest.param("a: [\n", id="no YAML"),
        pytest.param("openpai_enable: true\n", id="switches to OpenPAI"),
        pytest.param("a: 2021-06-01\n", id="a date is no JSON"),
        pytest.param(f"a: {'x' * 101}\n", id="longer than the form's box"),
        pytest.param("".join(f"key_{number}: {'x' * 90}\n" for number in range(300)), id="over 20000 characters"),
    ],
)
def test_template_that_registers_no_task_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(PlatformRefusal):
        read_template(tmp_path / "t.yaml")


def test_manifest_holds_a_number(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yaml"
    assert read_manifest(path) == 2
    path.write_text("object_type: 2\n")
    assert [read_manifest(path, release) for release in RELEASES] == [2] * len(RELEASES)
    path.write_text("object_type: [2]\n")
    assert read_manifest(path, "2.0.2") == 2
    with pytest.raises(PlatformRefusal):
        read_manifest(path, "2.5.0")


def test_env_of_another_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "env.yaml").write_text("task_id: t\nprotocol_version: 1.1.0\n")
    with pytest.raises(PlatformRefusal, match="has the keys"):
        read_env(tmp_path / "env.yaml", "1.1.0")


# --- the verifier


@pytest.fixture
def good_out(tmp_path: Path) -> Path:
    """An /out folder after training, mining and inference that the verifier accepts."""
    models = tmp_path / "out" / "models"
    write_models(models, stages_result(), ["s1.pth", "s1.yaml"])
    out = models.parent
    (out / "tensorboard").mkdir()
    (out / "tensorboard" / "events").write_text("x")
    (out / "monitor.txt").write_text("t\t1\t1.0\t2\n")
    (out / "result.tsv").write_text("/in/assets/aa/1aa.jpg\t0.5\n")
    write_detection(out, {"boxes": [BOX]})
    return out


CANDIDATES = ["/in/assets/aa/1aa.jpg"]


def test_verifier_accepts_a_complete_run(good_out: Path) -> None:
    verifier_checks(good_out, "train")
    verifier_checks(good_out, "mining+infer", CANDIDATES)


BREAKS: list[Any] = [
    pytest.param("train", lambda out: (out / "monitor.txt").unlink(), id="no monitor"),
    pytest.param("train", lambda out: (out / "tensorboard" / "events").unlink(), id="empty tensorboard"),
    pytest.param("train", lambda out: (out / "models" / "s1.pth").unlink(), id="weights missing"),
    pytest.param("train", lambda out: (out / "models" / "result.yaml").unlink(), id="no result"),
    pytest.param(
        "train",
        lambda out: (out / "models" / "result.yaml").write_text("model: [s1.pth]\nmap: good\n"),
        id="map is a word",
    ),
    pytest.param("mining", lambda out: (out / "result.tsv").write_text("1aa.jpg 0.5\n"), id="one column"),
    pytest.param("mining", lambda out: (out / "result.tsv").write_text("1aa.jpg\thigh\n"), id="score is a word"),
    pytest.param("mining", lambda out: (out / "result.tsv").write_text(""), id="candidate missing"),
    pytest.param("infer", lambda out: (out / "infer-result.json").unlink(), id="no detections"),
]


@pytest.mark.parametrize(("task", "break_it"), BREAKS)
def test_verifier_refuses(good_out: Path, task: str, break_it: Callable[[Path], Any]) -> None:
    break_it(good_out)
    with pytest.raises(PlatformRefusal):
        verifier_checks(good_out, task, CANDIDATES)


def test_verifier_passes_all_top_level_files_and_no_stage_folder(good_out: Path, tmp_path: Path) -> None:
    (good_out / "models" / "s1").mkdir()
    (good_out / "models" / "s1" / "deep.pth").write_text("x")
    paths = unpack_for_verifier(good_out / "models", tmp_path / "in" / "models")
    assert paths == ["/in/models/result.yaml", "/in/models/s1.pth", "/in/models/s1.yaml"]
