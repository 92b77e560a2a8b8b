"""Reviewing by keyboard alone: what is decided reaches the dataset, whatever becomes of the server meanwhile."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from shards import Dataset
from shards.verdicts import Verdict
from tests.curation_ui.browser.numbered import write_many
from tests.curation_ui.browser.reviewing import Server, find_browser, looking, serving, until

CLIPS = 24


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    write_many(folder, CLIPS)
    return folder / "numbered"


@pytest.fixture
def dataset(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "numbered"))


@pytest.fixture
def server(dataset: Path) -> Iterator[Server]:
    with serving(dataset) as server:
        yield server


def test_whole_review_by_keyboard(browser: Browser, server: Server, dataset: Path) -> None:
    keys = Dataset.open(str(dataset)).index["key"].to_pylist()
    with looking(browser, server) as page:
        expect(page.get_by_role("heading", name=f"{CLIPS} clips")).to_be_visible()
        press(page, "ArrowRight", "ArrowLeft")
        open_first(page)
        expect_clip(page, keys[0])
        press(page, "n")
        page.keyboard.type("co")
        option = page.get_by_role("option", name="code")  # the dataset's own word comes up
        expect(option).to_be_visible()
        press(page, "ArrowDown")
        expect(option).to_have_attribute("aria-selected", "true")
        press(page, "Control+A")
        page.keyboard.type("lantern")
        press(page, "Enter", "c")
        page.keyboard.press("Control+A")
        page.keyboard.type("a lantern swings")
        press(page, "Enter", "f", "a")
        expect_clip(page, keys[1])
        press(page, "r")
        expect_clip(page, keys[2])
        press(page, "s", "k", "d")
        expect(page.get_by_text("dropped", exact=True)).to_be_visible()
        press(page, "u")
        expect(page.get_by_text("dropped", exact=True)).to_be_hidden()
        press(page, "k", "k", "u")
        expect_clip(page, keys[2])  # where the last verdict but one, the skip, was given
        press(page, "?")
        expect(page.get_by_role("dialog", name="Keys")).to_contain_text("correct the subject word")
        press(page, "Escape", "g")
        expect(page.get_by_role("heading", name=f"{CLIPS} clips")).to_be_visible()
    decided = Dataset.open(str(dataset)).decisions()
    assert (decided[keys[0]].accepted, decided[keys[0]].subject) == (True, "lantern")
    assert decided[keys[0]].caption == "a lantern swings"
    assert decided[keys[1]].accepted is False
    assert keys[2] not in decided or decided[keys[2]].dropped_tracks == frozenset()


def test_sixty_verdicts_outlive_kills(browser: Browser, dataset: Path) -> None:
    """The server is killed under way; every key that was pressed is in the log once, in its order."""
    first, pressed = Dataset.open(str(dataset)).index["key"][0].as_py(), []
    with serving(dataset) as server, looking(browser, server) as page:
        open_first(page)
        for number in range(60):
            if number == 30:
                server.kill()
                server.start()
            shown, key = current(page), "ar"[number % 2]
            press(page, key)
            pressed.append((shown, {"a": "accept", "r": "reject"}[key]))
            if len(pressed) % CLIPS == 0:  # that was the last one: go back to the first
                press(page, *["k"] * (CLIPS - 1))
                expect_clip(page, first)
            until(page, f"document.querySelector('canvas').dataset.clip.split('/')[1] !== {shown!r}")
        expect(page.get_by_text("unsent")).to_be_hidden()
        page.goto(server.url.rstrip("/") + "/log")
        expect(page.get_by_text("60 verdicts")).to_be_visible()
    events = Dataset.open(str(dataset)).verdicts().events()
    assert [(event.key, event.action) for event in events] == pressed


def test_verdicts_that_could_not_be_sent_outlive_the_page(browser: Browser, dataset: Path) -> None:
    """The server is killed, verdicts are given, the page is closed: the next page sends them, each once, as hers."""
    keys = Dataset.open(str(dataset)).index["key"].to_pylist()
    with serving(dataset) as server, looking(browser, server) as page:
        open_first(page)
        press(page, "a")
        expect_clip(page, keys[1])
        page.wait_for_load_state("networkidle")  # the clips behind are ready
        server.kill()
        press(page, "r")
        expect_clip(page, keys[2])
        press(page, "f", "a")
        expect(page.get_by_text("3 unsent, trying again")).to_be_visible()
        page.close()
        server.start()
        with looking_again(page, server, "bob") as other:
            expect(other.get_by_text("3 verdicts by ann")).to_be_visible()
        assert sorted(Dataset.open(str(dataset)).decisions()) == sorted(keys[:1])
        with looking_again(page, server, "ann") as later:
            expect(later.get_by_text("Sending 3 verdicts")).to_be_visible()
            expect(later.get_by_text("unsent")).to_be_hidden()
            until(later, "!Object.keys(localStorage).some((name) => name.startsWith('dreamreel.unsent'))")
    events = Dataset.open(str(dataset)).verdicts().events()
    given = [(keys[0], "accept"), (keys[1], "reject"), (keys[2], "flag"), (keys[2], "accept")]
    assert [(event.key, event.action) for event in events] == given
    assert {event.who for event in events} == {"ann"}


def test_a_clip_that_was_not_seen_gets_no_verdict(browser: Browser, server: Server, dataset: Path) -> None:
    """A key that is held down, or pressed while the next clip is on its way, decides about what is on show alone."""
    keys = Dataset.open(str(dataset)).index["key"].to_pylist()
    with looking(browser, server) as page:
        page.evaluate("localStorage.setItem('dreamreel.showing', JSON.stringify({ ahead: false }))")
        page.reload()
        open_first(page)
        held: list[Route] = []
        page.route(f"**/clips/{keys[1]}", lambda route: held.append(route))
        with page.expect_request(f"**/clips/{keys[1]}"):
            press(page, "a", "a", "r", "s")
        held[0].continue_()
        expect_clip(page, keys[1])
        page.keyboard.down("r")
        page.keyboard.down("r")  # as a keyboard repeats it
        page.keyboard.up("r")
        expect_clip(page, keys[2])
        expect(page.get_by_text("unsent")).to_be_hidden()
        page.wait_for_load_state("networkidle")
    events = Dataset.open(str(dataset)).verdicts().events()
    assert [(event.key, event.action) for event in events] == [(keys[0], "accept"), (keys[1], "reject")]


def test_keys_that_come_with_the_picture_are_not_lost(browser: Browser, server: Server, dataset: Path) -> None:
    """A verdict in the very moment in which a clip is painted, before the address has followed."""
    with looking(browser, server) as page:
        page.evaluate("localStorage.setItem('dreamreel.showing', JSON.stringify({ autoplay: false }))")
        page.reload()
        open_first(page)
        page.evaluate(
            """() => {
                const canvas = document.querySelector('canvas[data-frame]');
                const seen = new Set();
                const decide = () => {
                    if (seen.has(canvas.dataset.clip)) return;
                    seen.add(canvas.dataset.clip);
                    document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'a', bubbles: true }));
                };
                new MutationObserver(decide).observe(canvas, { attributes: true, attributeFilter: ['data-clip'] });
                decide();
            }"""
        )
        expect(page.get_by_text("That was the last clip.")).to_be_visible()
        expect(page.get_by_text("unsent")).to_be_hidden()
        page.wait_for_load_state("networkidle")
    assert [one.accepted for one in Dataset.open(str(dataset)).decisions().values()] == [True] * CLIPS


def test_script_in_a_caption_stays_text(browser: Browser, dataset: Path) -> None:
    table = Dataset.open(str(dataset))
    key, sha256 = (table.index[name][0].as_py() for name in ("key", "sha256"))
    said = "<img src=x onerror=\"document.title='broken in'\"><b>bold</b>"
    table.verdicts().append(
        Verdict(id="0" * 16, who="eve", when=1.0, key=key, sha256=sha256, action="edit_caption", value=said)
    )
    with serving(dataset) as server, looking(browser, server) as page:
        expect(page.get_by_text("<b>bold</b>")).to_be_visible()
        open_first(page)
        expect(page.get_by_role("textbox", name="Caption")).to_have_value(said)
        assert page.title() != "broken in"
        assert page.locator("main b, main img[src=x]").count() == 0


def test_plain_host_name(browser: Browser, dataset: Path) -> None:
    """Reached by a name over plain http a browser offers less; the page works all the same."""
    name = "reel.test"
    with serving(dataset, "--allow-host", name, "--token", DREAMREEL_TOKEN="a-word-of-the-house") as server:
        rules = f"--host-resolver-rules=MAP {name} 127.0.0.1"
        other = browser.browser_type.launch(executable_path=find_browser(), args=[rules])
        try:
            with looking(other, server) as page:
                assert page.evaluate("[isSecureContext, 'VideoDecoder' in window]") == [False, False]
                open_first(page)
                first = current(page)
                press(page, "a")
                until(page, f"document.querySelector('canvas').dataset.clip.split('/')[1] !== {first!r}")
                expect(page.get_by_text("unsent")).to_be_hidden()
        finally:
            other.close()
    assert Dataset.open(str(dataset)).decisions()[first].accepted


@contextmanager
def looking_again(page: Page, server: Server, who: str) -> Iterator[Page]:
    """A further page of the same browser, whose user says another name or the same."""
    again = page.context.new_page()
    again.add_init_script(f"localStorage.setItem('dreamreel.who', '{who}')")
    page.context.clear_cookies()
    again.goto(server.url)
    again.get_by_role("button", name=who).wait_for()
    yield again
    again.close()


def open_first(page: Page) -> None:
    page.get_by_role("list", name="Clips").get_by_role("link").first.wait_for()
    press(page, "Enter")
    page.locator("canvas[data-frame]").wait_for()


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def current(page: Page) -> str:
    """Key of the clip on show."""
    key: str = page.evaluate("location.pathname.split('/')[2]")  # Playwright's own `url` comes later
    return key


def expect_clip(page: Page, key: str) -> None:
    until(
        page,
        f"location.pathname === '/clip/{key}' && document.querySelector('canvas')?.dataset.clip?.includes('{key}')",
    )
