"""The page's server as a process of its own, and Debian's chromium to look at it with."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str | None:
    """Where a chromium is: $DREAMREEL_CHROMIUM, or on the path."""
    named = os.environ.get("DREAMREEL_CHROMIUM")
    return named or next((found for name in BROWSERS if (found := shutil.which(name))), None)


class Server:
    """`dreamreel review` on a free port of this machine."""

    def __init__(self, *arguments: str | Path, **environment: str) -> None:
        self._arguments, self._environment = [*map(str, arguments)], os.environ | environment
        self._port = 0
        self.start()

    def start(self) -> None:
        """Start it; after a kill anew, on the port that it had."""
        command = [sys.executable, "-m", "dreamreel", "review", "--port", str(self._port), *self._arguments]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=self._environment, **pipes)
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        if not self.url.startswith("http"):
            raise RuntimeError(f"the server did not start: {self.process.communicate()[1]}")
        self._port = int(self.url.split("#")[0].rstrip("/").rpartition(":")[2])

    def kill(self) -> None:
        """As the system does it when memory runs out."""
        self.process.send_signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        self.process.terminate()
        self._wait()

    def _wait(self) -> None:
        self.process.communicate(timeout=60)


@contextmanager
def serving(*arguments: str | Path, **environment: str) -> Iterator[Server]:
    server = Server(*arguments, **environment)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def looking(browser: Browser, server: Server, who: str = "ann", **settings: object) -> Iterator[Page]:
    """The page as `who` sees it, who has said the name; errors in its console fail the test."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **settings})  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if _is_refusal(message.text) else None)
    try:
        page.goto(server.url)
        page.get_by_role("textbox", name="Name").fill(who)
        page.get_by_role("button", name="Begin").click()
        page.locator("dialog[open]").wait_for(state="detached")
        yield page
        assert not errors
    finally:
        context.close()


def until(page: Page, condition: str, seconds: float = 60.0) -> None:
    """Wait for a JavaScript expression; Playwright's own way of waiting is what the content policy forbids."""
    page.evaluate(
        """async ([seconds]) => {
            for (const end = performance.now() + 1000 * seconds; !(CONDITION); await new Promise(requestAnimationFrame))
                if (performance.now() > end) throw new Error(`not within ${seconds} s: CONDITION`);
        }""".replace(
            "`not within ${seconds} s: CONDITION`", json.dumps(f"not within {seconds} s: {condition}")
        ).replace("CONDITION", condition),
        [seconds],
    )


def _is_refusal(message: str) -> bool:
    """The browser kept the page from something that its content policy forbids."""
    return "Content Security Policy" in message or "Refused to" in message
