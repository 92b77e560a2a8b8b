"""The mask on show is the one of the frame on show: played, sought and stepped, in every encoding."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.curation_ui.browser.numbered import BY_PROXY, SEVEN, write_numbered
from tests.curation_ui.browser.reviewing import looking, serving, until
from tests.torture import Truth

WATCH = (Path(__file__).parent / "frames.js").read_text().split("\n", 1)[1]
SWALLOW = """
    const ask = HTMLVideoElement.prototype.requestVideoFrameCallback;
    HTMLVideoElement.prototype.requestVideoFrameCallback = function (tell) {
        return ask.call(this, (now, shown) => (shown.mediaTime ? tell(now, shown) : ask.call(this, tell)));
    };
"""
CLIPS = {**SEVEN, **BY_PROXY}


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("numbered")
    return folder / "numbered", write_numbered(folder, CLIPS)


@pytest.fixture(scope="module")
def page(
    browser: Browser, numbered: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    cache = str(tmp_path_factory.mktemp("cache"))  # proxies are made anew
    with serving(numbered[0], XDG_CACHE_HOME=cache) as server, looking(browser, server) as page:
        page.evaluate("localStorage.setItem('dreamreel.showing', JSON.stringify({ autoplay: false, outline: false }))")
        yield page


@pytest.mark.parametrize("name", CLIPS)
def test_overlay_is_the_frames_own(
    name: str, page: Page, numbered: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    truth = CLIPS[name](tmp_path / name)
    open_clip(page, numbered[1][name])
    sought = [seek(page, frame) for frame in wanted(truth)]
    stepped = [press(page, key) for key in ("Home", *["ArrowRight"] * 4, "End", "ArrowLeft", "Home")]
    played = play_through(page)
    for paint in [*sought, *stepped, *played]:
        assert paint["picture"] == paint["mask"] == truth.numbers[paint["frame"]], paint
    assert [paint["frame"] for paint in sought] == wanted(truth)
    assert [paint["frame"] for paint in stepped] == [0, 1, 2, 3, 4, *(len(truth.times) - n for n in (1, 2)), 0]
    assert len({paint["frame"] for paint in played}) > 1


def test_clip_that_plays_at_once(page: Page, numbered: tuple[Path, dict[str, str]]) -> None:
    """A busy browser may never tell of a clip's first frame; the masks are right all the same."""
    late = page.context.new_page()
    late.add_init_script(SWALLOW)
    late.goto(page.url.split("/clip")[0])
    late.evaluate("localStorage.setItem('dreamreel.showing', JSON.stringify({ autoplay: true, outline: false }))")
    try:
        late.goto(page.url.split("/clip")[0].rstrip("/") + f"/clip/{numbered[1]['constant.mp4']}")
        late.locator("canvas[data-frame]").wait_for()
        late.evaluate(WATCH)
        until(late, "paints.filter((paint) => paint.mask !== null).length >= 12")
        paints = [paint for paint in late.evaluate("paints") if paint["mask"] is not None]
        assert all(paint["picture"] == paint["mask"] == paint["frame"] for paint in paints), paints
    finally:
        late.close()
        page.evaluate("localStorage.setItem('dreamreel.showing', JSON.stringify({ autoplay: false, outline: false }))")


def wanted(truth: Truth) -> list[int]:
    """Frames to seek: forth and back, far and near."""
    last = len(truth.times) - 1
    step = max(1, last // 6)
    return [*range(0, last, step), last, *range(last - 1, 0, -3 * step)]


def open_clip(page: Page, key: str) -> None:
    page.goto(page.url.split("/clip")[0].rstrip("/") + f"/clip/{key}")
    page.locator("canvas[data-frame='0']").wait_for()
    page.evaluate(WATCH)
    page.get_by_role("button", name="Masks").click()  # off and on: painted again once the masks are there
    page.get_by_role("button", name="Masks").click()
    until(page, "paints.at(-1).mask !== null")


def seek(page: Page, frame: int) -> dict[str, Any]:
    """The last paint once the frame is there, sought through the handle below the picture."""
    page.get_by_role("slider", name="Frame").fill(str(frame))
    return _arrived(page, frame)


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


def _arrived(page: Page, frame: int) -> dict[str, Any]:
    until(page, f"paints.at(-1)?.frame === {frame}")
    return _last(page)


def _last(page: Page) -> dict[str, Any]:
    paint: dict[str, Any] = page.evaluate("paints.at(-1)")
    return paint
