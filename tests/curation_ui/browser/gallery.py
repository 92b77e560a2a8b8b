"""Screenshots of the curation page for docs/; `python -m tests.curation_ui.browser.gallery DATASET OTHER OUT`.

DATASET gets a few verdicts, so that there is something to see; OTHER is what it is compared with.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from shards import Dataset
from shards.verdicts import Action, verdict
from tests.curation_ui.browser.reviewing import find_browser, looking, serving, until

SIZE = {"width": 1280, "height": 800}
LOADING = 600_000  # milliseconds for torch to be there
SETTLED = 1500  # milliseconds for pictures to come and plots to be drawn


def main(dataset: str, other: str, out: str) -> None:
    _decide(Dataset.open(dataset))
    shots: dict[str, Callable[[Page, str], None]] = {
        "page-grid": _grid,
        "page-clip": _clip,
        "page-trainer": _trainer,
        "page-thresholds": lambda page, root: _open(page, f"{root}/thresholds"),
        "page-quality": lambda page, root: _open(page, f"{root}/quality?size=40"),
        "page-diff": lambda page, root: _open(page, f"{root}/diff"),
    }
    with sync_playwright() as playwright, serving(dataset, other) as server:
        browser = playwright.chromium.launch(executable_path=find_browser())
        with looking(browser, server, viewport=SIZE, color_scheme="light", device_scale_factor=1.5) as page:
            for name, show in shots.items():
                show(page, server.url.rstrip("/"))
                page.wait_for_timeout(SETTLED)
                page.screenshot(path=Path(out) / f"{name}.png")
        browser.close()


def _decide(dataset: Dataset) -> None:
    """Verdicts on every clip but the last few."""
    rows = dataset.index.select(["key", "sha256"]).to_pylist()[:-3]
    for number, row in enumerate(rows):
        action: Action = "reject" if number % 5 == 3 else "accept"
        dataset.verdicts().append(verdict("ann", row["key"], row["sha256"], action))


def _grid(page: Page, root: str) -> None:
    _open(page, root + "/")
    page.get_by_role("list", name="Clips").get_by_role("link").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.keyboard.press("ArrowRight")


def _clip(page: Page, root: str) -> None:
    _open(page, root + "/")
    page.get_by_role("list", name="Clips").get_by_role("link").first.click()
    page.locator("canvas[data-frame]").wait_for()
    page.keyboard.press("b")
    for _ in range(2):
        page.keyboard.press("Shift+ArrowRight")
    until(page, "Number(document.querySelector('canvas').dataset.frame) >= 10")


def _trainer(page: Page, root: str) -> None:
    _clip(page, root)
    page.keyboard.press("t")
    page.get_by_role("region", name="As the trainer sees it").get_by_role("img").nth(16).wait_for(timeout=LOADING)


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("main h1").first.wait_for()


if __name__ == "__main__":
    main(*sys.argv[1:])
