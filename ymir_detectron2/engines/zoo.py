"""The installed detectron2 and its model zoo of configurations, found without importing it, which takes seconds."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def detectron2_is_there() -> bool:
    """Return whether `import detectron2` finds a package; a folder that happens to be called so is not enough."""
    spec = importlib.util.find_spec("detectron2")
    return spec is not None and spec.origin is not None  # a namespace package, which any folder is, has no origin


def zoo_folders() -> tuple[Path, ...]:
    """Return the folders of detectron2's own configurations: in the installed package, or next to it in a checkout."""
    spec = importlib.util.find_spec("detectron2")
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return ()
    package = Path(next(iter(spec.submodule_search_locations))).resolve()
    folders = (package / "model_zoo" / "configs", package.parent / "configs")
    # a checkout has COCO-Detection there; another folder called `configs` is not detectron2's
    return tuple(folder.resolve() for folder in folders if (folder / "COCO-Detection").is_dir())
