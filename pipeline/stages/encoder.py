"""Encoder: a clip is written once as the H.264 MP4 that every later stage reads and the shard ships."""

import hashlib
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from pipeline.records import Clip, Encoded, Rejected
from pipeline.stage import Stage
from pipeline.stages.cutter import image_paths, is_folder
from shards import video as videos
from shards.dataset import Dataset
from shards.storage import Missing, Storage

PARTS = "parts"
"""Folder of a dataset where encoded clips wait for their shard."""


class Encoder(Stage[Clip, Encoded]):
    """Writes `parts/KEY.mp4`: upright, square pixels, even size, yuv420p, every frame at its own time.

    Given an `Encoded` record whose file is gone, it brings the same bytes back: from a shard of the datasets in
    `donors`, from their `parts/` where such a shard is not written yet, or by encoding again.
    """

    name: ClassVar[str] = "encoder"
    gives: ClassVar[type | None] = Encoded
    uses_model: ClassVar[bool] = False
    outside: ClassVar[frozenset[str]] = frozenset({"needs", "dataset", "donors"})

    max_side: int | None = 1280  # pixels of the longer side; larger videos are scaled down
    crf: float = 18.0  # x264's constant rate factor
    keyframe_seconds: float = 1.0  # longest distance between key frames, seconds
    program: Literal["auto", "ffmpeg", "pyav"] = "auto"  # auto: ffmpeg where there is a binary of it
    dataset: str = ""  # URL of the dataset that is built; the build fills it in
    donors: tuple[str, ...] = ()  # URLs of datasets that may hold the very clip

    def fingerprint(self) -> str:
        return videos.encoder_version(self._program)

    @property
    def _program(self) -> videos.EncoderName:
        return self.program if self.program != "auto" else videos.best_encoder()

    def open(self) -> Callable[[Sequence[Clip]], list[Encoded | Rejected]]:
        storage = Storage.at(self.dataset)
        donors = [Dataset.open(url, ()) for url in self.donors]

        def encode(clip: Clip) -> Encoded | Rejected:
            if isinstance(clip, Encoded):
                data = _donated(clip, donors)
                if data is not None:
                    storage.write(part_path(clip.key), data)
                    return clip
            return self._encode(clip, storage)

        return lambda batch: [encode(clip) for clip in batch]

    def _encode(self, clip: Clip, storage: Storage) -> Encoded | Rejected:
        try:
            result = self._transcode(clip)
        except videos.Unreadable as error:
            return Rejected(stage=self.name, why=error.why, value=error.value)
        sha256 = hashlib.sha256(result.data).hexdigest()
        if isinstance(clip, Encoded) and sha256 != clip.sha256:
            raise ValueError(
                f"clip {clip.key}: encoding {clip.video.uri} again gave other bytes; has the file changed?"
            )
        storage.write(part_path(clip.key), result.data)
        return Encoded(
            **{name: getattr(clip, name) for name in Clip.__dataclass_fields__},
            path=f"{storage.url}/{part_path(clip.key)}",
            sha256=sha256,
            width=result.width,
            height=result.height,
            pts=result.pts,
            time_base=(result.time_base.numerator, result.time_base.denominator),
            scale=result.scale,
        )

    def _transcode(self, clip: Clip) -> videos.Transcoded:
        last = clip.first_frame + clip.num_frames
        if is_folder(clip.video):
            assert clip.video.frame_rate is not None
            return videos.from_images(
                image_paths(clip.video)[clip.first_frame : last],
                clip.video.frame_rate,
                max_side=self.max_side,
                crf=self.crf,
                keyframe_seconds=self.keyframe_seconds,
            )
        return videos.transcode(
            clip.video.uri,
            clip.first_frame,
            clip.num_frames,
            max_side=self.max_side,
            crf=self.crf,
            keyframe_seconds=self.keyframe_seconds,
            encoder=self._program,
        )


def part_path(key: str) -> str:
    return f"{PARTS}/{key}.mp4"


def _donated(clip: Encoded, donors: Sequence[Dataset]) -> bytes | None:
    for donor in donors:
        try:
            data = donor.raw(donor.row_of(clip.key))["mp4"]
        except KeyError:
            data = _waiting(donor.storage, clip.key)
        if hashlib.sha256(data).hexdigest() == clip.sha256:
            return data
    return None


def _waiting(storage: Storage, key: str) -> bytes:
    """A clip whose shard is not written yet; nothing where there is none."""
    try:
        return storage.read(part_path(key))
    except Missing:
        return b""
