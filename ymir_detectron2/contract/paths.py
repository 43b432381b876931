"""Container paths, as the platform writes them, to real paths.

env.yaml, config.yaml and the index files contain container paths (`/in/assets/17/8e5f.jpg`). When env.yaml is read from
elsewhere than /in, as in tests and on a developer's machine, `/in` is the folder of that env.yaml and `/out` the folder
`out` next to it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_ENV_FILE = Path("/in/env.yaml")


@dataclass(frozen=True)
class PathMap:
    """Real folders of /in and /out."""

    in_dir: Path
    out_dir: Path

    @classmethod
    def for_env_file(cls, env_file: Path) -> PathMap:
        """`X/in/env.yaml` has its output in `X/out`; any other `X/env.yaml` in `X/out`."""
        in_dir = Path(os.path.abspath(env_file)).parent
        root = in_dir.parent if in_dir.name == "in" else in_dir
        return cls(in_dir, root / "out")

    def resolve(self, path: str) -> Path:
        """Return the real path of a container path; relative paths start at /in.

        A name may contain a backslash; where there is no such file, it stands for a slash, as in paths of Windows.
        """
        real = self._resolve(path)
        if "\\" in path and not os.path.lexists(real):
            return self._resolve(path.replace("\\", "/"))
        return real

    def container_path(self, path: Path) -> str:
        """Return a real path below /in or /out as files of the platform write it; others stay as they are."""
        for prefix, folder in (("/in", self.in_dir), ("/out", self.out_dir)):
            if folder in path.parents:
                return f"{prefix}/{path.relative_to(folder).as_posix()}"
        return str(path)

    def _resolve(self, path: str) -> Path:
        path = os.path.normpath(path)  # YMIR 1.1 writes /in/assets/./17/8e5f.jpeg
        for prefix, folder in (("/in", self.in_dir), ("/out", self.out_dir)):
            # with the slash, so that /input/a.jpg is not taken for /in
            if path == prefix or path.startswith(prefix + "/"):
                return Path(f"{folder}{path[len(prefix) :]}")  # one Path, not three: index files have 100,000 lines
        return self.in_dir / path  # an absolute path replaces the folder
