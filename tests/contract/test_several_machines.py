"""Two machines, here two task folders on one: machine 0 gathers the predictions of both and writes the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping, Sequence

import pytest

from tests.conftest import MakeTree, Trained
from tests.contract.test_bad_storage import mounted
from tests.platform_reader import read_mining_result, read_training_result
from tests.running import PROJECT_DIR, Outcome, Running, free_port, launcher_variables, start_script
from tests.warm_start import warm_process
from ymir_detectron2.contract.partial_results import PartialResults, remove_partial_results


@pytest.mark.slow
def test_two_machines_train_together_and_only_the_first_writes(ymir_tree: MakeTree):
    place = f"tcp://127.0.0.1:{free_port()}"
    trees = []
    for rank in (0, 1):
        options = f"--num-machines 2 --machine-rank {rank} --dist-url {place}"
        form = {"max_iter": 2, "eval_period": 2, "args_options": options}
        trees.append(ymir_tree(folder=f"machine{rank}", config=form))
    running = [start_script("start.py", tree.env_file) for tree in trees]
    outcomes = [run.finish() for run in running]
    for outcome in outcomes:
        assert outcome.status == 0, outcome.output
        outcome.require_readable_progress()
    assert outcomes[0].monitor.percent == 1.0
    assert "process 1 of 2" in outcomes[0].output
    assert list(read_training_result(trees[0].out_dir / "models", "2.5.0").stages) == ["iter_0000002"]
    assert not (trees[1].out_dir / "models").exists()


@pytest.mark.slow
def test_two_machines_predict_together_and_only_the_first_writes(ymir_tree: MakeTree, trained: Trained):
    """Each has its own /out: the second one sends its predictions."""
    place = f"tcp://127.0.0.1:{free_port()}"
    options = ["", *(f"--num-machines 2 --machine-rank {rank} --dist-url {place}" for rank in (0, 1))]
    single, first, second = (
        ymir_tree("mining+infer", folder=f"machine{number}", config={"precision": "fp32", "args_options": text})
        for number, text in enumerate(options)
    )
    for tree in (single, first, second):
        trained.give_to(tree)
        # links: enough candidates for several blocks of work, of which there are nine files
        lines = []
        for number in range(3 * 32 + 5):
            link = tree.in_dir / "assets" / "many" / f"{number:03}.jpg"
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(tree.real(tree.candidates()[number % 9]))
            lines.append(f"/in/assets/many/{link.name}")
        tree.write_index("candidate", lines)
    start_script("start.py", single.env_file).finish().require_success()
    for outcome in [run.finish() for run in [start_script("start.py", tree.env_file) for tree in (first, second)]]:
        assert outcome.status == 0, outcome.output
        outcome.require_readable_progress()
    assert len(read_mining_result(first.out_dir / "result.tsv", first.candidates())) == 3 * 32 + 5
    for name in ("result.tsv", "infer-result.json"):
        assert (first.out_dir / name).read_bytes() == (single.out_dir / name).read_bytes()
        assert not (second.out_dir / name).exists()
    for tree in (first, second):
        assert not (tree.out_dir / ".unfinished").exists()


# --- finished images of several machines -----------------------------------------------------------------------

GATHER = f"""
import json, os, sys
from pathlib import Path
sys.path.insert(0, {str(PROJECT_DIR)!r})
from ymir_detectron2.contract.partial_results import PartialResults
from ymir_detectron2.errors import ExecutorError
from ymir_detectron2.tasks.gather_results import gather_blocks
rank, length = int(os.environ["RANK"]), int(sys.argv[3])
work = PartialResults(Path(sys.argv[1]), rank)
for block, payload in json.loads(sys.argv[2]):
    work.add(block, payload * length if isinstance(payload, str) else payload)
try:
    gather_blocks(work)
except ExecutorError as error:
    sys.exit(f"rank {{rank}}: {{type(error).__name__}}: {{error}}")
"""


def gather(
    tmp_path: Path, folders: Sequence[Path], blocks: Sequence[Mapping[int, Any]], *, length: int = 1
) -> list[Outcome]:
    """Run three processes that meet after each has added its blocks to its folder.

    Args:
        length: by how much texts among the payloads are multiplied, too long for a command line.
    """
    script = tmp_path / "gather.py"
    script.write_text(GATHER)
    port = free_port()

    def start(rank: int) -> Running:
        arguments = [str(folders[rank]), json.dumps([*blocks[rank].items()]), str(length)]
        variables = launcher_variables(rank, 3, port)
        return Running(
            lambda log: warm_process().start(script, arguments, environment=variables, folder=tmp_path, log=log),
            tmp_path, f"log{rank}.txt",
        )  # fmt: skip

    return [running.finish() for running in [start(rank) for rank in range(3)]]


def require_gathered(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        assert outcome.status == 0, outcome.output


def lines_in(folder: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in folder.glob("*.tsv"))


def test_blocks_of_other_machines_are_sent_to_the_first(tmp_path: Path):
    """Ranks 1 and 2 share a folder, in which an earlier run has left a block and an incomplete line."""
    first, other = (tmp_path / f"out{machine}" / ".unfinished" / "mining-1" for machine in (0, 1))
    PartialResults(other, 7).add(9, "of an earlier run")
    with next(other.glob("*.tsv")).open("ab") as file:
        file.write(b'10\t"incomplete')
    blocks = [{0: 0, 3: 3}, {1: "x", 4: [4]}, {2: 2, 5: "y"}]
    require_gathered(gather(tmp_path, [first, other, other], blocks, length=3_000_000))
    expected = [(0, 0), (1, "x" * 3_000_000), (2, 2), (3, 3), (4, [4]), (5, "y" * 3_000_000), (9, "of an earlier run")]
    assert list(PartialResults(first).in_order()) == expected
    assert PartialResults(other).done() == {1, 2, 4, 5, 9}

    require_gathered(gather(tmp_path, [first, other, other], [{}, {6: 6}, {}]))
    assert list(PartialResults(first).in_order()) == sorted([*expected, (6, 6)])
    assert lines_in(first) == len(expected) + 1, "a block that is there is not sent again"

    remove_partial_results(other.parent.parent, 1)
    assert not other.parent.exists(), "no other machine reads that folder"


def test_machines_that_share_a_folder_send_nothing(tmp_path: Path):
    folder = tmp_path / "out" / ".unfinished" / "mining-1"
    require_gathered(gather(tmp_path, [folder] * 3, [{0: 0}, {1: 1}, {2: 2}]))
    assert PartialResults(folder).done() == {0, 1, 2}
    assert len(list(folder.glob("*.tsv"))) == 3
    remove_partial_results(folder.parent.parent, 1)
    assert folder.exists(), "machine 0 may still read there"
    remove_partial_results(folder.parent.parent, 0)
    assert not folder.parent.exists()


def test_a_first_machine_whose_disk_is_full(tmp_path: Path):
    out = tmp_path / "out0"
    with mounted(out, "size=1m"):
        folders = [out / "mining-1", tmp_path / "a", tmp_path / "b"]
        run = gather(tmp_path, folders, [{0: 0}, {1: "x"}, {2: 2}], length=3_000_000)[0]
        assert run.status == 1
        assert run.last_line.startswith("rank 0: StorageError: ")
        assert "the disk is full: free some space" in run.last_line
        assert PartialResults(folders[0]).done() == {0}
    assert PartialResults(folders[1]).done() == {1}
