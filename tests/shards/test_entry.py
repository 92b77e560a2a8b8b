"""A sample comes back from its members as it was, always as the same bytes, and what is no sample is told."""

import contextlib
import json
import zlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards import rle
from shards.entry import MEMBERS, canonical_json, content_sha256, decode_masks, decoder, from_members, to_members
from shards.sample import SCHEMA, InvalidSample, Sample, Track

MakeSample = Callable[..., Sample]
FINITE = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FINITE | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
NOUNS = st.sampled_from(["dog", "teddy bear", "großvater", "犬"])


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    frames, height, width = draw(st.integers(1, 5)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    ids = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True))
    tracks = [draw(_tracks(id, (frames, height, width))) for id in ids]  # noqa: A001
    steps = draw(st.lists(st.integers(1, 5000), min_size=frames - 1, max_size=frames - 1))
    return Sample(
        key=draw(st.text("0123456789abcdef", min_size=1, max_size=20)),
        video=draw(st.binary(max_size=50)),
        strip=draw(st.binary(max_size=50)),
        pts=tuple(np.cumsum([0, *steps]).tolist()),
        time_base=Fraction(draw(st.integers(1, 2000)), draw(st.integers(1, 90_000))),
        width=width,
        height=height,
        caption=draw(WORDS),
        subject=tracks[0].noun,
        tracks=tuple(tracks),
        scores=draw(st.dictionaries(WORDS, FINITE, max_size=3)),
        provenance=draw(st.dictionaries(WORDS, JSON, max_size=3)),
    )


@st.composite
def _tracks(draw: st.DrawFn, id: int, shape: tuple[int, int, int]) -> Track:  # noqa: A002
    bits = draw(st.integers(1, 2 ** int(np.prod(shape)) - 1))
    mask = np.array([bits >> n & 1 for n in range(np.prod(shape))], bool).reshape(shape)
    series = st.tuples(*[st.none() | FINITE] * shape[0])
    return Track.of_masks(
        mask,
        id=id,
        noun=draw(NOUNS),
        scores=draw(st.dictionaries(WORDS, FINITE, max_size=2)),
        series=draw(st.dictionaries(WORDS, series, max_size=2)),
    )


@given(samples())
@settings(max_examples=150, deadline=None)
def test_a_sample_comes_back(sample: Sample) -> None:
    members = to_members(sample)
    assert from_members(sample.key, members) == sample
    assert to_members(from_members(sample.key, members)) == members


def test_the_members_are_those_of_the_format(make_sample: MakeSample) -> None:
    sample = make_sample(3)
    members = to_members(sample)
    assert tuple(members) == MEMBERS == tuple(sorted(MEMBERS))
    assert members["mp4"] == sample.video
    assert members["strip.jpg"] == sample.strip
    said = json.loads(members["json"])
    assert sorted(said) == sorted(
        ["schema", "key", "caption", "subject", "width", "height", "pts", "time_base", "tracks", "scores", "provenance"]
    )
    assert said["schema"] == SCHEMA
    assert said["time_base"] == [1, 48]
    assert said["tracks"][1]["boxes"] == [[10, 8, 30, 20], None, [12, 8, 30, 20], [13, 8, 30, 20]]
    masks = json.loads(zlib.decompress(members["masks"]))
    assert masks == {"size": [24, 32], "tracks": [{"id": t.id, "counts": list(t.masks)} for t in sample.tracks]}


def test_json_is_canonical(make_sample: MakeSample) -> None:
    text = to_members(make_sample())["json"].decode()
    assert "dög" in text
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical_json({"b": (1, 2.5), "a": None}) == b'{"a":null,"b":[1,2.5]}'


def test_the_content_digest_is_of_video_and_masks(make_sample: MakeSample) -> None:
    members = to_members(make_sample())
    digest = content_sha256(members)
    assert content_sha256({**members, "json": b"", "strip.jpg": b""}) == digest
    assert content_sha256({**members, "mp4": b"other"}) != digest
    assert content_sha256({**members, "masks": b"other"}) != digest


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_told(make_sample: MakeSample, value: float) -> None:
    with pytest.raises(InvalidSample, match=r"sample 5feceb66ffc86f38d952: .*not JSON compliant"):
        to_members(make_sample(scores={"area": value}))


def test_half_a_surrogate_pair_is_told(make_sample: MakeSample) -> None:
    with pytest.raises(InvalidSample, match="surrogates not allowed"):
        to_members(make_sample(caption="a dog \ud83d"))


def _changed(members: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    return {**members, "json": canonical_json({**json.loads(members["json"]), **changes})}


def test_a_newer_format_is_told(make_sample: MakeSample) -> None:
    members = _changed(to_members(make_sample()), schema=SCHEMA + 1)
    with pytest.raises(InvalidSample, match=f"written in format {SCHEMA + 1}, this code reads up to {SCHEMA}"):
        from_members(make_sample().key, members)


def test_another_samples_description_is_told(make_sample: MakeSample) -> None:
    members = {**to_members(make_sample(1)), "json": to_members(make_sample(2))["json"]}
    with pytest.raises(InvalidSample, match="its description is of"):
        from_members(make_sample(1).key, members)


def test_masks_of_another_size_are_told(make_sample: MakeSample) -> None:
    members = {**to_members(make_sample()), "masks": to_members(make_sample(size=(30, 40)))["masks"]}
    with pytest.raises(InvalidSample, match=r"masks of \[30, 40\], video of 24, 32"):
        from_members(make_sample().key, members)


def test_masks_of_other_tracks_are_told(make_sample: MakeSample) -> None:
    masks = {"size": [24, 32], "tracks": [{"id": 1, "counts": list(make_sample().tracks[0].masks)}]}
    members = {**to_members(make_sample()), "masks": zlib.compress(canonical_json(masks))}
    with pytest.raises(InvalidSample, match=r"masks of tracks \[1\]"):
        from_members(make_sample().key, members)


def test_a_box_that_is_not_its_masks_is_told(make_sample: MakeSample) -> None:
    tracks = json.loads(to_members(make_sample())["json"])["tracks"]
    tracks[0]["boxes"][2][0] += 1
    with pytest.raises(InvalidSample, match="track 1: frame 2: box"):
        from_members(make_sample().key, _changed(to_members(make_sample()), tracks=tracks))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member_is_told(make_sample: MakeSample, name: str) -> None:
    members = to_members(make_sample())
    del members[name]
    with pytest.raises(InvalidSample, match=f"no member {name}"):
        from_members(make_sample().key, members)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("json", b"{"),
        ("json", b"\xff"),
        ("json", b"[]"),
        ("json", b"7"),
        ("json", b'{"schema":1}'),
        ("masks", b"no zlib"),
        ("masks", zlib.compress(b"{}")),
        ("masks", zlib.compress(b'{"size":[24,32],"tracks":[{"id":1,"counts":7}]}')),
    ],
)
def test_damage_is_told(make_sample: MakeSample, name: str, data: bytes) -> None:
    with pytest.raises(InvalidSample, match=f"sample {make_sample().key}: not as the format has it"):
        from_members(make_sample().key, {**to_members(make_sample()), name: data})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("time_base",), [1, 0]),
        (("time_base",), [1e999, 1]),
        (("width",), "32"),
        (("tracks", 0), 7),
        (("tracks", 0, "series"), None),
        (("tracks", 0, "boxes", 2), [3, 2, 20]),
        (("tracks", 0, "boxes", 2), [3, 2, 20, 14, 0]),
        (("tracks", 0, "boxes", 2), 3),
    ],
)
def test_a_value_of_another_kind_is_told(make_sample: MakeSample, path: tuple[str | int, ...], value: Any) -> None:
    members = to_members(make_sample())
    said = place = json.loads(members["json"])
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(InvalidSample, match=f"sample {make_sample().key}: "):
        from_members(make_sample().key, {**members, "json": json.dumps(said).encode()})


@given(st.sampled_from(["json", "masks"]), st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_told_or_harmless(make_sample: MakeSample, name: str, at: int, flip: int) -> None:
    """Whatever the damage, the answer is a valid sample or `InvalidSample`, never another error."""
    sample = make_sample()
    members = to_members(sample)
    data = bytearray(members[name])
    data[at % len(data)] ^= flip
    with contextlib.suppress(InvalidSample):
        assert from_members(sample.key, {**members, name: bytes(data)}).size == sample.size


def test_the_decoder_gives_masks_by_track(make_sample: MakeSample) -> None:
    sample = make_sample()
    masks = decoder(".masks", to_members(sample)["masks"])
    assert list(masks) == [1, 7]
    for track in sample.tracks:
        assert masks[track.id].dtype == bool
        assert np.array_equal(masks[track.id], track.decode(sample.size))
    assert not masks[7][1].any()
    assert np.array_equal(
        decode_masks(to_members(sample)["masks"])[1][0], rle.decode(sample.tracks[0].masks[0] or "", (24, 32))
    )


def test_the_decoder_gives_boxes_and_leaves_the_rest(make_sample: MakeSample) -> None:
    members = to_members(make_sample())
    said = decoder(".json", members["json"])
    assert said["caption"] == "a dög and cat nr 0"
    assert said["tracks"][1]["boxes"][1] is None
    for other in (".strip.jpg", ".txt", ".cls", "__key__"):
        assert decoder(other, b"data") is None
