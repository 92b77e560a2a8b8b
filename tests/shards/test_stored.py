"""A shard's clip gives the frames that any reader finds in it, whichever are asked for; a damaged one is named."""

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shards import video
from shards.video.mp4 import SampleTable
from tests import torture

Encode = Callable[[str, video.EncoderName], video.Transcoded]

NAMES = [
    "vfr.mp4",
    "long_gop.mp4",
    "rotated_90.mp4",
    "odd_sized.mp4",
    "full_range.mp4",
    "ntsc.nut",
    "cut_by_edit_list.mp4",
]
ENCODERS: list[video.EncoderName] = ["ffmpeg", "pyav"]


@pytest.fixture(scope="session")
def encode(tmp_path_factory: pytest.TempPathFactory) -> Encode:
    """A whole file of `torture` as a clip, made once."""
    folder = tmp_path_factory.mktemp("stored")

    @cache
    def encoded(name: str, encoder: video.EncoderName) -> video.Transcoded:
        truth = torture.READABLE[name](folder / f"{encoder}-{name}")
        return video.transcode(truth.path, 0, len(truth.numbers), encoder=encoder, keyframe_seconds=0.2)

    return encoded


def read(clip: video.Transcoded, wanted: Sequence[int], data: bytes | None = None) -> NDArray[np.uint8]:
    size = clip.height, clip.width
    stored = video.stored_clip(clip.data if data is None else data, clip.pts, clip.time_base, size)
    return np.stack(list(stored.frames(wanted, size)))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("name", NAMES)
def test_frames_are_those_of_any_reader(name: str, encoder: video.EncoderName, encode: Encode) -> None:
    clip = encode(name, encoder)
    whole = np.stack(list(video.frames(clip.data)))
    generator = np.random.default_rng(0)
    for count in (1, 2, len(whole) // 2, len(whole)):
        wanted = sorted(generator.permutation(len(whole))[:count].tolist())
        assert np.array_equal(read(clip, wanted), whole[wanted])


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("name", NAMES)
def test_the_sample_table_is_what_ffmpeg_reads(name: str, encoder: video.EncoderName, encode: Encode) -> None:
    clip = encode(name, encoder)
    table = SampleTable.of(clip.data)
    with av.open(io.BytesIO(clip.data), "r") as container:
        (stream,) = container.streams
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert (table.width, table.height) == (clip.width, clip.height)
        assert table.parameters == stream.codec_context.extradata
    assert table.starts.tolist() == [packet.pos for packet in packets]
    assert table.sizes.tolist() == [packet.size for packet in packets]
    assert table.keys.tolist() == [number for number, packet in enumerate(packets) if packet.is_keyframe]
    assert len(table.keys) > 1
    since = (table.shown_at - table.shown_at.min()).tolist()
    times = [packet.pts * packet.time_base for packet in packets if packet.pts is not None]
    assert [Fraction(tick, table.timescale) for tick in since] == [time - min(times) for time in times]


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_damage_anywhere_is_survived_or_named(encode: Encode, data: st.DataObject) -> None:
    clip = encode("vfr.mp4", "pyav")
    media = bytearray(clip.data)
    head = media.find(b"mdat")  # the sample table lies before it
    for _ in range(data.draw(st.integers(1, 4))):
        media[data.draw(st.integers(0, head) | st.integers(0, len(media) - 1))] = data.draw(st.integers(0, 255))
    cut_off = media[: data.draw(st.just(len(media)) | st.integers(0, len(media)))]
    try:
        assert read(clip, range(0, len(clip.pts), 3), bytes(cut_off)).dtype == np.uint8
    except video.Unreadable as error:
        assert error.why  # noqa: PT017  either way is right


def test_what_another_clip_would_have_is_refused(encode: Encode) -> None:
    clip = encode("vfr.mp4", "pyav")
    size = clip.height, clip.width
    for pts, time_base, of, why in (
        (clip.pts[:-1], clip.time_base, size, "truncated"),
        (range(len(clip.pts)), clip.time_base, size, "frame_times"),
        (clip.pts, clip.time_base, (clip.height, clip.width + 2), "undecodable"),
    ):
        with pytest.raises(video.Unreadable, match=why):
            video.stored_clip(clip.data, pts, time_base, of)
    with pytest.raises(video.Unreadable, match="truncated"):
        video.stored_clip(clip.data[:-1], clip.pts, clip.time_base, size)
    with pytest.raises(video.Unreadable, match="not_a_video"):
        video.stored_clip(b"no video at all", clip.pts, clip.time_base, size)
