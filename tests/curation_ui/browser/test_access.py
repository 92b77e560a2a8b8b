"""axe finds nothing to object to, on any page, light or dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.curation_ui.browser.numbered import write_many
from tests.curation_ui.browser.reviewing import looking, serving

PAGES = {
    "/": "4 clips",
    "/thresholds": "Thresholds",
    "/quality": "Quality",
    "/agreement": "Agreement",
    "/log": "Log",
    "/diff": "Compare",
    "/nowhere": "There is no such page",
}


@pytest.fixture(scope="module")
def pages(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Page]]:
    """The page in light and in dark."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        write_many(folder, 4)
    datasets = [folder.rename(folder.with_name(folder.name + "s")) / "numbered" for folder in folders]
    with (
        serving(*datasets) as server,
        looking(browser, server, color_scheme="light") as light,
        looking(browser, server, color_scheme="dark") as dark,
    ):
        yield {"light": light, "dark": dark}


@pytest.fixture(scope="module")
def axe(node_modules: Path) -> str:
    return (node_modules / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violations(scheme: str, pages: dict[str, Page], axe: str) -> None:
    page, found = pages[scheme], list[str]()
    root = page.url.split("?")[0].rstrip("/")
    for path, title in PAGES.items():
        page.goto(root + path)
        expect(page.get_by_role("heading", name=title).first).to_be_visible()
        found += violations(page, axe, path)
    page.goto(root)
    page.get_by_role("list", name="Clips").get_by_role("link").first.click()
    page.locator("canvas[data-frame]").wait_for()
    found += violations(page, axe, "a clip")
    page.keyboard.press("n")
    expect(page.get_by_role("option", name="code")).to_be_visible()
    found += violations(page, axe, "words")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    found += violations(page, axe, "keys")
    assert not found, "\n".join(found)


def violations(page: Page, axe: str, where: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [f"{where}: {v['id']}: {[node['html'][:160] for node in v['nodes'][:3]]}" for v in found]
