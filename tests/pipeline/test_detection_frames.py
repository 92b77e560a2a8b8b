"""Which frames are detected in: several are looked at together, one of them gives the clip's boxes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.embedded.world import World, write_videos
from pipeline.recipe import load_recipe
from pipeline.records import Detection, Encoded, Grounded, Named, Rejected, Segmented, Tracked, Video
from pipeline.sources import parse_source
from pipeline.stages.cutter import Cutter
from pipeline.stages.encoder import Encoder
from pipeline.stages.judge import Screener
from pipeline.stages.locate import Grounder, Segmenter, Tracker, _seen, frame_numbers
from pipeline.stages.measure import measure_detections
from pipeline.stages.rules import Count, Rules
from shards import rle, video
from tests.pipeline.tiny_annotators import grounded, named, tiny_detector, tiny_segmenter, write_clip

pytestmark = pytest.mark.usefixtures("one_thread")


# --- Which frames


@pytest.mark.parametrize(
    ("frames", "num_frames", "expected"),
    [
        ((0,), 24, (0,)),
        ((0, 0.5, -1), 24, (0, 12, 23)),
        ((-1, 0), 24, (23, 0)),
        ((0, 0.25, 0.5, 0.75), 2, (0, 1)),
        ((0, 0.5, -1), 1, (0,)),
        ((30, -30), 24, (23, 0)),
        ((0.999,), 24, (23,)),
    ],
)
def test_frames_by_number_from_the_end_and_by_share(
    frames: tuple[int | float, ...], num_frames: int, expected: tuple[int, ...]
) -> None:
    assert frame_numbers(frames, num_frames) == expected


FRAMES = st.lists(st.one_of(st.integers(-50, 50), st.floats(0, 1, exclude_min=True, exclude_max=True)), min_size=1)


@given(FRAMES, st.integers(1, 40))
def test_every_clip_has_the_frames_that_are_asked_for(frames: list[int | float], num_frames: int) -> None:
    numbers = frame_numbers(frames, num_frames)
    assert numbers
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < num_frames for number in numbers)


@pytest.mark.parametrize("frames", ["[]", "[1.5]", "[0.0]", "[-0.5]", "[first]"])
def test_what_is_no_frame_is_refused(frames: str) -> None:
    with pytest.raises(ValueError, match=r"grounder\.frames"):
        load_recipe("embedded", [f"grounder.frames={frames}"])


def test_frames_survive_the_recipe() -> None:
    recipe = load_recipe("embedded", ["grounder.frames=[0, 0.5, -1]"])
    assert recipe.grounder.frames == (0, 0.5, -1)
    assert recipe.grounder.digest() != load_recipe("embedded").grounder.digest()


# --- Which of them gives the boxes


def box(noun: str, left: int = 0) -> Detection:
    return Detection(noun=noun, frame=0, box=(left, 0, left + 4, 4), score=0.5)


@pytest.fixture
def cat_and_dog(tmp_path: Path) -> Named:
    frame = torch.zeros(32, 32, 3, dtype=torch.uint8).numpy()
    return named(write_clip(tmp_path / "aa.mp4", [frame] * 3, 3, frame.shape[:2]), "morning", "cat", "dog")


def test_the_first_frame_that_shows_the_subject_gives_all_boxes(cat_and_dog: Named) -> None:
    found = {0: [box("dog")], 9: [box("cat", 1), box("dog"), box("cat", 2)], 23: [box("cat", 3)]}
    seen = _seen(cat_and_dog, found, "model")
    assert seen.subject == "cat"
    assert [(d.noun, d.frame, d.box[0]) for d in seen.detections] == [("cat", 9, 1), ("cat", 9, 2)]
    assert measure_detections(seen)["count"] == 2  # not the three that were seen in the clip
    backwards = _seen(cat_and_dog, dict(reversed(found.items())), "model")
    assert [(d.frame, d.box[0]) for d in backwards.detections] == [(23, 3)]


def test_what_is_in_no_frame_has_no_box(cat_and_dog: Named) -> None:
    seen = _seen(cat_and_dog, {0: [], 9: []}, "model")
    assert (seen.subject, seen.detections) == ("morning", ())


# --- By the practice world's truth


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Named:
    """A clip whose source says all, and whose subject is not in its first frame."""
    folder = tmp_path_factory.mktemp("late")
    write_videos(folder / "videos", World(frame_rate=12.0), 1, cases=("late",))
    (record,) = parse_source(str(folder / "videos")).videos()
    assert isinstance(record, Video)
    (clips,) = Cutter().open()([record])
    assert isinstance(clips, list)
    (encoded,) = Encoder(dataset=str(folder / "out")).open()(clips)
    assert isinstance(encoded, Encoded)
    return named(encoded, *record.nouns)


def located(record: Named, *frames: int | float) -> Tracked:
    (boxes,) = Grounder(frames=frames).open()([record])
    assert isinstance(boxes, Grounded)
    (masks,) = Segmenter().open()([boxes])
    assert isinstance(masks, Segmented)
    (tracks,) = Tracker().open()([masks])
    assert isinstance(tracks, Tracked)
    return tracks


def test_a_subject_that_enters_late_is_found_in_a_later_frame(late: Named) -> None:
    (first,) = Grounder().open()([late])
    assert isinstance(first, Grounded)
    (screened,) = Screener(rules=Rules(count=Count())).open()([first])
    assert isinstance(screened, Rejected)
    assert screened.why == "count.none"
    found = located(late, 0, -1)
    last, size = late.num_frames - 1, (late.height, late.width)
    assert {detection.frame for detection in found.detections} == {last}
    assert [rle.box(segment.mask, size) for segment in found.segments] == [d.box for d in found.detections]
    assert found.tracks[0].noun == found.subject == late.subjects[0]
    assert found.tracks[0].masks[0] is None
    assert found.tracks[0].masks[last] == found.segments[0].mask


def test_frames_after_the_one_that_shows_it_change_nothing(late: Named) -> None:
    early = located(late, 0, -1)
    assert located(late, -1) == early == located(late, 0, -1, 0.5)


# --- By a model


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Encoded]:
    folder, scenes = tmp_path_factory.mktemp("clips"), [World(num_frames=8).scene(number) for number in (1, 2)]
    return [write_clip(folder / f"{scene.index:02x}.mp4", scene.render().frames, 8, scene.size) for scene in scenes]


def frame_of(record: Encoded, number: int) -> Any:
    (frame,) = video.frames(record.path, [number])
    return frame


def test_all_frames_of_a_batch_share_a_forward_pass(clips: list[Encoded], tiny_weights: Path) -> None:
    ground = Grounder(model=tiny_detector(tiny_weights), frames=(-1, 0, 0.5)).open()
    asked: list[int] = []

    def count(module: Any, arguments: Any, _answer: Any) -> None:
        if type(module).__name__ == "GroundingDINO":
            asked.append(len(arguments[0].tensors))

    hook = torch.nn.modules.module.register_module_forward_hook(count)
    records = [named(record, "dog", "cat") for record in clips]
    together = ground(records)
    hook.remove()
    assert asked == [6]
    questions = [(frame_of(record, number), record.subjects) for record in records for number in (7, 0, 4)]
    found = tiny_detector(tiny_weights).open()(questions)
    for record, answer, views in zip(records, together, (found[:3], found[3:]), strict=True):
        assert answer == _seen(record, dict(zip((7, 0, 4), views, strict=True)), "grounding dino embedded")
        assert isinstance(answer, Grounded)
        assert answer.detections
        assert {detection.frame for detection in answer.detections} == {7}


def test_masks_are_drawn_in_the_detections_own_frame(clips: list[Encoded], tiny_weights: Path) -> None:
    boxes = ((10, 10, 60, 60), (30, 5, 150, 90))
    records = [grounded(record, "dog", *boxes, frame=frame) for record, frame in zip(clips, (7, 3), strict=True)]
    segment = tiny_segmenter(tiny_weights).open()
    for record, answer in zip(records, Segmenter(model=tiny_segmenter(tiny_weights)).open()(records), strict=True):
        assert isinstance(answer, Segmented)
        number = record.detections[0].frame
        (alone,) = segment([(frame_of(record, number), record.detections)])
        (other,) = segment([(frame_of(record, 0), record.detections)])
        assert [s.detection for s in answer.segments] == list(record.detections)
        assert [s.predicted_iou for s in answer.segments] == pytest.approx([s.predicted_iou for s in alone], abs=2e-4)
        assert [s.predicted_iou for s in answer.segments] != pytest.approx([s.predicted_iou for s in other], abs=2e-4)
