"""A text that is no caption is asked for once more: otherwise decoded, of other frames, and always the same."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.caption_faults import CaptionFault, checked_caption
from pipeline.models.captioning import Caption, Frames, Retry, Writer, frames_digest, sampled, sampled_anew
from pipeline.records import Captioned, Encoded, Rejected, Video
from pipeline.stages.annotate import Captioner
from shards import video
from tests.pipeline import tiny_models

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (40, 48)
LENGTHS = (9, 12, 2, 7, 9, 16)
NUM_FRAMES = 4


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Caption:
    folder = tmp_path_factory.mktemp("git")
    tiny_models.save_git(folder, None)
    retry = Retry(repetition_penalty=1.5, no_repeat_ngram_size=2)
    return Caption(model=str(folder), num_frames=NUM_FRAMES, max_new_tokens=12, retry=retry, device="cpu")


@pytest.fixture(scope="module")
def writer(captioner: Caption) -> Writer:
    return captioner.open()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Encoded]:
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(5)
    return [write_clip(folder / f"{n}.mp4", pictures(rng, length)) for n, length in enumerate(LENGTHS)]


def pictures(rng: np.random.Generator, length: int) -> Frames:
    coarse = rng.integers(0, 256, (length, SIZE[0] // 8, SIZE[1] // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def write_clip(path: Path, frames: Frames) -> Encoded:
    path.write_bytes(video.encode(iter(frames), range(len(frames)), Fraction(1, 8), crf=0))
    return Encoded(
        key=f"{int(path.stem):020x}",
        video=Video(id=f"test/{path.stem}", uri=str(path)),
        start=0.0,
        end=len(frames) / 8,
        first_frame=0,
        num_frames=len(frames),
        source_sha256="",
        path=str(path),
        sha256="",
        width=SIZE[1],
        height=SIZE[0],
        pts=tuple(range(len(frames))),
        time_base=(1, 8),
        scale=(1.0, 1.0),
    )


def frames_of(record: Encoded, numbers: tuple[int, ...]) -> Frames:
    return np.stack(list(video.frames(record.path, numbers)))


def test_only_what_is_no_caption_is_asked_for_again(captioner: Caption, writer: Writer, records: list[Encoded]) -> None:
    mended = kept = 0
    for record, answer in zip(records, Captioner(model=captioner).open()(records), strict=True):
        (first,) = writer([frames_of(record, sampled(record.num_frames, NUM_FRAMES))])
        expected = checked_caption(first.text, finished=first.finished)
        if isinstance(expected, str):
            kept += 1
        else:
            (first,) = writer.again([frames_of(record, sampled_anew(record.num_frames, NUM_FRAMES))])
            expected = checked_caption(first.text, finished=first.finished)
            mended += isinstance(expected, str)
        if isinstance(expected, CaptionFault):
            assert answer == Rejected(stage="captioner", why=expected.why, value=expected.value)
        else:
            assert isinstance(answer, Captioned)
            assert (answer.key, answer.caption) == (record.key, expected)
            assert first.frames[:16] in answer.caption_author
    assert mended
    assert kept


def test_without_a_retry_the_first_fault_rejects(captioner: Caption, records: list[Encoded]) -> None:
    once = Captioner(model=captioner.model_copy(update={"retry": None})).open()(records)
    twice = Captioner(model=captioner).open()(records)
    assert sum(isinstance(answer, Rejected) for answer in once) > sum(isinstance(answer, Rejected) for answer in twice)
    assert all(a == b for a, b in zip(once, twice, strict=True) if isinstance(a, Captioned))


def test_a_retry_is_the_same_again_and_alone(captioner: Caption, writer: Writer, records: list[Encoded]) -> None:
    clips = [frames_of(record, sampled_anew(record.num_frames, NUM_FRAMES)) for record in records]
    together = writer.again(clips)
    assert together == captioner.open().again(clips) == [found for clip in clips for found in writer.again([clip])]
    assert [found.frames for found in together] == [frames_digest(clip) for clip in clips]
    for found in together:
        words = found.text.split()
        pairs = list(pairwise(words))
        assert len(set(pairs)) == len(pairs)


def test_a_retry_that_is_not_set_is_refused(captioner: Caption, records: list[Encoded]) -> None:
    write = captioner.model_copy(update={"retry": None}).open()
    with pytest.raises(ValueError, match="has no `retry`: set it"):
        write.again([frames_of(records[0], (0,))])


@pytest.mark.parametrize("settings", [{"repetition_penalty": 0.5}, {"no_repeat_ngram_size": -1}, {"temperature": 1.0}])
def test_settings_that_cannot_work(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Retry.model_validate(settings)


@given(st.integers(1, 500), st.integers(1, 40))
def test_frames_sampled_anew_are_others_where_there_are_others(num_frames: int, wanted: int) -> None:
    first, anew = sampled(num_frames, wanted), sampled_anew(num_frames, wanted)
    assert len(anew) == len(first) == min(num_frames, wanted)
    assert list(anew) == sorted(set(anew))
    assert 0 <= anew[0] <= anew[-1] < num_frames
    if num_frames >= 2 * wanted:
        assert not set(first) & set(anew)
