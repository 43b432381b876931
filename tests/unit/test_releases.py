"""The table of releases has a row for every change that an executor can see."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from ymir_detectron2.errors import ConfigError
from ymir_detectron2.tools.releases import RELEASES, find_release


def test_releases_are_found_by_name():
    assert {name: find_release(name).name for name in RELEASES} == {name: name for name in RELEASES}
    with pytest.raises(ConfigError, match=r"release '3\.0\.0' is not known; choose one of 1\.1\.0, 1\.2\.1dev, 2\.0"):
        find_release("3.0.0")


def test_every_release_differs_from_every_other():
    for one, other in itertools.combinations(RELEASES.values(), 2):
        assert dataclasses.replace(one, name=other.name) != other


def test_the_protocol_version_is_the_sign_of_staged_models():
    """An executor can tell the layout of /in/models by it, and nothing else in env.yaml."""
    for release in RELEASES.values():
        assert release.staged_models == (release.protocol_version is not None)
