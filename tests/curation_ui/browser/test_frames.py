"""The mask on show is the one of the frame on show: played, sought and stepped, in every encoding."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.curation_ui.browser.numbered import BY_PROXY, SEVEN, write_numbered
from tests.curation_ui.browser.reviewing import looking, serving, until
from tests.curation_ui.browser.watching import WATCH, open_clip, play_through, press, seek, set_showing, wanted

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
        set_showing(page, "{ autoplay: false, outline: false }")
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
    set_showing(late, "{ autoplay: true, outline: false }")
    try:
        late.goto(page.url.split("/clip")[0].rstrip("/") + f"/clip/{numbered[1]['constant.mp4']}")
        late.locator("canvas[data-frame]").wait_for()
        late.evaluate(WATCH)
        until(late, "paints.filter((paint) => paint.mask !== null).length >= 12")
        paints = [paint for paint in late.evaluate("paints") if paint["mask"] is not None]
        assert all(paint["picture"] == paint["mask"] == paint["frame"] for paint in paints), paints
    finally:
        late.close()
        set_showing(page, "{ autoplay: false, outline: false }")
