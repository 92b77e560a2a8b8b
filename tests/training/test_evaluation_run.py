"""An evaluation that is killed goes on; bad input is named and the rest measured; what is left is whole."""

import json
import signal
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dreamreel import main
from shards import Storage
from tests.training.painted import Box, RedFinder, in_shares, paint, painted_settings
from training.evaluation.manifest import Entry, write_manifest
from training.evaluation.page import worst_first
from training.evaluation.paper import PROTOCOLS
from training.evaluation.practice_suite import practice_items
from training.evaluation.results import row_of, write_results
from training.evaluation.run import Evaluation, evaluate
from training.evaluation.settings import EvaluationSettings, load_settings, settings_names
from training.evaluation.tables import estimates, latex, markdown
from training.generation.pictures import write_clip

FRAMES = 4


def painted_videos(folder: Path, count: int) -> list[Entry]:
    """Each video's box a pixel further from its target; its noun names it."""
    entries = []
    for number in range(count):
        boxes: list[Box | None] = [(10 + number, 10, 30 + number, 26)] * FRAMES
        paint(folder / f"v{number}", boxes)
        target = in_shares([(10, 10, 30, 26)] * FRAMES)
        entries.append(Entry(video=f"v{number}", prompt="a red box", noun=f"noun{number}", boxes=target))
    return entries


def run(entries: list[Entry], folder: Path, settings: EvaluationSettings, protocol: str = "motion") -> Evaluation:
    result = evaluate(entries, folder, folder, Storage.at(folder / "out"), settings, name="x", protocol=protocol)
    assert result is not None
    return result


def _evaluate_to_death(entries: list[Entry], folder: Path, settings: EvaluationSettings) -> None:
    run(entries, folder, settings)


def test_a_killed_evaluation_goes_on_and_asks_about_no_video_twice(tmp_path: Path) -> None:
    entries, log = painted_videos(tmp_path, 6), tmp_path / "log"
    finder = RedFinder(log=str(log))
    settings = painted_settings(detector=finder, videos_at_once=2)
    dying = settings.model_copy(update={"detector": finder.model_copy(update={"dies_at": 3})})
    killed = get_context("fork").Process(target=_evaluate_to_death, args=(entries, tmp_path, dying))
    killed.start()
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    assert log.read_text().split() == [f"noun{n}" for n in (0, 1, 2, 3) for _ in range(FRAMES)]
    result = run(entries, tmp_path, settings)
    assert result.asked_now == 2
    assert log.read_text().split() == [f"noun{n}" for n in range(6) for _ in range(FRAMES)]
    undisturbed = run(entries, tmp_path / ".", settings)
    assert undisturbed.asked_now == 0
    assert [one.scores.video for one in result.measured] == [one.scores.video for one in undisturbed.measured]


def test_batches_change_no_figure(tmp_path: Path) -> None:
    entries = painted_videos(tmp_path, 5)
    figures = []
    for number, (videos, frames) in enumerate(((1, 1), (2, 3), (8, 64))):
        settings = painted_settings(videos_at_once=videos, frames_at_once=frames)
        out = Storage.at(tmp_path / f"out{number}")
        result = evaluate(entries, tmp_path, tmp_path, out, settings, name="x", protocol="all")
        assert result is not None
        figures.append([one.scores.video for one in result.measured])
    assert figures[0] == figures[1] == figures[2]


def test_the_same_video_elsewhere_is_known_by_its_content(tmp_path: Path) -> None:
    (entry,) = painted_videos(tmp_path, 1)
    run([entry], tmp_path, painted_settings())
    (tmp_path / "v0").rename(tmp_path / "other")
    moved = entry.model_copy(update={"video": "other"})
    assert run([moved], tmp_path, painted_settings()).asked_now == 0
    assert run([moved.model_copy(update={"noun": "cat"})], tmp_path, painted_settings()).asked_now == 1


def test_an_evaluation_ends_early_when_asked(tmp_path: Path) -> None:
    entries = painted_videos(tmp_path, 2)
    out = Storage.at(tmp_path / "out")
    stopped = evaluate(entries, tmp_path, tmp_path, out, painted_settings(), name="x", stopping=lambda: True)
    assert stopped is None


# --- What is left behind


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the models here are none that a recipe can name
def test_every_frame_and_video_is_in_the_records_with_its_settings(tmp_path: Path) -> None:
    entries = painted_videos(tmp_path, 3)
    storage = Storage.at(tmp_path / "out")
    result = run(entries, tmp_path, painted_settings())
    write_results(storage, result)
    frames, videos = (pq.read_table(tmp_path / "out" / name) for name in ("frames.parquet", "videos.parquet"))
    assert frames.num_rows == 3 * FRAMES
    assert frames["mIoU"].to_pylist()[:FRAMES] == [1.0] * FRAMES
    assert frames["target"][0].as_py() == [10, 10, 30, 26]
    assert frames["found"][-1].as_py() == [12, 10, 32, 26]
    assert videos["mIoU"].to_pylist() == [one.scores.video["mIoU"] for one in result.measured]
    assert videos["sha256"].to_pylist() == [one.asked.sha256 for one in result.measured]
    about = json.loads(frames.schema.metadata[b"dreamreel"])
    assert about["settings"]["missing_iou"] == "zero"
    assert [one.number for one in worst_first(result)] == [2, 1, 0]
    report = (tmp_path / "out" / "report.html").read_text()
    assert report.index("<b>v2</b>") < report.index("<b>v0</b>")


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_tables_stand_beside_the_paper_and_name_every_choice(tmp_path: Path) -> None:
    result = run(painted_videos(tmp_path, 3), tmp_path, painted_settings())
    table = markdown(result)
    assert "| DreamVideo-2 (paper) | 0.322 | 0.969 | 0.752 | 0.039 | - | - |" in table
    assert "| System | CLIP-T ↑ | T.Cons ↑ | mIoU ↑ | CD ↓ | CD, detected | Detected |" in table
    assert "IoU zero, CD one" in table
    assert "1.000 [1.000, 1.000]" in table
    tabular = latex(result)
    assert tabular.count(r"\\") == 1 + 1 + len(PROTOCOLS["motion"].rows)
    assert r"$\uparrow$" in tabular
    write_results(Storage.at(tmp_path / "other"), result)
    beside = markdown(result, [row_of(str(tmp_path / "other"), result)])
    assert beside.count("| x | ") == 2
    with pytest.raises(ValueError, match="no evaluation lies here"):
        row_of(str(tmp_path / "nowhere"), result)
    stand_ins = load_settings("embedded")
    assert stand_ins.titles()["CLIP-T"] == "Caption-T"
    named = markdown(run(painted_videos(tmp_path / "two", 2), tmp_path / "two", painted_settings(text=stand_ins.text)))
    assert "CLIP-T 0.322" in named


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_every_protocol_has_a_number_of_the_paper_for_each_column(protocol: str) -> None:
    for values in PROTOCOLS[protocol].rows.values():
        assert len(values) == len(PROTOCOLS[protocol].metrics)


def test_recipes_are_whole_and_what_is_wrong_is_told() -> None:
    assert settings_names() == ["embedded", "paper"]
    assert load_settings("paper").titles()["DINO-I"] == "DINO-I"
    with pytest.raises(ValueError, match="did you mean missing_iou"):
        load_settings("paper", ["missing_io=zero"])
    with pytest.raises(ValueError, match=r"semantic\.mode"):
        load_settings("paper", ["semantic.mode=x"])
    with pytest.raises(ValueError, match="semantic has no text side"):
        load_settings("embedded", ["text=null"])


# --- Bad input


def test_a_model_that_is_not_here_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    settings = load_settings("paper", [f"semantic.model={tmp_path / 'none'}"])
    with pytest.raises(ValueError, match="none") as error:
        run([], tmp_path, settings, protocol="subject")
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_bad_input_is_named_and_the_rest_is_measured(tmp_path: Path) -> None:
    entries = []
    for number, item in enumerate(practice_items(2, (64, 96), 8)):
        write_clip(tmp_path / f"good{number}.mp4", item.truth(), 8.0)
        Image.fromarray(item.subject).save(tmp_path / f"{number}.png")
        said: dict[str, Any] = {"prompt": item.scene.caption, "noun": item.noun, "subject": f"{number}.png"}
        entries.append(Entry(video=f"good{number}.mp4", boxes={"boxes": item.boxes.tolist()}, **said))
    first = entries[0]
    write_clip(tmp_path / "short.mp4", practice_items(1, (64, 96), 8)[0].truth()[:5], 8.0)
    write_clip(tmp_path / "large.mp4", np.full((8, 96, 160, 3), 99, np.uint8), 8.0)
    (tmp_path / "text.mp4").write_text("no video")
    entries += [first.model_copy(update={"video": f"{name}.mp4"}) for name in ("short", "large", "text", "gone")]
    wrong_size = {**in_shares([None]), "size": [9, 9]}
    entries.append(Entry(video="good1.mp4", noun=first.noun, subject="lost.png", boxes=wrong_size))
    result = run(entries, tmp_path, painted_settings(), "all")
    figures = estimates(result)
    assert len(result.measured) == figures["T.Cons"].n == 4
    assert figures["mIoU"].n == 2
    faults = {(fault.video, fault.what): fault.why for fault in result.faults}
    assert "8 boxes for a video of 5 frames" in faults["short.mp4", "boxes"]
    assert "96x160, where 4 of 5 have 64x96" in faults["large.mp4", "size"]
    assert "not_a_video" in faults["text.mp4", "video"]
    assert "not there" in faults["gone.mp4", "video"]
    assert "manifest gives none" in faults["good1.mp4", "prompt"]
    assert "lost.png" in faults["good1.mp4", "subject"]
    assert "9x9" in faults["good1.mp4", "boxes"]
    lost = {(fault.video, fault.what): fault.lost for fault in result.faults}
    assert lost["good1.mp4", "subject"] == ("R-CLIP", "R-DINO", "CLIP-I", "DINO-I")
    assert lost["text.mp4", "video"] == result.metrics
    write_results(Storage.at(tmp_path / "out"), result)
    report = (tmp_path / "out" / "report.html").read_text()
    assert all(name in report for name in ("text.mp4", "large.mp4", "short.mp4"))


def test_what_cannot_be_measured_is_told_and_ends_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    write_manifest(tmp_path / "manifest.jsonl", [Entry(video="text.mp4"), Entry(video="gone.mp4")])
    assert main(["evaluate", str(tmp_path), "--json"]) == 1
    told = capsys.readouterr()
    said = json.loads(told.out)
    assert said["videos"] == 0
    assert [fault["video"] for fault in said["faults"]] == ["text.mp4", "gone.mp4"]
    assert len(told.err.strip().splitlines()) == 2
    assert "gone.mp4" in (tmp_path / "evaluation" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["evaluate", "nowhere"], "neither a run nor a folder of videos"),
        (["evaluate", "."], "there is no such manifest"),
        (["evaluate", "nowhere", "--recipe", "papper"], "no recipe 'papper'"),
        (["evaluate", "nowhere", "--training-free"], "needs --out"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1
