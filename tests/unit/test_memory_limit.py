"""What memory there is, from trees of /proc and /sys as containers see them, and from a real cgroup."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.memory_cgroup import memory_cgroup, prefix_in
from tests.running import PROJECT_DIR
from ymir_detectron2.memory_limit import may_have_killed, oom_kill_counts, smallest_limit, tightest_bound

V2_MOUNT = "30 23 0:26 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "35 31 0:32 {top} /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n"
GB = 1_000_000_000


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def machine(total_kb: int = 16_000_000, available_kb: int = 12_000_000) -> dict[str, str]:
    return {
        "proc/meminfo": f"MemTotal:  {total_kb} kB\nMemFree:  1000 kB\nMemAvailable:  {available_kb} kB\n",
        "proc/self/statm": "250000 1 1 1 0 1 0\n",
        "proc/self/limits": "Limit  Soft Limit  Hard Limit  Units\nMax address space  unlimited  unlimited  bytes\n",
        "proc/vmstat": "nr_free_pages 7\noom_kill 5\n",
        "proc/sys/kernel/random/boot_id": "3e4c\n",
    }


def v2(top: str, group: str, levels: dict[str, tuple[str, int]], inactive_file: int = 0) -> dict[str, str]:
    """A v2 hierarchy: level -> (memory.max, memory.current)."""
    files = {"proc/self/cgroup": f"0::{group}\n", "proc/self/mountinfo": V2_MOUNT.format(top=top)}
    for level, (limit, used) in levels.items():
        folder = f"sys/fs/cgroup{level}"
        files[f"{folder}/memory.max"] = f"{limit}\n"
        files[f"{folder}/memory.current"] = f"{used}\n"
        files[f"{folder}/memory.stat"] = f"anon 1\ninactive_file {inactive_file}\nactive_file 9\n"
        files[f"{folder}/memory.events"] = "low 0\nmax 3\noom 2\noom_kill 2\n"
    return files


def test_the_machine_alone(tmp_path: Path):
    bound = tightest_bound(write(tmp_path, machine()))
    assert bound == (16_000_000 * 1024, 12_000_000 * 1024, "the machine")


def test_no_proc_tells_nothing(tmp_path: Path):
    assert tightest_bound(tmp_path) is None
    assert smallest_limit(tmp_path) is None
    assert oom_kill_counts(tmp_path) == {}


def test_version_2_in_a_container_with_its_own_namespace(tmp_path: Path):
    """It sees its own cgroup as the root; cached files count as free."""
    root = write(tmp_path, {**machine(), **v2("/", "/", {"": (str(4 * GB), 3 * GB)}, inactive_file=GB)})
    assert tightest_bound(root) == (4 * GB, 2 * GB, "cgroup /")


def test_version_2_the_tightest_level_counts(tmp_path: Path):
    levels = {"/pods/a/b": ("max", GB), "/pods/a": (str(3 * GB), 2 * GB), "/pods": (str(8 * GB), 7 * GB + GB // 2)}
    root = write(tmp_path, {**machine(), **v2("/", "/pods/a/b", levels)})
    assert tightest_bound(root) == (8 * GB, GB // 2, "cgroup /pods")
    smallest = smallest_limit(root)
    assert smallest is not None
    assert (smallest.limit_bytes, smallest.source) == (3 * GB, "cgroup /pods/a")


def test_version_2_memory_high_slows_down_before_max_kills(tmp_path: Path):
    root = write(tmp_path, {**machine(), **v2("/", "/a", {"/a": ("max", GB)})})
    (root / "sys/fs/cgroup/a/memory.high").write_text(f"{2 * GB}\n")
    assert tightest_bound(root) == (2 * GB, GB, "cgroup /a")


def test_version_1_without_a_namespace(tmp_path: Path):
    """Docker's classic case: the path of the host, only the own cgroup mounted, the limit of a parent in its stat."""
    folder = "sys/fs/cgroup/memory"
    root = write(tmp_path, {
        **machine(),
        "proc/self/cgroup": "9:cpu,cpuacct:/docker/3f9c\n4:memory:/docker/3f9c\n0::/docker/3f9c\n",
        "proc/self/mountinfo": V1_MOUNT.format(top="/docker/3f9c"),
        f"{folder}/memory.limit_in_bytes": "9223372036854771712\n",
        f"{folder}/memory.usage_in_bytes": f"{GB}\n",
        f"{folder}/memory.stat": (
            f"inactive_file 5\nhierarchical_memory_limit {2 * GB}\ntotal_inactive_file {GB // 4}\n"
        ),
        f"{folder}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n",
    })  # fmt: skip
    assert tightest_bound(root) == (2 * GB, GB + GB // 4, "cgroup /")
    assert sorted(oom_kill_counts(root).values()) == [5, 7]


def test_more_used_than_allowed_is_nothing_left(tmp_path: Path):
    root = write(tmp_path, {**machine(), **v2("/", "/a", {"/a": (str(GB), 2 * GB)})})
    assert tightest_bound(root) == (GB, 0, "cgroup /a")


def test_the_address_space(tmp_path: Path):
    files = {**machine(), "proc/self/limits": f"Max address space         {3 * GB}    unlimited    bytes     \n"}
    bound = tightest_bound(write(tmp_path, files))
    assert bound is not None
    assert (bound.limit_bytes, bound.source) == (3 * GB, "RLIMIT_AS")
    assert bound.available_bytes == 3 * GB - 250_000 * 4096


def test_a_mount_with_a_space_in_its_name(tmp_path: Path):
    files = {**machine(), **v2("/", "/a", {"/a": (str(GB), 0)})}
    files["proc/self/mountinfo"] = "30 23 0:26 / /sys/fs/my\\040cgroup rw - cgroup2 cgroup2 rw\n"
    root = write(tmp_path, files)
    (root / "sys/fs/cgroup").rename(root / "sys/fs/my cgroup")
    assert tightest_bound(root) == (GB, GB, "cgroup /a")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"cgroup a": 1, "machine b": 1}, {"cgroup a": 1, "machine b": 9}, False),  # another container's
        ({"cgroup a": 1, "machine b": 1}, {"cgroup a": 2, "machine b": 2}, True),
        ({"cgroup a": 1, "machine b": 1}, {"cgroup c": 0, "machine b": 1}, False),  # a new container
        ({"cgroup a": 1, "machine b": 1}, {"cgroup c": 0, "machine b": 2}, True),
        ({"machine b": 1}, {"machine c": 1}, True),  # after a new boot nothing is known
        ({}, {"machine c": 1}, True),
    ],
)
def test_whether_the_kernel_may_have_killed(before: dict[str, int], now: dict[str, int], expected: bool):
    assert may_have_killed(before, now) is expected


def test_a_real_cgroup():
    code = (
        "from ymir_detectron2.memory_limit import *; before = oom_kill_counts(); print(*tightest_bound(), sep=chr(10));"
        " print(len([name for name in before if name.startswith('cgroup ')]))"
    )
    with memory_cgroup(400_000_000) as group:
        command = [*prefix_in(group), "-c", code]
        output = subprocess.run(command, cwd=PROJECT_DIR, check=True, capture_output=True, text=True).stdout.split("\n")
    limit, available, source, counters = output[:4]
    # the kernel rounds to pages
    assert abs(int(limit) - 400_000_000) < 4096
    assert 300_000_000 < int(available) < int(limit)
    assert source == f"cgroup /{group.name}"
    assert counters == "1"


def test_a_real_limit_of_the_address_space():
    code = "from ymir_detectron2.memory_limit import *; print(tightest_bound())"
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (500_000_000, 500_000_000)); {code}"
    output = subprocess.run(
        [sys.executable, "-c", limited], cwd=PROJECT_DIR, check=True, capture_output=True, text=True
    ).stdout
    assert "limit_bytes=500000000" in output
    assert "RLIMIT_AS" in output
