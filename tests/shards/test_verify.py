"""Proof of a dataset: a sound one is clean, and each way of breaking one gives exactly its own violation."""

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from shards import Sample, sidecar, video
from shards.entry import canonical_json, content_sha256, to_members
from shards.sidecar import About
from shards.storage import Storage
from shards.tar import Member, scan
from shards.verify import Report, verify
from shards.writer import write_shard
from tests.shards.filmed import filmed, key, strip, write_dataset

Members = dict[str, bytes]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Two shards, of samples 0, 1, 2 and of 3, 4."""
    return write_dataset(tmp_path / "dataset", [filmed(0), filmed(1), filmed(2)], [filmed(3), filmed(4)])


def told(report: Report) -> set[tuple[str, str | None, str | None]]:
    return {(v.rule, v.shard, v.key) for v in report.violations}


def check(storage: Storage) -> Report:
    return verify(storage, workers=2)


def test_a_sound_dataset_is_clean(storage: Storage) -> None:
    calls: list[int] = []
    report = verify(storage, on_sample=calls.append)
    assert report.violations == ()
    assert (report.shards, report.samples, report.frames) == (2, 5, 30)
    assert report.bytes == sum(storage.size(path) for path in storage.list("shards", ".tar"))
    assert calls == [5] * 5


def test_a_dataset_without_shards_is_clean(tmp_path: Path) -> None:
    assert verify(write_dataset(tmp_path / "empty")).violations == ()


def test_an_object_store_is_checked_alike(storage: Storage) -> None:
    remote = Storage.at("memory://verify/dataset")
    for folder in ("", "shards"):
        for path in storage.list(folder):
            remote.write(path, storage.read(path))
    remote.write("shards/practice-000000.tar", storage.read("shards/practice-000000.tar")[:20_000])
    assert {rule for rule, _, _ in told(verify(remote))} == {"tar", "missing", "bytes", "sha256"}


# --- Files ---

FIRST = "practice-000000"
TAR, SIDECAR = f"shards/{FIRST}.tar", f"shards/{FIRST}.parquet"


def test_dataset_json_missing_or_of_a_later_format(storage: Storage) -> None:
    info = json.loads(storage.read("dataset.json"))
    storage.write("dataset.json", canonical_json({**info, "schema": 99}))
    report = check(storage)
    assert told(report) == {("dataset", None, None)}
    assert "99" in report.violations[0].what
    storage.remove("dataset.json")
    assert told(check(storage)) == {("dataset", None, None)}


def test_where_there_is_nothing_there_is_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a dataset"):
        verify(Storage.at(tmp_path / "nowhere"))


def test_damaged_verdicts(storage: Storage) -> None:
    storage.write("verdicts/a.jsonl", b"no verdict\n")
    assert told(check(storage)) == {("dataset", None, None)}


def test_a_tar_alone_and_a_sidecar_alone(storage: Storage) -> None:
    storage.remove(SIDECAR)
    storage.remove("shards/practice-000001.tar")
    report = check(storage)
    assert told(report) == {("pair", FIRST, None), ("pair", "practice-000001", None)}
    assert [v.what for v in report.violations] == ["a tar without a sidecar", "a sidecar without a tar"]


def test_something_left_half_written(storage: Storage) -> None:
    aside = storage.local_path("shards/.practice-000002.tar.0123456789ab.aside")
    assert aside is not None
    aside.write_bytes(b"half")
    storage.write("shards/notes.txt", b"?")
    report = check(storage)
    assert told(report) == {("aside", None, None)}
    assert len(report.violations) == 2


def test_what_is_being_written_just_now_is_no_leftover(storage: Storage) -> None:
    with storage.writer("parts/new.mp4") as stream:
        stream.write(b"half")
        assert check(storage).violations == ()


def test_a_key_twice_in_the_dataset(storage: Storage) -> None:
    write_shard(storage, "practice", 2, [filmed(4)])
    assert told(check(storage)) == {("key", "practice-000002", key(4))}


# --- The tar as a whole ---


def test_a_truncated_tar_names_what_is_lost_and_the_rest_is_checked(storage: Storage) -> None:
    second = sorted([key(0), key(1), key(2)])[1]
    places = {member.name: member for member in scan(io.BytesIO(storage.read(TAR)))}
    cut = places[f"{second}.mp4"].offset + 10
    storage.write(TAR, storage.read(TAR)[:cut])
    report = check(storage)
    lost = sorted([key(0), key(1), key(2)])[1:]
    expected = {("missing", FIRST, k) for k in lost} | {(r, FIRST, None) for r in ("tar", "bytes", "sha256")}
    assert told(report) == expected
    assert any(v.what.startswith(f"is cut in member {second}.mp4: 10 of") for v in report.violations)
    assert report.samples == 3  # one of this shard, two of the other


def test_a_tar_without_its_end_mark(storage: Storage) -> None:
    last = scan(io.BytesIO(storage.read(TAR)))[-1]
    storage.write(TAR, storage.read(TAR)[: last.offset + -(-last.size // 512) * 512])
    report = check(storage)
    assert told(report) == {("tar", FIRST, None), ("bytes", FIRST, None), ("sha256", FIRST, None)}
    assert report.samples == 5


def test_a_damaged_header_does_not_hide_the_samples_behind_it(storage: Storage) -> None:
    data = bytearray(storage.read(TAR))
    second = sorted([key(0), key(1), key(2)])[1]
    place = next(m for m in scan(io.BytesIO(bytes(data))) if m.name == f"{second}.masks")
    data[place.offset - 512 + 124] ^= 0x55  # a digit of the size
    storage.write(TAR, bytes(data))
    report = check(storage)
    assert told(report) == {("tar", FIRST, None), ("sha256", FIRST, None)}
    assert (report.samples, report.frames) == (5, 30)


def test_bytes_behind_the_end_mark(storage: Storage) -> None:
    data = bytearray(storage.read(TAR))
    data[-1] = 7
    storage.write(TAR, bytes(data))
    assert told(check(storage)) == {("tar", FIRST, None), ("sha256", FIRST, None)}


def test_a_flipped_bit_in_a_video(storage: Storage) -> None:
    data = bytearray(storage.read(TAR))
    place = next(m for m in scan(io.BytesIO(bytes(data))) if m.name == f"{key(1)}.mp4")
    data[place.offset + 15] ^= 1  # in the minor version of the file's brand, which no decoder minds
    storage.write(TAR, bytes(data))
    report = check(storage)
    assert told(report) == {("sha256", FIRST, None), ("content", FIRST, key(1))}
    assert {v.what.split()[0] for v in report.violations if v.rule == "content"} == {"sha256", "mp4_sha256"}


def test_a_compressed_tar(storage: Storage) -> None:
    import gzip

    storage.write(TAR, gzip.compress(storage.read(TAR)))
    found = told(check(storage))
    assert found >= {("tar", FIRST, None), ("sha256", FIRST, None), ("bytes", FIRST, None)}
    assert {k for rule, _, k in found if rule == "missing"} == {key(0), key(1), key(2)}


# --- Tar and sidecar that agree about a wrong content: written anew by hand ---


def rewrite(
    storage: Storage,
    entries: list[tuple[str, bytes]],
    samples: list[Sample],
    change: Callable[[tarfile.TarInfo], Any] = lambda info: None,
    **columns: Any,
) -> None:
    """Make the first shard of these members, with a sidecar of these samples whose digests and offsets fit it."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            change(info)
            tar.addfile(info, io.BytesIO(data))
    storage.write(TAR, sink.getvalue())
    places = {member.name: member for member in scan(sink)}
    content = dict(entries)
    rows = [{**_row(sample, content, places), **columns} for sample in sorted(samples, key=lambda s: s.key)]
    digest = hashlib.sha256(sink.getvalue()).hexdigest()
    about = About(tar_sha256=digest, tar_bytes=len(sink.getvalue()), num_samples=len(rows))
    storage.write(SIDECAR, sidecar.to_parquet(rows, about))


def _row(sample: Sample, content: Mapping[str, bytes], places: Mapping[str, Member]) -> dict[str, Any]:
    members = {e: content.get(f"{sample.key}.{e}", b"") for e in to_members(sample)}
    none = Member(name="", offset=0, size=0)
    return sidecar.row(sample, members, {e: places.get(f"{sample.key}.{e}", none) for e in members})


def entries_of(*samples: Sample) -> list[tuple[str, bytes]]:
    ordered = sorted(samples, key=lambda sample: sample.key)
    return [(f"{s.key}.{e}", data) for s in ordered for e, data in to_members(s).items()]


SAMPLES = (filmed(0), filmed(1))


def test_rewriting_without_a_fault_is_clean(storage: Storage) -> None:
    rewrite(storage, entries_of(*SAMPLES), list(SAMPLES))
    assert check(storage).violations == ()


@pytest.mark.parametrize(
    ("field", "value"), [("mtime", 7), ("mode", 0o600), ("uid", 1000), ("gid", 5), ("uname", "me"), ("gname", "us")]
)
def test_headers_with_a_time_or_an_owner(storage: Storage, field: str, value: int | str) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == f"{key(1)}.masks":
            setattr(info, field, value)

    rewrite(storage, entries_of(*SAMPLES), list(SAMPLES), change)
    report = check(storage)
    assert told(report) == {("header", FIRST, key(1))}
    assert report.violations[0].what == f"member {key(1)}.masks: {field} {value!r}"


def test_members_and_samples_out_of_order(storage: Storage) -> None:
    entries = entries_of(*SAMPLES)
    rewrite(storage, [entries[1], entries[0], *entries[2:]], list(SAMPLES))
    assert told(check(storage)) == {("order", FIRST, entries[0][0].split(".")[0])}
    rewrite(storage, entries[4:] + entries[:4], list(SAMPLES))
    assert told(check(storage)) == {("order", FIRST, entries[0][0].split(".")[0])}


def test_a_stray_member(storage: Storage) -> None:
    entries = entries_of(*SAMPLES)
    rewrite(storage, [*entries, (f"{key(0)}.txt", b"?")], list(SAMPLES))
    assert told(check(storage)) == {("stray", FIRST, key(0))}


def test_a_missing_member(storage: Storage) -> None:
    entries = [entry for entry in entries_of(*SAMPLES) if entry[0] != f"{key(0)}.strip.jpg"]
    rewrite(storage, entries, list(SAMPLES))
    report = check(storage)
    assert told(report) == {("missing", FIRST, key(0))}
    assert report.violations[0].what == "there is no strip.jpg"


def test_a_sample_that_only_the_tar_or_only_the_sidecar_has(storage: Storage) -> None:
    rewrite(storage, entries_of(*SAMPLES), [SAMPLES[0]])
    assert told(check(storage)) == {("row", FIRST, key(1))}
    rewrite(storage, entries_of(SAMPLES[0]), list(SAMPLES))
    assert told(check(storage)) == {("missing", FIRST, key(1))}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("caption", "another"),
        ("subject", "wolf"),
        ("pts", [0, 1, 2, 3, 4, 6]),
        ("width", 65),
        ("num_frames", 7),
        ("scores", [("area", 0.5)]),
        ("video", "elsewhere"),
        ("fps", 25.0),
        ("tracks", []),
    ],
)
def test_a_sidecar_that_says_something_else_than_the_record(storage: Storage, column: str, value: Any) -> None:
    rewrite(storage, entries_of(SAMPLES[0]), [SAMPLES[0]], **{column: value})
    report = check(storage)
    assert told(report) == {("row", FIRST, key(0))}
    assert report.violations[0].what.startswith(f"{column} is ")


@pytest.mark.parametrize(
    ("column", "rule"),
    [("mp4_offset", "place"), ("strip_size", "place"), ("sha256", "content"), ("mp4_sha256", "content")],
)
def test_wrong_places_and_digests_in_the_sidecar(storage: Storage, column: str, rule: str) -> None:
    columns: dict[str, Any] = {column: 512 if rule == "place" else "00"}
    rewrite(storage, entries_of(SAMPLES[0]), [SAMPLES[0]], **columns)
    assert told(check(storage)) == {(rule, FIRST, key(0))}


def test_a_sidecar_about_another_tar(storage: Storage) -> None:
    table, about = sidecar.from_parquet(storage.read(SIDECAR))
    wrong = replace(about, tar_sha256="00", tar_bytes=1, num_samples=4)
    storage.write(SIDECAR, sidecar.to_parquet(table.to_pylist(), wrong))
    report = check(storage)
    assert {v.rule for v in report.violations} == {"bytes", "sha256", "sidecar"}
    assert {(v.shard, v.key) for v in report.violations} == {(FIRST, None)}


def test_a_sidecar_of_a_later_format_or_damaged(storage: Storage) -> None:
    table, about = sidecar.from_parquet(storage.read(SIDECAR))
    storage.write(SIDECAR, sidecar.to_parquet(table.to_pylist(), replace(about, schema=99)))
    report = check(storage)
    assert told(report) == {("sidecar", FIRST, None)}
    assert "99" in report.violations[0].what
    storage.write(SIDECAR, b"PAR1 but not really")
    report = check(storage)
    assert told(report) == {("sidecar", FIRST, None)}
    assert report.samples == 5  # the tar's samples are checked all the same


def test_a_sidecar_with_other_columns(storage: Storage) -> None:
    import pyarrow.parquet as pq

    data = storage.read(SIDECAR)
    table = pq.read_table(io.BytesIO(data)).drop_columns("caption_by")
    sink = io.BytesIO()
    pq.write_table(table, sink)
    storage.write(SIDECAR, sink.getvalue())
    report = check(storage)
    assert told(report) == {("sidecar", FIRST, None)}
    assert "caption_by" in report.violations[0].what


# --- One sample ---


def with_members(storage: Storage, sample: Sample, **changed: bytes) -> Report:
    """Check the first shard made of `sample` with some members replaced, the sidecar fitting them."""
    members = {**to_members(sample), **{name.replace("_", "."): data for name, data in changed.items()}}
    rewrite(storage, [(f"{sample.key}.{e}", data) for e, data in members.items()], [sample])
    row = _row(sample, {f"{sample.key}.{e}": data for e, data in members.items()}, {})
    assert row["sha256"] == content_sha256(members)
    return check(storage)


def test_a_record_in_another_form(storage: Storage) -> None:
    members = to_members(SAMPLES[0])
    spaced, spaced_masks = (
        json.dumps(json.loads(data), sort_keys=True).encode()
        for data in (members["json"], zlib.decompress(members["masks"]))
    )
    report = with_members(storage, SAMPLES[0], json=spaced, masks=zlib.compress(spaced_masks, 9))
    assert told(report) == {("canonical", FIRST, key(0))}
    assert len(report.violations) == 2
    report = with_members(storage, SAMPLES[0], masks=members["masks"] + b"more")
    assert [v.what for v in report.violations] == [f"{key(0)}.masks is not in canonical form"]


@pytest.mark.parametrize("level", [0, 1, 6])
def test_masks_that_another_zlib_compressed_are_sound(storage: Storage, level: int) -> None:
    members = to_members(SAMPLES[0])
    packed = zlib.compress(zlib.decompress(members["masks"]), level)
    assert packed != members["masks"]
    assert told(with_members(storage, SAMPLES[0], masks=packed)) == set()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda said: said.update(schema=99), "99"),
        (lambda said: said.update(key="ab"), "ab"),
        (lambda said: said["tracks"][0]["boxes"].__setitem__(2, [0, 0, 4, 4]), "frame 2"),
        (lambda said: said["tracks"][0]["boxes"].pop(), "5 boxes for 6 frames"),
        (lambda said: said["tracks"][0].update(boxes=[None] * 6), "box None"),
        (lambda said: said.update(pts=said["pts"][:-1]), "5 frames"),
        (lambda said: said.update(caption=" "), "caption is empty"),
        (lambda said: said.update(subject="wolf"), "wolf"),
        (lambda said: said.pop("tracks"), "tracks"),
    ],
)
def test_an_invalid_record(storage: Storage, change: Callable[[dict[str, Any]], Any], says: str) -> None:
    said = json.loads(to_members(SAMPLES[0])["json"])
    change(said)
    report = with_members(storage, SAMPLES[0], json=canonical_json(said))
    assert told(report) == {("sample", FIRST, key(0))}
    assert says in report.violations[0].what


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("start", "0.5", "no span of seconds"),
        ("end", None, "no span of seconds"),
        ("video", 7, "do not fit the sidecar's columns"),
        ("caption_by", ["me"], "do not fit the sidecar's columns"),
    ],
)
def test_an_origin_that_fits_no_column(storage: Storage, name: str, value: Any, says: str) -> None:
    said = json.loads(to_members(SAMPLES[0])["json"])
    said["provenance"][name] = value
    members = {**to_members(SAMPLES[0]), "json": canonical_json(said)}
    rewrite(storage, [(f"{SAMPLES[0].key}.{e}", data) for e, data in members.items()], [SAMPLES[0]])
    report = check(storage)
    assert told(report) == {("sample", FIRST, key(0))}
    assert says in report.violations[0].what


@pytest.mark.parametrize("masks", [b"no zlib", zlib.compress(b"{}", 9)])
def test_masks_that_cannot_be_read(storage: Storage, masks: bytes) -> None:
    assert told(with_members(storage, SAMPLES[0], masks=masks)) == {("sample", FIRST, key(0))}


def pictures(frames: int = 6, size: tuple[int, int] = (48, 64)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    noise = np.random.default_rng(0)
    return noise.integers(0, 255, (frames, *size, 3), np.uint8)


def film(frames: int = 6, step: int = 1, size: tuple[int, int] = (48, 64), **settings: Any) -> bytes:
    pts = tuple(range(0, frames * step, step))
    return video.encode(iter(pictures(frames, size)), pts, Fraction(1, 24), **settings)


@pytest.mark.parametrize(
    ("mp4", "rules"),
    [
        (film(frames=5), {"frames"}),
        (film(frames=7), {"frames"}),
        (film(step=2), {"times"}),
        (film(size=(64, 64)), {"size"}),
        (b"no video at all", {"video"}),
        (film()[:-200], {"video"}),
    ],
)
def test_a_video_that_is_not_the_records(storage: Storage, mp4: bytes, rules: set[str]) -> None:
    report = with_members(storage, SAMPLES[0], mp4=mp4)
    assert told(report) == {(rule, FIRST, key(0)) for rule in rules}


def test_quick_reads_the_packets_and_decodes_nothing(storage: Storage) -> None:
    data = bytearray(film())
    start = data.rindex(b"mdat") + 200
    data[start : start + 300] = b"\xff" * 300
    assert "video" in {v.rule for v in with_members(storage, SAMPLES[0], mp4=bytes(data)).violations}
    assert verify(storage, quick=True).violations == ()
    with_members(storage, SAMPLES[0], mp4=film(frames=5))
    assert told(verify(storage, quick=True)) == {("frames", FIRST, key(0))}


def test_key_frames_too_far_apart(storage: Storage) -> None:
    long = filmed(0, frames=60)
    sparse = replace(long, video=video.encode(_still(60), long.pts, long.time_base, keyframe_seconds=9))
    write_shard(storage, "practice", 0, [sparse])
    report = check(storage)
    assert told(report) == {("keyframes", FIRST, key(0))}
    write_shard(storage, "practice", 0, [long])
    assert check(storage).violations == ()


def _still(frames: int) -> Any:
    return iter(np.full((frames, 48, 64, 3), 90, np.uint8))


def test_another_codec(storage: Storage) -> None:
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.gop_size, stream.time_base = 12, Fraction(1, 24)
        for t, picture in enumerate(pictures()):
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = t, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert told(with_members(storage, SAMPLES[0], mp4=sink.getvalue())) == {("codec", FIRST, key(0))}


@pytest.mark.parametrize("image", [b"no image", strip(pictures())[:100]])
def test_a_strip_that_is_no_image(storage: Storage, image: bytes) -> None:
    assert told(with_members(storage, SAMPLES[0], strip_jpg=image)) == {("strip", FIRST, key(0))}


def test_a_strip_of_another_kind_or_height(storage: Storage) -> None:
    from PIL import Image

    for kind, size in (("PNG", (8, 96)), ("JPEG", (8, 95))):
        sink = io.BytesIO()
        Image.new("RGB", size).save(sink, kind)
        assert told(with_members(storage, SAMPLES[0], strip_jpg=sink.getvalue())) == {("strip", FIRST, key(0))}


def test_violations_do_not_depend_on_the_workers(storage: Storage) -> None:
    storage.write(TAR, storage.read(TAR)[:30_000])
    assert verify(storage, workers=1).violations == verify(storage, workers=5).violations
    with pytest.raises(ValueError, match="1 or more"):
        verify(storage, workers=0)
