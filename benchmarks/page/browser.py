"""The page in a browser: a key to the next clip's picture, painting, dropped frames, memory, what is loaded first.

    python -m benchmarks.page.browser [--rounds N] [--reviews N] [--out FOLDER]

Clips are drawn by the practice world, 48 frames of 448x256 with exact masks, and come out of a shard by a server of its
own process. What is compared alternates, round by round: clips made ready against clips fetched when they are wanted,
packed masks against masks decoded when shown, playing with masks against playing without. No address is opened twice
and the browser keeps no files, so nothing comes from where a person's next clip would not. The load of the machine is
in the results.
"""

import argparse
import gzip
import json
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.page.clips import FPS, write_clips
from benchmarks.page.goals import Line, ratio, record
from shards import Dataset
from tests.curation_ui.browser.numbered import BY_PROXY, SEVEN, write_numbered
from tests.curation_ui.browser.reviewing import find_browser, looking, serving, until
from tests.curation_ui.browser.watching import open_clip, play_through, press, seek, set_showing, wanted

SIZE, NUM_FRAMES = (256, 448), 48
SCALE = 2  # canvas pixels for one of the video's, as the page has it for this size
APART = 4  # clips from one measured key to the next: those made ready for one are no other's
FRAMES = 10  # times that painting a clip is timed in a round, for it takes no longer than that
REST = 30.0  # seconds after the last review, in which a browser tidies up
PLAYED = 4.0  # seconds of a clip playing round and round, in each half of a round
ROOM = Path(__file__).parents[2] / "curation_ui"
TUNED = ["--enable-precise-memory-info"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page.browser", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="of every comparison (default: %(default)s)")
    parser.add_argument("--reviews", type=int, default=600, help="for the memory (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        count = max(2 * APART * args.rounds, args.reviews) + APART
        dataset = write_clips(Path(folder) / "practice", count, SIZE, NUM_FRAMES)
        browser = playwright.chromium.launch(executable_path=find_browser(), args=TUNED)
        lines = first_load(Path(folder))
        with serving(dataset.storage.url) as server, looking(browser, server) as page:
            page.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
            lines += key_to_picture(page, dataset, args.rounds)
            lines += painting(page, dataset, args.rounds, Path(folder))
            lines += playing(page, dataset, max(2, args.rounds // 3))
        with serving(dataset.storage.url) as server, looking(browser, server) as page:
            lines += reviews(browser, page, dataset, args.reviews)
        lines += overlay(browser, Path(folder))
        about = {"browser": browser.version, "rounds": args.rounds, "size": SIZE, "num_frames": NUM_FRAMES}
        browser.close()
    record("browser", lines, about, args.out)


def first_load(folder: Path) -> list[Line]:
    """Kilobytes of JavaScript, packed, that the grid needs; and what React needs to draw one paragraph."""
    index = (ROOM / "static" / "index.html").read_text()
    ours = _packed(path for path in (ROOM / "static" / "assets").glob("*.js") if path.name in index)
    theirs = _packed(_react(folder / "react").glob("*.js"))
    said: dict[str, Any] = {"unit": "kB", "values": [ours], "beside": {"React with one paragraph": [theirs]}}
    lines = [Line(what="JavaScript of the first screen, by gzip", **said)]
    return [*lines, ratio("the same, against React alone", [ours], [theirs], ("median", "<=", 0.5))]


def key_to_picture(page: Page, dataset: Dataset, rounds: int) -> list[Line]:
    """Milliseconds from a key to the next clip's picture on the canvas, clips made ready and not, by turns."""
    keys, root = dataset.index["key"].to_pylist(), page.url.rstrip("/")
    found: dict[str, list[float]] = {"ready": [], "fetched": []}
    for number in range(2 * rounds):
        way, place = ("ready", "fetched")[number % 2], APART * number
        set_showing(page, f"{{ ahead: {json.dumps(way == 'ready')}, autoplay: false }}")
        page.goto(f"{root}/clip/{keys[place]}?at={place}")
        page.locator("canvas[data-frame]").wait_for()
        page.wait_for_timeout(1500)  # as long as one looks at a clip, at the least
        page.evaluate(WATCH_CLIPS)
        page.keyboard.press("j")
        until(page, f"shown.{_clip(keys[place + 1])}")
        found[way].append(page.evaluate(f"shown.{_clip(keys[place + 1])} - pressed.at(-1)"))
    ready = Line(
        what="key to the next clip's picture, made ready",
        unit="ms",
        values=found["ready"],
        beside={"fetched when wanted": found["fetched"]},
        goal=("p95", "<=", 100),
    )
    return [ready, ratio("the same, fetched when wanted against made ready", found["fetched"], found["ready"])]


WATCH_CLIPS = """() => {
    window.pressed = [];
    window.shown = {}; // when each clip was first painted
    addEventListener('keydown', (event) => pressed.push(event.timeStamp), { capture: true });
    const canvas = document.querySelector('canvas[data-frame]');
    const note = () => (shown['c' + canvas.dataset.clip.split('/')[1]] ??= performance.now());
    new MutationObserver(note).observe(canvas, { attributes: true, attributeFilter: ['data-clip'] });
}"""


def painting(page: Page, dataset: Dataset, rounds: int, folder: Path) -> list[Line]:
    """Milliseconds for a frame's masks, in each round: packed, and decoded when they are shown."""
    built = _built(folder / "painting", Path(__file__).parent / "painting.ts")
    page.evaluate(next(built.glob("*.js")).read_text())
    sample = dataset[0]
    given = [list(sample.tracks[0].masks), sample.height, sample.width, SCALE, FRAMES * rounds]
    found = page.evaluate("(given) => comparePainting(...given)", given)
    packed, decoded = found["packed"], found["decoded"]
    paint = Line(what="a frame's masks painted", unit="ms", values=packed, beside={"decoded when shown": decoded})
    return [paint, ratio("the same, against decoding", packed, decoded, ("median", "<=", 0.1))]


def playing(page: Page, dataset: Dataset, rounds: int) -> list[Line]:
    """Percent of a playing clip's frames that never came onto the canvas: with masks, outlines, boxes; without."""
    root, key = page.url.split("/clip")[0], dataset.index["key"][0].as_py()
    set_showing(page, "{ fill: false, outline: false, boxes: false, autoplay: true }")
    page.goto(f"{root}/clip/{key}")
    until(page, "Number(document.querySelector('canvas[data-frame]')?.dataset.frame) > 4")
    found: dict[str, list[float]] = {"bare": [], "overlaid": []}
    for _ in range(rounds):
        for way in found:
            painted = page.evaluate(PLAYING, 1000 * PLAYED)
            found[way].append(100 * max(0.0, 1 - painted / (FPS * PLAYED)))
            for key in "mob":
                page.keyboard.press(key)
    more = [over - bare for bare, over in zip(found["bare"], found["overlaid"], strict=True)]
    beside = {"without": found["bare"]}
    return [
        Line(what="frames not shown, playing with overlay", unit="%", values=found["overlaid"], beside=beside),
        Line(what="the same, more than without", unit="points", values=more, goal=("median", "<=", 2)),
    ]


PLAYING = """async (milliseconds) => {
    let painted = 0;
    const watch = new MutationObserver((records) => (painted += records.length));
    watch.observe(document.querySelector('canvas[data-frame]'), { attributes: true, attributeFilter: ['data-frame'] });
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    watch.disconnect();
    return painted;
}"""


def reviews(browser: Browser, page: Page, dataset: Dataset, count: int) -> list[Line]:
    """Verdicts one after the other, each clip once and seen before the next: how fast, and what it costs in memory."""
    session, keys = page.context.new_cdp_session(page), dataset.index["key"].to_pylist()
    page.goto(f"{page.url.rstrip('/')}/clip/{keys[0]}")
    page.locator("canvas[data-frame]").wait_for()
    page.wait_for_timeout(1500)
    before, began = _resident(browser), page.evaluate("performance.now()")
    for number in range(count):
        page.keyboard.press("a")
        until(page, f"document.querySelector('canvas').dataset.clip.includes('{keys[number + 1]}')")
    page.get_by_text("unsent").wait_for(state="hidden")
    minutes = (page.evaluate("performance.now()") - began) / 60_000
    session.send("HeapProfiler.collectGarbage")
    heap, growth = page.evaluate("performance.memory.usedJSHeapSize") / 1e6, (_resident(browser) - before) / 1e6
    page.wait_for_timeout(1000 * REST)
    rested = (_resident(browser) - before) / 1e6
    lost = count - sum(decision.accepted is True for decision in dataset.decisions().values())
    return [
        Line(what=f"{count} verdicts by keys: a minute", unit="", values=[count / minutes], goal=("median", ">=", 300)),
        Line(what="of them lost", unit="", values=[lost], goal=("median", "<=", 0)),
        Line(what="JavaScript's heap after them", unit="MB", values=[heap], goal=("median", "<=", 20)),
        Line(what="the browser's growth meanwhile", unit="MB", values=[growth], goal=("median", "<=", 200)),
        Line(what=f"its growth {REST:.0f} s later", unit="MB", values=[rested], goal=("median", "<=", 200)),
    ]


def overlay(browser: Browser, folder: Path) -> list[Line]:
    """Percent of paints whose picture and mask say the same frame, the one that was wanted, for every encoding."""
    clips = {**SEVEN, **BY_PROXY}
    keys, lines = write_numbered(folder / "torture", clips), []
    with serving(folder / "torture" / "numbered") as server, looking(browser, server) as page:
        set_showing(page, "{ autoplay: false, outline: false }")
        for name, make in clips.items():
            truth = make(folder / f"again-{name}")
            open_clip(page, keys[name])
            paints = [seek(page, frame) for frame in wanted(truth)]
            right = sum(paint["frame"] == frame for paint, frame in zip(paints, wanted(truth), strict=True))
            paints += [press(page, key) for key in ("Home", *["ArrowRight"] * 4, "End", "ArrowLeft", "Home")]
            paints += play_through(page)
            same = [paint["picture"] == paint["mask"] == truth.numbers[paint["frame"]] for paint in paints]
            what, share = (
                f"overlay on the right frame, {name}",
                100 * min(right / len(wanted(truth)), sum(same) / len(same)),
            )
            lines.append(
                Line(what=f"{what} ({len(same)} paints)", unit="%", values=[share], goal=("median", ">=", 100))
            )
    return lines


def _resident(browser: Browser) -> int:
    """Bytes of memory of the browser's processes; pages that they share are counted once."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    found = 0
    for process in processes:
        with suppress(OSError):  # it has ended meanwhile
            rollup = Path(f"/proc/{process['id']}/smaps_rollup").read_text()
            found += 1024 * int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0])
    return found


def _packed(files: Any) -> float:
    return sum(len(gzip.compress(path.read_bytes(), 9)) for path in files) / 1e3


def _react(folder: Path) -> Path:
    """React and its renderer, the newest, built as the page is."""
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    subprocess.run(["npm", "install", "--silent", "react", "react-dom"], cwd=folder, check=True, timeout=300)
    drawn = "createRoot(document.body).render(createElement('p', null, 'a paragraph'));"
    entry = folder / "entry.js"
    entry.write_text("import { createElement } from 'react';\nimport { createRoot } from 'react-dom/client';\n" + drawn)
    return _built(folder, entry)


def _built(folder: Path, entry: Path) -> Path:
    """Where Vite wrote one file of JavaScript."""
    folder.mkdir(exist_ok=True)
    library = {"entry": str(entry), "formats": ["iife"], "name": "entry", "fileName": "entry"}
    settings = {
        "root": str(folder),
        "define": {"process.env.NODE_ENV": json.dumps("production")},
        "build": {"lib": library, "outDir": "built", "minify": True},
    }
    config = folder / "vite.config.mjs"
    config.write_text(f"export default {json.dumps(settings)}")
    build = [shutil.which("npx") or "npx", "vite", "build", "--config", str(config)]
    subprocess.run(build, cwd=ROOM / "web", check=True, capture_output=True, timeout=300)
    return folder / "built"


def _clip(key: str) -> str:
    """Its name in `WATCH_CLIPS`."""
    return f"c{key}"


if __name__ == "__main__":
    main()
