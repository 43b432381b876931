"""Two machines, here two task folders on one: machine 0 writes the model, and gathers what looking at pictures gave."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Mapping, Sequence

import pytest

from tests.conftest import MakeTree, Trained
from tests.contract.test_bad_storage import mounted
from tests.platform_reader import read_mining_result, read_training_result
from tests.running import PROJECT_DIR, start_script
from ymir_detectron2.contract.unfinished import UnfinishedWork, remove_unfinished


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_machines_train_together_and_the_first_alone_writes(ymir_tree: MakeTree):
    place = f"tcp://127.0.0.1:{free_port()}"
    trees = []
    for rank in (0, 1):
        options = f"--num-machines 2 --machine-rank {rank} --dist-url {place}"
        form = {"max_iter": 2, "eval_period": 2, "args_options": options}
        trees.append(ymir_tree(folder=f"machine{rank}", config=form))
    running = [start_script("start.py", tree.env_file) for tree in trees]
    outcomes = [run.finish(240) for run in running]
    for outcome in outcomes:
        assert outcome.status == 0, outcome.output
        outcome.require_readable_progress()
    assert outcomes[0].monitor.percent == 1.0
    assert "process 1 of 2" in outcomes[0].output
    assert list(read_training_result(trees[0].out_dir / "models", "2.5.0").stages) == ["iter_0000002"]
    assert not (trees[1].out_dir / "models").exists()


def test_two_machines_look_at_pictures_together_and_the_first_alone_writes(ymir_tree: MakeTree, trained: Trained):
    """Each in an /out of its own: the second one sends what it has found."""
    place = f"tcp://127.0.0.1:{free_port()}"
    options = ["", *(f"--num-machines 2 --machine-rank {rank} --dist-url {place}" for rank in (0, 1))]
    alone, first, second = (
        ymir_tree("mining+infer", folder=f"machine{number}", config={"precision": "fp32", "args_options": text})
        for number, text in enumerate(options)
    )
    for tree in (alone, first, second):
        trained.give_to(tree)
        # links: enough candidates for several blocks of work, of which there are nine files
        lines = []
        for number in range(3 * 32 + 5):
            link = tree.in_dir / "assets" / "many" / f"{number:03}.jpg"
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(tree.real(tree.candidates()[number % 9]))
            lines.append(f"/in/assets/many/{link.name}")
        tree.write_index("candidate", lines)
    start_script("start.py", alone.env_file).finish(240).require_success()
    for outcome in [run.finish(240) for run in [start_script("start.py", tree.env_file) for tree in (first, second)]]:
        assert outcome.status == 0, outcome.output
        outcome.require_readable_progress()
    assert len(read_mining_result(first.out_dir / "result.tsv", first.candidates())) == 3 * 32 + 5
    for name in ("result.tsv", "infer-result.json"):
        assert (first.out_dir / name).read_bytes() == (alone.out_dir / name).read_bytes()
        assert not (second.out_dir / name).exists()
    for tree in (first, second):
        assert not (tree.out_dir / ".unfinished").exists()


@pytest.mark.parametrize(
    ("options", "finding"),
    [("--config-file x.yaml", "a model brings its own config.yaml"), ("--num-gpus 0", "must be a whole number from 1")],
)
def test_inference_refuses_flags_that_make_no_sense(ymir_tree: MakeTree, no_torch: dict, options: str, finding: str):
    tree = ymir_tree("infer", config={"args_options": options})
    start_script("start.py", tree.env_file, environment=no_torch).finish().require_failure(300001, finding)


# --- finished pictures of several machines -----------------------------------------------------------------------

COLLECTOR = """
import json, os, sys
from pathlib import Path
from ymir_detectron2.contract.unfinished import UnfinishedWork
from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.tasks.collecting import collect
rank = int(os.environ["RANK"])
folder = Path(sys.argv[1 + rank])
work = UnfinishedWork(folder, rank)
for block, payload in json.loads(sys.argv[4])[rank]:
    work.add(block, payload * LENGTH if isinstance(payload, str) else payload)
try:
    collect(work, folder)
except ExecutorError as error:
    sys.exit(f"rank {rank}: {type(error).__name__}: {error}")
"""


def run_collect(
    tmp_path: Path, folders: Sequence[Path], blocks: Sequence[Mapping[int, Any]], *, length: int = 1
) -> subprocess.CompletedProcess[str]:
    """Three processes that meet after each has added its blocks to its folder.

    Args:
        length: by how much texts among the payloads are multiplied, too long for a command line.
    """
    script = tmp_path / "collector.py"
    script.write_text(COLLECTOR.replace("LENGTH", str(length)))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "3", str(script)]
    text = str([[[block, payload] for block, payload in of_rank.items()] for of_rank in blocks]).replace("'", '"')
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_DIR), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *launcher, *map(str, folders), text], cwd=PROJECT_DIR, env=environment, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


def lines_in(folder: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in folder.glob("*.tsv"))


def test_what_other_machines_have_finished_comes_to_the_first(tmp_path: Path):
    """Ranks 1 and 2 share a folder, in which an earlier run has left a block and a torn line."""
    first, other = (tmp_path / f"out{machine}" / ".unfinished" / "mining-1" for machine in (0, 1))
    UnfinishedWork(other, 7).add(9, "of an earlier run")
    with next(other.glob("*.tsv")).open("ab") as file:
        file.write(b'10\t"torn')
    blocks = [{0: 0, 3: 3}, {1: "x", 4: [4]}, {2: 2, 5: "y"}]
    run = run_collect(tmp_path, [first, other, other], blocks, length=3_000_000)
    assert run.returncode == 0, run.stderr
    expected = [(0, 0), (1, "x" * 3_000_000), (2, 2), (3, 3), (4, [4]), (5, "y" * 3_000_000), (9, "of an earlier run")]
    assert list(UnfinishedWork(first).in_order()) == expected
    assert UnfinishedWork(other).done() == {1, 2, 4, 5, 9}

    again = run_collect(tmp_path, [first, other, other], [{}, {6: 6}, {}])
    assert again.returncode == 0, again.stderr
    assert list(UnfinishedWork(first).in_order()) == sorted([*expected, (6, 6)])
    assert lines_in(first) == len(expected) + 1, "what is there already is not sent again"

    remove_unfinished(other.parent.parent, 1)
    assert not other.parent.exists(), "nobody else looks into that folder"


def test_machines_that_share_a_folder_send_nothing(tmp_path: Path):
    folder = tmp_path / "out" / ".unfinished" / "mining-1"
    run = run_collect(tmp_path, [folder] * 3, [{0: 0}, {1: 1}, {2: 2}])
    assert run.returncode == 0, run.stderr
    assert UnfinishedWork(folder).done() == {0, 1, 2}
    assert len(list(folder.glob("*.tsv"))) == 3
    remove_unfinished(folder.parent.parent, 1)
    assert folder.exists(), "machine 0 may still read there"
    remove_unfinished(folder.parent.parent, 0)
    assert not folder.parent.exists()


def test_a_first_machine_whose_disk_is_full(tmp_path: Path):
    out = tmp_path / "out0"
    with mounted(out, "size=1m"):
        folders = [out / "mining-1", tmp_path / "a", tmp_path / "b"]
        run = run_collect(tmp_path, folders, [{0: 0}, {1: "x"}, {2: 2}], length=3_000_000)
        assert run.returncode == 1
        assert "rank 0: StorageError: " in run.stderr
        assert "the disk is full: free some space" in run.stderr
        assert UnfinishedWork(folders[0]).done() == {0}
    assert UnfinishedWork(folders[1]).done() == {1}
