"""The worker processes of a benchmark, and what they measure."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.measuring import PROJECT_DIR


def test_a_worker_replies_to_every_job_and_its_memory_is_not_that_of_its_parent() -> None:
    """The parent may hold a gigabyte, at which the kernel's `ru_maxrss` of a child would start."""
    program = (
        "from benchmarks.measuring import serve, timed\n"
        "serve({'job': timed(lambda: 3), 'names': lambda: ['a']})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input="job\nnames\n", capture_output=True, text=True, check=True,
        cwd=str(PROJECT_DIR),
    )  # fmt: skip
    ready, measured, names = (json.loads(line.partition(": ")[2]) for line in done.stdout.splitlines())
    assert (ready, names) == (None, ["a"])
    images_per_s, peak_mib = measured
    assert images_per_s > 3
    assert 5 < peak_mib < 100
