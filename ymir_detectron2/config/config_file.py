"""Configuration files in detectron2's form: YAML, inheriting from the files that `_BASE_` names, read as plain data.

    _BASE_: "../Base-RetinaNet.yaml"      or, by its name in a zoo: "COCO-Detection/retinanet_R_50_FPN_1x.yaml"
    MODEL:
      RESNETS: {DEPTH: 50}
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Callable, Iterable, Sequence

from ..errors import ConfigError, briefly
from ..untrusted_files import is_file, is_path
from ..version import PROJECT_DIR
from ..yaml_file import NotYamlError, load_yaml
from .engine_config import flatten

OWN_CONFIGS = PROJECT_DIR / "configs"
_MAX_FILES = 100


def read_values(
    path: Path, *, zoo: Sequence[Path] | None = None, load: Callable[[Path], Any] = load_yaml
) -> dict[str, Any]:
    """Return the values of a file by dotted keys, over those of its bases; neither keys nor types are checked.

    A base is searched next to the file that names it, then by its name among this project's configs and in the zoo.

    Args:
        zoo: folders of detectron2's model zoo; None: the engine does not read it.
        load: reads one YAML file, as `load_yaml` does.

    Raises:
        ConfigError: no such file, not YAML, not a mapping or a python tag.
    """
    return _Reader(zoo, load).read(Path(path), ())


def find_config(name: str, folders: Iterable[Path]) -> Path | None:
    """Return the file of a name such as COCO-Detection/NAME.yaml in the first folder that has it.

    "configs/" in front is ignored, and so is "../", which is in a base of a file that was copied out of the zoo.
    """
    below = re.sub(r"^(\.\./|configs/)+", "", name)
    paths = (folder / below for folder in folders)
    return next(filter(is_file, paths), None)


def refuse_lazy_config(path: Path) -> None:
    """Raise ConfigError for a lazy config, whatever it builds: RetinaNet, FCOS, ViTDet."""
    if path.suffix == ".py":
        raise ConfigError(
            f"{path}: a lazy config is Python code, which no engine here runs, since a file that a task names could do"
            " anything; give a YAML file (detectron2 has none for FCOS and ViTDet, which can therefore not be trained)"
        )


class _Reader:
    def __init__(self, zoo: Sequence[Path] | None, load: Callable[[Path], Any]) -> None:
        self._zoo = zoo
        self._load = load
        self._num_files = 0

    def read(self, path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
        """Do `read_values` for one file; `children` are the files that inherit from it, from the first one on."""
        self._num_files += 1
        if self._num_files > _MAX_FILES:  # a file with ten bases, each with the same ten, ...
            raise ConfigError(f"{path}: is file number {_MAX_FILES + 1} of one configuration; name fewer as _BASE_")
        resolved = Path(os.path.realpath(path))  # where Path.resolve raises for a circle of links
        if resolved in children:
            raise ConfigError(f"{children[-1]}: _BASE_ leads back to {path}; break the circle")
        tree = self._load_mapping(path)
        bases = tree.pop("_BASE_", [])
        values: dict[str, Any] = {}
        for base in bases if isinstance(bases, list) else [bases]:
            values.update(self.read(self._find_base(base, path), (*children, resolved)))
        values.update(flatten(tree))
        return values

    def _find_base(self, base: Any, child: Path) -> Path:
        # an address too, which detectron2 would download
        if not is_path(base) or "://" in base:
            raise ConfigError(
                f"{child}: _BASE_ is {briefly(base)}, expected a file name relative to this file, or of the zoo"
            )
        path = child.parent / os.path.expanduser(base)  # noqa: PTH111 - Path's raises for ~ and an unknown user
        if os.path.exists(path):  # noqa: PTH110 - False for a name that no file system allows, where Path raises
            return path
        named = find_config(base, (OWN_CONFIGS, *(self._zoo or ())))
        if named is not None:
            return named
        raise ConfigError(_missing_file(path, f", named as _BASE_ by {child}") + self._other_engine)

    @property
    def _other_engine(self) -> str:
        return "; configs of detectron2 need engine: detectron2" if self._zoo is None else ""

    def _load_mapping(self, path: Path) -> dict[Any, Any]:
        refuse_lazy_config(path)
        try:
            tree = self._load(path)
        except FileNotFoundError as error:
            raise ConfigError(_missing_file(path)) from error
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
        except NotYamlError as error:
            place = f"{path}, line {error.line}" if error.line else str(path)
            if error.is_tag:
                raise ConfigError(
                    f"{place}: {error.problem}; tags can run code and are refused: write plain values instead, "
                    f"for example [[32, 40.3, 50.8]] where a formula stood{self._other_engine}"
                ) from error
            raise ConfigError(f"{place}: not YAML ({error.problem})") from error
        if not isinstance(tree, dict):
            raise ConfigError(f"{path}: expected sections such as 'MODEL:', found {type(tree).__name__}")
        return tree


def _missing_file(path: Path, purpose: str = "") -> str:
    folder, finding = path.parent, f"{path}: no such file{purpose}"
    try:
        names = sorted(item.name for item in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return f"{finding}; the folder {folder} does not exist either"
    except OSError as error:
        return f"{finding}; its folder cannot be listed ({error.strerror})"
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f"{finding}; {folder} holds {', '.join(near) if near else 'nothing of a similar name'}"
