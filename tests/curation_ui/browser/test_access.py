"""axe finds nothing to object to, on any page and in any of its states, light or dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.curation_ui.browser.annotated import VIDEOS, write_annotated, write_study
from tests.curation_ui.browser.reviewing import looking, serving

PAGES = {
    "/": f"{VIDEOS - 1} clips",
    "/stopped": "1 stopped clip",
    "/thresholds": "Thresholds",
    "/quality": "Quality",
    "/agreement": "Agreement",
    "/log": "Log",
    "/diff": "Compare",
    "/nowhere": "There is no such page",
}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LOADING = 240_000  # milliseconds that torch and models may take to be there, on however busy a machine


@pytest.fixture(scope="module")
def axe(node_modules: Path) -> str:
    return (node_modules / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("access")
    datasets = write_annotated(folder)
    study = write_study(folder / "study", datasets[0])
    cache = str(folder / "cache")
    asked: list[str | Path] = [*datasets, *study, "--recipe=embedded"]
    with serving(*asked, XDG_CACHE_HOME=cache) as server, looking(browser, server) as page:
        yield page


@pytest.fixture
def root(page: Page) -> str:
    """The page's address."""
    address: str = page.evaluate("location.origin")
    return address


def test_pages(page: Page, root: str, axe: str) -> None:
    found = list[str]()
    for path, title in PAGES.items():
        page.goto(root + path)
        expect(page.get_by_role("heading", name=title).first).to_be_visible()
        page.wait_for_load_state("networkidle")
        found += violations(page, axe, path)
    assert not found, "\n".join(found)


def test_a_clip(page: Page, root: str, axe: str) -> None:
    open_first(page, root)
    found = violations(page, axe, "a clip")
    page.keyboard.press("n")
    expect(page.get_by_role("option", name="lantern")).to_be_visible()
    found += violations(page, axe, "words")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    found += violations(page, axe, "keys")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="ann").click()
    expect(page.get_by_role("dialog", name="Who is reviewing?")).to_be_visible()
    found += violations(page, axe, "who")
    page.keyboard.press("Escape")
    open_first(page, root + "/stopped")
    found += violations(page, axe, "a clip that stopped")
    assert not found, "\n".join(found)


def test_as_the_trainer_sees_it(page: Page, root: str, axe: str) -> None:
    open_first(page, root)
    page.keyboard.press("t")
    view = page.get_by_role("region", name="As the trainer sees it")
    expect(view.get_by_role("img", name="Frame 7")).to_be_visible(timeout=LOADING)
    assert not violations(page, axe, "as the trainer sees it")


def test_segmenting_anew(page: Page, root: str, axe: str) -> None:
    """Asked, compared, and taken: from then on the clip and its log have the new masks."""
    open_first(page, root)
    page.keyboard.press("Home")
    page.keyboard.press("e")
    asking = page.get_by_role("button", name="From its own box")
    expect(asking).to_be_enabled()
    found = violations(page, axe, "asking for a segmentation")
    asking.click()
    taking = page.get_by_role("button", name="Take the new")
    expect(taking).to_be_visible(timeout=LOADING)
    expect(page.get_by_text("dreamreel shards repack")).to_contain_text("annotated OUT")
    found += violations(page, axe, "old and new")
    taking.click()
    expect(page.get_by_text("new masks for track 1")).to_be_visible()
    assert not found, "\n".join(found)


def test_the_study(page: Page, root: str, axe: str) -> None:
    page.goto(root + "/study")
    expect(page.get_by_role("heading", name="Which video is best?")).to_be_visible()
    found = violations(page, axe, "a task")
    for _ in range(page.get_by_role("group").count()):
        page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    found += violations(page, axe, "the tally")
    assert not found, "\n".join(found)


def open_first(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("list", name="Clips").get_by_role("link").first.click()
    page.locator("canvas[data-frame]").wait_for()


def violations(page: Page, axe: str, where: str) -> list[str]:
    """Of what is on show, in light and in dark."""
    page.evaluate(axe)
    told = list[str]()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        told += [f"{where}, {scheme}: {v['id']}: {[node['html'][:160] for node in v['nodes'][:3]]}" for v in found]
    return told
