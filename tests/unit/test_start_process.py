"""start.py under the command line: its terminal, the signals that it gets, and the reason that it gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from tests.annotated_sets import grey_image, write_voc
from tests.running import PROJECT_DIR, TINY_CONFIG, descendants
from tests.terminal import Terminal
from tests.tiny_training import build, config
from ymir_detectron2.retinanet.checkpoint import write_checkpoint

SETTINGS = ("--set", f"config_file={TINY_CONFIG}", "engine=torch", "max_iter=1000000", "num_workers=1")
ENVIRONMENT = {"PYTHONPATH": str(PROJECT_DIR), "OMP_NUM_THREADS": "1", "COLUMNS": "200", "LC_ALL": "C.UTF-8"}
DEADLINE_S = 300.0


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_voc(tmp_path / "voc", {str(n): [("Dog", 1, 2, 20, 22)] for n in range(4)}, {})


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen]]:
    processes: list[subprocess.Popen] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ymir_detectron2", *arguments]


def start(started: list[subprocess.Popen], *arguments: str, log: Path) -> subprocess.Popen:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(*arguments), stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **ENVIRONMENT}
        )
    started.append(process)
    return process


def wait_until(condition) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "nothing more has happened"
        time.sleep(0.05)



@pytest.mark.parametrize(
    ("given", "code", "reason"),
    [
        (("--set", "config_file=/gone.yaml"), 300001, "config_file: /gone.yaml does not exist; choose for example"),
        ((*SETTINGS, "--device", "97"), 300102, "gpu_id: GPU 97 was asked for, but"),
    ],
)
def test_the_reason_of_a_failure_is_the_last_word_once(
    data: Path, tmp_path: Path, given: tuple[str, ...], code: int, reason: str
):
    done = subprocess.run(
        command("train", "voc", *given), env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False
    )
    english, chinese = done.stderr.splitlines()
    assert done.returncode == 1
    assert english.startswith(f"ymir-detectron2 train: {reason}")
    assert chinese.startswith(f"错误 {code}：")
    assert "ERROR" not in done.stdout
    assert (tmp_path / "runs" / "train" / "out" / "monitor.txt").is_file()


def test_a_key_that_does_not_exist_is_refused_with_the_nearest_before_a_folder_is_made(data: Path):
    given = command("train", "voc", "--set", "config_file=/gone.yaml", "max_itr=3")
    done = subprocess.run(given, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False)
    sentence = "ymir-detectron2 train: unknown key 'max_itr' has no effect; did you mean 'max_iter'?"
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, sentence)
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_model_that_does_not_say_its_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """They may be in the weights, so that only the task can tell."""
    monkeypatch.chdir(tmp_path)
    cfg = config()
    (tmp_path / "config.yaml").write_text(cfg.to_yaml())
    write_checkpoint(tmp_path / "w.pth", build(cfg, 1).state_dict(), {})
    grey_image(tmp_path / "images" / "a.png", 1)
    predict = command("predict", "w.pth", "images", "--set", "engine=torch")
    done = subprocess.run(predict, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == (
        "ymir-detectron2 predict: config.yaml: class_names is missing, and the model does not know them; list them"
        " (--classes)"
    )
    given = subprocess.run([*predict, "--classes", "a,b"], env={**os.environ, **ENVIRONMENT}, check=False)
    assert given.returncode == 0


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_saves_the_training_which_then_goes_on(data: Path, tmp_path: Path):
    terminal = Terminal(command("train", "voc", *SETTINGS), ENVIRONMENT)
    wait_until(lambda: "step 1/" in terminal.received or terminal.process.poll() is not None)
    terminal.press("\x03")
    lines = terminal.finish(DEADLINE_S)
    assert terminal.process.returncode == 128 + signal.SIGINT, "\n".join(lines[-20:])
    english = next(line for line in reversed(lines) if line.startswith("ymir-detectron2 train: "))
    assert english.endswith("; to go on: python3 -m ymir_detectron2 train --resume --out runs/train")
    assert sum("a second Ctrl-C ends the task at once" in line for line in lines) == 1, "it came once"

    terminal = Terminal(command("train", "--resume"), ENVIRONMENT)
    wait_until(lambda: "resuming from step" in terminal.received or terminal.process.poll() is not None)
    terminal.press("\x03")
    assert any("resuming from step" in line for line in terminal.finish(DEADLINE_S))

    refused = subprocess.run(
        command("train", "--resume", "--set", "seed=7"),
        env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "--resume: the unfinished training of step" in refused.stderr.splitlines()[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_the_command_alone_is_passed_on(
    data: Path, tmp_path: Path, started: list[subprocess.Popen], number: signal.Signals
):
    log = tmp_path / "log.txt"
    process = start(started, "train", "voc", *SETTINGS, log=log)
    wait_until(lambda: "step 1/" in log.read_text() or process.poll() is not None)
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == 128 + number, log.read_text()[-2000:]
    assert "train --resume --out runs/train" in log.read_text()


@pytest.mark.slow
def test_nothing_outlives_a_command_that_is_killed(data: Path, tmp_path: Path, started: list[subprocess.Popen]):
    log = tmp_path / "log.txt"
    process = start(started, "train", "voc", *SETTINGS, log=log)
    wait_until(lambda: "step 1/" in log.read_text() or process.poll() is not None)
    children = descendants(process.pid)
    assert len(children) >= 2, "start.py and the training"
    process.kill()
    process.wait()
    wait_until(lambda: not [pid for pid in children if Path(f"/proc/{pid}/exe").exists()])


