"""One browser for all tests of this folder; without one they are skipped, or with YMIR_REQUIRE_BROWSER=1 fail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator

import pytest

from tests.browser.headless import REQUIRE_VARIABLE, Browser, headless_browser, missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    reason = missing()
    if reason and os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with headless_browser() as started:
        yield started
