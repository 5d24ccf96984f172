"""A real Chromium, driven by selenium, with an empty profile and nothing to talk to."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "Chromium and its driver (Debian: chromium, chromium-driver) are not installed"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """A selenium driver."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(prefix="solvent-chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        driver.set_script_timeout(60)
        try:
            yield driver
        finally:
            driver.quit()


def resize(driver: Any, width_px: int, height_px: int, *, dark: bool = False) -> None:
    """A screen of this size, and the colours that its owner prefers."""
    size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": width_px < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def wait(driver: Any, condition: str, *arguments: Any) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, 60, 0.02).until(lambda d: d.execute_script(f"return {condition}", *arguments))


def opened(driver: Any, address: str) -> None:
    driver.get(address)
    wait(driver, "document.body.dataset.ready === 'yes'")


def chosen(driver: Any, *files: Path) -> None:
    """As if the user had chosen these files, the bundle last."""
    driver.execute_script(
        "document.getElementById('file').value = ''; document.getElementById('result').textContent = ''"
    )
    driver.find_element("id", "file").send_keys("\n".join(str(file) for file in files))


def words(driver: Any, name: str = "result") -> str:
    return str(driver.execute_script("return document.getElementById(arguments[0]).innerText", name))


def complaints(driver: Any) -> list[str]:
    """What the browser's console says: errors, and what the content security policy blocked."""
    return [entry["message"] for entry in driver.get_log("browser") if "favicon" not in entry["message"]]
