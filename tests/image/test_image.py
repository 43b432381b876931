"""The built image as YMIR uses it: registered, run, stopped, killed. `docker/test-image` builds it and runs these."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.error_lines import error_line
from tests.platform_reader import (
    read_infer_result,
    read_manifest,
    read_mining_result,
    read_monitor,
    read_template,
    read_training_result,
    unpack_model,
)
from ymir_detectron2 import __version__
from ymir_detectron2.tools.draw_dataset import draw_images
from ymir_detectron2.tools.task_folder import write_task_folder
from ymir_detectron2.version import PROJECT_DIR

IMAGE = os.environ.get("YMIR_TEST_IMAGE", "")
pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(not IMAGE, reason="YMIR_TEST_IMAGE names no image; run docker/test-image"),
]

TEMPLATES = ("training-template.yaml", "mining-template.yaml", "infer-template.yaml")
# an arbitrary uid, nothing writable but /out and /tmp, no network, no capabilities
HARSH = ["--user", "12345:12345", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL"]
FORM = {
    "config_file": "configs/CPU/retinanet_R_18_FPN_small.yaml",
    "batch_size": 2,
    "learning_rate": 0.01,
    "args_options": "INPUT.MIN_SIZE_TRAIN (96,) INPUT.MIN_SIZE_TEST 96",
}


@dataclass(frozen=True)
class Folder:
    """A task folder and the container that works on it."""

    root: Path
    name: str

    @property
    def out_dir(self) -> Path:
        return self.root / "out"

    def command(self, *extra: str) -> list[str]:
        mounts = ["-v", f"{self.root / 'in'}:/in:ro", "-v", f"{self.out_dir}:/out"]
        return ["docker", "run", "--rm", "--name", self.name, *HARSH, *extra, *mounts, IMAGE]

    def run(self) -> subprocess.CompletedProcess[str]:
        return docker(*self.command()[1:])

    def start(self) -> subprocess.Popen[bytes]:
        with (self.root / "log.txt").open("wb") as log:
            return subprocess.Popen(self.command(), stdout=log, stderr=subprocess.STDOUT)

    def log(self) -> list[str]:
        text = (self.root / "log.txt").read_text(encoding="utf-8", errors="replace")
        return [line for line in text.splitlines() if line.strip()]

    def monitor(self) -> Any:
        return read_monitor((self.out_dir / "monitor.txt").read_text(encoding="utf-8"))

    def wait_for_text(self, text: str) -> None:
        deadline_s = time.monotonic() + 300  # a busy machine needs some of it
        while not any(text in line for line in self.log()):
            assert time.monotonic() < deadline_s, "\n".join(self.log())
            time.sleep(0.1)


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return draw_images(folder, 16, seed=3, image_sides=(96, 128))


@pytest.fixture
def make_folder(tmp_path, images):
    def make(task: str, **values: Any) -> Folder:
        root = tmp_path / f"{task}-{uuid.uuid4().hex[:6]}"
        class_names = sorted({box[0] for image in images for box in image.boxes})
        content: dict[str, Any] = {"config": {**FORM, **values.pop("config", {})}}
        if task == "train":
            content.update(train=images[:12], val=images[12:])
        else:
            content.update(candidates=[image.path for image in images])
        write_task_folder(root, task=task, class_names=class_names, **{**content, **values})
        (root / "out").chmod(0o777)
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)  # pytest's folders are closed to other users, and the container runs as one
        return Folder(root, f"ymir-test-{uuid.uuid4().hex[:8]}")

    return make


@pytest.mark.parametrize("name", [*TEMPLATES, "manifest.yaml"])
def test_registration_reads_each_file_and_nothing_else(name, tmp_path):
    shown = docker("run", "--rm", IMAGE, "cat", f"/img-man/{name}")
    assert shown.returncode == 0
    assert isinstance(yaml.safe_load(shown.stdout), dict)
    (tmp_path / name).write_text(shown.stdout, encoding="utf-8")
    (read_manifest if name == "manifest.yaml" else read_template)(tmp_path / name)


def test_all_three_tasks_in_a_row_under_harsh_conditions(make_folder):
    training = make_folder("train", config={"max_iter": 6, "eval_period": 3})
    run = training.run()
    assert run.returncode == 0, run.stdout + run.stderr
    packed = read_training_result(training.out_dir / "models", "2.5.0")
    assert sorted(packed.stages) == ["iter_0000003", "iter_0000006"]
    assert list((training.out_dir / "tensorboard").glob("events.*"))
    assert list((training.out_dir / "models").glob("attachments/evaluation/*.png"))

    both = make_folder("mining+infer", model=training.out_dir / "models")
    run = both.run()
    assert run.returncode == 0, run.stdout + run.stderr
    candidates = (both.root / "in" / "candidate-index.tsv").read_text(encoding="utf-8").split()
    assert len(read_mining_result(both.out_dir / "result.tsv", candidates, 5)) == 5
    class_names = yaml.safe_load((both.root / "in" / "config.yaml").read_text(encoding="utf-8"))["class_names"]
    read_infer_result(both.out_dir / "infer-result.json", candidates, class_names, "2.5.0")

    only_infer = make_folder("infer", model=training.out_dir / "models")
    assert only_infer.run().returncode == 0
    assert (only_infer.out_dir / "infer-result.json").read_bytes() == (both.out_dir / "infer-result.json").read_bytes()


def test_failing_task_leaves_code_and_sentence(make_folder):
    folder = make_folder("infer", config={"conf_threshold": "high"})
    run = folder.run()
    assert run.returncode == 1
    assert error_line(run.stdout).startswith("ERROR 300001: config.yaml: conf_threshold")
    assert folder.monitor().state_code == 300001


def test_docker_stop_in_the_middle_packs_the_partial_model(make_folder):
    folder = make_folder("train", config={"max_iter": 100_000, "eval_period": 50_000})
    process = folder.start()
    folder.wait_for_text("step 1/100000")
    # the default of ten seconds may be too short where other programs share the machine
    docker("stop", "-t", "300", folder.name)
    assert process.wait(timeout=300) == 1
    assert error_line("\n".join(folder.log())).startswith("ERROR 160004: stopped")
    assert len(read_training_result(folder.out_dir / "models", "2.5.0").stages) == 1


def test_what_docker_kill_leaves_is_readable(make_folder):
    folder = make_folder("train", config={"max_iter": 100_000, "eval_period": 2})
    process = folder.start()
    folder.wait_for_text("step 4: AP50")
    docker("kill", folder.name)
    assert process.wait(timeout=300) != 0
    assert read_training_result(folder.out_dir / "models", "2.5.0").stages
    assert 0 <= folder.monitor().percent < 1


def test_first_monitor_line_takes_start_py_less_than_a_second(make_folder):
    """In CPU time, because other programs share the machine, and without the start of the container."""
    folder = make_folder("infer")
    script = (
        "python /app/start.py >/dev/null & until [ -s /out/monitor.txt ]; do sleep 0.01; done; "
        # utime and stime, see proc(5)
        "read -ra stat </proc/$!/stat; echo $(( (stat[13] + stat[14]) * 1000 / $(getconf CLK_TCK) )); wait"
    )
    shown = docker(*folder.command()[1:], "bash", "-c", script)
    milliseconds = int(shown.stdout.split()[0])
    print(f"first monitor line after {milliseconds} ms of CPU time")
    assert milliseconds < 1000


def test_image_has_no_pip_and_no_compiler_but_a_list_of_its_packages():
    shown = docker("run", "--rm", IMAGE, "bash", "-c", "command -v pip gcc cc g++ nvcc; cat /opt/venv/sbom.txt")
    assert shown.stdout.splitlines()[0].count("==") == 1, "a tool was found before the list"
    assert any(line.startswith("torch==") for line in shown.stdout.splitlines())


def test_a_download_can_check_certificates():
    """Against the authorities of the distribution; the image is built where there may be others."""
    script = "import pathlib, ssl; print(len(list(pathlib.Path(ssl.get_default_verify_paths().capath).glob('*.0'))))"
    assert int(docker("run", "--rm", IMAGE, "python", "-c", script).stdout) > 100


def test_all_imports_succeed_for_any_user_on_a_read_only_root():
    shown = docker("run", "--rm", *HARSH, IMAGE, "python", "-m", "ymir_detectron2.tools.check_imports")
    assert shown.returncode == 0, shown.stderr


def test_layers_of_the_project_stay_below_five_megabytes():
    history = docker("history", "--format", "{{.Size}}\t{{.CreatedBy}}", "--no-trunc", "--human=false", IMAGE).stdout
    own = [line.split("\t") for line in history.splitlines() if " /app" in line or "/img-man" in line]
    assert own
    assert sum(int(size) for size, _ in own) < 5_000_000


def test_model_of_the_image_unpacks_as_the_platform_does_and_has_its_onnx_graph(make_folder, tmp_path):
    training = make_folder("train", config={"max_iter": 2, "eval_period": 2, "export": "onnx"})
    run = training.run()
    assert run.returncode == 0, run.stdout + run.stderr
    unpacked = tmp_path / "unpacked"
    unpack_model(read_training_result(training.out_dir / "models", "2.5.0"), unpacked, "2.5.0")
    assert list(unpacked.rglob("*.pth"))
    assert list(unpacked.rglob("*.onnx")), run.stdout


@pytest.mark.parametrize(
    ("version", "last_line"),
    [
        (__version__, "ERROR 300001: config.yaml: conf_threshold"),
        ("99.0.0", "ERROR 300001: /code: is version 99.0.0"),
    ],
)
def test_a_checkout_at_code_runs_if_its_version_fits(make_folder, tmp_path, version, last_line):
    folder = make_folder("infer", config={"conf_threshold": "high"})  # fails before it needs a model
    code = tmp_path / "code"
    shutil.copytree(PROJECT_DIR / "ymir_detectron2", code / "ymir_detectron2")
    for script in PROJECT_DIR.glob("*.py"):
        shutil.copyfile(script, code / script.name)
    module = code / "ymir_detectron2" / "__init__.py"
    module.write_text(module.read_text().replace(f'"{__version__}"', f'"{version}"'))
    run = docker(*folder.command("-v", f"{code}:/code:ro")[1:])
    assert run.returncode == 1
    assert error_line(run.stdout).startswith(last_line)
    assert ("running the checkout /code" in run.stdout) == (version == __version__)
