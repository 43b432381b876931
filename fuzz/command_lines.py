"""Command lines of the tools, args_options, and the environment: words that are odd, too long, or no text at all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
from pathlib import Path
from typing import Any, Iterator, Mapping

from PIL import Image

from ymir_detectron2.config.args_options import parse_args_options
from ymir_detectron2.contract.task import monitor_place
from ymir_detectron2.engines.zoo import find_config_file
from ymir_detectron2.entrypoint import START_VARIABLE, argument_parser
from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.launch import Step, _command, _environment
from ymir_detectron2.retinanet.weights import find_weights
from ymir_detectron2.supervision import FailureReport, report_to_supervisor
from ymir_detectron2.tasks.script import _share, _start
from ymir_detectron2.tasks.train import weights_folders
from ymir_detectron2.tools import make_task, weights
from ymir_detectron2.version import describe_version

from .mutation import choose, oddity_of_input

EXPECTED = (ExecutorError, SystemExit)
"""What the readers may raise; argparse ends with SystemExit."""

_ODD = (
    "", " ", "x", "-1", "0", "1.5", "nan", "9" * 5000, "\u0663", "\u00b2", "a" * 5000, "a\nb", "\udcff", "\u2028", "..",
    "/", "../../x", "/dev/null", "~", "--", "-x", "--help-me", "=", "a=b", "a=[", "a=!!int x", "'", '"', "\\",
    "tcp://[::1", "tcp://a:1", "tcp://a\u2100:1", "tcp://:1", "tcp://a:99999", "file:///x", "a,b,,c", ",", "all",
    "none", "*", "{0}", "%s",
)  # fmt: skip
_OPTIONS = {
    "--num-gpus": ("1", "2"), "--num-machines": ("1", "2"), "--machine-rank": ("0", "1"),
    "--dist-url": ("tcp://10.0.0.1:29500", "auto", "tcp://[::1]:5"), "--config-file": ("configs/CPU/x.yaml",),
    "SOLVER.BASE_LR": ("0.1",), "SOLVER.STEPS": ("'(1, 2)'",),
}  # fmt: skip
_TASK_OPTIONS = {
    "--voc": ("{folder}",), "--split": ("train.txt", "val.txt"), "--coco": ("{folder}",), "--task": ("train", "infer"),
    "--coco-json": ("a.json",), "--candidates": ("val", "{folder}/val.txt"), "--classes": ("a,b",),
    "--release": ("2.5.0",), "--export-format": ("ark",), "--model": ("{folder}",), "--config": ("max_iter=4",),
    "--gpu-id": ("0", "none"),
}  # fmt: skip
_VARIABLES = {
    "RANK": ("0", "1"), "WORLD_SIZE": ("1", "2"), "LOCAL_RANK": ("0",), "LOCAL_WORLD_SIZE": ("1", "2"),
    START_VARIABLE: ("0a1b",), "YMIR_SUPERVISOR": ("7:8",), "YMIR_WEIGHTS_DIR": ("/weights",),
    "OMP_NUM_THREADS": ("2",), "YMIR_DETECTRON2_REVISION": ("1a2b3c4",), "MASTER_PORT": ("29500",),
    "CUDA_VISIBLE_DEVICES": ("0,1",), "CXX": ("g++",),
}  # fmt: skip


def write_input(folder: Path, rng: random.Random) -> Path:
    """Write one command line as JSON, beside what it may name."""
    oddity = oddity_of_input(rng)
    kind = rng.choice(("args_options", "make_task", "weights", "environment", "scripts"))
    words = _words(kind, rng, oddity)
    for name in ("train.txt", "val.txt"):
        (folder / name).write_text("a\n")
    for name in ("images", "annotations"):
        (folder / name).mkdir()
    Image.new("RGB", (8, 8)).save(folder / "images" / "a.jpg")
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>"
    (folder / "annotations" / "a.xml").write_text(f"<annotation><object><name>cat</name>{box}</object></annotation>")
    path = folder / "command.json"
    path.write_text(json.dumps({"kind": kind, "words": [word.replace("{folder}", str(folder)) for word in words]}))
    return path


def _words(kind: str, rng: random.Random, oddity: float) -> list[str]:
    if kind == "scripts":
        return ["--env", rng.choice(_ODD), *(rng.choice(_ODD) for _ in range(rng.randrange(2)))]
    if kind != "weights":
        options = {"args_options": _OPTIONS, "make_task": _TASK_OPTIONS, "environment": _VARIABLES}
        return _pairs(options[kind], rng, oddity)
    command = choose(rng, ("list", "verify", "pack"), _ODD, oddity / 2)
    names = choose(rng, ("all", "none", "R-50"), _ODD, 0.5)
    return [command, "--from", "{folder}", "--into", "{folder}", names][: rng.randrange(7)]


def _pairs(options: Mapping[str, Any], rng: random.Random, oddity: float) -> list[str]:
    """Some options with their values, in any order; with the probability `oddity`, a word is any other one."""
    words = []
    for name in rng.sample(list(options), rng.randrange(len(options) + 1)):
        words.append(choose(rng, (name,), _ODD, oddity / 4))
        words.append(choose(rng, options[name], _ODD, oddity))
    return words


def read(path: Path) -> None:
    """Run the command as its process would, with an output that takes text in UTF-8 only."""
    command = json.loads(path.read_text())
    words = command["words"]
    with _captured_output() as errors:
        if command["kind"] == "args_options":
            _use_args_options(" ".join(words))
        elif command["kind"] == "make_task":
            status = make_task.main(["--out", str(path.parent / "task"), *words])
        elif command["kind"] == "weights":
            status = weights.main(words)
        elif command["kind"] == "scripts":
            monitor_place(argument_parser("").parse_args(words).env)
        else:
            _use_environment(dict(zip(words[::2], words[1::2])))
        if command["kind"] in ("make_task", "weights"):
            lines = errors.getvalue().splitlines()
            assert (status == 0) or len(lines) == 1, f"{status}: {lines}"


def _use_args_options(text: str) -> None:
    options = parse_args_options(text)
    step = Step("ymir_train.py", 0.0, 1.0, Path("result"), options.num_gpus or 1, options)
    if step.needs_launcher:
        assert not any("\0" in word for word in _command(step, Path("env.yaml")))
        _environment(step)
    if options.config_file:
        find_config_file(options.config_file)


def _use_environment(variables: Mapping[str, str]) -> None:
    before = dict(os.environ)
    try:
        os.environ.update({name: text for name, text in variables.items() if name and "=" not in name})
        find_weights("detectron2://ImageNetPretrained/MSRA/R-50.pkl", weights_folders())
        print(describe_version())
        assert not report_to_supervisor(FailureReport(1, "a sentence"))
        _start()
        _share("RANK", "WORLD_SIZE")
        _share("LOCAL_RANK", "LOCAL_WORLD_SIZE")
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _captured_output() -> Iterator[io.StringIO]:
    """Yield what is written to stderr, which takes everything; stdout refuses half pairs as that of a process does."""
    errors = io.StringIO()
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with output, contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        yield errors
