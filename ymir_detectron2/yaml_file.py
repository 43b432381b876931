"""YAML as plain data: mappings, lists, text, numbers. A tag that would run code is an error, never executed.

All YAML of a task is read here: env.yaml and config.yaml, by the parent process too, the config.yaml and ymir-info.yaml
of a model, configuration files with their bases. Ten anchors in it may stand for a billion values, so that text, values
and depth are bounded while it is read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Sequence

import yaml

from .data_bounds import DataBoundsError, check_bounds
from .errors import ExecutorError
from .untrusted_files import open_regular


class NotYamlError(ValueError):
    """A file is not YAML, or holds a tag or a value that is refused. As text: PyYAML's finding, on one line."""

    def __init__(self, error: Exception) -> None:
        super().__init__(_shortened(" ".join(str(error).split())))
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        self.line: int | None = mark.line + 1 if mark else None
        self.problem = _shortened(str(getattr(error, "problem", None) or str(error).split("\n")[0]))
        """What is wrong, without the place."""
        self.is_tag = isinstance(error, yaml.constructor.ConstructorError)
        """Correct YAML, but with a tag such as !!python/tuple, for which plain data has no type."""


MAX_BYTES = 4 << 20
MAX_VALUES = 100_000
"""Keys count as well. The largest files of a task are lists of class names: 50,000 take ten seconds."""
MAX_DEPTH = 50
_ODD_VALUES = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError)
"""What PyYAML lets through: for a date such as 2020-13-45, for `!!int x`, `!!bool x`, `!!timestamp x`; deep nesting."""
_MAX_ERROR_CHARS = 300
_MAX_NUMBER_CHARS = 400  # converting takes quadratic time, and 4300 digits could not even be printed


def load_yaml(path: Path) -> Any:
    """Return the content of a YAML file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: the file cannot be read, or is a FIFO or device.
        NotYamlError: it is not YAML, holds a tag, or is out of bounds.
    """
    with open_regular(path) as file:
        content = file.read(MAX_BYTES + 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotYamlError(error) from error
    return parse_yaml(text)


def parse_yaml(text: str) -> Any:
    """Return the content of YAML text.

    Raises:
        NotYamlError: it is not YAML, holds a tag, or has more than MAX_BYTES characters, MAX_VALUES values, where each
            alias counts with all that it stands for, MAX_DEPTH levels, or a number of many digits.
    """
    try:
        if len(text) > MAX_BYTES:
            raise DataBoundsError(f"longer than {MAX_BYTES} characters")
        loader = _BoundedLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, *_ODD_VALUES) as error:
        raise NotYamlError(error) from error


class _BoundedLoader(yaml.SafeLoader):
    """PyYAML's loader of plain data, with bounds that are checked before any value is made of the text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._num_nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Count what the text holds, while it is parsed."""
        self._num_nodes += 1
        if self._num_nodes > MAX_VALUES:
            raise DataBoundsError(f"more than {MAX_VALUES} values")
        return super().compose_node(parent, index)

    def get_single_node(self) -> Any:
        """Count what the aliases stand for, when all is parsed."""
        root = super().get_single_node()
        check_bounds(root, _child_nodes, max_items=MAX_VALUES, max_depth=MAX_DEPTH)
        return root


def _shortened(text: str) -> str:
    # PyYAML quotes a whole tag or alias of the file
    return text if len(text) <= _MAX_ERROR_CHARS else text[: _MAX_ERROR_CHARS - 3] + "..."


def _child_nodes(node: Any) -> Sequence[Any]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if node is None:
        return ()
    if node.tag in _NUMBER_TAGS and len(node.value) > _MAX_NUMBER_CHARS:
        raise DataBoundsError(f"a number of {len(node.value)} characters")
    if _NO_TEXT.search(node.value):
        raise DataBoundsError("an escape that stands for no character of a text, such as \\0 or \\ud800")
    return ()


_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""NUL and halves of surrogate pairs, which only escapes can bring into YAML: neither a name nor UTF-8 can hold them."""
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


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
