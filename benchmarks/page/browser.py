"""The page in a browser: a key to the next clip's picture, painting, verdicts, memory, what is loaded first.

    python -m benchmarks.page.browser [--rounds N] [--reviews N] [--out FOLDER]

Clips are drawn by the practice world, 48 frames of 448x256 with exact masks. What is compared alternates, round by
round: clips made ready against clips fetched when they are wanted, and packed spans against masks decoded when shown.
The load of the machine is in the results.
"""

import argparse
import gzip
import hashlib
import json
import os
import re
import statistics
import subprocess
import tempfile
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.embedded.world import World
from pipeline.stages.packer import strip
from shards import Dataset, DatasetInfo, Sample, Storage, Track, write_info, write_shard
from shards.video import encode
from tests.curation_ui.browser.reviewing import find_browser, looking, serving, until

CLIPS = 24
ROOM = Path(__file__).parents[2] / "curation_ui"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page.browser", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="of every comparison (default: %(default)s)")
    parser.add_argument("--reviews", type=int, default=600, help="for the memory (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        dataset = write_clips(Path(folder) / "practice")
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--enable-precise-memory-info"])
        with serving(dataset.storage.url) as server, looking(browser, server) as page:
            page.get_by_role("list", name="Clips").get_by_role("link").first.click()
            page.locator("canvas[data-frame]").wait_for()
            found = {
                "first_load": first_load(),
                "painting": painting(page, dataset, args.rounds),
                "key": key_to_picture(page, args.rounds),
                "reviews": reviews(browser, page, args.reviews),
            }
        browser.close()
    _report(found, args.out)


def write_clips(folder: Path) -> Dataset:
    """Clips of the practice world with their exact masks."""
    world, storage = World(size=(256, 448), num_frames=48, frame_rate=24.0), Storage.at(folder)
    write_info(storage, DatasetInfo(name="practice", code="0"))
    write_shard(storage, "practice", 0, [_sample(world, number) for number in range(CLIPS)])
    return Dataset.open(str(folder))


def first_load() -> dict[str, int]:
    """Bytes of JavaScript that the grid needs, as they are and by gzip."""
    index = (ROOM / "static" / "index.html").read_text()
    scripts = [p.read_bytes() for p in (ROOM / "static" / "assets").glob("*.js") if p.name in index]
    return {"bytes": sum(map(len, scripts)), "gzip": sum(len(gzip.compress(data, 9)) for data in scripts)}


def painting(page: Page, dataset: Dataset, rounds: int) -> dict[str, list[float]]:
    """Milliseconds a frame, in each round: by packed spans, and by masks decoded when they are shown."""
    with tempfile.TemporaryDirectory() as folder:
        entry, out = Path(__file__).parent / "painting.ts", Path(folder)
        config = out / "vite.config.mjs"
        library = {"entry": str(entry), "formats": ["iife"], "name": "painting", "fileName": "painting"}
        config.write_text(f"export default {json.dumps({'build': {'lib': library, 'outDir': folder + '/built'}})}")
        build = ["npx", "vite", "build", "--config", str(config)]
        subprocess.run(build, cwd=ROOM / "web", check=True, capture_output=True)
        (bundle,) = (out / "built").glob("*.js")
        page.evaluate(bundle.read_text())
    sample = dataset[0]
    given = [list(sample.tracks[0].masks), sample.height, sample.width, rounds]
    found: dict[str, list[float]] = page.evaluate("(given) => comparePainting(...given)", given)
    return found


WATCH = """() => {
    window.keys = [];
    addEventListener('keydown', (event) => keys.push({ at: event.timeStamp, shown: null }), { capture: true });
    const canvas = document.querySelector('canvas[data-frame]');
    new MutationObserver(() => { if (keys.length) keys.at(-1).shown ??= performance.now(); })
        .observe(canvas, { attributes: true, attributeFilter: ['data-clip'] });
}"""


def key_to_picture(page: Page, rounds: int) -> dict[str, list[float]]:
    """Milliseconds from a key to the next clip's picture, clips made ready and not, by turns."""
    found: dict[str, list[float]] = {"ready": [], "fetched": []}
    for number in range(2 * rounds):
        way = ("ready", "fetched")[number % 2]
        setting = json.dumps({"ahead": way == "ready", "autoplay": False})
        page.evaluate("(setting) => localStorage.setItem('dreamreel.showing', setting)", setting)
        page.goto(page.url.split("/clip")[0] + page.evaluate("location.pathname"))  # nothing is held from before
        page.locator("canvas[data-frame]").wait_for()
        page.wait_for_timeout(1500)  # as long as one looks at a clip, at the least
        page.evaluate(WATCH)
        page.keyboard.press("j")
        until(page, "keys.at(-1).shown !== null")
        found[way].append(page.evaluate("keys.at(-1).shown - keys.at(-1).at"))
    return found


def reviews(browser: Browser, page: Page, count: int) -> dict[str, float]:
    """Verdicts one after the other, to and fro through the clips: how fast, and what it costs in memory."""
    session = page.context.new_cdp_session(page)
    before = _resident(browser)
    began = page.evaluate("performance.now()")
    for number in range(count):
        page.keyboard.press("a")
        if number % (CLIPS - 1) == CLIPS - 2:
            for _ in range(CLIPS - 1):
                page.keyboard.press("k")
    page.get_by_text("unsent").wait_for(state="hidden")
    minutes = (page.evaluate("performance.now()") - began) / 60_000
    session.send("HeapProfiler.collectGarbage")
    heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    return {
        "count": count,
        "a_minute": count / minutes,
        "heap_mb": heap,
        "growth_mb": (_resident(browser) - before) / 1e6,
        "browser_mb": _resident(browser) / 1e6,
    }


def _resident(browser: Browser) -> int:
    """Bytes of memory of the browser's processes; pages that they share are counted once."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    found = 0
    for process in processes:
        with suppress(OSError):  # it has ended meanwhile
            rollup = Path(f"/proc/{process['id']}/smaps_rollup").read_text()
            found += 1024 * int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0])
    return found


def _sample(world: World, number: int) -> Sample:
    scene = world.scene(number, "plain")
    rendered = scene.render()
    count = scene.num_frames
    video = encode(rendered.frames, range(count), Fraction(1, 24))
    return Sample(
        key=hashlib.sha256(str(number).encode()).hexdigest()[:20],
        video=video,
        strip=strip(video, count),
        pts=tuple(range(count)),
        time_base=Fraction(1, 24),
        width=448,
        height=256,
        caption=scene.caption,
        subject=scene.nouns[0],
        tracks=(Track.of_masks(rendered.masks[0], id=1, noun=scene.nouns[0]),),
        scores={},
        provenance={"video": f"practice/{number}", "start": 0.0, "end": count / 24, "caption_by": "drawn"},
    )


def _report(found: dict[str, Any], out: Path) -> None:
    key, paint, review = found["key"], found["painting"], found["reviews"]
    ratio = [spans / decoded for spans, decoded in zip(paint["spans"], paint["decoded"], strict=True)]
    lines = [
        ("key to the next clip's picture, made ready", _spread(key["ready"], "ms"), "p95 at most 100 ms"),
        ("the same, fetched when wanted", _spread(key["fetched"], "ms"), "beside it"),
        ("painting a frame's masks by packed spans", _spread(paint["spans"], "ms"), "beside it"),
        ("the same, decoding masks", _spread(paint["decoded"], "ms"), "beside it"),
        ("ratio of the two", _spread(ratio, ""), "at most 0.1"),
        ("verdicts a minute, scripted", f"{review['a_minute']:.0f}", "at least 300"),
        (f"JS heap after {review['count']} reviews", f"{review['heap_mb']:.1f} MB", "at most 20 MB"),
        ("the browser's growth meanwhile", f"{review['growth_mb']:.0f} MB", "at most 200 MB"),
        ("JavaScript of the first screen, gzip", f"{found['first_load']['gzip'] / 1e3:.1f} kB", "at most 22.5 kB"),
    ]
    table = "\n".join(["| what | measured | goal |", "|---|---|---|", *(f"| {' | '.join(line)} |" for line in lines)])
    about = {"cpus": os.cpu_count(), "load": os.getloadavg()}
    (out / "page-browser.json").write_text(json.dumps({**about, **found}, indent=1) + "\n")
    (out / "page-browser.md").write_text(
        f"{__doc__}\n\nLoad at the end {about['load']} on {about['cpus']} CPUs.\n\n{table}\n"
    )
    print(table)


def _spread(values: list[float], unit: str) -> str:
    ordered = sorted(values)
    p95 = ordered[round(0.95 * (len(ordered) - 1))]
    numbers = f"median {statistics.median(ordered):.3g}, p95 {p95:.3g}, {ordered[0]:.3g} - {ordered[-1]:.3g}"
    return f"{numbers} {unit}".strip()


if __name__ == "__main__":
    main()
