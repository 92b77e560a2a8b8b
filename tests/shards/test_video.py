"""Every difficult video is read right, cut exactly, and written so that it reads the same; every broken one is named.

Frames carry bar codes, so "the right frames, in order, upright" is a comparison of numbers.
"""

import io
import os
import pickle
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from shards import video
from shards.video.clip import clip_size
from shards.video.encoding import key_frames
from tests import torture
from tests.torture import Truth

ENCODERS: list[video.EncoderName] = ["ffmpeg", "pyav"]
Make = Callable[[str], Truth]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A readable file of `torture` by name, written once."""
    folder = tmp_path_factory.mktemp("torture")
    return cache(lambda name: torture.READABLE[name](folder / name))


def barcodes(source: video.Source, indices: Sequence[int] | None = None, stream: int | None = None) -> list[int]:
    return [torture.read_barcode(frame) for frame in video.frames(source, indices, stream=stream)]


def times_from_first(info: video.VideoInfo) -> list[Fraction]:
    ticks = info.timeline.ticks
    return [(tick - ticks[0]) * info.timeline.time_base for tick in ticks]


@pytest.mark.parametrize("name", torture.READABLE)
def test_probe_tells_size_and_the_time_of_every_frame(name: str, make: Make) -> None:
    truth = make(name)
    info = video.probe(truth.path, stream=truth.stream)
    assert (info.width, info.height, info.rotation) == (truth.width, truth.height, truth.rotation)
    assert times_from_first(info) == list(truth.times)
    assert info.num_frames == len(info.pts) == len(truth.numbers)
    assert info.end > info.pts[-1]


@pytest.mark.parametrize("name", torture.READABLE)
def test_frames_come_in_order_upright_and_in_their_colours(name: str, make: Make) -> None:
    truth = make(name)
    assert barcodes(truth.path, stream=truth.stream) == list(truth.numbers)
    for frame in video.frames(truth.path, [0], stream=truth.stream):
        assert frame.shape == (truth.height, truth.width, 3)
        assert np.abs(torture.read_colours(frame) - torture.COLOURS).max() < 6


@pytest.mark.parametrize("name", torture.READABLE)
def test_any_frame_can_be_read_alone(name: str, make: Make) -> None:
    truth = make(name)
    every_third = range(0, len(truth.numbers), 3)
    alone = [barcodes(truth.path, [number], stream=truth.stream)[0] for number in every_third]
    assert alone == [truth.numbers[number] for number in every_third]
    assert barcodes(truth.path, every_third, stream=truth.stream) == alone


@pytest.mark.parametrize("name", torture.READABLE)
def test_frames_far_apart_have_the_pixels_that_they_have_among_all(name: str, make: Make) -> None:
    truth = make(name)
    every = list(video.frames(truth.path, stream=truth.stream))
    for number in (2, 3, 5):
        spread = sorted({part * (len(every) - 1) // number for part in range(number + 1)})
        for frame, at in zip(video.frames(truth.path, spread, stream=truth.stream), spread, strict=True):
            assert np.array_equal(frame, every[at])


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("name", torture.READABLE)
def test_transcode_cuts_exactly_the_span(name: str, encoder: video.EncoderName, make: Make) -> None:
    truth = make(name)
    first = len(truth.numbers) // 3
    last = first + max(1, len(truth.numbers) // 2)
    clip = video.transcode(truth.path, first, last - first, encoder=encoder, stream=truth.stream)
    assert barcodes(clip.data) == list(truth.numbers)[first:last]
    assert [tick * clip.time_base for tick in clip.pts] == [t - truth.times[first] for t in truth.times[first:last]]
    assert (clip.width, clip.height) == (truth.width & ~1, truth.height & ~1)
    assert clip.scale == (1.0, 1.0)
    for frame in video.frames(clip.data, [0]):
        assert np.abs(torture.read_colours(frame) - torture.COLOURS).max() < 8


@pytest.mark.parametrize("encoder", ENCODERS)
def test_clips_are_plain_h264_without_a_trace_of_time_and_maker(encoder: video.EncoderName, make: Make) -> None:
    clip = video.transcode(make("rotated_90.mp4").path, 2, 8, encoder=encoder)
    with av.open(io.BytesIO(clip.data), "r") as container:
        (stream,) = container.streams
        assert isinstance(stream, av.VideoStream)
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert "encoder" not in {**container.metadata, **stream.metadata}
        assert "creation_time" not in {**container.metadata, **stream.metadata}
        frame = next(container.decode(stream))
    assert (frame.rotation, frame.color_range) == (0, 1)
    assert {frame.colorspace, frame.color_primaries, frame.color_trc} == {1}  # BT.709
    assert b"x264" not in clip.data
    assert clip.data.index(b"moov") < clip.data.index(b"mdat")


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_same_input_gives_the_same_bytes_whatever_the_processors(encoder: video.EncoderName, make: Make) -> None:
    path = make("vfr.mp4").path
    processors = os.sched_getaffinity(0)
    first = video.transcode(path, 1, 15, encoder=encoder).data
    try:
        os.sched_setaffinity(0, {min(processors)})
        assert video.transcode(path.read_bytes(), 1, 15, encoder=encoder).data == first
    finally:
        os.sched_setaffinity(0, processors)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("name", ["vfr.mp4", "long_gop.mp4"])
def test_key_frames_are_where_they_were_planned(name: str, encoder: video.EncoderName, make: Make) -> None:
    truth = make(name)
    clip = video.transcode(truth.path, 0, len(truth.numbers), encoder=encoder, keyframe_seconds=0.5)
    planned = key_frames(clip.pts, clip.time_base, 0.5)
    assert set(planned) <= set(video.probe(clip.data).timeline.keys)


gaps = st.lists(st.integers(1, 60), max_size=60)


@given(gaps, st.integers(1, 40))
def test_key_frames_lie_at_most_so_far_apart(gaps: list[int], limit: int) -> None:
    ticks = [sum(gaps[:number]) for number in range(len(gaps) + 1)]
    keys = key_frames(ticks, Fraction(1, 10), limit / 10)
    assert keys[0] == 0
    for key, following in pairwise([*keys, len(ticks) - 1]):
        assert ticks[following] - ticks[key] <= limit or following == key + 1


@pytest.mark.parametrize("encoder", ENCODERS)
def test_large_videos_are_scaled_down_and_small_ones_never_up(encoder: video.EncoderName, make: Make) -> None:
    truth = make("anamorphic_rotated.mp4")
    small = video.transcode(truth.path, 0, 4, max_side=90, encoder=encoder)
    assert (small.width, small.height) == (68, 90)
    assert small.scale == (68 / 96, 90 / 128)
    assert barcodes(small.data) == [0, 1, 2, 3]
    same = video.transcode(truth.path, 0, 4, max_side=128, encoder=encoder)
    assert (same.width, same.height, same.scale) == (96, 128, (1.0, 1.0))


@given(st.integers(2, 5000), st.integers(2, 5000), st.none() | st.integers(2, 5000))
def test_clip_sizes_are_even_and_within_bounds(width: int, height: int, max_side: int | None) -> None:
    size = clip_size(width, height, max_side)
    assert size.width % 2 == size.height % 2 == 0
    assert 2 <= size.width <= max(width, 2)
    assert 2 <= size.height <= max(height, 2)
    assert max_side is None or max(size.width, size.height) <= max_side


@pytest.mark.parametrize("name", torture.BROKEN)
def test_broken_files_are_refused_by_name(name: str, tmp_path: Path) -> None:
    write, why = torture.BROKEN[name]
    write(tmp_path / name)
    for read in (video.probe, lambda path: list(video.frames(path)), lambda path: video.transcode(path, 0, 1)):
        with pytest.raises(video.Unreadable) as caught:
            read(tmp_path / name)
        assert caught.value.why == why
        assert "\n" not in caught.value.value


@pytest.fixture(scope="session")
def bytes_of(make: Make) -> Callable[[str], bytes]:
    return cache(lambda name: make(name).path.read_bytes())


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(["cfr.mp4", "b_frames.ts", "vp8.webm", "animated.gif", "open_gop.mkv"]),
    data=st.data(),
)
def test_damage_anywhere_is_survived_or_named(bytes_of: Callable[[str], bytes], name: str, data: st.DataObject) -> None:
    damaged = bytearray(bytes_of(name))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=20)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    end = data.draw(st.integers(len(damaged) // 2, len(damaged)))
    try:
        info = video.probe(bytes(damaged[:end]))
        assert sum(1 for _ in video.frames(bytes(damaged[:end]))) == info.num_frames
    except video.Unreadable as error:
        assert error.why  # noqa: PT017  either way is right


def test_a_picture_of_one_column_makes_no_clip(tmp_path: Path) -> None:
    Image.new("RGB", (1, 8)).save(tmp_path / "column.png")
    with pytest.raises(video.Unreadable, match="too_small: 1x8"):
        video.transcode(tmp_path / "column.png", 0, 1)
    with pytest.raises(video.Unreadable, match="too_small: 1x8"):
        video.from_images([str(tmp_path / "column.png")], 24)


def test_a_frame_that_cannot_be_decoded_is_missed(make: Make) -> None:
    truth = make("cfr.mp4")
    data = bytearray(truth.path.read_bytes())
    with av.open(truth.path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert packets[5].pos is not None
    data[packets[5].pos : packets[5].pos + packets[5].size] = bytes(packets[5].size)
    with pytest.raises(video.Unreadable, match="truncated: 29 of 30 frames"):
        list(video.frames(bytes(data)))
    for encoder in ENCODERS:
        with pytest.raises(video.Unreadable, match="truncated: 9 of 10 frames"):
            video.transcode(bytes(data), 0, 10, encoder=encoder)


def test_sources_may_be_paths_bytes_and_urls(make: Make) -> None:
    path = make("cfr.mp4").path
    with fsspec.open("memory://videos/cfr.mp4", "wb") as file:
        file.write(path.read_bytes())
    for source in (path, str(path), f"file://{path}", path.read_bytes(), "memory://videos/cfr.mp4"):
        assert barcodes(source, [3, 4, 20]) == [3, 4, 20]
        assert barcodes(video.transcode(source, 10, 5).data) == [10, 11, 12, 13, 14]
    with pytest.raises(video.Unreadable, match="missing"):
        video.probe("memory://videos/none.mp4")


def test_odd_file_names_are_just_names(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "a:b %03d [x] é.mp4"
    path.write_bytes(make("cfr.mp4").path.read_bytes())
    assert barcodes(path, [1]) == [1]
    assert barcodes(video.transcode(path, 1, 2).data) == [1, 2]


def test_wrong_use_says_what_is_wrong(make: Make) -> None:
    path = make("cfr.mp4").path
    for indices, what in (([3, 2], "must rise"), ([2, 2], "must rise"), ([30], "frame 30 is not"), ([-1], "frame -1")):
        with pytest.raises(ValueError, match=what):
            list(video.frames(path, indices))
    for first, count in ((-1, 2), (0, 0), (0, 31), (30, 1)):
        with pytest.raises(ValueError, match="has 30 frames"):
            video.transcode(path, first, count)
    with pytest.raises(ValueError, match="max_side"):
        video.transcode(path, 0, 1, max_side=1)
    with pytest.raises(ValueError, match=r"stream 1 is no video stream; those are \[0, 2\]"):
        video.probe(make("second_stream.mp4").path, stream=1)


def test_reasons_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(video.Unreadable("truncated", "2 of 3 frames")))
    assert (error.why, error.value, str(error)) == ("truncated", "2 of 3 frames", "truncated: 2 of 3 frames")


FAKES = {
    "kill -SEGV $$": (video.Unreadable, r"undecodable: ffmpeg crashed \(SIGSEGV\)"),
    "echo '[h264 @ 0x5f] Last words' >&2; echo 'Conversion failed!' >&2; exit 1": (
        video.Unreadable,
        r"undecodable: \[h264\] Last words$",
    ),
    "exit 3": (video.Unreadable, "undecodable: ffmpeg ended with 3"),
    "kill -TERM $$": (RuntimeError, "ended by SIGTERM"),
    "echo No space left on device >&2; exit 1": (OSError, "no room for an encoded clip"),
}


@pytest.mark.parametrize("script", FAKES)
def test_an_ffmpeg_that_fails_takes_nothing_along(
    script: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    error, message = FAKES[script]
    with pytest.raises(error, match=message):
        video.transcode(make("cfr.mp4").path, 0, 3)


def test_encode_keeps_pictures_times_and_colours() -> None:
    pictures = [torture.draw(number, 97, 65) for number in range(6)]
    pts, time_base = (0, 1, 5, 6, 40, 41), Fraction(1001, 30000)
    data = video.encode(iter(pictures), pts, time_base)
    assert data == video.encode(pictures, pts, time_base)
    assert barcodes(data) == list(range(6))
    assert times_from_first(video.probe(data)) == [tick * time_base for tick in pts]
    for frame, picture in zip(video.frames(data), pictures, strict=True):
        assert frame.shape == (64, 96, 3)
        assert np.abs(torture.read_colours(frame) - torture.read_colours(picture)).max() < 5


def test_encode_refuses_what_is_no_clip() -> None:
    picture = torture.draw(0, 32, 32)
    for pts in ((), (1, 2), (0, 0), (0, 2, 1)):
        with pytest.raises(ValueError, match="rise strictly from 0"):
            video.encode([picture] * len(pts), pts, Fraction(1, 25))
    with pytest.raises(ValueError, match="argument"):
        video.encode([picture], (0, 1), Fraction(1, 25))
    for wrong in (picture[:, :, 0], picture[:30], picture.astype(np.float32)):
        with pytest.raises(ValueError, match="frame 1 is"):
            video.encode([picture, wrong], (0, 1), Fraction(1, 25))  # type: ignore[list-item]  # that is the point
    with pytest.raises(ValueError, match="too small"):
        video.encode([picture[:1]], (0,), Fraction(1, 25))


def test_a_folder_of_images_becomes_a_clip(tmp_path: Path) -> None:
    paths = [str(path) for path in torture.image_folder(tmp_path / "frames", size=(97, 65))]
    clip = video.from_images(paths, 29.97)
    assert barcodes(clip.data) == list(range(12))
    assert (clip.width, clip.height, clip.scale) == (96, 64, (1.0, 1.0))
    assert [tick * clip.time_base for tick in clip.pts] == [Fraction(100 * n, 2997) for n in range(12)]
    half = video.from_images([f"file://{path}" for path in paths[3:5]], 24, max_side=48)
    assert barcodes(half.data) == [3, 4]
    assert (half.width, half.height) == (48, 32)


def test_folders_of_images_that_are_no_clip(tmp_path: Path) -> None:
    first, second = (str(path) for path in torture.image_folder(tmp_path, num_frames=2))
    torture.image_folder(tmp_path / "other", num_frames=1, size=(32, 32))
    Path(tmp_path, "cut.png").write_bytes(Path(first).read_bytes()[:60])
    for last, why in (
        (str(tmp_path / "other" / "00000.png"), "image_sizes"),
        (str(tmp_path / "cut.png"), "not_an_image"),
        (str(tmp_path / "none.png"), "missing"),
    ):
        with pytest.raises(video.Unreadable) as caught:
            video.from_images([first, second, last], 24)
        assert caught.value.why == why
    with pytest.raises(ValueError, match="at least one image"):
        video.from_images([], 24)


def test_images_stand_upright_by_their_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by 90 degrees
    stored = Image.fromarray(np.rot90(torture.draw(5, 96, 64)))
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    clip = video.from_images([str(tmp_path / "turned.jpg")], 24)
    assert barcodes(clip.data) == [5]


def test_encoders_name_their_version() -> None:
    assert video.encoder_version("ffmpeg").startswith("ffmpeg ")
    assert video.encoder_version("pyav").startswith(f"pyav {av.__version__} libavcodec ")


def test_pixels_are_those_that_torchcodec_stored(real_clips: Path) -> None:
    """Frames 0 and 15 of a stream tagged BT.709, and another decoder's pixels of them; equal on x86-64."""
    import torch

    path = real_clips / "decode" / "nasa_13013.mp4"
    for number, frame in zip((0, 15), video.frames(path, (0, 15), stream=3), strict=True):
        stored: NDArray[np.uint8] = torch.load(f"{path}.stream3.frame{number:06d}.pt").numpy()
        assert np.abs(frame.astype(int) - stored).max() <= 2


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_span_of_one_stream_among_several(encoder: video.EncoderName, real_clips: Path) -> None:
    path = real_clips / "decode" / "nasa_13013.mp4"
    clip = video.transcode(path, 250, 20, stream=3, encoder=encoder)
    originals = video.frames(path, range(250, 270), stream=3)
    for frame, original in zip(video.frames(clip.data), originals, strict=True):
        assert np.abs(frame.astype(int) - original).mean() < 2


def test_resizing_in_the_decoder(make: Make) -> None:
    frames = list(video.frames(make("rotated_90.mp4").path, size=(48, 80)))
    assert {frame.shape for frame in frames} == {(48, 80, 3)}
    assert [torture.read_barcode(frame) for frame in frames] == list(range(12))


@pytest.mark.parametrize("rate", [Fraction(1), Fraction(8), Fraction(10), Fraction(30000, 1001)])
@pytest.mark.parametrize("count", [1, 8])
def test_no_frame_is_lost_whatever_the_time_base(rate: Fraction, count: int) -> None:
    data = video.encode((np.full((32, 32, 3), 20 * n, np.uint8) for n in range(count)), range(count), 1 / rate)
    info = video.probe(data)
    assert info.pts == pytest.approx([float(n / rate) for n in range(count)])
    assert info.end == pytest.approx(float(count / rate))
    assert len(list(video.frames(data))) == count
