"""YAML files as plain data: mappings, lists, text, numbers. A tag that would run code is an error, never executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .errors import ExecutorError


class NotYamlError(ValueError):
    """A file is not YAML, or holds a tag or a value that is refused. As text: PyYAML's finding, on one line."""

    def __init__(self, error: Exception) -> None:
        super().__init__(" ".join(str(error).split()))
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        self.line: int | None = mark.line + 1 if mark else None
        self.problem = str(getattr(error, "problem", None) or str(error).split("\n")[0])
        """What is wrong, without the place."""
        self.is_tag = isinstance(error, yaml.constructor.ConstructorError)
        """Correct YAML, but with a tag such as !!python/tuple, for which plain data has no type."""


def load_yaml(path: Path) -> Any:
    """Return the content of a YAML file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: the file cannot be read.
        NotYamlError: it is not YAML, or holds a tag.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    # PyYAML lets through ValueError for a date such as 2020-13-45, and RecursionError for deep nesting; a file that is
    # not UTF-8 is a ValueError too
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NotYamlError(error) from error


def load_yaml_mapping(path: Path, error_class: type[ExecutorError], remedy: str) -> dict[Any, Any]:
    """Return the content of a YAML file that must hold `key: value` pairs.

    Raises:
        error_class: it cannot be read, is not YAML or holds something else; the sentence ends with the remedy.
    """
    try:
        content = load_yaml(path)
    except OSError as error:
        raise error_class(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except NotYamlError as error:
        raise error_class(f"{path}: is not YAML ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise error_class(f"{path}: expected 'key: value' pairs, found {type(content).__name__}; {remedy}")
    return content
