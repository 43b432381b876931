"""How the releases of YMIR differ in what they put into /in, as one table."""

from __future__ import annotations

from dataclasses import dataclass

from ymir_detectron2.errors import ConfigError


@dataclass(frozen=True)
class Release:
    """One release of the platform, seen from inside the container."""

    name: str
    protocol_version: str | None = "1.1.0"
    """Key of env.yaml; None = the key is absent, the only sign of a release before 1.3."""
    ark_columns: int = 7
    """5: class and corners. 7: quality and rotation as well."""
    format_names_as_extensions: bool = False
    """Assets end in PIL's format name (.jpeg), lie below `/./`, and only JPEG and PNG are listed."""
    all_indexes: bool = True
    """Training also gets test, prediction and idx-* indexes; every folder of /in exists."""
    predictions_folder: str = "predictions"
    staged_models: bool = True
    """Weights lie in /in/models/<stage>/, else flat in /in/models/."""
    has_manifest: bool = True
    has_executor_log: bool = True
    has_object_type: bool = True
    unicode_config: bool = True
    """config.yaml holds Chinese as it is, else as escapes."""


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
    """Look a release up by its tag.

    Raises:
        ConfigError: for a release that the table does not hold.
    """
    if name not in RELEASES:
        raise ConfigError(f"release {name!r} is not known; choose one of {', '.join(RELEASES)}")
    return RELEASES[name]
