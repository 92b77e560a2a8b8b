"""Decoding ahead: annotators read their frames while the model is at the batch before, and answer as they always do."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.models.captioning import Caption
from pipeline.models.tracking import ClipFrames
from pipeline.records import Encoded, Segment, Segmented, Video, grow
from pipeline.runners.attempt import Functions
from pipeline.stage import Stage, TwoStep
from pipeline.stages import locate
from pipeline.stages.annotate import Annotator, Captioner
from pipeline.stages.locate import Grounder, Segmenter, Tracker
from shards import rle, video
from tests.pipeline.tiny_annotators import (
    grounded,
    named,
    tiny_detector,
    tiny_segmenter,
    tiny_semi_online,
    tiny_tracker,
    write_clip,
)
from tests.pipeline.tiny_models import save_blip

NUM_FRAMES, SIZE = 9, (64, 96)
SEED = 3  # the frame in which the subject is seen

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Encoded]:
    folder, random = tmp_path_factory.mktemp("ahead"), np.random.default_rng(0)
    frames = random.integers(0, 256, (2, NUM_FRAMES, *SIZE, 3), np.uint8)
    return [write_clip(folder / f"{name}.mp4", frames[n], NUM_FRAMES, SIZE) for n, name in enumerate(("aa", "bb"))]


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blip")
    save_blip(folder)
    return folder


def segmented(clip: Encoded) -> Segmented:
    boxes = grounded(clip, "dog", (10, 10, 60, 60), frame=SEED)
    mask = np.zeros(SIZE, bool)
    mask[10:60, 10:60] = True
    segments = tuple(Segment(detection=box, mask=rle.encode(mask)) for box in boxes.detections)
    return grow(Segmented, boxes, segments=segments, segmenter="test")


@pytest.fixture(params=["captioner", "grounder", "segmenter", "tracker", "semi-online"])
def stage(request: pytest.FixtureRequest, tiny_weights: Path, blip: Path) -> Annotator[Any, Any]:
    detector, segmenter = tiny_detector(tiny_weights), tiny_segmenter(tiny_weights, "filling.pth")
    stages: dict[str, Annotator[Any, Any]] = {
        "captioner": Captioner(model=Caption(model=str(blip), device="cpu", max_new_tokens=6)),
        "grounder": Grounder(model=detector, frames=(0, 0.5, -1)),
        "segmenter": Segmenter(model=segmenter),
        "tracker": Tracker(model=tiny_tracker(tiny_weights)),
        "semi-online": Tracker(model=tiny_semi_online(tiny_weights)).asking(detector, segmenter),
    }
    return stages[request.param]


def record_for(stage: Stage[Any, Any], clip: Encoded) -> Any:
    kinds: dict[str, Callable[[Encoded], Any]] = {
        "captioner": lambda clip: clip,
        "grounder": lambda clip: named(clip, "dog"),
        "segmenter": lambda clip: grounded(clip, "dog", (10, 10, 60, 60), frame=SEED),
        "tracker": segmented,
    }
    return kinds[stage.name](clip)


def test_frames_of_the_next_batch_are_decoded_while_the_model_is_at_this_one(
    stage: Annotator[Any, Any], clips: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's first answer waits until frames of both batches are decoded: in turn it would wait for ever."""
    decoded = {clip.key: threading.Event() for clip in clips}
    look, asking = type(stage)._look, type(stage)._asking

    def looked(self: Any, records: Sequence[Any]) -> Any:
        seen = look(self, records)
        decoded[records[0].key].set()
        return seen

    def held(self: Any) -> Any:
        ask = asking(self)

        def answer(records: Sequence[Any], seen: Any) -> Any:
            assert all(event.wait(60) for event in decoded.values())
            return ask(records, seen)

        return answer

    monkeypatch.setattr(type(stage), "_look", looked)
    monkeypatch.setattr(type(stage), "_asking", held)
    functions = Functions([stage])
    batches = [[record_for(stage, clip)] for clip in clips]
    with ThreadPoolExecutor(2) as threads:
        jobs = [threads.submit(functions.answer, 0, batch) for batch in batches]
        ahead = [job.result().outcomes[0] for job in jobs]
    monkeypatch.undo()
    function = stage.open()
    assert ahead == [function(batch)[0] for batch in batches]


@pytest.mark.parametrize(
    ("stage", "frames_ahead"),
    [("tracker", 0), ("tracker", 2), ("tracker", NUM_FRAMES), ("semi-online", 2)],
    indirect=["stage"],
)
def test_a_track_is_the_same_however_much_of_the_clip_was_decoded_ahead(
    stage: Annotator[Any, Any], clips: list[Encoded], frames_ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [record_for(stage, clip) for clip in clips]
    expected = stage.open()(batch)
    monkeypatch.setattr(locate, "AHEAD_BYTES", frames_ahead * len(batch) * SIZE[0] * SIZE[1] * 3)
    function = stage.open()
    assert isinstance(function, TwoStep)
    prepared = function.prepare(batch)
    first = 0 if "semi" in str(stage.model) else SEED  # type: ignore[attr-defined]
    assert [len(ahead) for ahead in prepared.seen] == [min(frames_ahead, NUM_FRAMES - first)] * 2
    assert function.run(batch, prepared) == expected


def test_a_clips_frames_are_the_same_with_some_of_them_decoded_ahead(clips: list[Encoded]) -> None:
    path = clips[0].path
    plain = list(video.frames(path))
    for held in (range(0), range(3), range(2, 5), range(NUM_FRAMES)):
        ahead = {number: plain[number] for number in held}
        clip = ClipFrames(path, NUM_FRAMES, ahead)
        for numbers in (range(2, NUM_FRAMES), range(4), range(NUM_FRAMES)):
            for number, frame in zip(numbers, clip(numbers), strict=True):
                np.testing.assert_array_equal(frame, plain[number])


def test_what_a_batch_needs_is_loaded_before_its_turn_and_only_if_it_needs_it() -> None:
    log: list[str] = []

    class Two(Stage[Video, Video]):
        @property
        def name(self) -> str:  # type: ignore[override]
            return "two"

        def open(self) -> TwoStep[Video, Video]:
            def run(batch: Sequence[Video], prepared: str) -> list[Any]:
                log.append(f"run {prepared}")
                return list(batch)

            return TwoStep(lambda batch: batch[0].id, run, lambda prepared: log.append(f"load for {prepared}"))

    functions = Functions([Two()])
    for name in "ab":
        functions.answer(0, [Video(id=name, uri=name)])
    assert log == ["load for a", "run a", "load for b", "run b"]


def test_a_source_that_brings_everything_never_loads_a_model(clips: list[Encoded], tmp_path: Path) -> None:
    said = Video(id="said", uri="said", caption="a dog runs")
    nowhere = Captioner(model=Caption(model=str(tmp_path / "nowhere")))
    record = replace(clips[0], video=said)
    (answer,) = Functions([nowhere]).answer(0, [record]).outcomes
    assert answer.caption == "a dog runs"
