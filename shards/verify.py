"""Proof that a dataset is what its format says: every shard, member, record and video, and each violation by name.

dataset     dataset.json is there, whole, and of a known format; verdicts can be read
pair        every tar has its sidecar and every sidecar its tar
aside       nothing half-written was left behind, nothing else lies among the shards
sidecar     it can be read, has the format's columns and metadata, and its rows are sorted
bytes       the tar's size is the sidecar's
sha256      the tar's digest is the sidecar's
tar         the tar can be followed from its start to its end mark
header      no time, no owner, mode 0644 in every header
order       samples sorted by key, members by extension
stray       no member that the format does not have
missing     every sample of the sidecar is in the tar with all four members
place       offsets and sizes are the sidecar's
key         a key names one sample of the dataset
content     digests of video and masks are the sidecar's
row         everything else in the sidecar is as the record says
sample      the members make a valid record: one mask and one tight box a frame for every track, known format
canonical   json, and masks once inflated, have the one form that the writer gives them, however zlib packed it
codec       H.264 yuv420p
size        the video has the record's width and height
frames      as many frames in the video as times and masks in the record
times       every frame is shown when the record says
keyframes   about a second at most from a key frame to the frames that need it
video       the video can be read, and decodes without an error
strip       the thumbnails are a JPEG of the format's height
"""

import fcntl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from shards import sidecar
from shards.dataset import read_info
from shards.storage import Storage
from shards.verdicts import Verdicts
from shards.verify_shard import Checked, Violation, check_shard
from shards.writer import FOLDER


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was checked and what was found."""

    url: str
    quick: bool  # videos were not decoded
    shards: int
    samples: int
    frames: int
    bytes: int  # of the tars
    violations: tuple[Violation, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def verify(
    storage: Storage, *, quick: bool = False, workers: int = 2, on_sample: Callable[[int], None] | None = None
) -> Report:
    """Check everything; `quick` decodes no video. `on_sample` is called after each sample with their number.

    A violation stops nothing: what can still be read is still checked. `workers` threads check samples side by
    side; the order of the violations does not depend on them. Each tar is read once, in large pieces. Raises
    `ValueError` where there is neither a dataset.json nor a shard.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers can check nothing; give 1 or more")
    stems, found = _pairs(storage)
    if not stems and not found:
        read_info(storage)
    found = [*_check_dataset(storage), *found, *_asides(storage)]
    total = sum(_num_samples(storage, stem) for stem in stems)
    shards: list[Checked] = []
    with ThreadPoolExecutor(workers) as pool:
        for stem in stems:
            shards.append(
                check_shard(
                    storage,
                    stem,
                    quick=quick,
                    pool=pool,
                    at_once=2 * workers,
                    on_sample=lambda: on_sample(total) if on_sample else None,
                )
            )
    found += [violation for shard in shards for violation in shard.violations]
    found += _repeated_keys(shards)
    return Report(
        url=storage.url,
        quick=quick,
        shards=len(shards),
        samples=sum(len(shard.keys) for shard in shards),
        frames=sum(shard.frames for shard in shards),
        bytes=sum(shard.bytes for shard in shards),
        violations=tuple(found),
    )


def _num_samples(storage: Storage, stem: str) -> int:
    """What the sidecar says; 0 where it cannot be read, which `check_shard` tells."""
    try:
        return sidecar.from_parquet(storage.read(f"{FOLDER}/{stem}.parquet"))[1].num_samples
    except ValueError:
        return 0


def _check_dataset(storage: Storage) -> Iterator[Violation]:
    for read in (lambda: read_info(storage), lambda: Verdicts(storage).events()):
        try:
            read()
        except ValueError as error:
            yield Violation(rule="dataset", shard=None, key=None, what=str(error))


def _pairs(storage: Storage) -> tuple[list[str], list[Violation]]:
    """Stems with both files, and what stands alone or does not belong among the shards."""
    paths = [PurePosixPath(path) for path in storage.list(FOLDER)]
    tars = {path.stem for path in paths if path.suffix == ".tar"}
    sidecars = {path.stem for path in paths if path.suffix == ".parquet"}
    alone = [(stem, "a tar without a sidecar") for stem in sorted(tars - sidecars)]
    alone += [(stem, "a sidecar without a tar") for stem in sorted(sidecars - tars)]
    found = [Violation(rule="pair", shard=stem, key=None, what=what) for stem, what in alone]
    others = [path for path in paths if path.suffix not in (".tar", ".parquet")]
    found += [_aside(f"{path} is neither a tar nor a sidecar") for path in others]
    return sorted(tars & sidecars), found


def _asides(storage: Storage) -> Iterator[Violation]:
    """What writers that died left half-written; a file that is being written just now is not among them."""
    root = storage.local_path("")
    if root is None:
        return
    for path in sorted(root.rglob(".*.aside")):
        with path.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
        yield _aside(f"{path.relative_to(root)} was left half-written")


def _aside(what: str) -> Violation:
    return Violation(rule="aside", shard=None, key=None, what=what)


def _repeated_keys(shards: list[Checked]) -> Iterator[Violation]:
    first: dict[str, str] = {}
    for shard in shards:
        for key in shard.keys:
            if key in first:
                yield Violation(rule="key", shard=shard.stem, key=key, what=f"stands in {first[key]} already")
            first.setdefault(key, shard.stem)
