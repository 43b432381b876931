"""Differences between the YMIR releases in what they write to /in, as one table."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True)
class Release:
    """One release of the platform, as seen from inside the container."""

    name: str
    protocol_version: str | None = "1.1.0"
    """In env.yaml; None: the key is absent, which is the only sign of a release before 1.3."""
    ark_columns: int = 7
    """5: class and corners. 7: quality and rotation as well."""
    format_names_as_extensions: bool = False
    """Assets have PIL's format name as extension (.jpeg) and paths with `/./`, and only JPEG and PNG are listed."""
    all_indexes: bool = True
    """Training also gets test, prediction and idx-* indexes; every folder of /in exists."""
    predictions_folder: str = "predictions"
    staged_models: bool = True
    """Weights are in /in/models/<stage>/, else in /in/models/."""
    has_manifest: bool = True
    has_executor_log: bool = True
    has_object_type: bool = True
    unicode_config: bool = True
    """config.yaml contains Chinese unescaped, else as escapes."""


# one release for each change that an executor can see; 1.2 was never tagged, its last development version is
_ALL = (
    Release(
        "1.1.0",
        protocol_version=None,
        ark_columns=5,
        format_names_as_extensions=True,
        all_indexes=False,
        staged_models=False,
        has_manifest=False,
        has_executor_log=False,
        has_object_type=False,
        unicode_config=False,
    ),
    Release(
        "1.2.1dev",
        protocol_version=None,
        predictions_folder="prediction",
        staged_models=False,
        has_manifest=False,
        has_executor_log=False,
        has_object_type=False,
        unicode_config=False,
    ),
    Release("2.0.0", has_manifest=False, has_object_type=False, unicode_config=False),
    Release("2.5.0"),
)
RELEASES: dict[str, Release] = {release.name: release for release in _ALL}


def find_release(name: str) -> Release:
    """Return a release by its tag.

    Raises:
        ConfigError: for a release that is not in the table.
    """
    if name not in RELEASES:
        raise ConfigError(f"release {name!r} is not known; choose one of {', '.join(RELEASES)}")
    return RELEASES[name]
