"""JSON files that a training leaves for people, as classes of pydantic: written by one version, read by another.

What is read may come from a stranger, with the rest of an output folder: a file that breaks the rules of its class is
refused in one sentence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Type, TypeVar

from pydantic import BaseModel, Field, ValidationError
from typing_extensions import Annotated

from ..errors import ExecutorError, briefly
from ..untrusted_files import MAX_PATH_CHARS, read_regular

Count = Annotated[int, Field(ge=0, lt=1 << 53)]  # as far as a browser counts exactly
Rate = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(max_length=MAX_PATH_CHARS)]


class Part(BaseModel):
    """A part of a file. Fields are annotated with typing.List and its kin: Python 3.8 evaluates no list[int]."""

    model_config = {"frozen": True, "extra": "ignore"}  # what a later version adds is passed over

    def as_bytes(self) -> bytes:
        """Return the JSON, the same bytes for the same content."""
        return self.model_dump_json().encode("utf-8")


PartType = TypeVar("PartType", bound=Part)


def parse_result_file(path: Path, kind: Type[PartType], max_bytes: int) -> PartType:
    """Read a JSON file into its class.

    Raises:
        ExecutorError: it cannot be read, or holds something else.
    """
    try:
        return kind.model_validate_json(read_regular(path, max_bytes))
    except OSError as error:
        raise ExecutorError(f"{path}: cannot be read ({error.strerror}); train again to have it") from error
    except ValidationError as error:
        finding = briefly(_first_finding(error))
        raise ExecutorError(f"{path}: is none that a training writes: {finding}; train again to have it") from error


def _first_finding(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])
