"""Where a path that the platform wrote really lies.

env.yaml, config.yaml and the index files hold container paths (`/in/assets/17/8e5f.jpg`). When env.yaml is read from
another place than /in, `/in` means the folder of that env.yaml, and `/out` the folder `out` beside it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_ENV_FILE = Path("/in/env.yaml")


@dataclass(frozen=True)
class PathMap:
    """Container paths to real paths."""

    in_dir: Path
    out_dir: Path

    @classmethod
    def for_env_file(cls, env_file: Path) -> PathMap:
        """`X/in/env.yaml` has its output in `X/out`; any other `X/env.yaml` in `X/out`."""
        in_dir = Path(os.path.abspath(env_file)).parent
        root = in_dir.parent if in_dir.name == "in" else in_dir
        return cls(in_dir, root / "out")

    def resolve(self, path: str) -> Path:
        """The real place of a path as the platform writes it; relative paths start at /in."""
        path = os.path.normpath(path)
        for prefix, folder in (("/in", self.in_dir), ("/out", self.out_dir)):
            if path == prefix or path.startswith(prefix + "/"):
                return Path(f"{folder}{path[len(prefix) :]}")  # index files have 100,000 lines: one Path, not three
        return self.in_dir / path  # an absolute path replaces the folder
