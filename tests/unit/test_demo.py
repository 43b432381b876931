"""The demo's own logic: folder, failures, table and pages. `make demo` is the whole run."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.running import PROJECT_DIR
from tests.terminal import Terminal
from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.tools import demo


def test_folder_with_other_things_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert demo.main(["--out", str(tmp_path)]) == 1
    assert "holds other things than a demo" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_task_that_fails_ends_the_demo_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("TRAINING_IMAGES", "VALIDATION_IMAGES", "CANDIDATES"):
        monkeypatch.setattr(demo, name, 1)
    monkeypatch.setattr(demo, "TRAINING_CONFIG", {"config_file": "configs/absent.yaml"})
    for _ in range(2):  # a second demo replaces the first
        assert demo.main(["--out", str(tmp_path / "demo")]) == 1
        output = capfd.readouterr()
        assert "configs/absent.yaml" in output.out
        assert output.err.splitlines()[-1].startswith("demo: 1/3  train: start.py ended with status 1")


def test_a_task_without_a_page_is_an_error(tmp_path: Path) -> None:
    for folder in ("train", "mining-infer"):
        (tmp_path / folder / "out").mkdir(parents=True)
        (tmp_path / folder / "out" / "report.html").touch()
    with pytest.raises(ExecutorError, match=r"infer/out/report\.html: was not written"):
        demo.find_pages(tmp_path)


def test_the_index_links_to_the_page_of_each_task_by_a_relative_path(tmp_path: Path) -> None:
    demo.write_index(tmp_path / "index.html", [("AP50 <b>", "0.679")])
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall('<a href="([^"]*)">([^<]*)</a>', text) == [
        ("train/out/report.html", "Training"),
        ("mining-infer/out/report.html", "Mining and inference"),
        ("infer/out/report.html", "Inference of the validation images"),
    ]
    assert '<td>AP50 &lt;b&gt;</td><td class="figure">0.679</td>' in text


SUMMARIES: dict[str, dict[str, Any]] = {
    "train/out/train-summary.json": {"seconds_per_step": 0.5, "steps": 400, "more": None},
    "mining-infer/out/mining-summary.json": {"images": 40, "images_per_second": 8.04},
    "infer/out/infer-summary.json": {"images": 30, "images_per_second": 25},
}


def test_rows_are_what_the_tasks_measured(tmp_path: Path) -> None:
    for name, content in SUMMARIES.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(json.dumps(content))
    assert demo.collect_rows(tmp_path, 0.6789, {"train": 100, "infer": 2.25}) == [
        ("AP50 on 40 validation images, best stage", "0.679"),
        ("training, seconds per step (400 steps)", "0.500"),
        ("inference, images/s (30 images)", "25.0"),
        ("mining, images/s (40 images)", "8.0"),
        ("wall time: train", "100.0 s"),
        ("wall time: infer", "2.2 s"),
    ]
    (tmp_path / "infer" / "out" / "infer-summary.json").write_text('{"images": 30}')
    with pytest.raises(ExecutorError, match=r"infer-summary\.json: does not hold images and images_per_second"):
        demo.collect_rows(tmp_path, 0.6789, {})


def test_table_lines_up() -> None:
    assert demo.format_table([("AP50", "0.5"), ("wall time", "12.5 s")]) == "AP50          0.5\nwall time  12.5 s"


SAVING_START = """
import time
from ymir_detectron2.stop_signal import StopSignal
stop = StopSignal().install()
print("ready", flush=True)
while not stop.requested(): time.sleep(0.02)
time.sleep(1)
print("saved")
raise SystemExit(1)
"""
DEMO = """
import sys
from pathlib import Path
from ymir_detectron2.tools import demo
demo.START = Path(sys.argv[1])
sys.exit(demo.main(["--out", sys.argv[2]]))
"""


def test_ctrl_c_lets_the_running_task_save_its_work(tmp_path: Path) -> None:
    (tmp_path / "start.py").write_text(SAVING_START)
    command = [sys.executable, "-c", DEMO, str(tmp_path / "start.py"), str(tmp_path / "demo")]
    terminal = Terminal(command, {"PYTHONPATH": str(PROJECT_DIR)})
    deadline_s = time.monotonic() + 120
    while "ready" not in terminal.received:
        assert time.monotonic() < deadline_s, terminal.received
        time.sleep(0.05)
    terminal.press("\x03")
    *_, saved, sentence, _ = terminal.finish()
    assert saved == "^Csaved"
    assert sentence.startswith("demo: 1/3  train: start.py ended with status 1")
    assert terminal.process.returncode == 1
