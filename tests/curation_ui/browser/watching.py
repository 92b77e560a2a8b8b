"""A clip's page over numbered clips, watched: after every paint, which frame the picture and which the mask says."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.curation_ui.browser.reviewing import until
from tests.torture import Truth

WATCH = (Path(__file__).parent / "frames.js").read_text().split("\n", 1)[1]


def set_showing(page: Page, showing: str) -> None:
    """How clips are shown from the next address on, as a JavaScript object."""
    page.evaluate(f"localStorage.setItem('dreamreel.showing', JSON.stringify({showing}))")


def open_clip(page: Page, key: str) -> None:
    page.goto(page.url.split("/clip")[0].rstrip("/") + f"/clip/{key}")
    page.locator("canvas[data-frame='0']").wait_for()
    page.evaluate(WATCH)
    page.get_by_role("button", name="Masks").click()  # off and on: painted again once the masks are there
    page.get_by_role("button", name="Masks").click()
    until(page, "paints.at(-1).mask !== null")


def wanted(truth: Truth) -> list[int]:
    """Frames to seek: forth and back, far and near."""
    last = len(truth.times) - 1
    step = max(1, last // 6)
    return [*range(0, last, step), last, *range(last - 1, 0, -3 * step)]


def seek(page: Page, frame: int) -> dict[str, Any]:
    """The last paint once the frame is there, sought through the handle below the picture."""
    page.get_by_role("slider", name="Frame").fill(str(frame))
    until(page, f"paints.at(-1)?.frame === {frame}")
    return _last(page)


def press(page: Page, key: str) -> dict[str, Any]:
    """The paint that a key leads to."""
    before = page.evaluate("paints.length")
    page.keyboard.press(key)
    until(page, f"paints.length > {before}")
    return _last(page)


def play_through(page: Page, count: int = 12) -> list[dict[str, Any]]:
    """As many paints as that, of the clip playing round and round."""
    page.evaluate("paints.length = 0")
    page.keyboard.press("Space")
    until(page, f"paints.length >= {count}")
    page.keyboard.press("Space")
    paints: list[dict[str, Any]] = page.evaluate("paints")
    return paints


def _last(page: Page) -> dict[str, Any]:
    paint: dict[str, Any] = page.evaluate("paints.at(-1)")
    return paint
