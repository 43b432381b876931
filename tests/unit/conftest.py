"""A local web server at the true addresses of published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from tests.tls_server import Server, running_server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Answer at every https address, through a proxy; whatever the test starts trusts it."""
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    with running_server(certificates) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running
