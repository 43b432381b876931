"""Config files by their names: this project's, and those of the installed detectron2.

detectron2 is found without importing it, which takes seconds.
"""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path

from ..config.config_file import OWN_CONFIGS, find_config, refuse_lazy_config
from ..errors import ConfigError, briefly
from ..untrusted_files import is_path
from ..version import PROJECT_DIR


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


def find_config_file(name: str, engine_name: str = "torch") -> Path:
    """Find a YAML file by absolute path, below the project or its `configs`, or in detectron2's model zoo.

    Args:
        name: as in `config_file`; "configs/" in front of a name of the model zoo is ignored.
        engine_name: only `detectron2` reads the model zoo.

    Raises:
        ConfigError: there is none of that name; the nearest ones are named. Or it is a lazy config.
    """
    if not is_path(name):
        raise ConfigError(f"config_file: {briefly(name)} cannot be a path; choose a YAML file")
    refuse_lazy_config(Path(name))
    zoo = zoo_folders() if engine_name == "detectron2" else ()
    # pathlib: an absolute name replaces the folder in front of it
    path = find_config(name, (PROJECT_DIR, OWN_CONFIGS, *zoo))
    if path is not None:
        return path
    if engine_name != "detectron2" and _is_of_detectron2(name):
        raise ConfigError(
            f"config_file: {name} is a config of detectron2's model zoo and needs engine: detectron2; set that where"
            " detectron2 is installed, or choose a RetinaNet of this project"
        )
    known = sorted(str(file.relative_to(PROJECT_DIR)) for file in OWN_CONFIGS.rglob("*.yaml"))
    known += sorted(str(file.relative_to(folder)) for folder in zoo for file in folder.rglob("*.yaml"))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known
    raise ConfigError(f"config_file: {name} does not exist; choose for example {', '.join(near)}")


def _is_of_detectron2(name: str) -> bool:
    # where detectron2 is not installed, by the name alone: the torch engine has no R-CNN
    is_named_so = "rcnn" in name.lower() and not Path(name).is_absolute()
    return is_named_so or find_config(name, zoo_folders()) is not None
