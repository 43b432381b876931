"""A headless Chromium that opens files, and says what it complained of and what it asked the network for."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Iterator

REQUIRE_VARIABLE = "YMIR_REQUIRE_BROWSER"
BROWSERS = ("google-chrome", "chromium", "chromium-browser")
"""Chrome first: where both are installed, the driver is usually its own."""
DRIVER = "chromedriver"


def missing() -> str:
    """Return why no browser can be used; '' if one can."""
    try:
        import selenium  # noqa: F401
    except ImportError as error:
        return f"selenium cannot be imported ({error})"
    if not any(map(shutil.which, BROWSERS)) or not shutil.which(DRIVER):
        return f"no chromium with its {DRIVER} is installed; `make test-browser` does it as root on Debian"
    return ""


class Browser:
    """One window. Page after page may be opened in it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = 1280, height: int = 900) -> None:
        """Open a file in a window whose inside is as wide as stated, which a window with borders would not be."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        self._messages()  # those of the page before
        self.driver.get(page.resolve().as_uri())

    def complaints(self) -> list[str]:
        """Return the errors and warnings of the console since the page was opened: of scripts and of the policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that the page has asked for since it was opened, but data and the page itself."""
        asked = [
            message["params"]["request"]["url"]
            for message in self._messages()
            if message["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if not url.startswith("data:") and url != self.driver.current_url]

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript, a function body, and return its result."""
        return self.driver.execute_script(script, *arguments)

    def text(self, element_id: str) -> str:
        return self.run("return document.getElementById(arguments[0]).textContent", element_id)

    def set_input(self, element_id: str, value: object) -> None:
        """Set a slider or a menu as a person does: the page hears of it."""
        self.run(
            "const input = document.getElementById(arguments[0]); input.value = arguments[1];"
            "input.dispatchEvent(new Event('input')); input.dispatchEvent(new Event('change'));",
            element_id, str(value),
        )  # fmt: skip

    def width_of_content(self) -> int:
        """Return how wide the content is, in pixels: more than the window means that it scrolls sideways."""
        return self.run("return document.documentElement.scrollWidth")

    def scroll_through(self) -> None:
        """Bring everything near the screen once, so that what is drawn late is drawn, and wait until it is."""
        top = 0
        while top <= self.run("return document.documentElement.scrollHeight"):  # it grows as more is drawn
            self.run("window.scrollTo(0, arguments[0])", top)
            self.settle()
            top += 600
        self.run("window.scrollTo(0, 0)")

    def settle(self) -> None:
        """Wait until two frames are drawn and the events that were due by then, such as `close`, have been handled."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));"
        )

    def _messages(self) -> list[dict[str, Any]]:
        return [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]


@contextlib.contextmanager
def headless_browser() -> Iterator[Browser]:
    """Start a browser that reaches no network, and end it with the block."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    offline = "--host-resolver-rules=MAP * ~NOTFOUND"
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", offline):
        options.add_argument(argument)
    if os.getuid() == 0:  # its sandbox refuses root
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which(DRIVER)))
    try:
        driver.set_script_timeout(30)
        yield Browser(driver)
    finally:
        driver.quit()
