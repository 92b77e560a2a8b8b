"""Packer: the judged clips of a planned shard become Samples, and the samples a shard."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from pipeline.records import Measured, Tracklet
from pipeline.runners import Crashed
from pipeline.runners.attempt import attempt
from pipeline.stage import Stage
from pipeline.stages.encoder import part_path
from pipeline.stages.measure import measure_losses
from shards import video as videos
from shards.rle import Size
from shards.sample import Sample, Track
from shards.storage import Storage
from shards.writer import ShardInfo, write_shard

STRIP_FRAMES = 8
STRIP_HEIGHT = 96  # pixels


@dataclass(frozen=True, kw_only=True)
class Load:
    """What goes into one shard."""

    key: str  # "shard-000012", the name under which the work is answered
    dataset: str  # URL
    name: str  # of the dataset
    number: int
    clips: tuple[Measured, ...]
    recipe: str  # name of the recipe
    models: dict[str, str]  # stage -> fingerprint
    rules: dict[str, Any]  # the thresholds that the clips passed


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The shard that was written; none where clips crashed, so that it can be packed without them."""

    key: str
    shard: ShardInfo | None
    failed: dict[str, Crashed]  # by clip key


class Packer(Stage[Load, Packed]):
    """Writes a shard from the encoded clips in `parts/`. Not in a recipe: its bytes follow from the format alone."""

    name: ClassVar[str] = "packer"
    uses_model: ClassVar[bool] = False

    def open(self) -> Callable[[Sequence[Load]], list[Packed]]:
        return lambda batch: [pack(load) for load in batch]


def pack(load: Load) -> Packed:
    """Write the shard of `load`; its samples are sorted by key, whatever the order of `load.clips`."""
    storage = Storage.at(load.dataset)

    def samples(clips: Sequence[Measured]) -> list[Sample]:
        return [_sample(clip, storage.read(part_path(clip.key)), load) for clip in clips]

    outcomes = {clip.key: attempt(samples, [clip])[0][0] for clip in load.clips}
    failed = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Crashed)}
    shard = None if failed else write_shard(storage, load.name, load.number, outcomes.values())
    return Packed(key=load.key, shard=shard, failed=failed)


def _sample(clip: Measured, video: bytes, load: Load) -> Sample:
    size = (clip.height, clip.width)
    tracks = tuple(_track(track, size) for track in clip.tracks)
    return Sample(
        key=clip.key,
        video=video,
        strip=strip(video, len(clip.pts)),
        pts=clip.pts,
        time_base=Fraction(*clip.time_base),
        width=clip.width,
        height=clip.height,
        caption=clip.caption,
        subject=tracks[0].noun,
        tracks=tracks,
        scores=clip.scores,
        provenance=provenance(clip, load) | _lost(tracks),
    )


def _track(track: Tracklet, size: Size) -> Track:
    scores = track.scores | measure_losses(track.masks)
    return Track.of_masks(track.masks, id=track.id, noun=track.noun, size=size, scores=scores, series=track.series)


def _lost(tracks: Sequence[Track]) -> dict[str, Any]:
    """Where the tracks that were lost were so, in first and last frames, by track id."""
    spans = {str(track.id): [list(span) for span in track.lost] for track in tracks if track.lost}
    return {"lost": spans} if spans else {}


def provenance(clip: Measured, load: Load) -> dict[str, Any]:
    """Where a sample comes from, who said what of it, and by which rules it was judged."""
    return {
        "video": clip.video.id,
        "start": clip.start,
        "end": clip.end,
        "first_frame": clip.first_frame,
        "source_sha256": clip.source_sha256,
        "caption_by": clip.caption_author,
        "subject_by": clip.namer,
        "boxes_by": clip.detector,
        "masks_by": clip.segmenter,
        "tracks_by": clip.tracker,
        "phash": list(clip.phash),
        "recipe": load.recipe,
        "models": load.models,
        "rules": load.rules,
    }


def strip(video: bytes, num_frames: int) -> bytes:
    """A JPEG of `STRIP_FRAMES` evenly spread thumbnails side by side; short clips repeat frames."""
    wanted = np.linspace(0, num_frames - 1, STRIP_FRAMES).round().astype(int).tolist()
    unique = sorted(set(wanted))
    thumbnails = dict(zip(unique, map(_thumbnail, videos.frames(video, unique)), strict=True))
    sink = io.BytesIO()
    Image.fromarray(np.concatenate([thumbnails[t] for t in wanted], axis=1)).save(sink, "JPEG", quality=80)
    return sink.getvalue()


def _thumbnail(frame: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    height, width = frame.shape[:2]
    size = (max(1, round(width * STRIP_HEIGHT / height)), STRIP_HEIGHT)
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))
