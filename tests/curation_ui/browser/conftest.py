"""One browser for all tests of the page."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.curation_ui.browser.reviewing import find_browser

WEB = Path(__file__).parents[3] / "curation_ui" / "web"
PATIENCE = 60_000  # milliseconds that a test waits for what must come, on however busy a machine


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ended with the last test of this package: its event loop would stand in the way of others'."""
    executable = find_browser()
    if executable is None:
        pytest.skip("no chromium here: apt-get install chromium, or name one in $DREAMREEL_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        expect.set_options(timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """What the page is built with, and axe: as the lock has it, installed where it is not yet."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no Node here, which brings what the page is built with")
    if not (WEB / "node_modules" / ".package-lock.json").exists():
        done = subprocess.run([npm, "ci"], cwd=WEB, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"npm ci found no registry: {' '.join(done.stderr.split())[-200:]}")
    return WEB / "node_modules"
