"""Tars are plain, their bytes depend on names and data only, and what offsets cannot be trusted in is refused."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.storage import Missing, Storage
from shards.tar import BLOCK, BadTar, Member, scan, write_members

Entries = list[tuple[str, dict[str, bytes]]]
ENTRIES = st.lists(
    st.tuples(
        st.text("0123456789abcdef", min_size=1, max_size=20),
        st.dictionaries(st.sampled_from(["json", "masks", "mp4", "strip.jpg"]), st.binary(max_size=1500), min_size=1),
    ),
    max_size=5,
)


def _tar(entries: Entries) -> bytes:
    stream = io.BytesIO()
    write_members(stream, entries)
    return stream.getvalue()


def _expected(entries: Entries) -> list[tuple[str, bytes]]:
    return [(f"{key}.{name}", members[name]) for key, members in entries for name in sorted(members)]


@given(ENTRIES)
@settings(deadline=None)
def test_a_scan_finds_every_member(entries: Entries) -> None:
    data = _tar(entries)
    found = [(m.name, data[m.offset : m.offset + m.size]) for m in scan(io.BytesIO(data))]
    assert found == _expected(entries)


@given(ENTRIES)
@settings(max_examples=20, deadline=None)
def test_the_standard_library_reads_the_same(entries: Entries) -> None:
    with tarfile.open(fileobj=io.BytesIO(_tar(entries)), mode="r:") as tar:
        found = []
        for info in tar:
            member = tar.extractfile(info)
            assert member is not None
            found.append((info.name, member.read()))
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (0, 0, 0, "", "", 0o644)
    assert found == _expected(entries)


def test_webdatasets_writer_gives_the_same_bytes() -> None:
    webdataset = pytest.importorskip("webdataset")
    entries: Entries = [("ab01", {"mp4": b"video" * 999, "json": b"{}"}), ("ab02", {"strip.jpg": b"", "masks": b"m"})]
    stream = io.BytesIO()
    writer = webdataset.TarWriter(stream, encoder=False, mtime=0, mode=0o644, user="", group="")
    for key, members in entries:
        writer.write({"__key__": key, **members})
    writer.close()
    assert _tar(entries) == stream.getvalue()


ENTRY: Entries = [("ab01", {"json": b"{}", "mp4": b"v" * 700}), ("ab02", {"json": b"{}", "mp4": b"w" * 700})]


def test_a_scan_reads_headers_only() -> None:
    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.read_bytes += len(data)
            return data

    stream = Counting(_tar([("ab01", {"mp4": bytes(10_000_000)}), ("ab02", {"mp4": bytes(10_000_000)})]))
    assert len(scan(stream)) == 2
    assert stream.read_bytes <= 4 * BLOCK


def test_paths_urls_and_streams_scan_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _tar(ENTRY)
    expected = scan(io.BytesIO(data))
    (tmp_path / "x.tar").write_bytes(data)
    fsspec.filesystem("memory").pipe_file("/tars/x.tar", data)
    monkeypatch.chdir(tmp_path)
    sources = (tmp_path / "x.tar", str(tmp_path / "x.tar"), f"file://{tmp_path}/x.tar", "x.tar", "memory://tars/x.tar")
    for source in sources:
        assert scan(source) == expected
    for read_ahead in (1, BLOCK, 1000, 5000, 1 << 20):
        assert scan("memory://tars/x.tar", read_ahead) == expected
    assert expected[0] == Member(name="ab01.json", offset=BLOCK, size=2)


def test_a_missing_tar_is_told(tmp_path: Path) -> None:
    for source in (tmp_path / "no.tar", "memory://tars/no.tar"):
        with pytest.raises(Missing, match=r"no\.tar: there is no such file"):
            scan(source)


def test_a_tar_cut_anywhere_is_told() -> None:
    """Only the padding behind the end mark may be missing."""
    data = _tar(ENTRY)
    last = scan(io.BytesIO(data))[-1]
    end = -(-(last.offset + last.size) // BLOCK) * BLOCK
    for cut in [*range(0, end + BLOCK, 100), end - 1, end, end + BLOCK - 1]:
        with pytest.raises(BadTar, match="truncated"):
            scan(io.BytesIO(data[:cut]))
    assert len(scan(io.BytesIO(data[: end + BLOCK]))) == 4


def test_truncation_names_the_member_and_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "cut.tar").write_bytes(_tar(ENTRY)[: 2 * BLOCK + BLOCK + 100])
    with pytest.raises(BadTar, match=r"cut\.tar is truncated: member ab01\.mp4 needs 700 bytes, 100 are there"):
        scan(tmp_path / "cut.tar")


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_is_told_or_harmless(at: int, flip: int) -> None:
    """A scan of damage ends, with members inside the file or `BadTar`; never another error."""
    data = bytearray(_tar(ENTRY))
    data[at % len(data)] ^= flip
    try:
        members = scan(io.BytesIO(bytes(data)))
    except BadTar:
        return
    assert all(0 <= m.offset <= m.offset + m.size <= len(data) for m in members)


@pytest.mark.parametrize(("mode", "kind"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_compressed_tars_are_refused(mode: Any, kind: str) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        tar.addfile(tarfile.TarInfo("x"))
    with pytest.raises(BadTar, match=rf"is compressed \({kind}\); unpack it"):
        scan(stream)


def _with(infos: Callable[[tarfile.TarInfo], None], format: int = tarfile.GNU_FORMAT) -> io.BytesIO:  # noqa: A002
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as tar:
        info = tarfile.TarInfo("ab01.mp4")
        infos(info)
        tar.addfile(info, io.BytesIO(b"x" * info.size))
    return stream


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        (tarfile.SYMTYPE, "a link to elsewhere"),
        (tarfile.LNKTYPE, "a link to elsewhere"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
        (tarfile.FIFOTYPE, "of type"),
        (tarfile.CHRTYPE, "of type"),
    ],
)
def test_what_is_no_plain_file_is_refused(type: bytes, kind: str) -> None:  # noqa: A002
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = type, "elsewhere"

    with pytest.raises(BadTar, match=rf"member ab01\.mp4 is {kind}"):
        scan(_with(change))


def test_folders_are_passed_over() -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.type = tarfile.DIRTYPE

    assert scan(_with(change)) == []


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_are_read(format: int) -> None:  # noqa: A002
    name = "long/" * 60 + "ä.mp4"

    def change(info: tarfile.TarInfo) -> None:
        info.name, info.size = name, 5

    stream = _with(change, format)
    (member,) = scan(stream)
    assert member.name == name
    assert stream.getvalue()[member.offset : member.offset + member.size] == b"xxxxx"


def _pax(records: Mapping[str, str]) -> io.BytesIO:
    def change(info: tarfile.TarInfo) -> None:
        info.pax_headers, info.size = dict(records), 3

    return _with(change, tarfile.PAX_FORMAT)


@pytest.mark.parametrize("record", [{"size": "9999"}, {"GNU.sparse.major": "1"}, {"GNU.sparse.size": "12"}])
def test_pax_sizes_are_refused(record: dict[str, str]) -> None:
    with pytest.raises(BadTar, match=f"PAX header at byte 0 says {next(iter(record))}="):
        scan(_pax(record))


def test_harmless_pax_records_are_passed_over() -> None:
    (member,) = scan(_pax({"comment": "nothing", "mtime": "1.5"}))
    assert (member.name, member.size) == ("ab01.mp4", 3)


@pytest.mark.parametrize("bad", [b"0 size=1\n", b"99999 path=x\n", b"nonsense", b"4 a=", b"-5 a=b\n"])
def test_a_damaged_pax_header_is_told(bad: bytes) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(bad)
    data = info.tobuf(tarfile.USTAR_FORMAT) + bad.ljust(BLOCK, b"\0") + _tar(ENTRY)
    with pytest.raises(BadTar, match="PAX header at byte 0"):
        scan(io.BytesIO(data))


def test_a_negative_size_is_told() -> None:
    info = tarfile.TarInfo("ab01.mp4")
    info.size = -512
    with pytest.raises(BadTar, match="has -512 bytes"):
        scan(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT) + _tar(ENTRY)))


def test_what_is_no_tar_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(BadTar, match=r"x\.tar is no tar, or damaged: at byte 0"):
        scan(tmp_path / "x.tar")


def test_an_s3_scan_fetches_little(s3: str, wire: Any) -> None:
    entries: Entries = [(f"{n:02x}", {"json": b"{}", "mp4": bytes(3_000_000)}) for n in range(3)]
    with Storage.at(s3).writer("x.tar") as stream:
        write_members(stream, entries)
    before = wire.received
    assert len(scan(f"{s3}/x.tar")) == 6
    assert wire.received - before < 400_000
