"""Whatever comes in, every annotator answers: with a record or with a reason, never with a crash."""

import gc
import json
import math
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.models.captioning import Caption
from pipeline.models.deva.settings import Propagation
from pipeline.models.nouns import NounFinder
from pipeline.recipe import Recipe, load_recipe
from pipeline.records import (
    Captioned,
    Detection,
    Encoded,
    Grounded,
    Measured,
    Rejected,
    Segment,
    Segmented,
    Tracked,
    Tracklet,
    grow,
)
from pipeline.run import build
from pipeline.runners.local import local
from pipeline.stages.annotate import Captioner, Namer
from pipeline.stages.judge import Screener
from pipeline.stages.locate import Grounder, Segmenter, Tracker
from pipeline.stages.measurer import Measurer
from pipeline.stages.rules import Count, Rules
from shards import Dataset, Storage, ledger, rle
from shards.verify import verify
from tests.pipeline import tiny_models
from tests.pipeline.tiny_annotators import (
    captioned,
    grounded,
    named,
    tiny_detector,
    tiny_segmenter,
    tiny_tracker,
    write_clip,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (32, 48)
NUM_FRAMES = 8  # the least that a build takes
BLACK = np.zeros((*SIZE, 3), np.uint8)


def noise(num_frames: int) -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(num_frames)
    return (rng.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(num_frames))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    return write_clip(tmp_path_factory.mktemp("clip") / "aa.mp4", noise(NUM_FRAMES), NUM_FRAMES, SIZE)


@pytest.fixture(scope="module")
def black(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    return write_clip(tmp_path_factory.mktemp("black") / "bb.mp4", repeat(BLACK, NUM_FRAMES), NUM_FRAMES, SIZE)


def definite(weights: Path) -> list[Any]:
    """Stages from caption to measured clip: a detector that finds every word it knows, masks that fill the frame."""
    tracker = tiny_tracker(weights).model_copy(update={"checkpoint": str(weights / "repeating.pth")})
    return [
        Namer(model=NounFinder()),
        Grounder(model=tiny_detector(weights), frames=(0, 0.5, -1)),
        Screener(rules=Rules()),
        Segmenter(model=tiny_segmenter(weights, "filling.pth")),
        Tracker(model=tracker),
        Measurer(),
    ]


@pytest.fixture(scope="module")
def line(tiny_weights: Path) -> Callable[[Captioned], Any]:
    return opened(definite(tiny_weights))


def opened(stages: Sequence[Any]) -> Callable[[Captioned], Any]:
    functions = [stage.open() for stage in stages]

    def outcome(record: Any) -> Any:
        for function in functions:
            (record,) = function([record])
            if isinstance(record, Rejected):
                return record
        return record

    return outcome


# --- Captions


@pytest.mark.parametrize(
    "caption", ["Beautifully and slowly.", "!!! ... ???", "1234 5678", "собака бежит по траве", "犬が走る"]
)
def test_a_caption_without_a_noun_is_rejected(caption: str, clip: Encoded, line: Callable[[Captioned], Any]) -> None:
    why = "no subject word in the caption"
    assert line(captioned(clip, caption)) == Rejected(stage="namer", why=why, value=caption)


def test_a_noun_that_is_nowhere_is_rejected(clip: Encoded, line: Callable[[Captioned], Any]) -> None:
    answer = line(captioned(clip, "a zeppelin floats"))
    assert (answer.stage, answer.why, answer.value) == ("screener", "count.none", 0.0)


@pytest.mark.parametrize(
    "caption",
    [
        "a dog 🐕 runs 🏃‍♀️ on the grass 🌱",
        "a dog\x00\x07 runs\x1b[31m in the \u202egrass",
        "a\u00a0dog\u2028runs\tand\r\nruns",
        "a dog runs. " * 500,
        "a dog runs beside " + ", ".join(f"a cat{n}" for n in range(400)),
        "a " + "very " * 400 + "golden dog runs",
        "A DOG RUNS",
    ],
    ids=["emoji", "control", "spaces", "sentences", "list", "adverbs", "capitals"],
)
def test_an_odd_caption_with_a_noun_goes_through(caption: str, clip: Encoded, line: Callable[[Captioned], Any]) -> None:
    answer = line(captioned(clip, caption))
    assert isinstance(answer, Measured)
    assert answer.subject == "dog"


# --- Nouns


WORDS = ("dog", "cat", "bear", "shirt", "teddy", "retriever")


@pytest.mark.parametrize(
    "nouns",
    [
        tuple(f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS),
        (" ".join(WORDS * 60),),
        ("",),
        (".",),
        ("dog . cat ?",),
        ("собака", "🐕", "\x00"),
    ],
    ids=["216 nouns", "a noun of 360 words", "empty", "a stop", "stops", "foreign"],
)
def test_nouns_beyond_a_prompt_are_asked_for_or_found_nowhere(
    nouns: tuple[str, ...], clip: Encoded, tiny_weights: Path
) -> None:
    detector = tiny_detector(tiny_weights, box_threshold=0.2)
    (answer,) = Grounder(model=detector).open()([named(clip, *nouns)])
    assert isinstance(answer, Grounded)
    assert answer.subject in nouns
    assert {detection.noun for detection in answer.detections} <= {answer.subject}
    assert all(detection.text_score is not None for detection in answer.detections)
    assert not any(math.isnan(detection.score or 0.0) for detection in answer.detections)


# --- Boxes and masks


def test_two_hundred_boxes_are_a_crowd_or_two_hundred_tracks(clip: Encoded, tiny_weights: Path) -> None:
    boxes = [(x, y, x + 6, y + 5) for x in range(0, 40, 2) for y in range(0, 20, 2)]
    crowd = grounded(clip, "dog", *boxes)
    (screened,) = Screener(rules=Rules(count=Count())).open()([crowd])
    assert isinstance(screened, Rejected)
    assert (screened.why, screened.value) == ("count", 200.0)
    (filled,) = Segmenter(model=tiny_segmenter(tiny_weights, "filling.pth")).open()([crowd])
    assert isinstance(filled, Segmented)
    assert len(filled.segments) == 200
    own = tuple(Segment(detection=detection, mask=filled_box(detection.box)) for detection in crowd.detections)
    (answer,) = Tracker(model=tiny_tracker(tiny_weights)).open()([replace(filled, segments=own)])
    assert isinstance(answer, Tracked)
    assert 0 < len({track.id for track in answer.tracks}) == len(answer.tracks) <= 200
    assert isinstance(Measurer().open()([answer])[0], Measured)


def filled_box(box: rle.Box) -> rle.Rle:
    mask = np.zeros(SIZE, bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return rle.encode(mask)


def with_mask(record: Encoded, mask: NDArray[np.bool_]) -> Segmented:
    counts = rle.encode(mask)
    detection = Detection(noun="dog", frame=0, box=rle.box(counts, SIZE) or (0, 0, 1, 1), score=0.5)
    boxes = grow(Grounded, named(record, "dog"), subject="dog", detections=(detection,), detector="test")
    return grow(Segmented, boxes, segments=(Segment(detection=detection, mask=counts),), segmenter="test")


@pytest.mark.parametrize("place", [(0, 0), (SIZE[0] - 1, SIZE[1] - 1), (13, 21)])
def test_a_mask_of_one_pixel_is_followed_and_measured(
    place: tuple[int, int], clip: Encoded, tiny_weights: Path
) -> None:
    mask = np.zeros(SIZE, bool)
    mask[place] = True
    (answer,) = Tracker(model=tiny_tracker(tiny_weights)).open()([with_mask(clip, mask)])
    assert isinstance(answer, Tracked)
    assert answer.tracks[0].masks[0] == rle.encode(mask)
    (measured,) = Measurer().open()([answer])
    assert isinstance(measured, Measured)
    assert all(map(math.isfinite, measured.scores.values()))


def test_a_mask_without_a_pixel_is_rejected(clip: Encoded, tiny_weights: Path) -> None:
    empty = with_mask(clip, np.zeros(SIZE, bool))
    assert Tracker(model=tiny_tracker(tiny_weights)).open()([empty]) == [
        Rejected(stage="tracker", why="empty mask", value="dog")
    ]


def test_boxes_in_which_nothing_is_are_rejected(clip: Encoded, tiny_weights: Path) -> None:
    nothing = grounded(clip, "dog")
    assert Segmenter(model=tiny_segmenter(tiny_weights)).open()([nothing]) == [
        Rejected(stage="segmenter", why="no mask in the boxes", value=0.0)
    ]


# --- Videos


def test_an_all_black_video_has_an_outcome_at_every_stage(
    black: Encoded, line: Callable[[Captioned], Any], tmp_path: Path
) -> None:
    tiny_models.save_git(tmp_path, None)
    caption = Caption.model_validate({"model": str(tmp_path), "device": "cpu", "max_new_tokens": 8, "retry": {}})
    (said,) = Captioner(model=caption).open()([black])
    assert isinstance(said, Captioned | Rejected)
    assert isinstance(line(captioned(black, "a dog in the dark")), Measured)


def test_a_long_clip_is_looked_at_in_few_frames(clip: Encoded, tmp_path: Path, tiny_weights: Path) -> None:
    """10,000 frames, of which captioner, grounder and segmenter together never hold a quarter."""
    count = 10_000
    record = write_clip(tmp_path / "cc.mp4", repeat(BLACK, count), count, SIZE)
    tiny_models.save_git(tmp_path / "git", None)
    caption = Caption(model=str(tmp_path / "git"), device="cpu", max_new_tokens=8)
    stages = [stage for stage in definite(tiny_weights) if not isinstance(stage, Tracker)]
    line, write = opened(stages[:-1]), Captioner(model=caption).open()
    line(captioned(clip, "a dog runs"))
    write([clip])
    tracemalloc.start()  # only now: what is loaded at the first use is not the clip's
    write([record])
    masks = line(captioned(record, "a dog runs"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(masks, Segmented)
    assert peak < count * BLACK.nbytes / 4
    track = Tracklet(id=1, noun="dog", masks=(masks.segments[0].mask,) * count)
    assert isinstance(Measurer().open()([grow(Tracked, masks, tracks=(track,), tracker="test")])[0], Measured)


def test_a_tracker_holds_no_more_of_a_long_clip_than_of_a_short_one(tmp_path: Path, tiny_weights: Path) -> None:
    count = 160
    record = write_clip(tmp_path / "dd.mp4", noise(count), count, SIZE)
    tight = Propagation(
        mem_every=1, max_mid_term_frames=4, min_mid_term_frames=2, num_prototypes=8, max_long_term_elements=24
    )
    mask = np.zeros(SIZE, bool)
    mask[:, :24] = True
    held: list[int] = []
    steps = 0

    def look(module: Any, _arguments: Any, _answer: Any) -> None:
        nonlocal steps
        steps += type(module).__name__ == "KeyProjection"
        if type(module).__name__ == "KeyProjection" and steps in (40, 80, 120, 160):
            held.append(sum(t.numel() for t in gc.get_objects() if issubclass(type(t), torch.Tensor)))

    track = Tracker(model=tiny_tracker(tiny_weights).model_copy(update={"propagation": tight})).open()
    hook = torch.nn.modules.module.register_module_forward_hook(look)
    (answer,) = track([with_mask(record, mask)])
    hook.remove()
    assert isinstance(answer, Tracked)
    assert len(held) == 4
    assert max(held) <= 1.02 * min(held)


# --- A build


ODD = {
    "none": "Beautifully.",
    "nowhere": "a zeppelin floats",
    "emoji": "a dog 🐕 runs",
    "control": "a dog\x01\x7f runs",
    "long": "a dog runs. " * 300,
    "foreign": "собака бежит",
}


@pytest.fixture(scope="module")
def recipe(tiny_weights: Path) -> Recipe:
    small, lies = "size: embedded, device: cpu", f"checkpoint: {tiny_weights}"
    return load_recipe(
        "embedded",
        [
            "cutter={shots: null, min_seconds: 0}",
            "captioner.model=null",
            f"grounder.model={{{lies}/dino.pth, text_encoder: {tiny_weights}/bert, {small}, box_threshold: 0.0, "
            "text_threshold: 0.0, nms_iou: 0.05}",
            f"segmenter.model={{{lies}/filling.pth, {small}}}",
            f"tracker.model={{{lies}/repeating.pth, {small}}}",
            "measurer={}",
            "rules={}",
        ],
    )


def test_every_odd_clip_of_a_build_has_its_end(clip: Encoded, recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name, caption in ODD.items():
        (folder / f"{name}.mp4").write_bytes(Path(clip.path).read_bytes())
        (folder / f"{name}.json").write_text(json.dumps({"caption": caption}))
    summary = build(str(folder), str(tmp_path / "out"), recipe, local)
    assert not summary.failed
    ends = {end.video: (end.outcome, end.stage) for end in ledger.endings(Storage.at(tmp_path / "out")).values()}
    assert ends == {
        "folder/none.mp4": ("rejected", "namer"),
        "folder/foreign.mp4": ("rejected", "namer"),
        "folder/nowhere.mp4": ("rejected", "screener"),
        "folder/emoji.mp4": ("kept", "packer"),
        "folder/control.mp4": ("kept", "packer"),
        "folder/long.mp4": ("kept", "packer"),
    }
    captions = {sample.provenance["video"]: sample.caption for sample in Dataset.open(tmp_path / "out")}
    assert captions["folder/emoji.mp4"] == ODD["emoji"]
    assert captions["folder/control.mp4"] == ODD["control"]
    assert verify(Storage.at(tmp_path / "out")).violations == ()


# --- By the trained networks of the embedded recipe


@pytest.mark.parametrize("frames", ["black", "noise"])
@pytest.mark.parametrize("caption", ["a ball in the dark", "a zeppelin floats", "a cat 🐈 beside a dog\x07"])
def test_the_embedded_recipe_answers_pictures_of_nothing(
    caption: str, frames: Literal["black", "noise"], clip: Encoded, black: Encoded
) -> None:
    recipe = load_recipe("embedded", ["grounder.frames=[0, 0.5, -1]", "rules={}"])
    stages = [stage for stage in recipe.stages("unused") if stage.name not in ("cutter", "encoder", "captioner")]
    answer = opened(stages)(captioned(black if frames == "black" else clip, caption))
    assert isinstance(answer, Measured | Rejected)
    if caption == "a zeppelin floats":
        assert isinstance(answer, Rejected)
        assert (answer.stage, answer.why) == ("screener", "count.none")
