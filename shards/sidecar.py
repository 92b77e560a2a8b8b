"""The sidecar of a shard: one Parquet row a sample: where its members lie, and all that is small about it."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from shards import rle
from shards.entry import content_sha256
from shards.sample import SCHEMA as SCHEMA_NUMBER
from shards.sample import InvalidSample, Sample, Track
from shards.tar import Member

PLACES = {"json": "json", "masks": "masks", "mp4": "mp4", "strip.jpg": "strip"}
"""Member -> prefix of its two columns, `_offset` and `_size`: where its data lies in the tar, in bytes."""

_TRACK = pa.struct(
    [
        ("id", pa.int32()),
        ("noun", pa.string()),
        ("frames", pa.int32()),  # frames with a mask
        ("area", pa.float64()),  # mean share of the frame, over the frames with a mask
        # x0, y0, x1, y1 in the first and in the last frame; null where it is absent there
        ("first_box", pa.list_(pa.int32())),
        ("last_box", pa.list_(pa.int32())),
    ]
)

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        *((f"{prefix}_{what}", pa.int64()) for prefix in PLACES.values() for what in ("offset", "size")),
        ("sha256", pa.string()),  # of video and masks: what a verdict is bound to
        ("mp4_sha256", pa.string()),
        ("video", pa.string()),  # id in the source
        ("start", pa.float64()),  # seconds in the source
        ("end", pa.float64()),
        ("caption", pa.string()),
        ("caption_by", pa.string()),
        ("subject", pa.string()),
        ("width", pa.int32()),  # pixels
        ("height", pa.int32()),
        ("num_frames", pa.int32()),
        ("duration", pa.float64()),  # seconds
        ("fps", pa.float64()),  # mean
        ("pts", pa.list_(pa.int64())),
        ("time_base_num", pa.int64()),
        ("time_base_den", pa.int64()),
        ("tracks", pa.list_(_TRACK)),
        ("scores", pa.map_(pa.string(), pa.float64())),
    ]
)

_ROW_GROUP = 4096  # rows; fixed, because it decides bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a sidecar says of its tar as a whole, as Parquet key-value metadata."""

    tar_sha256: str
    tar_bytes: int
    num_samples: int
    schema: int = SCHEMA_NUMBER

    def to_metadata(self) -> dict[bytes, bytes]:
        names = ("schema", "tar_sha256", "tar_bytes", "num_samples")
        return {name.encode(): str(getattr(self, name)).encode() for name in names}

    @classmethod
    def of_metadata(cls, said: Mapping[bytes, bytes]) -> Self:
        return cls(
            tar_sha256=said[b"tar_sha256"].decode(),
            tar_bytes=int(said[b"tar_bytes"]),
            num_samples=int(said[b"num_samples"]),
            schema=int(said[b"schema"]),
        )


def row(sample: Sample, members: Mapping[str, bytes], places: Mapping[str, Member]) -> dict[str, Any]:
    """The sidecar's row of `sample`, from its members' data and places, both by extension."""
    return {
        "key": sample.key,
        **_place_columns(places),
        "sha256": content_sha256(members),
        "mp4_sha256": hashlib.sha256(members["mp4"]).hexdigest(),
        **_origin_columns(sample),
        "caption": sample.caption,
        "subject": sample.subject,
        "width": sample.width,
        "height": sample.height,
        "num_frames": sample.num_frames,
        "pts": sample.pts,
        "time_base_num": sample.time_base.numerator,
        "time_base_den": sample.time_base.denominator,
        "tracks": [track_row(track, sample.size) for track in sample.tracks],
        "scores": sorted(sample.scores.items()),
    }


def to_parquet(rows: Sequence[Mapping[str, Any]], about: About) -> bytes:
    """The sidecar as Parquet bytes; the same rows always give the same bytes."""
    columns = {name: [row[name] for row in rows] for name in SCHEMA.names}
    table = pa.table(columns, schema=SCHEMA.with_metadata(about.to_metadata()))
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP)
    return sink.getvalue()


def from_parquet(
    data: bytes, where: str = "the sidecar", columns: Sequence[str] | None = None
) -> tuple[pa.Table, About]:
    """Rows (`SCHEMA`, or `columns` of it) and what is said of the tar.

    Raises `ValueError` where it is no sidecar, or of a later format.
    """
    try:
        # Not `pq.read_table`, which loads pyarrow's datasets and with them pandas: a second before the first row.
        file = pq.ParquetFile(io.BytesIO(data))
        table = file.read(columns=None if columns is None else list(columns), use_threads=False)
        about = About.of_metadata(table.schema.metadata or {})
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise ValueError(f"{where} is not a sidecar, or damaged ({error}); write its shard again") from None
    if about.schema > SCHEMA_NUMBER:
        says = f"{where} is of format {about.schema}, this code reads up to {SCHEMA_NUMBER}"
        raise ValueError(f"{says}; update it")
    return table.replace_schema_metadata(None), about


def _place_columns(places: Mapping[str, Member]) -> dict[str, int]:
    offsets = {f"{prefix}_offset": places[name].offset for name, prefix in PLACES.items()}
    return offsets | {f"{prefix}_size": places[name].size for name, prefix in PLACES.items()}


def _origin_columns(sample: Sample) -> dict[str, Any]:
    """Where and when in the source, and who wrote the caption; and the clip's mean speed."""
    names = ("video", "start", "end", "caption_by")
    missing = [name for name in names if name not in sample.provenance]
    if missing:
        raise InvalidSample(f"sample {sample.key}: its provenance does not say {', '.join(missing)}")
    shown = sample.times[-1]  # seconds from the first frame to the last
    try:
        duration = sample.provenance["end"] - sample.provenance["start"]
        fps = (sample.num_frames - 1) / shown if shown else 1 / duration
    except (TypeError, ZeroDivisionError):
        raise InvalidSample(f"sample {sample.key}: start and end in its provenance are no span of seconds") from None
    return {name: sample.provenance[name] for name in names} | {"duration": duration, "fps": fps}


def track_row(track: Track, size: rle.Size) -> dict[str, Any]:
    """What the sidecar says of a track."""
    areas = [rle.area(mask, size) for mask in track.masks if mask is not None]
    return {
        "id": track.id,
        "noun": track.noun,
        "frames": len(areas),
        "area": sum(areas) / (len(areas) * size[0] * size[1]),
        "first_box": track.boxes[0],
        "last_box": track.boxes[-1],
    }
