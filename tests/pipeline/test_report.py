"""The report of a build: it tells what the summary tells, names who was given up, and is a page that stands alone."""

import json
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import pytest

import dreamreel
from pipeline import report
from pipeline.board import board
from pipeline.build import Watch
from pipeline.moment import Moment, Recent, pace
from pipeline.recipe import Recipe, load_recipe
from pipeline.records import Captioned, Encoded, Rejected
from pipeline.report.facts import facts
from pipeline.run import Summary, build
from pipeline.runners.local import local
from pipeline.stages.annotate import Captioner
from shards import Storage
from shards.verify import verify
from tests.pipeline.test_build import SHORT, digests

EVIL = "</pre><script>alert('$x$ & y')</script>"


class Cursed(Captioner):
    """Raises on one video, in words that would break a page."""

    outside: ClassVar[frozenset[str]] = Captioner.outside

    def open(self) -> Callable[[Sequence[Encoded]], list[Captioned | Rejected]]:
        answer = super().open()

        def ask(batch: Sequence[Encoded]) -> list[Captioned | Rejected]:
            if any(record.video.id.endswith("000005.mp4") for record in batch):
                raise LookupError(EVIL)
            return list(answer(batch))

        return ask


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("embedded", SHORT).model_copy(update={"captioner": Cursed()})


@pytest.fixture(scope="module")
def built(world_folder: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Summary]:
    """Built in two runs, the first of which was stopped."""
    out = str(tmp_path_factory.mktemp("report") / "<b>world")
    begun: list[int] = []
    stopped = Watch(admitted=lambda: begun.append(1), stopping=lambda: len(begun) > 5)
    assert not build(str(world_folder), out, recipe, local, watch=stopped).finished
    assert "Run the same command again to go on" in report.render(out)
    return out, build(str(world_folder), out, recipe, local)


class Page(HTMLParser):
    """The tags of a page, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.places: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.places += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_it_tells_what_the_summary_tells(built: tuple[str, Summary]) -> None:
    url, summary = built
    found = facts(Storage.at(url))
    assert (found.clips, found.samples, found.left) == (summary.clips, summary.samples, 0)
    of = {outcome: {} for outcome in ("rejected", "failed")}  # type: dict[str, dict[str, int]]
    for reason in found.reasons:
        of[reason.outcome][f"{reason.stage}: {reason.why}"] = reason.clips
    assert of == {"rejected": summary.rejected, "failed": summary.failed}
    assert [run[-1].ended for run in found.runs] == ["stopped", "finished"]
    measured = next(reason for reason in found.reasons if reason.why == "motion.iou")
    assert len(measured.values) == measured.clips
    assert "max_iou" in measured.rule


def test_who_was_given_up_is_named_with_the_reason(built: tuple[str, Summary]) -> None:
    (lost,) = facts(Storage.at(built[0])).given_up
    assert lost.video == "folder/000005.mp4"
    assert (lost.stage, lost.outcome, lost.error) == ("captioner", "failed", "LookupError")
    assert "raise LookupError" in lost.traceback


def test_the_page_stands_alone_and_shows_words_as_words(built: tuple[str, Summary]) -> None:
    text = report.render(built[0], price=2.5)
    page = Page(text)
    assert page.open == []
    assert not {"script", "b>", "link", "iframe"} & set(page.tags)
    assert page.places
    assert all(place.startswith("data:image/svg+xml;base64,") for place in page.places)
    assert EVIL in page.words
    assert "<b>world" in page.words
    assert "folder/000005.mp4" in page.words
    assert "at 2.5 for a GPU's hour" in page.words
    assert re.search(r"Runs.*stopped.*finished", page.words, re.DOTALL)


def test_a_report_changes_nothing_of_the_dataset_and_is_not_written_for_nothing(
    built: tuple[str, Summary], world_folder: Path, recipe: Recipe
) -> None:
    url = built[0]
    before = digests(Path(url))
    assert report.write(url) == f"{url}/{report.PATH}"
    assert digests(Path(url)) == before
    assert verify(Storage.at(url)).violations == ()
    assert build(str(world_folder), url, recipe, local).finished
    assert report.write(url) is None


def test_a_dataset_without_a_run_or_a_clip_has_a_report(tmp_path: Path) -> None:
    about = {"name": "x", "recipe": {"name": "y"}, "models": {}, "code": "0", "schema": 1, "source": None}
    Storage.at(tmp_path).write("dataset.json", json.dumps(about).encode())
    assert "Nothing to show yet" in Page(report.render(str(tmp_path))).words


def test_the_verbs_write_it(world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "world"
    options = [text for assignment in SHORT for text in ("--set", assignment)]
    assert dreamreel.main(["build", str(world_folder), str(out), "--limit", "4", *options]) == 0
    assert f"report: {out}/report.html" in capsys.readouterr().err
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert dreamreel.main(["build", "--status", str(out), "--report", str(tmp_path / "r.html"), "--price", "3"]) == 0
    assert "at 3 for a GPU&#x27;s hour" in (tmp_path / "r.html").read_text()
    assert dreamreel.main(["build", str(world_folder), str(out), "--report", "x.html"]) == 2
    assert "--report goes with --status" in capsys.readouterr().err


# --- the numbers of a run just now


def moment(seconds: float, answered: int, busy: float) -> Moment:
    stage = {"name": "tracker", "queued": 3, "in_hand": 1, "answered": answered, "seconds": busy, "mean_seconds": 2.0}
    pool = {"name": "tracker", "stages": ["tracker"], "wanted": 2, "starting": 0, "up": 2}
    pool |= {"busy_seconds": busy, "up_seconds": 2 * seconds}
    return Moment(
        at=1000 + seconds,
        seconds=seconds,
        videos=100,
        begun=50,
        passed=answered,
        kept=0,
        stopped={"judge: motion.iou": 3},
        stages=[stage],
        pools=[pool],
        left=90.0,
    )


def test_the_pace_is_that_between_two_moments() -> None:
    found = pace(moment(10, 5, 10), moment(20, 15, 25))
    assert found.clips == pytest.approx(1.0)
    assert found.stages == {"tracker": pytest.approx(1.0)}
    assert found.busy == {"tracker": pytest.approx(15 / 20)}
    assert found.pools == {"tracker": pytest.approx(15 / 20)}
    whole = pace(moment(10, 5, 10), moment(10, 5, 10))
    assert whole.stages == {"tracker": pytest.approx(0.5)}


def test_the_pace_of_just_now_forgets_what_is_a_minute_old() -> None:
    recent = Recent(seconds=60)
    for second in range(1, 200):
        found = recent.add(moment(second, 0 if second < 100 else second - 100, 0))
    assert found.stages["tracker"] == pytest.approx(1.0)


def test_the_board_shows_stages_pools_and_reasons() -> None:
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    now = moment(20, 15, 25)
    Console(file=out, width=120).print(board(now, pace(moment(10, 5, 10), now)))
    text = out.getvalue()
    assert "50/100 videos begun; 18 clips decided: 15 passed, 3 stopped" in text
    assert "1.00 clips/s, about 1 min 30 s left" in text
    assert re.search(r"tracker +tracker +3 +1 +15 +1\.00 +2 +75%", text)
    assert "workers of tracker: 2 up, 0 starting, 2 wanted, busy 75%" in text
    assert "3 stopped at judge: motion.iou" in text
